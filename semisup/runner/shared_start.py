"""Share the start of the training between runs of a sweep: the part before the unlabeled set is first labeled.

Runs that differ only in the threshold, or in the settings that their method lists in `settings_after_labeling`, are
equal until the unlabeled set is first labeled. The first of these runs saves its state at that point (the shared
start), and the other runs start from this state. They must also have the same data, library versions, code, CPU and
number of threads, because the exact results depend on these. The results are bit-identical to those of separate runs.
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
from semisup.errors import LockLostError, first_line
from semisup.method import POLICY_PREFIX, OfflineMethod
from semisup.record.environment import source_digest
from semisup.record.shared_start import SharedStart, SharedStartCache
from semisup.record.weights_check import check_snapshot
from semisup.record.writer import RunWriter
from semisup.training.state import State, TrainingData, restore, start

FOLDER = ".shared_start"  # in outputs/<name>/


def shared_config(run_config: RunConfig) -> ConfigDict | None:
    """Select the part of a config that can change the training before the first labeling.

    Returns:
        None if the method has no training before the first labeling.
    """
    method = run_config.settings.method
    if not isinstance(method, OfflineMethod) or not method.uses_unlabeled:
        return None
    config = {key: value for key, value in result_config(run_config.config).items() if key != "threshold"}
    return config | {
        "method": {key: value for key, value in config["method"].items() if key not in method.settings_after_labeling}
    }


class SharedStartSession:
    """Use and save the shared start (first part of the training) of one run of a sweep.

    This is a context: at its end, processes that wait for this run to save a shared start are released, even after an
    error.

    Args:
        wanted: whether the run uses and saves a shared start.
    """

    def __init__(self, run_config: RunConfig, data: Data, record: RunWriter, *, wanted: bool) -> None:
        self.run_config, self.record = run_config, record
        self.cache: SharedStartCache | None = None
        config = shared_config(run_config) if wanted else None
        if config is not None:
            of = {"config": config, "data": data.fingerprint, "computing": _result_environment(record.environment)}
            key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
            self.cache = SharedStartCache(record.folder.parent / FOLDER / key, of)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.cache is not None:
            self.cache.release()

    def initial_state(self, problem: TrainingData, state: State) -> State:
        """Return the state from which the run's training starts, which may be a shared start.

        Args:
            state: a new state, or the state of the run's own checkpoint.

        Returns:
            The shared start, if there is one and `state` is not beyond it; else `state`.
        """
        method = self.run_config.settings.method
        past = state.pending_accuracy is not None or (
            isinstance(method, OfflineMethod) and method.has_pseudo_labels(state.memory)
        )
        if self.cache is None or past:
            self.cache = None
            return state
        try:
            shared = self.cache.wait()
        except OSError as error:
            warnings.warn(
                f"the run does not share its start with other runs: {self.cache.folder}: {error.strerror}", stacklevel=2
            )
            self.cache = None
            return state
        return state if shared is None else self._adopt(problem, state, shared)

    def _adopt(self, problem: TrainingData, state: State, shared: SharedStart) -> State:
        """Create the training state of this run from the shared start.

        Returns:
            `state` if the shared start cannot be used.
        """
        fresh = start(problem, self.run_config.settings)
        policy = {name: value for name, value in fresh.memory.items() if name.startswith(POLICY_PREFIX)}
        try:
            check_snapshot(self.record.folder.parent / FOLDER, shared.snapshot, fresh.student.state_dict())
            memory = fresh.memory | shared.snapshot["memory"] | policy
            restore(fresh, shared.snapshot | {"memory": memory})
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            warnings.warn(
                f"the shared start of {shared.run} cannot be used, so this run trains from the beginning: "
                f"{first_line(error)}",
                stacklevel=2,
            )
            return state
        self.record.adopt_shared_start(shared)
        return fresh

    def on_event(self, event: Event, state: State) -> None:
        """Save the training state for the other runs of the sweep, at the end of the part that the runs share."""
        if self.cache is not None and isinstance(event, BurnInEnd) and self.cache.owned:
            snapshot = state.snapshot()
            memory = {name: value for name, value in snapshot["memory"].items() if not name.startswith(POLICY_PREFIX)}
            try:
                self.cache.save(self.record.export_start(snapshot | {"memory": memory}))
            except (OSError, LockLostError) as error:
                warnings.warn(f"the start of the run is not shared with other runs: {first_line(error)}", stacklevel=2)
                self.cache.release()


def _result_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Collect everything besides settings and data that can change exact results: environment and source code."""
    return {name: value for name, value in environment.items() if name not in ("host", "git")} | {
        "code": source_digest()
    }
