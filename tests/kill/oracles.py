"""What must hold of a run that was killed and continued: the end is that of a run which was not, and nothing that was
saved is done again. Each answers with what is wrong, "" where nothing is.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.kill.attempt import Attempt

OF_THE_MOMENT = ("started_at", "updated_at", "ended_at", "resumed", "interruptions", "seconds")
"""Of run.json: what a run that was killed may say differently."""


def wrong_end(reference: Path, folder: Path) -> str:
    """The two folders hold the same files with the same content: every row, every label, every tensor."""
    here, there = files(folder), files(reference)
    if here.keys() != there.keys():
        return f"other files: {sorted(here.keys() ^ there.keys())}"
    for name, path in here.items():
        try:
            same = content(name, path) == content(name, there[name])
        except ValueError as error:
            return f"cannot be read: {name} ({error})"
        if not same:
            return f"other content: {name}"
    return ""


def files(folder: Path) -> dict[str, Path]:
    """All but the lock's files: a process that dies at the very end of a finished run leaves them."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in found.items() if name not in ("owner.json", "owner.lock")}


def content(name: str, path: Path) -> Any:
    """What a file says, less wall-clock times and the place of the run."""
    if name == "config.yaml":
        return yaml.safe_load(path.read_bytes()) | {"output_root": None}
    if name.endswith(".jsonl"):
        return [timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if name.endswith(".json"):
        return timeless(json.loads(path.read_bytes()))
    return path.read_bytes()


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith("_seconds") and key not in OF_THE_MOMENT}


def lost_progress(attempts: list[Attempt]) -> str:
    """No process trains again what a save that had returned before it already holds."""
    saved = 0
    for each in attempts:
        if each.began is not None and each.began < saved:
            return f"began at step {each.began}, and step {saved} was saved"
        saved = max(saved, each.saved)
    return ""
