"""Delete the training states of a finished run, from which nothing resumes any more."""

import contextlib
from pathlib import Path

from semisup.errors import InUseError
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.record.lock import RunLock


def delete_finished_states(folder: Path) -> None:
    """Delete the last states of a run, if it is finished and no other process uses its directory.

    A run is finished when summary.json is durable, which is written after everything else. So no loss of power can
    leave a run without both. States that cannot be deleted stay; `semisup disk --clean` deletes them.
    """
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
