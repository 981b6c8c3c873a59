"""Store the first part of a training, up to the first labeling of the unlabeled set, for several runs of a sweep.

<folder>/shared_start-00000123-<digest>.pt    a checkpoint: state of the training, logs, and its key (settings and data)
<folder>/owner.json                           the lock of the process that trains this part

One run trains this part while the others wait; if it fails, another run trains it. A file that is damaged or has
another key is ignored with a warning.
"""

import json
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from semisup.core.events import EvalEnd
from semisup.core.types import ThresholdCurve
from semisup.errors import InUseError, RecordError
from semisup.record import checkpoint
from semisup.record.lock import RunLock
from semisup.runtime.atomic_files import make_folder
from semisup.runtime.temporary_files import remove_stale_temporary_files

KIND = "shared_start"
WAIT_SECONDS = 0.2


class SharedStart(NamedTuple):
    """Stored first part of a training, from which several runs of a sweep continue.

    snapshot: the state of the training
    logs: name of each log file -> its text so far
    evaluated: the last evaluation before the state was stored; None if there was none
    run: id of the run that trained this part
    seconds: time that the run spent on training and evaluation
    """

    snapshot: dict[str, Any]
    logs: dict[str, str]
    evaluated: EvalEnd | None
    run: str
    seconds: float

    def metadata(self) -> dict[str, Any]:
        """Return what run.json records of the shared start in each run that continues from it.

        The record contains the id of the run that trained the shared start, and its numbers of steps, epochs and
        seconds.
        """
        done = {"steps": self.snapshot["step"], "epochs": self.snapshot["epoch"]}
        return {"from": self.run, **done, "saved_seconds": self.seconds}


class SharedStartCache:
    """Directory for the shared start (first part of the training) of several runs of a sweep, with a lock.

    Args:
        folder: the directory; created when it is needed.
        of: everything on which the shared start depends, as plain data: settings, data, package versions.
    """

    def __init__(self, folder: Path, of: dict[str, Any]) -> None:
        self.folder, self.of = folder, json.dumps(of, sort_keys=True)
        self.lock = RunLock(folder)
        self.owned = False

    def wait(self) -> SharedStart | None:
        """Wait for the shared start and return it; return None if the caller must train it.

        If the result is None, this process holds the lock, and the caller must call `save` or `release`.

        Raises:
            OSError: the directory cannot be written, for example because the disk is full.
        """
        make_folder(self.folder)
        while True:
            try:
                self.lock.try_acquire()
            except InUseError:
                if (found := self._find()) is not None:
                    return found
                time.sleep(WAIT_SECONDS)
                continue
            self.owned = True
            remove_stale_temporary_files(self.folder)
            if (found := self._find()) is not None:
                self.release()
            return found

    def save(self, shared_start: SharedStart) -> None:
        """Write the shared start and release the lock.

        Raises:
            OSError: the file cannot be written, for example because the disk is full.
            LockLostError: another process took over the lock.
        """
        evaluated = None if shared_start.evaluated is None else event_to_dict(shared_start.evaluated)
        content = shared_start._asdict() | {"of": self.of, "evaluated": evaluated}
        assert self.lock.directory is not None, "only the lock holder saves"
        self.lock.assert_held()
        checkpoint.save(self.lock.directory.bound, KIND, shared_start.snapshot["step"], content, self.lock.assert_held)
        self.release()

    def release(self) -> None:
        if self.owned:
            self.owned = False
            self.lock.release()

    def _find(self) -> SharedStart | None:
        for path in checkpoint.newest(self.folder, KIND):
            try:
                return _read(checkpoint.load(path), self.of, path)
            except RecordError as error:
                warnings.warn(
                    f"the stored start of the training is not usable and is computed again: {error}", stacklevel=2
                )
                if self.owned:  # otherwise, the lock holder may be replacing the file
                    path.unlink(missing_ok=True)
        return None


def _read(content: dict[str, Any], of: str, path: Path) -> SharedStart:
    if content.pop("of", None) != of:
        raise RecordError(f"{path}: belongs to runs with other settings, data or package versions")
    try:
        evaluated = content.pop("evaluated")
        evaluated = None if evaluated is None else event_from_dict(evaluated)
        return SharedStart(**content, evaluated=evaluated)
    except (TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{path}: is not the shared start of a sweep ({error})") from None


def event_to_dict(event: EvalEnd) -> dict[str, Any]:
    """Convert an evaluation event to tensors and plain data, for a checkpoint."""
    curve = None if event.what_if is None else event.what_if._asdict()
    return {**vars(event), "what_if": curve}


def event_from_dict(content: dict[str, Any]) -> EvalEnd:
    """Convert the dictionary that `event_to_dict` returned back to an evaluation event.

    Raises:
        TypeError, KeyError, AttributeError: `content` is not such a dictionary.
    """
    curve = content["what_if"]
    return EvalEnd(**content | {"what_if": None if curve is None else ThresholdCurve(**curve)})
