"""Checkpoints: torch files of tensors and plain data, named by kind, step and the digest of their bytes.

    best-00000120-9f86d081884c7d65.pt      {"step", "epoch", "accuracy", "loss", "weights"}
    last-00000150-2c26b46b68ffc68f.pt      the trainer's snapshot, the lines of the logs, and the name of its best file

The digest in the name makes a flipped bit visible before anything is loaded; loading never runs code
(`weights_only`). A new file is safe on disk before an old one is deleted. Equal content gives equal bytes, whether the
run was interrupted or not.
"""

import hashlib
import io
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from semisup.disk import write_atomically
from semisup.errors import RecordError

NAME = re.compile(r"(best|last)-(\d{8})-([0-9a-f]{16})\.pt")
KEEP = 2  # last ones


def save(folder: Path, kind: str, step: int, content: dict[str, Any]) -> Path:
    """Write one checkpoint; returns its path."""
    buffer = io.BytesIO()
    torch.save(_plain(content), buffer)
    payload = buffer.getbuffer()
    path = folder / f"{kind}-{step:08d}-{hashlib.sha256(payload).hexdigest()[:16]}.pt"
    if not path.exists():
        write_atomically(path, payload)
    return path


def _plain(value: Any) -> Any:
    """The same content as if it had just been made: what is written depends on which parts are one object in memory,
    and on what else lies in a tensor's storage."""
    if isinstance(value, torch.Tensor):
        return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value] if isinstance(value, list) else tuple(map(_plain, value))
    return sys.intern(value) if type(value) is str else value


def load(path: Path) -> dict[str, Any]:
    """Read one checkpoint onto the CPU.

    Raises:
        RecordError: it is not whole, not ours, or holds more than tensors and plain data.
    """
    match = NAME.fullmatch(path.name)
    if match is None:
        raise RecordError(f"{path}: not a checkpoint of semisup by its name")
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    if hashlib.sha256(payload).hexdigest()[:16] != match[3]:
        raise RecordError(f"{path}: damaged (its content does not match the digest in its name)")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:
        raise RecordError(f"{path}: refused ({str(error).splitlines()[0][:200]})") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: not a checkpoint of semisup")
    return content


def newest(folder: Path, kind: str) -> list[Path]:
    """The checkpoints of a kind, by the step in the name, newest first."""
    found = [(int(match[2]), path) for path in folder.glob(f"{kind}-*.pt") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def save_state(folder: Path, snapshot: dict[str, Any], lines: dict[str, int]) -> None:
    """The best model (if new) and the last state, then delete what neither they nor the one before need."""
    best = snapshot["best"]
    best_name = save(folder, "best", best["step"], best).name if best else None
    path = save(folder, "last", snapshot["step"], snapshot | {"best": best_name, "lines": lines})
    for other in newest(folder, "last"):
        if _step(other) == _step(path) and other != path:
            other.unlink(missing_ok=True)  # from before the evaluation that follows the same step
    prune(folder, KEEP)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest last states, and the best models that none of these can need."""
    lasts = newest(folder, "last")
    for path in lasts[keep:]:
        path.unlink(missing_ok=True)
    if not lasts:
        return
    oldest_kept = _step(lasts[:keep][-1])
    older = [path for path in newest(folder, "best") if _step(path) <= oldest_kept]
    for path in older[1:]:
        path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])


def load_state(folder: Path) -> tuple[dict[str, Any], dict[str, int]] | None:
    """The newest state that is whole, and how many lines of each log belong to it; None where none was ever saved.

    Raises:
        RecordError: there are checkpoints, and none can be used.
    """
    problems = []
    for path in newest(folder, "last"):
        try:
            snapshot = load(path)
            if "lines" not in snapshot:
                raise RecordError(f"{path}: written by an earlier version of semisup, which this one does not continue")
            lines = snapshot.pop("lines")
            snapshot["best"] = load(folder / snapshot["best"]) if snapshot["best"] else None
            return snapshot, lines
        except RecordError as error:
            problems.append(str(error))
            warnings.warn(f"checkpoint passed over: {error}", stacklevel=2)
    if problems:
        raise RecordError("no usable checkpoint: " + "; ".join(problems))
    return None
