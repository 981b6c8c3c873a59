"""Runs of a sweep that differ in nothing that can matter before the pool is first labeled are one run up to there: the
first to come keeps its state, the others begin with it.

What can matter is all that a run's id is made of, less the threshold and what the method names in `settings_after_labeling`; the data;
and the versions, code, processor and threads on which the last bit depends. So the numbers are those of a run alone.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from semisup.config.run_id import ConfigDict, result_config
from semisup.config.schema import RunConfig
from semisup.core.events import BurnInEnd, Event
from semisup.dataset import Data
from semisup.method import POLICY_PREFIX, OfflineMethod
from semisup.record.environment import source_digest
from semisup.record.shared_start import SharedStart, SharedStartCache
from semisup.record.writer import RunWriter
from semisup.training.state import State, TrainingData, restore, start

FOLDER = ".shared_start"  # in outputs/<name>/


def shared_config(run_config: RunConfig) -> ConfigDict | None:
    """The part of a config that can change a number before the pool is first labeled; None: there is no such time."""
    method = run_config.settings.method
    if not isinstance(method, OfflineMethod) or not method.uses_unlabeled:
        return None
    kept = {key: value for key, value in result_config(run_config.config).items() if key != "threshold"}
    return kept | {
        "method": {key: value for key, value in kept["method"].items() if key not in method.settings_after_labeling}
    }


class SharedStartSession:
    """The warm-up of one run of a sweep; a context, so that whoever waits for it is never left waiting.

    Args:
        wanted: False: the run goes all its way itself, and keeps nothing.
    """

    def __init__(self, run_config: RunConfig, data: Data, record: RunWriter, *, wanted: bool) -> None:
        self.checked, self.record = run_config, record
        self.store: SharedStartCache | None = None
        config = shared_config(run_config) if wanted else None
        if config is not None:
            of = {"config": config, "data": data.fingerprint, "computing": _result_environment(record.environment)}
            key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
            self.store = SharedStartCache(record.folder.parent / FOLDER / key, of)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.store is not None:
            self.store.release()

    def begun(self, problem: TrainingData, state: State) -> State:
        """The state to go on from: `state`, which is fresh or that of the run's own checkpoint, or the warm-up, where
        that is further. Waits while another process makes it."""
        method = self.checked.settings.method
        beyond = state.pending_accuracy is not None or (
            isinstance(method, OfflineMethod) and method.has_pseudo_labels(state.memory)
        )
        if self.store is None or beyond:
            self.store = None
            return state
        try:
            found = self.store.wait()
        except OSError as error:
            warnings.warn(f"the warm-up is not shared: {self.store.folder}: {error.strerror}", stacklevel=2)
            self.store = None
            return state
        return state if found is None else self._adopted(problem, state, found)

    def _adopted(self, problem: TrainingData, state: State, found: SharedStart) -> State:
        fresh = start(problem, self.checked.settings)
        policy = {name: value for name, value in fresh.memory.items() if name.startswith(POLICY_PREFIX)}
        try:
            memory = fresh.memory | found.snapshot["memory"] | policy
            restore(fresh, found.snapshot | {"memory": memory})
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            warnings.warn(f"the warm-up of {found.run} is not used: {str(error).splitlines()[0]}", stacklevel=2)
            return state
        self.record.adopt_shared_start(found)
        return fresh

    def see(self, event: Event, state: State) -> None:
        """Keep the state where the ways part."""
        if self.store is not None and isinstance(event, BurnInEnd) and self.store.owned:
            snapshot = state.snapshot()
            memory = {name: value for name, value in snapshot["memory"].items() if not name.startswith(POLICY_PREFIX)}
            try:
                self.store.keep(self.record.export_start(snapshot | {"memory": memory}))
            except OSError as error:
                warnings.warn(f"the warm-up is not kept: {self.store.folder}: {error.strerror}", stacklevel=2)
                self.store.release()


def _result_environment(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What the last bit can depend on besides settings and data: all that the environment of a run says, but where; and
    the code itself, whatever git knows of it."""
    return {name: value for name, value in made_by.items() if name not in ("host", "git")} | {"code": source_digest()}
