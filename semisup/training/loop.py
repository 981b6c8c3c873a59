"""The training loop: computes and yields events; writes nothing, prints nothing.

    state = start(problem, settings)
    for event in train(problem, settings, state):
        ...                                     # `state.snapshot()` is whole at StepDone, EpochDone and BurnInEnd

Where the generator is closed at a Progress, in the middle of an evaluation or of scoring the pool, the state is whole
again: what was looked at is looked at again.

All that a training needs to go on is in State, and every draw is a function of the seed and the place, so
`restore(state, snapshot)` and `train` continue bit for bit.
"""

import math
import time
from collections.abc import Generator
from typing import TypeGuard

import torch

from semisup.core.calibration import expected_calibration_error, fit_temperature
from semisup.core.ema import decay_at, update_average
from semisup.core.events import BurnInEnd, EpochEnd, EvalEnd, Event, Finished, Progress, StepEnd
from semisup.core.inference import TEMPERATURE
from semisup.core.threshold_curve import summary_thresholds
from semisup.core.types import Images, Reliability
from semisup.errors import DivergedError
from semisup.method import LOG_SUMS, Method, OfflineMethod, Position, TrainingContext, seed_dropout
from semisup.runtime.distributed import all_reduce_gradients, assert_replicas_equal
from semisup.training.evaluation import Evaluation, evaluate
from semisup.training.state import Best, State, TrainingConfig, TrainingData, TrainSettings, make_context

Metrics = dict[str, float | int | None]


def train(problem: TrainingData, settings: TrainingConfig, state: State) -> Generator[Event, None, None]:
    """Train until the epochs or steps are done, from wherever `state` is; the last event is Finished.

    Raises:
        DivergedError: a loss or a gradient was not finite; said before it is saved, and at the end of the epoch at the
            latest.
    """
    training = make_context(problem, settings, state)
    method, plan = settings.method, settings.train
    while not _is_finished(plan, state):
        steps = method.steps_in_epoch(training, state.memory)
        if state.pending_accuracy is None:  # else the state is that of a BurnInEnd, and the evaluation was made
            yield from _epoch(problem, settings, training, state, steps)
        if (accuracy := state.pending_accuracy) is not None:
            position = _current_position(plan, state, steps)
            state.memory = yield from method.on_evaluation(training, state.memory, position, accuracy)
            state.pending_accuracy = None
            state.started = time.monotonic()
        yield EpochEnd(state.step, state.epoch)
    if _not_labeled_yet(method, state):
        yield BurnInEnd(state.step, state.epoch)
    yield from _finish(problem, settings, state)


def _epoch(
    problem: TrainingData, settings: TrainingConfig, training: TrainingContext, state: State, steps: int
) -> Generator[Event, None, None]:
    """The steps of an epoch, or what is left of them, and its evaluation; leaves in `state.unheard` what the method is
    still to be told of it."""
    method, plan = settings.method, settings.train
    while state.position < steps and not _steps_exhausted(plan, state):
        if _eval_due_by_step(plan, state):
            here = state.epoch, state.position
            yield from _evaluate(problem, settings, training, state, here, chooses=True)
            state.memory = yield from method.report(training, state.memory, _current_position(plan, state, steps))
        training_step(training, settings, state, _current_position(plan, state, steps))
        if problem.device.type == "cpu":  # elsewhere looking would wait for the device
            state.check()
        yield StepEnd(state.step, state.epoch)
    state.check()
    last = state.epoch, state.position
    state.epoch, state.position = state.epoch + 1, 0
    due = _eval_due_by_step(plan, state) or _eval_due_by_epoch(plan, state) or _is_finished(plan, state)
    if due or method.needs_evaluation(state.epoch):
        accuracy = yield from _evaluate(problem, settings, training, state, last, chooses=due)
        position = _current_position(plan, state, steps)
        state.memory = yield from method.report(training, state.memory, position)
        if not _is_finished(plan, state):
            state.pending_accuracy = accuracy
            if _not_labeled_yet(method, state) and method.will_relabel(training, position, accuracy):
                yield BurnInEnd(state.step, state.epoch)


def _not_labeled_yet(method: Method, state: State) -> TypeGuard[OfflineMethod]:
    return isinstance(method, OfflineMethod) and not method.has_pseudo_labels(state.memory)


def _steps_exhausted(plan: TrainSettings, state: State) -> bool:
    return plan.steps is not None and state.step >= plan.steps


def _is_finished(plan: TrainSettings, state: State) -> bool:
    """Whether the last epoch is over, its evaluation included: only between two epochs."""
    last = _steps_exhausted(plan, state) or (plan.epochs is not None and state.epoch >= plan.epochs)
    return last and state.position == 0


def _current_position(plan: TrainSettings, state: State, steps_in_epoch: int) -> Position:
    if plan.steps is not None:
        progress = state.step / plan.steps
    else:
        progress = (state.epoch + state.position / steps_in_epoch) / (plan.epochs or 1)
    return Position(state.step, state.epoch, state.position, progress)


def training_step(training: TrainingContext, settings: TrainingConfig, state: State, position: Position) -> None:
    """One optimizer update. Nothing here waits for the device, unless the method looks at what is kept only."""
    seed_dropout(settings.seed, position.step)
    rate = settings.optimizer.lr * settings.schedule.factor(position.progress)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
    if not state.student.training:  # to say so again to every layer is a millisecond
        state.student.train()
    losses, state.memory = settings.method.loss(training, state.memory, position)
    state.optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    all_reduce_gradients(state.student)
    finite = torch.isfinite(losses.total.detach()) & _finite_gradient(state.optimizer)
    state.optimizer.step()
    if state.average is not None:
        state.averaged += 1
        plan = settings.train
        decay = decay_at(plan.ema_decay or 0.0, state.averaged, warmup=plan.ema_warmup)
        update_average(state.average, state.student, decay, statistics=plan.ema_buffers)
    state.sums += losses.sums
    bad = ~finite & (state.first_bad_step < 0)
    state.first_bad_step = torch.where(bad, position.step + 1, state.first_bad_step)
    state.step += 1
    state.position += 1


def _finite_gradient(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """() bool: a finite loss can have a gradient that is not, and one step later every weight is lost.

    By what torch's GradScaler does, to all tensors at once, without waiting for the device; the scale is 1, which
    changes no bit. The largest absolute value says the same, in fifteen times the time on a processor.
    """
    learned = (each for group in optimizer.param_groups for each in group["params"])
    gradients = [each.grad for each in learned if each.grad is not None]
    if not gradients:
        return torch.tensor(True)
    found, scale = (torch.full((), value, device=gradients[0].device) for value in (0.0, 1.0))
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, scale)
    return found == 0


def _eval_due_by_step(plan: TrainSettings, state: State) -> bool:
    every = plan.evaluate_every_steps
    return every is not None and state.step // every > state.evaluated // every


def _eval_due_by_epoch(plan: TrainSettings, state: State) -> bool:
    return plan.evaluate_every_steps is None and state.epoch % plan.evaluate_every == 0


def _evaluate(
    problem: TrainingData,
    settings: TrainingConfig,
    training: TrainingContext,
    state: State,
    last: tuple[int, int],
    *,
    chooses: bool,
) -> Generator[Event, None, float]:
    """Evaluate the teacher on the validation set; with `chooses` it may become the best model.

    Args:
        last: epoch and position at the last step, where the state goes back to if this is not done to its end.

    Raises:
        DivergedError: its loss is not finite: the weights are beyond use, and are not saved.
    """
    trained = time.monotonic()
    state.check()
    assert_replicas_equal(state.student)
    try:
        found = yield from _run_evaluation(problem, state, "validation", training.eval_batch_size)
    except GeneratorExit:
        state.epoch, state.position = last
        raise
    if not math.isfinite(found.loss):
        raise DivergedError(state.step)
    accuracy = found.accuracy
    improved = chooses and (state.best is None or accuracy > state.best.accuracy)
    if improved:
        weights = {name: value.detach().clone() for name, value in state.teacher.state_dict().items()}
        state.best = Best(state.step, state.epoch, accuracy, found.loss, weights)
    temperature = fit_temperature(found.logits, found.targets) if settings.calibrates else 1.0
    metrics: Metrics = _epoch_metrics(state) | {
        "val/loss": found.loss,
        "val/accuracy": accuracy,
        "val/ece": expected_calibration_error(found.reliability(1.0)),
        "lr": max(float(group["lr"]) for group in state.optimizer.param_groups),
        "train_seconds": trained - state.started,
        "val_seconds": time.monotonic() - trained,
    }
    if settings.calibrates:
        state.memory = state.memory | {TEMPERATURE: state.memory[TEMPERATURE].new_tensor(temperature)}
        after = expected_calibration_error(found.reliability(temperature))
        metrics |= {TEMPERATURE: temperature, "val/ece_calibrated": after}
    state.started = time.monotonic()
    if chooses:
        state.evaluated = state.step
    what_if = found.what_if(temperature) if settings.method.uses_unlabeled else None
    yield EvalEnd(state.step, state.epoch, metrics, improved, what_if)
    return accuracy


def _epoch_metrics(state: State) -> Metrics:
    """The means over the steps since the last evaluation; resets them."""
    sums = dict(zip(LOG_SUMS, state.sums.tolist(), strict=True))
    state.sums.zero_()
    state.labeled_steps += int(sums["labeled_steps"])
    labeled, unlabeled = sums["labeled_images"], sums["unlabeled_images"]
    return {
        "train/loss": sums["labeled_loss"] / labeled if labeled else None,
        "train/accuracy": sums["labeled_correct"] / labeled if labeled else None,
        "train/unlabeled_loss": sums["unlabeled_loss"] / unlabeled if unlabeled else None,
    }


def _finish(problem: TrainingData, settings: TrainingConfig, state: State) -> Generator[Event, None, None]:
    """Read the test set, for the first and only time, with the model that validation chose."""
    best = state.best
    assert best is not None, "the last epoch is always evaluated"
    model, batch_size = state.teacher, settings.train.eval_batch_size
    end = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best.weights)
    summary: Metrics = {
        "steps": state.step,
        "epochs": state.epoch,
        "labeled_steps": state.labeled_steps,
        "best/step": best.step,
        "best/epoch": best.epoch,
        "best/val/accuracy": best.accuracy,
        "best/val/loss": best.loss,
    }
    found: dict[str, Evaluation] = {}
    try:
        for split in ("validation", "test"):
            if bool((getattr(problem, split).targets >= 0).any()):
                found[split] = yield from _run_evaluation(problem, state, split, batch_size)
    finally:
        model.load_state_dict(end)  # the state is that of the last step again
    validation = found["validation"]
    temperature = fit_temperature(validation.logits, validation.targets)
    what_if = validation.what_if(temperature if settings.calibrates else 1.0)
    bins = {split: (each.reliability(1.0), each.reliability(temperature)) for split, each in found.items()}
    summary |= (
        _calibration("best/val", *bins["validation"]) | {"best/temperature": temperature} | summary_thresholds(what_if)
    )
    if test := found.get("test"):
        summary |= {"test/accuracy": test.accuracy, "test/loss": test.loss} | _calibration("test", *bins["test"])
    confusion = {split: each.confusion.tolist() for split, each in found.items()}
    said = {split: each.predictions(getattr(problem, split)) for split, each in found.items()}
    yield Finished(state.step, state.epoch, summary, confusion, bins, what_if, said)


def _run_evaluation(
    problem: TrainingData, state: State, split: str, batch_size: int
) -> Generator[Event, None, Evaluation]:
    """The teacher on a split, batch by batch."""
    images: Images = getattr(problem, split)
    looking = evaluate(state.teacher, images, problem.num_classes, batch_size)
    while True:
        try:
            done = next(looking)
        except StopIteration as end:
            found: Evaluation = end.value
            return found
        yield Progress(state.step, state.epoch, split, done, len(images))


def _calibration(name: str, before: Reliability, after: Reliability) -> Metrics:
    """How far confidence is from accuracy, as the model is and with the temperature that fits validation."""
    return {
        f"{name}/ece": expected_calibration_error(before),
        f"{name}/ece_calibrated": expected_calibration_error(after),
    }
