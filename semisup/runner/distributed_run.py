"""A run by several processes: the first does all that one alone does, the others train with it and write nothing."""

import io
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from semisup.config.schema import RunConfig
from semisup.core.events import EpochEnd, Event, Progress, StepEnd
from semisup.dataset import Data
from semisup.errors import DataError
from semisup.runner.collapse import CollapseWatch
from semisup.runner.out_of_memory import translate_oom
from semisup.runner.signals import StopHandler, stop_error
from semisup.runtime.distributed import Team, all_reduce_max
from semisup.runtime.precision import configure_torch
from semisup.training.loop import train
from semisup.training.state import TrainingData, restore, start

SAFE_STOP_EVENTS = (StepEnd, EpochEnd, Progress)
"""Events at which a training can stop: the state is whole, or is when the training is closed."""


def broadcast_start(team: Team, stop: StopHandler, fingerprint: str, snapshot: dict[str, Any] | None) -> None:
    """The leader's word to the others: on which data, and from which state. From here on all stop at the same step, and
    none of them before the first."""
    if not team.told:
        buffer = io.BytesIO()
        torch.save({"fingerprint": fingerprint, "snapshot": snapshot}, buffer)
        stop.wait = True
        team.broadcast(buffer.getvalue())


def sync_stop(stop: StopHandler, event: Event) -> None:
    """At each place where a training can stop: all processes stop where one was asked to."""
    if isinstance(event, SAFE_STOP_EVENTS):
        number = all_reduce_max(0 if stop.asked is None else int(signal.Signals[stop.asked.by]))
        if number and stop.asked is None:
            stop.asked = stop_error(number)


def run_follower(
    run_config: RunConfig, load: Callable[[], tuple[TrainingData, Data]], stop: StopHandler, team: Team
) -> bool:
    """What all processes but the first do; False where the leader had nothing to train.

    Raises:
        DataError: this process found other data.
        ShortOfMemoryError, DivergedError, CollapsedError, StoppedError: as on the leader.
    """
    with warnings.catch_warnings(), translate_oom(run_config):
        warnings.simplefilter("ignore")  # the leader says it
        return _follow(run_config, load, stop, team)


def _follow(
    run_config: RunConfig, load: Callable[[], tuple[TrainingData, Data]], stop: StopHandler, team: Team
) -> bool:
    news = team.receive()
    if news is None:
        return False
    stop.wait = True
    known = torch.load(io.BytesIO(news), map_location="cpu", weights_only=True)
    configure_torch(run_config.run.threads, deterministic=run_config.run.deterministic)
    problem, data = load()
    if data.fingerprint != known["fingerprint"]:
        raise DataError(f"{Path.cwd()}: the data of this process are not those of the first")
    state = start(problem, run_config.settings)
    if known["snapshot"] is not None:
        restore(state, known["snapshot"])
    watch = CollapseWatch(run_config.collapse, run_config.id, data.classes, problem.validation.targets)
    for event in train(problem, run_config.settings, state):
        sync_stop(stop, event)
        watch.see(event)
        if stop.asked is not None and isinstance(event, SAFE_STOP_EVENTS):
            raise stop.asked
    return True
