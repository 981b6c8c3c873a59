"""Checks of a run that was killed and resumed: its record equals that of an uninterrupted run, and no saved step is
trained again. Each returns the problem, or "".
"""

import json
from pathlib import Path
from typing import Any

import yaml

from semisup.record.reader import LOADER
from tests.kill.attempt import Attempt

OF_THE_MOMENT = ("started_at", "updated_at", "ended_at", "resumed", "interruptions", "seconds")
"""Keys of run.json that differ in a run that was killed."""


def wrong_end(reference: Path, folder: Path) -> str:
    """Compare two run directories: the same files with the same content, every row, label and tensor."""
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
    """Read a file without wall-clock times and the location of the run."""
    if name == "config.yaml":
        return yaml.load(path.read_bytes(), Loader=LOADER) | {"output_root": None}
    if name.endswith(".jsonl"):
        return [timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if name.endswith(".json"):
        return timeless(json.loads(path.read_bytes()))
    return path.read_bytes()


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith("_seconds") and key not in OF_THE_MOMENT}


def lost_progress(attempts: list[Attempt]) -> str:
    """Check that no process trains a step again that an earlier save holds."""
    saved = 0
    for attempt in attempts:
        if attempt.began is not None and attempt.began < saved:
            return f"started at step {attempt.began} although step {saved} was saved"
        saved = max(saved, attempt.saved)
    return ""
