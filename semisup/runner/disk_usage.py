"""Measure the disk usage of a folder of runs, and delete the files that the program can create again.

These files are decoded images, stored features, shared starts (saved training states from which several runs of a sweep
start), and the training states of finished runs. They are recognized by their names and folders. All other files are
only counted. Symbolic links are not followed.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semisup.errors import DataError, InUseError
from semisup.features.segment import SUFFIX
from semisup.images.scan import has_run_files
from semisup.record import is_finished
from semisup.record.checkpoint import NAME
from semisup.record.lock import RunLock
from semisup.record.lock_holder import HolderState, holder_state
from semisup.runner.shared_start import FOLDER as SHARED_STARTS
from semisup.runtime.exclusive_files import try_lock
from semisup.text import escape, shell_quote

CACHE = ".cache"
IMAGE_FILE = re.compile(r"((index|duplicates|listings)/[0-9a-f]{64}\.json|packs/[0-9a-f]{64}\.pack)", re.ASCII)
FEATURE_FILE = re.compile(rf"features/[0-9a-f]{{32}}/[0-9a-f]{{32}}{re.escape(SUFFIX)}", re.ASCII)

RECORDS, BEST, STATES_LIVE = "records of runs", "best models", "states of unfinished runs"
STATES = "states of finished runs"
STARTS, IMAGES, PACKS, WANDB, OTHER = "shared starts", "decoded images", "stored features", "W&B files", "other files"
KINDS = (RECORDS, BEST, STATES_LIVE, WANDB, OTHER, STATES, STARTS, IMAGES, PACKS)
REMOVABLE = (STATES, STARTS, IMAGES, PACKS)
"""Kinds of files that the program creates again when it needs them."""

ALLOWED = "type a folder of runs (outputs or outputs/NAME) or a run directory"


@dataclass(frozen=True)
class DiskUsage:
    """Disk usage of a folder of runs.

    files: kind of file, one of KINDS -> paths of the files of this kind
    sizes: path -> bytes on disk
    live: directories of the runs that a process may be training now
    folder: the folder of runs
    """

    files: dict[str, list[Path]]
    sizes: dict[Path, int]
    live: list[Path]
    folder: Path

    def size(self, kind: str) -> int:
        """Return the bytes on disk of the files of one kind."""
        return sum(self.sizes[path] for path in self.files[kind])

    def removable(self) -> list[Path]:
        """List the files that can be deleted.

        While a run is in progress, these are only the training states of finished runs.
        """
        kinds = (STATES,) if self.live else REMOVABLE
        return [path for kind in kinds for path in self.files[kind]]


def measure(folder: Path) -> DiskUsage:
    """Measure the disk usage of a folder of runs, by kind of file.

    Raises:
        DataError: the folder is missing, cannot be read, or contains no files of semisup.
    """
    if not folder.is_dir():
        raise DataError(f"{shell_quote(folder)}: there is no such folder; {ALLOWED}")
    usage = DiskUsage({kind: [] for kind in KINDS}, {}, [], folder)
    try:
        for path, size in _walk(folder):
            kind = _kind(path, folder)
            usage.files[kind].append(path)
            usage.sizes[path] = size
    except OSError as error:
        raise DataError(f"{escape(error.filename or folder)}: cannot be read: {error.strerror}") from None
    if not any(usage.files[kind] for kind in KINDS if kind != OTHER):
        raise DataError(f"{escape(folder)}: contains no files of semisup; {ALLOWED}")
    runs = {path.parent for path in usage.files[RECORDS] if path.name == "run.json"}
    states = (HolderState.ALIVE, HolderState.UNKNOWN)
    usage.live.extend(sorted(run for run in runs if holder_state(run)[0] in states))
    return usage


def clean(usage: DiskUsage) -> tuple[int, list[Path]]:
    """Delete the removable files that no other process uses.

    The folder is measured again first, because a run may have been started since `usage` was measured.

    Returns:
        The number of freed bytes, and the removable files that remain, because they are in use or could not be deleted.
    """
    freed = 0
    kept: list[Path] = []
    by_folder: dict[Path, list[Path]] = {}
    removable = set(measure(usage.folder).removable())
    kept.extend(path for path in usage.removable() if path not in removable and path.exists())
    for path in usage.removable():
        if path not in removable:
            continue
        by_folder.setdefault(path.parent, []).append(path)
    for folder, paths in by_folder.items():
        with _lock(folder) as is_free:
            for path in paths:
                if not is_free:
                    kept.append(path)
                    continue
                try:
                    path.unlink()
                except OSError:
                    kept.append(path)
                else:
                    freed += usage.sizes[path]
        if folder.parent.name == SHARED_STARTS:
            with contextlib.suppress(OSError):  # the folder is in use again, or gone
                folder.rmdir()
    return freed, kept


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each regular file below a folder and its bytes on disk; symbolic links are skipped."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            yield Path(entry.path), 512 * getattr(status, "st_blocks", -(-status.st_size // 512))  # Windows: no blocks


def _kind(path: Path, root: Path) -> str:
    """Return the kind of a file, one of KINDS, by its name and the names of its folders.

    Args:
        root: the folder that is measured.
    """
    parts = path.relative_to(root).parts
    if CACHE in parts:
        inside = "/".join(parts[parts.index(CACHE) + 1 :])
        return IMAGES if IMAGE_FILE.fullmatch(inside) else PACKS if FEATURE_FILE.fullmatch(inside) else OTHER
    checkpoint = NAME.fullmatch(path.name)
    if path.parent.parent.name == SHARED_STARTS:
        return STARTS if checkpoint and checkpoint[1] == "shared_start" else OTHER
    if "wandb" in parts:
        return WANDB
    run = next((parent for parent in [path.parent, path.parent.parent] if has_run_files(parent)), None)
    if run is None or root not in (run, *run.parents):
        return OTHER
    if path.parent.name == "checkpoints" and checkpoint:
        if checkpoint[1] == "best":
            return BEST
        is_live = holder_state(run)[0] not in (HolderState.NONE, HolderState.GONE)
        return STATES if is_finished(run) and not is_live else STATES_LIVE
    return RECORDS


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Context that locks the run, shared start or stored features to which the files in a folder belong.

    Yields:
        Whether the files may be deleted: no other process uses them and, if they belong to a run, the run is finished.
    """
    is_states = folder.name == "checkpoints"
    if is_states or folder.parent.name == SHARED_STARTS:
        lock = RunLock(folder.parent if is_states else folder)
        try:
            lock.try_acquire()
        except (InUseError, OSError):
            yield False
            return
        try:
            yield not is_states or is_finished(folder.parent)
        finally:
            lock.release()
    elif folder.parent.name == "features":
        try:
            descriptor = try_lock(folder / "lock")
        except OSError:
            descriptor = None
        yield descriptor is not None
        if descriptor is not None:
            os.close(descriptor)
    else:
        yield True
