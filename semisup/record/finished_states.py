"""Delete the saved training states of a finished run, which are no longer needed."""

import contextlib
from pathlib import Path

from semisup.errors import InUseError
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.record.lock import RunLock


def delete_finished_states(folder: Path) -> None:
    """Delete the saved training states of a run, if it is finished and no other process uses its directory.

    Files that cannot be deleted are left; `semisup disk --clean` deletes them.
    """
    # summary.json is durable and written after everything else, so no power loss can leave a run without both
    states = newest(folder / "checkpoints", "last") if is_finished(folder) else []
    if not states:
        return
    lock = RunLock(folder)
    try:
        lock.try_acquire()
    except (InUseError, OSError):
        return
    try:
        if is_finished(folder):
            for path in states:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
    finally:
        lock.release()
