"""One process at a time writes to a run's folder.

The owner is named in `owner.json`, which comes to be whole and once (a hard link: atomic on local disks and NFS, no
flock). An owner on this host is gone when its process is; one on another host, or in another container of this one,
when its heartbeat is older than STALE_SECONDS.
"""

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from semisup.errors import InUseError, RecordError
from semisup.runtime.atomic_files import create_exclusive, rename_away
from semisup.runtime.liveness import is_alive, is_local, this_process

STALE_SECONDS = 120
HEARTBEAT_SECONDS = 10


class RunLock:
    """Holds `folder` from `take` to `release`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "owner.json"
        self.lost = False
        self.released = threading.Event()

    def take(self) -> None:
        """Become the owner.

        Raises:
            RecordError: another process is; names host, process and age.
        """
        for _ in range(3):
            if create_exclusive(self.path, json.dumps(this_process()).encode()):
                self.released.clear()
                threading.Thread(target=self._beat, daemon=True).start()
                return
            self._clear_if_gone()
        raise RecordError(f"{self.path.parent}: another process keeps taking this run")

    def _beat(self) -> None:
        """Say that the owner lives, whatever it is at: reading, a long evaluation, compiling."""
        while not self.released.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                if self._read()[1] != this_process():
                    self.lost = True
                    return
                os.utime(self.path)

    def held(self) -> None:
        """Raise RecordError if another process took the folder for dead, or it is gone."""
        if self.lost:
            raise RecordError(
                f"{self.path.parent}: is no longer this process's; another one took it, or it was deleted"
            )

    def release(self) -> None:
        """Give the folder free, if it is still ours."""
        self.released.set()
        if self._read()[1] == this_process():
            self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[bytes, dict[str, Any], float]:
        """The file, who it says owns the folder ({}: that is not yet written), and seconds since the last heartbeat."""
        raw = b""
        try:
            age = time.time() - self.path.stat().st_mtime
            raw = self.path.read_bytes()
            owner = json.loads(raw or b"{}")
        except FileNotFoundError:
            return b"", {}, 0.0
        except ValueError:
            return raw, {}, age
        return raw, owner if isinstance(owner, dict) else {}, age

    def check(self) -> bytes:
        """What the file of an owner that is gone says.

        Raises:
            InUseError: there is one that is not gone; names host, process and age.
        """
        raw, other, age = self._read()
        if not self.path.exists():
            return b""
        patience = STALE_SECONDS if other else 1  # without hard links: created and not yet written to, or torn
        gone = not is_alive(other) if other and is_local(other) else age > patience
        if not gone:
            who = f"process {other.get('process')} on {other.get('host')}" if other else "another process"
            raise InUseError(f"{self.path.parent}: in use by {who}, last seen {max(age, 0):.0f} s ago")
        return raw

    def _clear_if_gone(self) -> None:
        raw = self.check()
        aside = rename_away(self.path)  # of several who saw it dead, one gets it
        if aside is None:
            return
        if (content := aside.read_bytes()) != raw:
            create_exclusive(self.path, content)  # not the one that was seen dead: put it back
        aside.unlink()
