"""A W&B server on 127.0.0.1, faked: what wandb 0.31's client and `wandb sync` ask of GraphQL, file stream and uploads.

It believes any key, answers any query it does not know with nothing, and keeps what arrives:
    runs      run id -> the variables of its upserts, merged: config, tags, groupName, jobType, displayName, ...
    lines     run id -> stream file (wandb-history.jsonl, wandb-summary.json, ...) -> lines by offset
    ended     run id -> exit code
    uploads   name or URL path of a file -> its bytes
`stall()` makes it take requests and never answer, until `close()`; `status` = 500 or 401 makes it answer only that.
"""

import contextlib
import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote


class FakeServer:
    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = defaultdict(dict)
        self.lines: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
        self.ended: dict[str, int] = {}
        self.uploads: dict[str, bytes] = {}
        self.status = 200
        self._stalled, self._closed = threading.Event(), threading.Event()
        handler = type("BoundHandler", (_Handler,), {"fake": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def stall(self) -> None:
        self._stalled.set()

    def close(self) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        if self._stalled.is_set():
            self._closed.wait(60)
        if path == "/graphql":
            asked = json.loads(body)
            return {"data": self._graphql(asked.get("operationName"), asked.get("variables") or {})}
        if path.endswith("/file_stream"):
            self._stream(path.split("/")[-2], json.loads(body))
        elif method == "PUT":
            self.uploads[unquote(path.removeprefix("/upload/"))] = body
        return {}

    def history(self, run_id: str) -> list[dict[str, Any]]:
        """The rows that arrived, in their order."""
        rows = self.lines[run_id]["wandb-history.jsonl"]
        return [rows[offset] for offset in sorted(rows)]

    def _stream(self, run_id: str, sent: dict[str, Any]) -> None:
        for name, part in (sent.get("files") or {}).items():
            for number, line in enumerate(part["content"]):
                self.lines[run_id][name][part.get("offset", 0) + number] = json.loads(line)
        if sent.get("complete"):
            self.ended[run_id] = sent["exitcode"]

    def _graphql(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation == "UpsertBucket":
            self.runs[given["name"]].update({key: value for key, value in given.items() if value is not None})
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}}
            run = {"id": "b", "name": given["name"], "displayName": given["displayName"], "project": project}
            return {"upsertBucket": {"bucket": {**run, "config": "{}", "historyLineCount": 0}, "inserted": True}}
        if operation == "Viewer":
            return {"viewer": {"id": "u", "username": "me", "entity": "me", "flags": "{}", "teams": {"edges": []}}}
        if operation == "CreateRunFiles":
            files = [{"name": name, **self._place(name)} for name in given["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if operation == "CreateArtifact":
            sequence = {"id": "s", "latestArtifact": None}
            artifact = {"id": given["input"]["digest"], "state": "PENDING", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": artifact}}
        if operation in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            field = operation[0].lower() + operation[1:]
            file = {"id": "f", **self._place(f"{given.get('digest')}/wandb_manifest.json")}
            return {field: {"artifactManifest": {"id": given.get("digest"), "file": file}}}
        if operation == "CreateArtifactFiles":
            nodes = [self._artifact_file(spec) for spec in given["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if operation == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": given["artifactID"]}}}
        if operation == "ClientIDMapping":
            return {"clientIDMapping": {"serverID": "s"}}
        return {"project": None, "entity": None}

    def _place(self, name: str) -> dict[str, Any]:
        return {"uploadUrl": f"{self.url}/upload/{quote(name)}", "uploadHeaders": []}

    def _artifact_file(self, spec: dict[str, Any]) -> dict[str, Any]:
        artifact = {"artifact": {"id": spec["artifactID"]}, "uploadMultipartUrls": None}
        return {"storagePath": spec["name"], **artifact, **self._place(spec["name"])}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client was killed, or gave up
            super().handle()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = json.dumps(self.fake.answer(self.command, self.path, body)).encode()
        self.send_response(self.fake.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
