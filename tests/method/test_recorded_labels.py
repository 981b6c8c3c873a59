"""The log holds the labels that the loss uses, for every policy with every method.

The label in the loss is read from the gradient at the student's logits z. With p = softmax(z) and target q, the
gradient of cross-entropy is w (p - q); that of the squared error is proportional to p - q where p is uniform. So
argmax q is the argmin of the gradient less its part w p.
"""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semisup.core.events import PoolLabeled
from semisup.core.types import Images
from semisup.method import OnlineMethod, Position, Prepares, unlabeled_batch
from semisup.training.state import State, make_context, start
from tests.conftest import checked, choose, options, toy_problem

SEMI = [name for name in options("method") if name != "supervised"]


class Banded(nn.Module):
    """Logits from the brightness of three bands; uniform logits where gradients are computed.

    uniform: False for a method that labels and trains on the same pass.
    """

    def __init__(self, uniform: bool) -> None:
        super().__init__()
        self.uniform = uniform
        self.bias = nn.Parameter(torch.zeros(3))
        self.outputs: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        logits = 0.15 * images.mean(dim=1)[:, :3, :].sum(dim=2)
        if not torch.is_grad_enabled():
            return logits
        logits = (torch.zeros_like(logits) if self.uniform else logits) + self.bias
        logits.retain_grad()
        self.outputs.append(logits)
        return logits


def yaml_keys(method: str) -> set[str]:
    return {override.partition("=")[0].removeprefix("method.") for override in choose("method", method, gate=0)}


def problem_with(method: str, policy: str) -> tuple[Any, Any, State, Banded]:
    ratio = "null" if "gate" in yaml_keys(method) else 2
    overrides = choose(
        "method", method, gate=0, ramp=0, ratio=ratio, skip_rejected=True, alpha=1e-6, lambda_unlabeled=1
    )
    config = checked(
        *("model.widths=[8]", "train.batch_size=6", "train.ema_decay=0.9", "augment=none"),
        *overrides,
        *choose("threshold", policy, tau_start=0.2, tau=0.2, q=0.5, momentum=0, lambda_fairness=0, warmup_epochs=0),
    )
    everything = toy_problem(labeled=36).labeled  # labeled images of class 2 only: alignment changes many labels
    index = (everything.targets == 2).nonzero().squeeze(1)
    labeled = Images(everything.pixels[index], everything.targets[index], [f"{number}" for number in index.tolist()])
    problem = dataclasses.replace(toy_problem(), labeled=labeled)
    state = start(problem, config.settings)
    student = Banded(uniform=method != "pseudo_label")
    state.student = student
    if state.average is not None:
        state.average = student
    return config.settings, make_context(problem, config.settings, state), state, student


def labels_in_loss(student: Banded, weight: Tensor) -> Tensor:
    """Read the labels from the gradient of the last V rows of the student's last pass."""
    logits = student.outputs[-1]
    assert logits.grad is not None
    rows, gradient = logits.detach()[-len(weight) :], logits.grad[-len(weight) :]
    scale = 0.0 if student.uniform else 1 / len(rows)
    return (gradient - scale * weight[:, None] * rows.softmax(dim=1)).argmin(dim=1)


@pytest.mark.parametrize("policy", options("threshold"))
@pytest.mark.parametrize("method", SEMI)
def test_labels_in_the_log_are_those_in_the_loss(method: str, policy: str) -> None:
    settings, training, state, student = problem_with(method, policy)
    position, memory = Position(1, 1, 0, 0.5), state.memory
    if isinstance(settings.method, OnlineMethod):
        if isinstance(settings.method, Prepares):
            _, memory = run_generator(settings.method.prepare(training, memory))
        student.train()
        losses, memory = settings.method.loss(training, memory, position)
        index = unlabeled_batch(training, position, settings.method.ratio).index
        recorded, predicted = memory["last/targets"][index], memory["last/predicted"][index]
        weight = memory["last/weight"][index]
        selected = weight > 0
        if getattr(settings.method, "skip_rejected", False):
            recorded, predicted, weight = recorded[selected], predicted[selected], weight[selected]
    else:
        events, memory = run_generator(settings.method.relabel(training, state.memory, position))
        (event,) = (event for event in events if isinstance(event, PoolLabeled))
        student.train()
        labeled_steps = 2
        losses, _ = settings.method.loss(training, memory, Position(3, 1, labeled_steps, 0.5))
        index = memory["index"][: training.batch_size]
        recorded, predicted = event.selection.targets[index], event.labels.targets[index]
        weight = event.selection.weight[index]
    losses.total.backward()
    used = labels_in_loss(student, weight)
    assert len(used) == len(recorded)
    assert (weight > 0).sum() >= 2
    assert used[weight > 0].tolist() == recorded[weight > 0].tolist()
    if policy == "adamatch":
        assert recorded.tolist() != predicted.tolist(), "alignment changes no label here: the test would prove nothing"


def run_generator(generator: Any) -> tuple[list[Any], Any]:
    """Exhaust a generator; return what it yields and what it returns."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value
