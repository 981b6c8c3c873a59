"""Let one process at a time write to a run directory.

owner.json    names the lock holder and holds its heartbeat, a counter; created whole and once by a hard link, which is
              atomic on local disks and on NFS
owner.lock    locked with flock through `filelock` where the file system supports that; an addition, never a condition

When may another process take the lock over? A holder of this host and PID namespace: as soon as its process is gone.
A holder in another namespace of this kernel that held owner.lock: as soon as that lock is free. Any other holder: when
its heartbeat has not changed for `heartbeat.STALE_SECONDS` of the observer's time.

The holder writes through handles: its directory, its logs and its heartbeat stay those that it opened, whatever is
created under the same names later.
"""

import contextlib
import json
import os
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from semisup.errors import InUseError, LockLostError
from semisup.record import heartbeat
from semisup.record.wait_notice import WaitNotice
from semisup.runtime.atomic_files import create_exclusive, rename_away, restore
from semisup.runtime.directory_handle import DirectoryHandle
from semisup.runtime.liveness import boot_id, is_alive, is_local, this_process

COUNTER_DIGITS = 12
UNWRITTEN_SECONDS = 1.0
"""Without hard links, owner.json exists for a moment before it is written; longer, and its process died there."""

POLL_SECONDS = 0.5
JOIN_SECONDS = 5.0


class Holder(NamedTuple):
    """The process that owner.json names; `process` is {} if the file is empty or torn."""

    fingerprint: heartbeat.Fingerprint
    process: dict[str, Any]

    def __str__(self) -> str:
        if not self.process:
            return "another process"
        return f"process {self.process.get('process')} on {self.process.get('host')}"


class RunLock:
    """The lock of one directory, held from `acquire` to `release`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "owner.json"
        self.lost = False
        self.directory: DirectoryHandle | None = None
        self._file_lock: FileLock | None = None
        self._descriptor = -1  # of owner.json
        self._nonce = b""
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Acquire the lock; if only time can tell whether its holder is alive, show a countdown and wait.

        Raises:
            InUseError: the holder is alive.
            OSError: the directory cannot be written.
        """
        with WaitNotice() as notice:
            while True:
                try:
                    self.try_acquire()
                    return
                except InUseError as error:
                    if error.stale_in_seconds is None:
                        raise
                    heartbeat.observe_siblings(self.folder)
                    notice.show(str(error), error.stale_in_seconds)
                    time.sleep(min(POLL_SECONDS, max(error.stale_in_seconds, 0.01)))

    def try_acquire(self) -> None:
        """Acquire the lock or raise at once.

        Raises:
            InUseError: another process holds it; `stale_in_seconds` says when it will count as stale if its heartbeat
                does not change, None if the holder is known to be alive.
            OSError: the directory cannot be written.
        """
        directory = DirectoryHandle(self.folder)
        file_lock, contended = _lock_file(directory.bound / "owner.lock")
        try:
            inode = None if file_lock is None else os.stat(directory.bound / "owner.lock").st_ino
            self._take_over_if_stale(directory, locked_inode=inode, contended=contended)
            self._create(directory, locked_inode=inode)
        except BaseException:
            if file_lock is not None:
                file_lock.release()
            directory.close()
            raise
        self.directory, self._file_lock, self.lost = directory, file_lock, False
        self._released.clear()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _take_over_if_stale(self, directory: DirectoryHandle, *, locked_inode: int | None, contended: bool) -> None:
        """Remove owner.json of a holder that is gone.

        Raises:
            InUseError: it is not known to be gone.
        """
        path = directory.bound / "owner.json"
        holder = read_holder(path)
        if holder is None:
            if contended:
                raise InUseError(f"{self.folder}: in use by another process, which is about to start or to end")
            return
        self._raise_unless_stale(holder, locked_inode=locked_inode, contended=contended)
        aside = rename_away(path)
        if aside is None:
            return
        if aside.read_bytes() != holder.fingerprint[2]:  # the heartbeat changed, or it is another holder's
            restore(aside, path)
        aside.unlink(missing_ok=True)

    def _raise_unless_stale(self, holder: Holder, *, locked_inode: int | None, contended: bool) -> None:
        process = holder.process
        if process and is_local(process):
            if is_alive(process):
                raise InUseError(f"{self.folder}: in use by {holder}")
            return
        if contended:
            raise InUseError(f"{self.folder}: in use by {holder}, which locks owner.lock")
        same_lock_file = locked_inode is not None and process.get("locked_inode") == locked_inode
        if same_lock_file and process.get("boot") == boot_id():  # the kernel released it when the holder ended
            return
        seen = heartbeat.observe(self.path, holder.fingerprint)
        patience = heartbeat.STALE_SECONDS if process else UNWRITTEN_SECONDS
        if seen.unchanged_seconds >= patience:
            return
        if seen.moved:
            raise InUseError(f"{self.folder}: in use by {holder}, whose heartbeat advances")
        error = InUseError(f"{self.folder}: in use by {holder}")
        error.stale_in_seconds = patience - seen.unchanged_seconds
        raise error

    def _create(self, directory: DirectoryHandle, *, locked_inode: int | None) -> None:
        """Create owner.json and keep it open.

        Raises:
            InUseError: another process created it first.
        """
        path, nonce = directory.bound / "owner.json", os.urandom(8).hex()
        content = {**this_process(), "locked_inode": locked_inode, "nonce": nonce, "heartbeat": "0" * COUNTER_DIGITS}
        self._nonce = nonce.encode()
        if not create_exclusive(path, json.dumps(content).encode()):
            raise InUseError(f"{self.folder}: in use by {read_holder(path) or 'another process'}")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if self._nonce not in os.pread(self._descriptor, 4096, 0):
            os.close(self._descriptor)
            raise InUseError(f"{self.folder}: in use by another process, which took it over")

    def _beat(self) -> None:
        """Advance the counter during loading, evaluation and compilation too, until the lock is released or lost."""
        count = 0
        place = os.fstat(self._descriptor).st_size - COUNTER_DIGITS - len('"}')
        while not self._released.wait(heartbeat.INTERVAL_SECONDS):
            count += 1
            with contextlib.suppress(OSError):
                if not self.is_held():
                    self.lost = True
                    return
                os.pwrite(self._descriptor, f"{count:0{COUNTER_DIGITS}d}".encode(), place)
                os.fsync(self._descriptor)

    def is_held(self) -> bool:
        """Whether the directory is still the one that was locked, and its owner.json this lock's.

        Raises:
            OSError: the file system does not answer.
        """
        if self.lost or self.directory is None or not self.directory.is_current():
            return False
        fingerprint = heartbeat.read_fingerprint(self.directory.bound / "owner.json")
        return fingerprint is not None and self._nonce in fingerprint[2]

    def assert_held(self) -> None:
        """Raise LockLostError if the lock was taken over or its directory deleted, moved or replaced."""
        with contextlib.suppress(OSError):  # the write that follows says what is wrong with the disk
            self.lost = not self.is_held()
        if self.lost:
            raise LockLostError(
                f"{self.folder}: this process no longer holds the run: its directory was deleted or moved, or another "
                "process took it over; nothing more is written"
            )

    def release(self) -> None:
        """Release the lock and, if it is still held, remove its files."""
        if self.directory is None:
            return
        self._released.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        with contextlib.suppress(OSError):
            if self.is_held():
                (self.directory.bound / "owner.json").unlink(missing_ok=True)
                if self._file_lock is not None:
                    (self.directory.bound / "owner.lock").unlink(missing_ok=True)
        if self._file_lock is not None:
            with contextlib.suppress(OSError):
                self._file_lock.release()
        if self._thread is None or not self._thread.is_alive():  # else it may still write to the descriptor
            os.close(self._descriptor)
            self.directory.close()
        self.directory = self._file_lock = self._thread = None

    def check(self) -> None:
        """Raise InUseError unless there is no holder or it is gone; wait as `acquire` does if only time can tell."""
        with WaitNotice() as notice:
            while (holder := read_holder(self.path)) is not None:
                try:
                    self._raise_unless_stale(holder, locked_inode=None, contended=False)
                    return
                except InUseError as error:
                    if error.stale_in_seconds is None:
                        raise
                    notice.show(str(error), error.stale_in_seconds)
                    time.sleep(min(POLL_SECONDS, max(error.stale_in_seconds, 0.01)))


class HolderState(StrEnum):
    """What can be told at once about the holder of a lock."""

    NONE = "none"
    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """Of another host or PID namespace: only its heartbeat can tell, after a while."""


def holder_state(folder: Path) -> tuple[HolderState, Holder | None]:
    """Look at the lock of a run directory, without waiting."""
    try:
        holder = read_holder(folder / "owner.json")
    except OSError:
        return HolderState.UNKNOWN, None
    if holder is None:
        return HolderState.NONE, None
    if not holder.process or not is_local(holder.process):
        return HolderState.UNKNOWN, holder
    return HolderState.ALIVE if is_alive(holder.process) else HolderState.GONE, holder


def read_holder(path: Path) -> Holder | None:
    """Read who holds the lock file `path`; None if there is no such file.

    Raises:
        OSError: it cannot be read.
    """
    fingerprint = heartbeat.read_fingerprint(path)
    if fingerprint is None:
        return None
    try:
        process = json.loads(fingerprint[2] or b"{}")
    except ValueError:
        process = {}
    return Holder(fingerprint, process if isinstance(process, dict) else {})


def _lock_file(path: Path) -> tuple[FileLock | None, bool]:
    """Lock a file with flock. Returns (lock, False), (None, True) if another process has it, or (None, False) where
    the file system does not support locks."""
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None, True
    except (OSError, NotImplementedError):
        return None, False
    return lock, False
