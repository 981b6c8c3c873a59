"""A lock by which only one process at a time writes to a run directory.

owner.json    names the process that holds the lock, and has its heartbeat, a counter. The file is created atomically,
              by a hard link
owner.lock    locked with flock (package `filelock`) as an additional check, if the file system supports that

Another process may take the lock over

- from a process on this host and in this PID namespace: as soon as the process has ended;
- from a process in another PID namespace of this kernel that had locked owner.lock: as soon as owner.lock is free;
- from any other process: when its heartbeat has not changed for `heartbeat.STALE_SECONDS`.
"""

import contextlib
import json
import os
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from semisup.errors import InUseError, LockLostError
from semisup.record import heartbeat
from semisup.record.lock_holder import Holder, read_holder
from semisup.record.wait_notice import WaitNotice
from semisup.runtime.descriptors import read_at, write_at
from semisup.runtime.directory_handle import DirectoryHandle
from semisup.runtime.exclusive_files import create_exclusive, open_for_update, rename_away, restore
from semisup.runtime.liveness import boot_id, is_alive, is_local, this_process

COUNTER_DIGITS = 12
UNWRITTEN_SECONDS = 1.0
"""Without hard links, owner.json is empty for a moment; if it stays empty longer, the process that created it died."""

POLL_SECONDS = 0.5
JOIN_SECONDS = 5.0


class RunLock:
    """Lock of a run directory, held from `acquire` to `release`."""

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
        """Acquire the lock of the run directory.

        If it is not known whether the process that holds the lock is alive, show a countdown and wait for its
        heartbeat.

        Raises:
            InUseError: a running process holds the lock.
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
        """Acquire the lock of the run directory, without waiting.

        Raises:
            InUseError: another process holds the lock. Its attribute `stale_in_seconds` is the number of seconds until
                the lock is stale if the heartbeat does not change; None if the other process is alive.
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
        """Remove the lock file owner.json if the process that holds the lock has ended.

        Args:
            locked_inode: inode of owner.lock if this process has locked it, else None.
            contended: whether another process has locked owner.lock.

        Raises:
            InUseError: the process is alive, or it is not known whether it is.
        """
        path = directory.bound / "owner.json"
        holder = read_holder(path)
        if holder is None:
            if contended:
                raise InUseError(f"{self.folder}: in use by another process, which is starting or ending")
            return
        self._raise_unless_stale(holder, locked_inode=locked_inode, contended=contended)
        aside = rename_away(path)
        if aside is None:
            return
        if aside.read_bytes() != holder.fingerprint[2]:  # the heartbeat changed, or the file is another holder's
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
            raise InUseError(f"{self.folder}: in use by {holder}, which is running (its heartbeat advances)")
        error = InUseError(f"{self.folder}: in use by {holder}")
        error.stale_in_seconds = patience - seen.unchanged_seconds
        raise error

    def _create(self, directory: DirectoryHandle, *, locked_inode: int | None) -> None:
        """Create the lock file owner.json and keep it open.

        Args:
            locked_inode: inode of owner.lock if this process has locked it, else None.

        Raises:
            InUseError: another process created the file first.
        """
        path, nonce = directory.bound / "owner.json", os.urandom(8).hex()
        content = {**this_process(), "locked_inode": locked_inode, "nonce": nonce, "heartbeat": "0" * COUNTER_DIGITS}
        self._nonce = nonce.encode()
        if not create_exclusive(path, json.dumps(content).encode()):
            raise InUseError(f"{self.folder}: in use by {read_holder(path) or 'another process'}")
        self._descriptor = open_for_update(path)
        if self._nonce not in read_at(self._descriptor, 4096, 0):
            os.close(self._descriptor)
            raise InUseError(f"{self.folder}: in use by another process, which took over the lock")

    def _beat(self) -> None:
        """Increment the heartbeat counter in the lock file at regular intervals, until the lock is released or lost.

        This method runs in a thread.
        """
        count = 0
        place = os.fstat(self._descriptor).st_size - COUNTER_DIGITS - len('"}')
        while not self._released.wait(heartbeat.INTERVAL_SECONDS):
            count += 1
            with contextlib.suppress(OSError):
                if not self.is_held():
                    self.lost = True
                    return
                write_at(self._descriptor, f"{count:0{COUNTER_DIGITS}d}".encode(), place)
                os.fsync(self._descriptor)

    def is_held(self) -> bool:
        """Whether this process holds the lock: it wrote owner.json, and the directory was not replaced.

        Raises:
            OSError: the file system does not answer.
        """
        if self.lost or self.directory is None or not self.directory.is_current():
            return False
        fingerprint = heartbeat.read_fingerprint(self.directory.bound / "owner.json")
        return fingerprint is not None and self._nonce in fingerprint[2]

    def assert_held(self) -> None:
        """Raise LockLostError if this process no longer holds the lock.

        The lock is lost if another process took it over, or if the directory was deleted, moved or replaced.
        """
        with contextlib.suppress(OSError):  # the next write reports what is wrong with the disk
            self.lost = not self.is_held()
        if self.lost:
            raise LockLostError(
                f"{self.folder}: this process no longer holds the lock of the run: the directory was "
                "deleted or moved, or another "
                "process took over the lock; this process writes nothing more"
            )

    def release(self) -> None:
        """Release the lock of the run directory and, if this process still holds it, remove the lock files."""
        if self.directory is None:
            return
        self._released.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        ended = self._thread is None or not self._thread.is_alive()  # else it may still write to the descriptor
        if ended:  # first, because Windows deletes no open file; there, filelock deletes owner.lock
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            if self.is_held():
                (self.directory.bound / "owner.json").unlink(missing_ok=True)
                if self._file_lock is not None:
                    (self.directory.bound / "owner.lock").unlink(missing_ok=True)
        if self._file_lock is not None:
            with contextlib.suppress(OSError):
                self._file_lock.release()
        if ended:
            self.directory.close()
        self.directory = self._file_lock = self._thread = None

    def check(self) -> None:
        """Raise InUseError if a running process holds the lock of the run directory.

        If it is not known whether the process is alive, show a countdown and wait for its heartbeat.
        """
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


def _lock_file(path: Path) -> tuple[FileLock | None, bool]:
    """Try to lock a file with flock.

    Returns:
        (lock, False) if the file is now locked, (None, True) if another process has locked it, (None, False) if the
        file system does not support locks.
    """
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None, True
    except (OSError, NotImplementedError):
        return None, False
    return lock, False
