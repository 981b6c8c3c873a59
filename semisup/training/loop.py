"""The training loop: a generator that trains a model and yields events; it writes no files and prints nothing.

    state = start(problem, settings)
    for event in train(problem, settings, state):
        ...                  # at StepEnd, EpochEnd and BurnInEnd, `state.snapshot()` can be saved

BurnInEnd is the event before the first labeling of the unlabeled set by an offline method. The generator may be closed
at any event; after a Progress event, the evaluation or labeling in progress is repeated when the training is resumed.
`restore(state, snapshot)` followed by `train` is bit-identical to an uninterrupted training.
"""

import time
from collections.abc import Generator
from typing import TypeGuard

from semisup.core.events import BurnInEnd, EpochEnd, Event, StepEnd
from semisup.method import Method, OfflineMethod, Position, Prepares, TrainingContext, debias_shift
from semisup.training.model_selection import evaluate_and_select, evaluate_best
from semisup.training.rejection import score_unlabeled, scores_at_start
from semisup.training.settings import TrainSettings
from semisup.training.state import State, TrainingConfig, TrainingData, make_context
from semisup.training.step import training_step


def train(problem: TrainingData, settings: TrainingConfig, state: State) -> Generator[Event, None, None]:
    """Train from `state` to the end: all epochs or steps, or early stopping. Yield events; the last one is Finished.

    Raises:
        DivergedError: a loss or gradient was not finite. On a GPU, it is raised at the end of the epoch or earlier.
    """
    training = make_context(problem, settings, state)
    method, plan = settings.method, settings.train
    if isinstance(method, Prepares) and not _is_finished(plan, state):
        state.memory = yield from method.prepare(training, state.memory)
    if scores_at_start(problem, settings, state) and not _is_finished(plan, state):
        state.memory = state.memory | (yield from score_unlabeled(problem, settings, state))
    while not _is_finished(plan, state):
        steps = method.steps_in_epoch(training, state.memory)
        if state.pending_accuracy is None:  # otherwise resumed at a BurnInEnd, after the evaluation
            yield from _epoch(problem, settings, training, state, steps)
        if (accuracy := state.pending_accuracy) is not None:
            position = _current_position(plan, state, steps)
            state.memory = yield from method.on_evaluation(training, state.memory, position, accuracy)
            state.pending_accuracy = None
            state.epoch_started_at = time.monotonic()
        yield EpochEnd(state.step, state.epoch)
    if _not_labeled_yet(method, state):
        yield BurnInEnd(state.step, state.epoch)
    yield from evaluate_best(problem, settings, state, debias_shift(training, state.memory))


def _epoch(
    problem: TrainingData, settings: TrainingConfig, training: TrainingContext, state: State, steps: int
) -> Generator[Event, None, None]:
    """Train for the remaining steps of an epoch, and evaluate where the settings require it.

    If the epoch ends with an evaluation, the validation accuracy is stored in `state.pending_accuracy`, for
    `Method.on_evaluation`.
    """
    method, plan = settings.method, settings.train
    while state.position < steps and not _must_stop(plan, state):
        if _eval_due_by_step(plan, state):
            before = state.epoch, state.position
            yield from evaluate_and_select(problem, settings, training, state, before, selects_best=True)
            yield from _report(settings, training, state, _current_position(plan, state, steps))
            if _patience_exhausted(plan, state):
                break
        training_step(training, settings, state, _current_position(plan, state, steps))
        if problem.device.type == "cpu":  # on a GPU this would synchronize
            state.check()
        yield StepEnd(state.step, state.epoch)
    state.check()
    last = state.epoch, state.position
    state.epoch, state.position = state.epoch + 1, 0
    if state.last_eval_step == state.step:  # training ends with the evaluation above
        return
    due = _eval_due_by_step(plan, state) or _eval_due_by_epoch(plan, state) or _is_finished(plan, state)
    if due or method.needs_evaluation(state.epoch):
        accuracy = yield from evaluate_and_select(problem, settings, training, state, last, selects_best=due)
        position = _current_position(plan, state, steps)
        yield from _report(settings, training, state, position)
        if not _is_finished(plan, state):
            state.pending_accuracy = accuracy
            if _not_labeled_yet(method, state) and method.will_relabel(training, position, accuracy):
                yield BurnInEnd(state.step, state.epoch)


def _report(
    settings: TrainingConfig, training: TrainingContext, state: State, position: Position
) -> Generator[Event, None, None]:
    """Yield the method's diagnostic events; then store the latest rejection scores in the method's memory.

    They are computed by the option `reject`, one for each unlabeled image.
    """
    state.memory = yield from settings.method.report(training, state.memory, position)
    state.memory, state.rescored = state.memory | state.rescored, {}


def _not_labeled_yet(method: Method, state: State) -> TypeGuard[OfflineMethod]:
    return isinstance(method, OfflineMethod) and not method.has_pseudo_labels(state.memory)


def _steps_exhausted(plan: TrainSettings, state: State) -> bool:
    return plan.steps is not None and state.step >= plan.steps


def _patience_exhausted(plan: TrainSettings, state: State) -> bool:
    return plan.patience is not None and state.evaluations_without_improvement >= plan.patience


def _must_stop(plan: TrainSettings, state: State) -> bool:
    return _steps_exhausted(plan, state) or _patience_exhausted(plan, state)


def _is_finished(plan: TrainSettings, state: State) -> bool:
    """Whether the training has ended: all epochs or steps are done, or `train.patience` is exhausted.

    Always False within an epoch.
    """
    last = _must_stop(plan, state) or (plan.epochs is not None and state.epoch >= plan.epochs)
    return last and state.position == 0


def _current_position(plan: TrainSettings, state: State, steps_in_epoch: int) -> Position:
    if plan.steps is not None:
        progress = state.step / plan.steps
    else:
        progress = (state.epoch + state.position / steps_in_epoch) / (plan.epochs or 1)
    return Position(state.step, state.epoch, state.position, progress)


def _eval_due_by_step(plan: TrainSettings, state: State) -> bool:
    every = plan.evaluate_every_steps
    return every is not None and state.step // every > state.last_eval_step // every


def _eval_due_by_epoch(plan: TrainSettings, state: State) -> bool:
    return plan.evaluate_every_steps is None and state.epoch % plan.evaluate_every == 0
