"""Save and load checkpoints: torch files of tensors and plain data, named by kind, step and digest.

    best-00000120-9f86d081884c7d65.pt      best model: {"step", "epoch", the validation metrics, "weights"}
    last-00000150-2c26b46b68ffc68f.pt      state of the training, number of lines of each log, name of the best file
    shared_start-00000065-60303ae22b998861.pt   first part of a training that several runs share (shared_start.py)

A file whose content does not match the digest in its name is rejected as damaged. Loading executes no code and takes no
more memory than the size of the file. Equal content gives equal bytes.
"""

import hashlib
import io
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from semisup.errors import RecordError
from semisup.record.reader import read_bytes
from semisup.runtime.atomic_files import write_atomically
from semisup.text import escape

NAME = re.compile(r"(best|last|shared_start)-(\d{8})-([0-9a-f]{16})\.pt", re.ASCII)
FOREIGN = re.compile(r"GLOBAL (\S+)")
MAX_BYTES = 2**36
KEEP = 2  # last states


def save(
    folder: Path, kind: str, step: int, content: dict[str, Any], confirm: Callable[[], None] = lambda: None
) -> Path:
    """Write a checkpoint file and return its path.

    Args:
        folder: directory of the checkpoints.
        kind: `best`, `last` or `shared_start`.
        step: number of optimizer updates.
        content: tensors and plain data.
        confirm: called right before the file gets its final name; it raises if this process may no longer write.
    """
    buffer = io.BytesIO()
    torch.save(_normalize_storage(content), buffer)
    payload = buffer.getbuffer()
    path = folder / f"{kind}-{step:08d}-{hashlib.sha256(payload).hexdigest()[:16]}.pt"
    if not path.exists():
        write_atomically(path, payload, confirm=confirm)
    return path


def _normalize_storage(value: Any) -> Any:
    """Copy shared objects and shared tensor storage in nested data, so that equal content is saved as equal bytes."""
    if isinstance(value, torch.Tensor):
        value = value.cpu()  # the file names the device of each tensor
        return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
    if isinstance(value, dict):
        return {_normalize_storage(key): _normalize_storage(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return (
            [_normalize_storage(each) for each in value]
            if isinstance(value, list)
            else tuple(map(_normalize_storage, value))
        )
    return sys.intern(value) if type(value) is str else value


def load(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Load a checkpoint file onto the CPU.

    Args:
        path: the file; its name contains the digest of its content.
        max_bytes: largest allowed size of the file.

    Raises:
        RecordError: the file is damaged, has more than `max_bytes` bytes, or was not written by `save`.
    """
    match = NAME.fullmatch(path.name)
    if match is None:
        raise RecordError(f"{path}: the file name is not that of a checkpoint of semisup")
    try:
        payload = read_bytes(path, max_bytes)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RecordError(f"{path}: refused ({error})") from None
    if hashlib.sha256(payload).hexdigest()[:16] != match[3]:
        raise RecordError(f"{path}: is damaged (its content does not match the digest in its name)")
    try:
        _reject_foreign_zip(payload)
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:
        foreign = FOREIGN.search(str(error))
        reason = (
            f"refers to the code {foreign[1]}" if foreign else (str(error).splitlines() or [type(error).__name__])[0]
        )
        raise RecordError(
            f"{path}: semisup does not write such a checkpoint, so it is not loaded ({escape(reason)})"
        ) from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: is not a checkpoint of semisup; restore the file, or train the run again")
    return content


def _reject_foreign_zip(payload: bytes) -> None:
    """Check that a zip archive has the form that torch.save writes.

    Raises:
        ValueError, BadZipFile: the archive is compressed or damaged, or a file in it has a name that leads to another
            folder.
    """
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        # from a compressed archive of 200 kB, torch would unpack 200 MB
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("the file is a zip archive with compressed parts, so torch.save did not write it")
        if sum(part.file_size for part in parts) > len(payload):
            raise ValueError("the parts of the zip archive are larger than the file")
        if any(".." in part.filename.split("/") or part.filename.startswith(("/", "\\")) for part in parts):
            raise ValueError("a part of the zip archive has a name that leads to another folder")
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"the part {broken} of the zip archive is damaged")


def newest(folder: Path, kind: str) -> list[Path]:
    """List the checkpoint files of one kind (`best`, `last` or `shared_start`), in descending order of their steps."""
    matches = [(int(match[2]), path) for path in folder.glob(f"{kind}-*.pt") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(matches, reverse=True)]


def save_state(
    folder: Path, snapshot: dict[str, Any], lines: dict[str, int], confirm: Callable[[], None] = lambda: None
) -> None:
    """Save the state of a training and the best model, then delete old files.

    The last two states remain, with their best models.

    Args:
        folder: directory of the checkpoints.
        snapshot: the state of the training.
        lines: name of each log -> its number of lines.
        confirm: called before every change of the folder; it raises if this process may no longer write.
    """
    best = snapshot["best"]
    best_name = save(folder, "best", best["step"], best, confirm).name if best else None
    path = save(folder, "last", snapshot["step"], snapshot | {"best": best_name, "lines": lines}, confirm)
    confirm()
    for other in newest(folder, "last"):
        if _step(other) == _step(path) and other != path:
            other.unlink(missing_ok=True)  # saved before the evaluation that follows the same step
    prune(folder, KEEP)


def prune(folder: Path, keep: int) -> None:
    """Delete all training states except the `keep` newest ones, and the best models that no remaining state needs."""
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
    """Load the newest undamaged training state of a run.

    Returns:
        (state, lines); None if there are no checkpoints. lines: name of each log -> its number of lines when the state
        was saved.

    Raises:
        RecordError: there are checkpoints, but none of them is usable.
    """
    problems = []
    for path in newest(folder, "last"):
        try:
            snapshot = load(path)
            if "lines" not in snapshot:
                raise RecordError(f"{path}: written by an earlier version of semisup; this version cannot resume it")
            lines, best = snapshot.pop("lines"), snapshot.get("best")
            if not isinstance(lines, dict) or not (best is None or NAME.fullmatch(str(best))):
                raise RecordError(f"{path}: is not a training state of semisup")
            snapshot["best"] = load(folder / best) if best else None
            return snapshot, lines
        except RecordError as error:
            problems.append(str(error))
            warnings.warn(f"checkpoint skipped: {error}", stacklevel=2)
    if problems:
        raise RecordError("no usable checkpoint: " + "; ".join(problems))
    return None
