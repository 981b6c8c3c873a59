"""Share the start of the training between runs of a sweep: the part before the unlabeled set is first labeled.

Runs of an offline method are identical in this part if they differ only in settings that take effect later, such as
the threshold policy. The first of them saves its state at the end of this part (the shared start), and the others start
from it. The results are bit-identical to those of separate runs.
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
    """Select the settings that have an effect on the training before the unlabeled set is first labeled.

    Returns:
        The settings; None if the method is not an offline method, or does not use unlabeled images.
    """
    method = run_config.settings.method
    if not isinstance(method, OfflineMethod) or not method.uses_unlabeled:
        return None
    config = {key: value for key, value in result_config(run_config.config).items() if key != "threshold"}
    return config | {
        "method": {key: value for key, value in config["method"].items() if key not in method.settings_after_labeling}
    }


class SharedStartSession:
    """Context in which a run of a sweep uses or saves a shared start (the state before the first labeling).

    While this run trains its start, other runs that need the same start wait; they stop waiting when the start is
    saved, or when the context ends.

    Args:
        data: data of the run.
        record: writer of the run directory.
        wanted: whether to use and save a shared start; if False, the context does nothing.
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
        """Return the state from which the training of this run starts.

        If another run is training the part that is shared (up to the first labeling of the unlabeled set), wait for it.

        Args:
            problem: the data on the run's device.
            state: the initial state of this run, or the state of its checkpoint.

        Returns:
            The state that another run has saved at the end of this part. `state` if there is none, or if `state` is
            already past this part.
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
                f"the start of the training is not shared with other runs: {self.cache.folder}: {error.strerror}",
                stacklevel=2,
            )
            self.cache = None
            return state
        return state if shared is None else self._adopt(problem, state, shared)

    def _adopt(self, problem: TrainingData, state: State, shared: SharedStart) -> State:
        """Create the training state of this run from a shared start.

        Returns:
            The new state; `state` if the shared start is damaged or does not fit the model.
        """
        fresh = start(problem, self.run_config.settings)
        policy = {name: value for name, value in fresh.memory.items() if name.startswith(POLICY_PREFIX)}
        try:
            check_snapshot(self.record.folder.parent / FOLDER, shared.snapshot, fresh.student.state_dict())
            memory = fresh.memory | shared.snapshot["memory"] | policy
            restore(fresh, shared.snapshot | {"memory": memory})
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            warnings.warn(
                f"the start of the training that {shared.run} shared cannot be used, so this run trains from the "
                f"beginning: {first_line(error)}",
                stacklevel=2,
            )
            return state
        self.record.adopt_shared_start(shared)
        return fresh

    def on_event(self, event: Event, state: State) -> None:
        """Save `state` as a shared start if `event` is the end of the shared part of the training."""
        if self.cache is not None and isinstance(event, BurnInEnd) and self.cache.owned:
            snapshot = state.snapshot()
            memory = {name: value for name, value in snapshot["memory"].items() if not name.startswith(POLICY_PREFIX)}
            try:
                self.cache.save(self.record.export_start(snapshot | {"memory": memory}))
            except (OSError, LockLostError) as error:
                warnings.warn(
                    f"the start of the training is not shared with other runs: {first_line(error)}", stacklevel=2
                )
                self.cache.release()


def _result_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the properties of environment and source code on which bit-identical results depend.

    Args:
        environment: description of the environment, as in run.json.
    """
    return {name: value for name, value in environment.items() if name not in ("host", "git")} | {
        "code": source_digest()
    }
