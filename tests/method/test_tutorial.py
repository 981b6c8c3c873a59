"""Self-training against an independent implementation of the Food-11 tutorial's loop, and the tutorial's faults.

The reference is written from the tutorial's description: one pass over the labeled images, one over the pseudo-labeled
images, evaluation, and at every third epoch above the gate a new pseudo-labeled set.
"""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from semisup.core.events import EvalEnd, Finished, PoolLabeled
from semisup.core.sampling import epoch_batch
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, toy_problem

EPOCHS, BATCH, TAU, GATE, EVERY, RATE = 6, 4, 0.45, 0.34, 3, 0.01


def tutorial(problem: Any, model: nn.Module, seed: int) -> dict[str, list[Any]]:
    """Run the tutorial's loop; return everything that it could have logged."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4, fused=True)
    labeled = problem.labeled.pixels.float() / 255
    unlabeled = problem.unlabeled.pixels.float() / 255
    validation = problem.validation.pixels.float() / 255
    selected, pseudo = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    log: dict[str, list[Any]] = {"train": [], "unlabeled": [], "val": [], "accuracy": [], "sets": []}

    def learn(images: torch.Tensor, targets: torch.Tensor) -> float:
        loss = cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item() * len(targets)

    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for position in range(-(-len(labeled) // BATCH)):
            index = epoch_batch(seed, "labeled", epoch, len(labeled), BATCH, position)
            total += learn(labeled[index], problem.labeled.targets[index])
        log["train"].append(total / len(labeled))
        total = 0.0
        for begin in range(0, len(selected), BATCH):
            total += learn(unlabeled[selected[begin : begin + BATCH]], pseudo[begin : begin + BATCH])
        log["unlabeled"].append(total / len(selected) if len(selected) else None)
        model.eval()
        with torch.no_grad():
            logits = model(validation)
            log["val"].append(cross_entropy(logits, problem.validation.targets).item())
            accuracy = (logits.argmax(1) == problem.validation.targets).float().mean().item()
            log["accuracy"].append(accuracy)
            if epoch % EVERY == 0 and accuracy > GATE:
                confidence, target = model(unlabeled).softmax(dim=1).max(dim=1)
                selected = (confidence > TAU).nonzero().squeeze(1)
                pseudo = target[selected]
                log["sets"].append((epoch, selected.tolist(), pseudo.tolist()))
    return log


def ours(problem: Any, config: Any) -> tuple[dict[str, list[Any]], Any]:
    state = start(problem, config.settings)
    log: dict[str, list[Any]] = {"train": [], "unlabeled": [], "val": [], "accuracy": [], "sets": []}
    for event in train(problem, config.settings, state):
        if isinstance(event, EvalEnd):
            for name, key in (("train", "train/loss"), ("unlabeled", "train/unlabeled_loss"), ("val", "val/loss")):
                log[name].append(event.metrics[key])
            log["accuracy"].append(event.metrics["val/accuracy"])
        elif isinstance(event, PoolLabeled):
            selected = (event.selection.weight > 0).nonzero().squeeze(1)
            log["sets"].append((event.epoch - 1, selected.tolist(), event.selection.targets[selected].tolist()))
    return log, state


def settings(*more: str) -> Any:
    return checked(
        "augment=none",
        "precision=float32",
        f"train.epochs={EPOCHS}",
        f"train.batch_size={BATCH}",
        f"threshold.tau={TAU}",
        "threshold.strict=true",
        f"method.gate={GATE}",
        f"optimizer.lr={RATE}",
        f"method.refresh_every={EVERY}",
        *more,
    )


@pytest.mark.parametrize("model", ["small_cnn", "cnn"])
@pytest.mark.parametrize("seed", [0, 1])
def test_losses_labels_and_accuracies_equal_the_tutorials(model: str, seed: int) -> None:
    small = ["model.widths=[8,16]", *(["model.hidden=16"] if model == "cnn" else [])]
    config = settings(f"model={model}", *small, f"seed={seed}")
    problem = toy_problem(labeled=24, unlabeled=30, size=8)
    reference = tutorial(problem, start(problem, config.settings).student, seed)
    log, _ = ours(problem, config)
    assert reference["sets"], "accuracy never exceeded the gate: the test would prove nothing"
    assert any(loss is not None for loss in reference["unlabeled"])
    assert log["sets"] == reference["sets"]
    for name in ("train", "unlabeled", "val", "accuracy"):
        for mine, theirs in zip(log[name], reference[name], strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or mine == pytest.approx(theirs, rel=1e-5), name


def test_best_model_is_the_first_of_the_highest_validation_accuracy() -> None:
    """The tutorial compared the accuracy with a loss."""
    config = settings("model.widths=[8,16]")
    problem = toy_problem()
    accuracies, finished = [], None
    for event in train(problem, config.settings, start(problem, config.settings)):
        if isinstance(event, EvalEnd):
            accuracies.append(event.metrics["val/accuracy"])
        finished = event
    assert isinstance(finished, Finished)
    assert finished.summary["best/val/accuracy"] == max(accuracies)
    assert finished.summary["best/epoch"] == accuracies.index(max(accuracies)) + 1
    correct = sum(row[number] for number, row in enumerate(finished.confusion["validation"]))
    assert correct / len(problem.validation) == max(accuracies), "the tested model is not the best one"


def test_pseudo_label_loss_is_that_of_the_pseudo_labeled_images() -> None:
    """The tutorial logged the labeled batch's."""
    log, _ = ours(toy_problem(labeled=24), settings("model.widths=[8,16]"))
    pairs = [(a, b) for a, b in zip(log["train"], log["unlabeled"], strict=True) if b is not None]
    assert pairs
    assert all(labeled != unlabeled for labeled, unlabeled in pairs)


def test_previous_set_stays_in_use_if_accuracy_falls_below_the_gate() -> None:
    class Falling(nn.Module):
        """A model with fixed predictions."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.scale * images.mean(dim=1)[:, :3, :].sum(dim=2)

    from semisup.method import Position
    from semisup.method.self_training import SelfTraining
    from semisup.threshold.fixed import Fixed
    from semisup.training.state import make_context

    problem = toy_problem()
    config = settings("model.widths=[8,16]")
    method = SelfTraining(gate=0.6, refresh_every=3, ratio=None, lambda_unlabeled=1.0)
    chosen = replace(config.settings, method=method, threshold=Fixed(tau=0.0, strict=False))
    state = start(problem, chosen)
    state.student = Falling()
    training = make_context(problem, chosen, state)
    memory = method.init(training)

    def after(epoch: int, accuracy: float, memory: Any) -> tuple[Any, int]:
        events, steps = [], method.on_evaluation(training, memory, Position(0, epoch, 0, 0.5), accuracy)
        while True:
            try:
                events.append(next(steps))
            except StopIteration as stop:
                return stop.value, sum(isinstance(event, PoolLabeled) for event in events)

    memory, rounds = after(1, 0.61, memory)
    assert rounds == 1
    assert len(memory["index"]) == len(problem.unlabeled)
    for epoch, accuracy in itertools.product((2, 3), (0.1, 0.99)):  # not a third epoch
        assert after(epoch, accuracy, memory)[1] == 0
    for accuracy in (0.1, 0.6, float("nan")):  # a third one, not above the gate
        again, rounds = after(4, accuracy, memory)
        assert rounds == 0
        assert len(again["index"]) == len(problem.unlabeled)
    assert after(4, 0.7, memory)[1] == 1


def test_every_unlabeled_image_is_predicted_with_softmax_over_classes() -> None:
    problem = toy_problem(unlabeled=31)
    config = settings("model.widths=[8,16]", "method.gate=0")
    for event in train(problem, config.settings, start(problem, config.settings)):
        if isinstance(event, PoolLabeled):
            assert event.labels.probabilities.shape == (31, 3)
            assert torch.allclose(event.labels.probabilities.sum(1), torch.ones(31))
            return
    raise AssertionError("never labeled")
