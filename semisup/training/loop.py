"""The training loop: a generator that trains a model and yields events; it writes no files and prints nothing.

    state = start(problem, settings)
    for event in train(problem, settings, state):
        ...                  # at StepEnd, EpochEnd and BurnInEnd, `state.snapshot()` can be saved

BurnInEnd is the event before the first labeling of the unlabeled set by an offline method. The generator may be closed
at any event; after a Progress event, the evaluation or labeling in progress is repeated when the training is resumed.
`restore(state, snapshot)` followed by `train` is bit-identical to an uninterrupted training.
"""

import math
import time
from collections.abc import Generator
from dataclasses import replace
from typing import TypeGuard

import torch

from semisup.core.calibration import expected_calibration_error, fit_temperature
from semisup.core.ema import decay_at, update_average
from semisup.core.events import BurnInEnd, EpochEnd, EvalEnd, Event, Finished, Progress, StepEnd
from semisup.core.inference import TEMPERATURE
from semisup.core.partial_state import load_trained_state, trained_state
from semisup.core.types import Images
from semisup.errors import DivergedError
from semisup.method import (
    LOG_SUMS,
    Method,
    OfflineMethod,
    Position,
    Prepares,
    TrainingContext,
    debias_shift,
    labels_by_model,
    seed_dropout,
)
from semisup.runtime.distributed import all_reduce_gradients, assert_replicas_equal
from semisup.training.evaluation import Evaluation, evaluate, finished_event, improves
from semisup.training.rejection import score_unlabeled, scores_after_evaluation, scores_at_start, selected_rejection
from semisup.training.state import (
    SELECTION_METRICS,
    Best,
    State,
    TrainingConfig,
    TrainingData,
    TrainSettings,
    make_context,
)

Metrics = dict[str, float | int | None]


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
    yield from _finish(problem, settings, state, debias_shift(training, state.memory))


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
            yield from _evaluate(problem, settings, training, state, before, selects_best=True)
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
        accuracy = yield from _evaluate(problem, settings, training, state, last, selects_best=due)
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


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the present learning rate of a training.

    If the classifier has a rate of its own (`optimizer.head_lr`), the result is the rate of the other layers.
    """
    groups = optimizer.param_groups
    full = [group for group in groups if group["lr_scale"] <= 1] or groups
    return max(float(group["lr"]) for group in full)


def training_step(training: TrainingContext, settings: TrainingConfig, state: State, position: Position) -> None:
    """Train for one step: compute the loss and its gradient, and update the weights and the counters of `state`."""
    # nothing here waits for the GPU, except methods with `skip_rejected`
    seed_dropout(settings.seed, position.step)
    rate = settings.optimizer.lr * settings.schedule.factor(position.progress)
    trained: list[torch.Tensor] = []
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
        trained += group["params"]
    if not state.student.training:  # setting the mode of every layer takes a millisecond
        state.student.train()
    state.head_first.update(position.progress)
    losses, state.memory = settings.method.loss(training, state.memory, position)
    for parameter in trained:  # zero_grad of a small model takes as long as its optimizer step
        parameter.grad = None
    losses.total.backward()
    all_reduce_gradients(state.student)
    norm = _limit_gradient(trained, settings.train.max_grad_norm)
    checked = losses.total.detach() + norm  # a sum with an infinite or undefined value is not finite
    state.optimizer.step()
    if state.average is not None:
        state.ema_updates += 1
        plan = settings.train
        decay = decay_at(plan.ema_decay or 0.0, state.ema_updates, warmup=plan.ema_warmup)
        update_average(state.averaged_tensors(statistics=plan.ema_buffers), decay)
    state.running_sums += losses.sums
    state.check_finite(checked, position.step + 1)
    state.step += 1
    state.position += 1


def _limit_gradient(trained: list[torch.Tensor], max_norm: float | None) -> torch.Tensor:
    """Clip the gradients to the norm `max_norm` (None = no clipping).

    Args:
        trained: the parameters that the optimizer updates.

    Returns:
        () float on the device, the norm of all gradients; without clipping, the sum of the norms of the parameters'
        gradients, which is finite if and only if all gradients are. 0 if no parameter has a gradient.
    """
    # A finite loss can have a gradient that is not finite; one step later, no weight is finite. The norm also overflows
    # for gradients above 1.8e19, with which no training can continue. It takes 0.36 ms for small_cnn and 1.7 ms for
    # WRN-28-2 (one thread), 0.2 to 0.5 % of a step; the largest absolute value would take 0.8 and 24 ms.
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    if max_norm is None:
        return torch.stack(torch._foreach_norm(gradients)).sum()
    norm = torch.nn.utils.get_total_norm(gradients)
    torch.nn.utils.clip_grads_with_norm_([each for each in trained if each.grad is not None], max_norm, norm)
    return norm


def _eval_due_by_step(plan: TrainSettings, state: State) -> bool:
    every = plan.evaluate_every_steps
    return every is not None and state.step // every > state.last_eval_step // every


def _eval_due_by_epoch(plan: TrainSettings, state: State) -> bool:
    return plan.evaluate_every_steps is None and state.epoch % plan.evaluate_every == 0


def _evaluate(
    problem: TrainingData,
    settings: TrainingConfig,
    training: TrainingContext,
    state: State,
    last: tuple[int, int],
    *,
    selects_best: bool,
) -> Generator[Event, None, float]:
    """Evaluate the teacher on the validation set; yield events, the last one is EvalEnd.

    Args:
        last: epoch and position in the epoch, to which `state` is reset if the evaluation is interrupted.
        selects_best: whether this evaluation can select the best model and counts for `train.patience`.

    Returns:
        The validation accuracy in [0, 1]; 1.0 with `train.refit`.

    Raises:
        DivergedError: the loss is not finite.
    """
    trained = time.monotonic()
    state.check()
    assert_replicas_equal(state.student)
    evaluation = None
    try:
        if not settings.train.refit:
            evaluation = yield from _run_evaluation(problem, state, "validation", training.eval_batch_size)
        if scores_after_evaluation(problem, settings, training, state, evaluation.accuracy if evaluation else 1.0):
            state.rescored = yield from score_unlabeled(problem, settings, state)
    except GeneratorExit:
        state.epoch, state.position = last
        raise
    if evaluation is None:
        return (yield from _log_refit(state, trained, selects_best=selects_best))
    if not math.isfinite(evaluation.loss):
        raise DivergedError(state.step)
    improved = selects_best and _select_best(settings.train, state, evaluation)
    temperature = fit_temperature(evaluation.logits, evaluation.targets) if settings.calibrates else 1.0
    metrics: Metrics = _epoch_metrics(state) | {
        "val/loss": evaluation.loss,
        "val/accuracy": evaluation.accuracy,
        "val/balanced_accuracy": evaluation.balanced_accuracy,
        "val/macro_f1": evaluation.macro_f1,
        "val/ece": expected_calibration_error(evaluation.reliability(1.0)),
        "lr": learning_rate(state.optimizer),
        "train_seconds": trained - state.epoch_started_at,
        "val_seconds": time.monotonic() - trained,
    }
    if settings.calibrates:
        state.memory = state.memory | {TEMPERATURE: state.memory[TEMPERATURE].new_tensor(temperature)}
        after = expected_calibration_error(evaluation.reliability(temperature))
        metrics |= {TEMPERATURE: temperature, "val/ece_calibrated": after}
    state.epoch_started_at = time.monotonic()
    if selects_best:
        state.last_eval_step = state.step
    comparable = settings.method.uses_unlabeled and labels_by_model(settings.method)
    what_if = evaluation.what_if(temperature, debias_shift(training, state.memory)) if comparable else None
    yield EvalEnd(state.step, state.epoch, metrics, improved, what_if)
    return evaluation.accuracy


def _log_refit(state: State, trained: float, *, selects_best: bool) -> Generator[Event, None, float]:
    """Yield the training metrics of a refit (`train.refit`), which has no validation images to evaluate.

    Args:
        trained: value of time.monotonic() at the end of the last step.

    Returns:
        1.0 in place of the validation accuracy, so that the unlabeled set is labeled with any `gate` below 1.
    """
    metrics = _epoch_metrics(state) | {
        "lr": learning_rate(state.optimizer),
        "train_seconds": trained - state.epoch_started_at,
    }
    state.epoch_started_at = time.monotonic()
    if selects_best:
        state.last_eval_step = state.step
    yield EvalEnd(state.step, state.epoch, metrics, improved=False)
    return 1.0


def _select_best(plan: TrainSettings, state: State, evaluation: Evaluation) -> bool:
    """Store the model as the best one if its validation metric (`train.select_by`) is the best so far.

    Returns:
        Whether the model was stored.
    """
    if not improves(plan.select_by, evaluation, state.best):
        state.evaluations_without_improvement += 1
        return False
    metrics = {name: getattr(evaluation, name) for name in SELECTION_METRICS}
    state.best = Best(state.step, state.epoch, **metrics, weights=_teacher_weights(state))
    state.evaluations_without_improvement = 0
    return True


def _teacher_weights(state: State) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trained_state(state.teacher).items()}


def _refit_summary(state: State) -> Metrics:
    """Build the summary of a refit (`train.refit`): it has no accuracy, and the best model is the last one."""
    length: Metrics = {"steps": state.step, "epochs": state.epoch, "labeled_steps": state.labeled_steps}
    return length | {"best/step": state.step, "best/epoch": state.epoch}


def _epoch_metrics(state: State) -> Metrics:
    """Compute the mean metrics over the steps since the last evaluation, and reset their sums."""
    sums = dict(zip(LOG_SUMS, state.running_sums.tolist(), strict=True))
    state.running_sums.zero_()
    state.labeled_steps += int(sums["labeled_steps"])
    labeled, unlabeled = sums["labeled_images"], sums["unlabeled_images"]
    return {
        "train/loss": sums["labeled_loss"] / labeled if labeled else None,
        "train/accuracy": sums["labeled_correct"] / labeled if labeled else None,
        "train/unlabeled_loss": sums["unlabeled_loss"] / unlabeled if unlabeled else None,
    }


def _finish(
    problem: TrainingData, settings: TrainingConfig, state: State, shift: torch.Tensor | None
) -> Generator[Event, None, None]:
    """Evaluate the best model on the validation and test sets, and yield the event Finished.

    The test set is not used anywhere else.

    Args:
        shift: (K,), values that debiasing adds to the logits for pseudo-labels at the end of the training.
    """
    if settings.train.refit:
        state.best = Best(state.step, state.epoch, **dict.fromkeys(SELECTION_METRICS), weights=_teacher_weights(state))
        limit, features = selected_rejection(problem, settings, state)
        yield Finished(state.step, state.epoch, _refit_summary(state) | limit, labeled_features=features)
        return
    best = state.best
    assert best is not None, "the last epoch is always evaluated"
    model, batch_size = state.teacher, settings.train.eval_batch_size
    end = {name: value.clone() for name, value in trained_state(model).items()}
    load_trained_state(model, best.weights)
    summary: Metrics = {
        "steps": state.step,
        "epochs": state.epoch,
        "labeled_steps": state.labeled_steps,
        "best/step": best.step,
        "best/epoch": best.epoch,
        **{f"best/val/{name}": getattr(best, name) for name in SELECTION_METRICS},
    }
    evaluations: dict[str, Evaluation] = {}
    try:
        for split in ("validation", "test"):
            if bool((getattr(problem, split).targets >= 0).any()):
                evaluations[split] = yield from _run_evaluation(problem, state, split, batch_size)
        limit, features = selected_rejection(problem, settings, state)
    finally:
        load_trained_state(model, end)  # the state of the last step
    splits = {split: (each, getattr(problem, split)) for split, each in evaluations.items()}
    end_at, summary = (state.step, state.epoch), summary | limit
    finished = finished_event(end_at, summary, splits, calibrates=settings.calibrates, shift=shift)
    yield replace(finished, labeled_features=features)


def _run_evaluation(
    problem: TrainingData, state: State, split: str, batch_size: int
) -> Generator[Event, None, Evaluation]:
    """Evaluate the teacher on the validation or test images, and yield a Progress event after each batch."""
    images: Images = getattr(problem, split)
    progress = evaluate(state.teacher, images, problem.num_classes, batch_size)
    while True:
        try:
            done = next(progress)
        except StopIteration as end:
            result: Evaluation = end.value
            return result
        yield Progress(state.step, state.epoch, split, done, len(images))
