"""Train a run with several processes: rank 0 writes all files and prints; the other ranks only train."""

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
from semisup.runner.encoding import encode_run
from semisup.runner.out_of_memory import translate_oom
from semisup.runner.progress import Bars
from semisup.runner.signals import StopHandler, stop_error
from semisup.runtime.distributed import Team, all_reduce_max
from semisup.runtime.precision import configure_torch
from semisup.training.loop import train
from semisup.training.state import TrainingData, restore, start

SAFE_STOP_EVENTS = (StepEnd, EpochEnd, Progress)
"""Events of the training at which it can be stopped, because its state can be saved."""


def broadcast_start(team: Team, stop: StopHandler, fingerprint: str, snapshot: dict[str, Any] | None) -> None:
    """Send the data set fingerprint and the initial state from rank 0 to the other processes, once per run.

    Args:
        stop: handler of stop signals; after this call it acts on a signal only at the end of a step, so that all
            processes stop at the same step.
        snapshot: the state from which the run resumes; None = it starts from the beginning.
    """
    if not team.announced:
        buffer = io.BytesIO()
        torch.save({"fingerprint": fingerprint, "snapshot": snapshot}, buffer)
        stop.wait = True
        team.broadcast(buffer.getvalue())


def sync_stop(stop: StopHandler, event: Event) -> None:
    """If a process of the run has received a stop signal, make all processes stop at this event of the training."""
    if isinstance(event, SAFE_STOP_EVENTS):
        number = all_reduce_max(0 if stop.asked is None else int(signal.Signals[stop.asked.by]))
        if number and stop.asked is None:
            stop.asked = stop_error(number)


def run_follower(
    run_config: RunConfig, load: Callable[[], tuple[TrainingData, Data]], bars: Bars, stop: StopHandler, team: Team
) -> bool:
    """Train a run together with rank 0, in another process.

    Args:
        load: function that reads the data of the run.

    Returns:
        False if there was nothing to train.

    Raises:
        DataError: the data of this process differ from those of rank 0.
        InsufficientMemoryError, DivergedError, CollapsedError, StopRequested: the training failed or was stopped.
    """
    with warnings.catch_warnings(), translate_oom(run_config):
        warnings.simplefilter("ignore")  # rank 0 shows them
        return _follow(run_config, load, bars, stop, team)


def _follow(
    run_config: RunConfig, load: Callable[[], tuple[TrainingData, Data]], bars: Bars, stop: StopHandler, team: Team
) -> bool:
    received = team.receive()
    if received is None:
        return False
    stop.wait = True
    begin = torch.load(io.BytesIO(received), map_location="cpu", weights_only=True)
    configure_torch(run_config.run.threads, deterministic=run_config.run.deterministic)
    problem, data = load()
    if data.fingerprint != begin["fingerprint"]:
        raise DataError(
            f"{Path.cwd()}: the data set of this process differs from that of rank 0; give all processes the same files"
        )
    run_config, problem, _ = encode_run(run_config, problem, data, bars)
    state = start(problem, run_config.settings)
    if begin["snapshot"] is not None:
        restore(state, begin["snapshot"])
    watch = CollapseWatch(run_config.collapse, run_config.id, data.classes, problem.judged_by)
    for event in train(problem, run_config.settings, state):
        sync_stop(stop, event)
        watch.on_event(event)
        if stop.asked is not None and isinstance(event, SAFE_STOP_EVENTS):
            raise stop.asked
    return True
