"""Evaluate the model during the training, store the best one, and evaluate the best one at the end.

The best model is selected on the validation set. The test set is used only by `evaluate_best`, at the end.
"""

import math
import time
from collections.abc import Generator
from dataclasses import replace

import torch

from semisup.core.calibration import expected_calibration_error, fit_temperature
from semisup.core.events import EvalEnd, Event, Finished, Progress
from semisup.core.inference import TEMPERATURE
from semisup.core.partial_state import load_trained_state, trained_state
from semisup.core.types import Images
from semisup.errors import DivergedError
from semisup.method import LOG_SUMS, TrainingContext, debias_shift, labels_by_model
from semisup.runtime.distributed import assert_replicas_equal
from semisup.training.evaluation import Evaluation, evaluate, finished_event, improves
from semisup.training.rejection import score_unlabeled, scores_after_evaluation, selected_rejection
from semisup.training.settings import SELECTION_METRICS, TrainSettings
from semisup.training.state import Best, State, TrainingConfig, TrainingData
from semisup.training.step import learning_rate

Metrics = dict[str, float | int | None]


def evaluate_and_select(
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


def evaluate_best(
    problem: TrainingData, settings: TrainingConfig, state: State, shift: torch.Tensor | None
) -> Generator[Event, None, None]:
    """Evaluate the best model on the validation and test sets, and yield the event Finished.

    The test set is used nowhere else. With `train.refit`, the last model is the best one, and nothing is evaluated.

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
