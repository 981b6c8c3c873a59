"""The state of a training right before its pool is labeled for the first time, for other runs that come to it by the
same way.

<folder>/shared_start-00000123-<digest>.pt    one checkpoint: the state, the lines of the logs so far, and what it is of
<folder>/owner.json                      who is on the way there

Of several runs one makes it while the others wait; if that one dies or fails, the next one does. What is damaged, or is
of something else, is passed over with a warning and made anew.
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
from semisup.runtime.atomic_files import make_folder, remove_stale_temporary_files

KIND = "shared_start"
WAIT_SECONDS = 0.2


class SharedStart(NamedTuple):
    """What is kept.

    snapshot: the state's
    logs: file name -> its text so far
    evaluated: the evaluation just made; it belongs to the labeling that comes next, if one does
    run: the id of the run that made it
    seconds: what training and evaluating took it
    """

    snapshot: dict[str, Any]
    logs: dict[str, str]
    evaluated: EvalEnd | None
    run: str
    seconds: float

    def metadata(self) -> dict[str, Any]:
        """For run.json of a run that begins with it: whose it is, and what is not done again."""
        done = {"steps": self.snapshot["step"], "epochs": self.snapshot["epoch"]}
        return {"from": self.run, **done, "saved_seconds": self.seconds}


class SharedStartCache:
    """One warm-up on disk, or the place for it.

    Args:
        folder: made when it is needed.
        of: plain data, all that the warm-up depends on.
    """

    def __init__(self, folder: Path, of: dict[str, Any]) -> None:
        self.folder, self.of = folder, json.dumps(of, sort_keys=True)
        self.lock = RunLock(folder)
        self.owned = False

    def wait(self) -> SharedStart | None:
        """The warm-up, once it is there; None where the caller is the one to make it, until it calls `release`.

        Raises:
            OSError: read-only, disk full, ...
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

    def keep(self, found: SharedStart) -> None:
        """Put it there, whole, and let the others have it.

        Raises:
            OSError: disk full, read-only, ...
        """
        evaluated = None if found.evaluated is None else event_to_dict(found.evaluated)
        content = found._asdict() | {"of": self.of, "evaluated": evaluated}
        assert self.lock.directory is not None, "only the holder keeps a state"
        self.lock.assert_held()
        checkpoint.save(self.lock.directory.bound, KIND, found.snapshot["step"], content, self.lock.assert_held)
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
                warnings.warn(f"warm-up passed over, and made anew: {error}", stacklevel=2)
                path.unlink(missing_ok=True)
        return None


def _read(content: dict[str, Any], of: str, path: Path) -> SharedStart:
    if content.pop("of", None) != of:
        raise RecordError(f"{path}: is of other settings, data or versions than its place says")
    try:
        evaluated = content.pop("evaluated")
        evaluated = None if evaluated is None else event_from_dict(evaluated)
        return SharedStart(**content, evaluated=evaluated)
    except (TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{path}: is not a warm-up ({error})") from None


def event_to_dict(event: EvalEnd) -> dict[str, Any]:
    """An evaluation as tensors and plain data, for a checkpoint."""
    curve = None if event.what_if is None else event.what_if._asdict()
    return {**vars(event), "what_if": curve}


def event_from_dict(content: dict[str, Any]) -> EvalEnd:
    """The evaluation again.

    Raises:
        TypeError, KeyError, AttributeError: it is none.
    """
    curve = content["what_if"]
    return EvalEnd(**content | {"what_if": None if curve is None else ThresholdCurve(**curve)})
