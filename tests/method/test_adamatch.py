"""AdaMatch's additions to FixMatch (arXiv 2106.04732): strong labeled views, logit interpolation, cosine ramp-up."""

import math
from typing import Any

import pytest
import torch

from semisup.core.rng import torch_generator
from semisup.method import Position
from semisup.training.state import make_context, start
from tests.conftest import checked, toy_problem

POSITION = Position(4, 1, 1, 0.25)


def loss_of(*overrides: str) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]], Any]:
    """Compute the loss of one step; return it, the student's inputs and logits with gradient, and the context."""
    config = checked(
        *("method=fixmatch", "model.widths=[8,16]", "train.batch_size=4", "augment=randaugment", "precision=float32"),
        *overrides,
    )
    problem = toy_problem()
    state = start(problem, config.settings)
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(module: Any, args: tuple[torch.Tensor], logits: torch.Tensor) -> None:
        if torch.is_grad_enabled():
            passes.append((args[0], logits.detach().float()))

    state.student.register_forward_hook(record)
    training = make_context(problem, config.settings, state)
    state.student.train()
    losses, _ = config.settings.method.loss(training, state.memory, POSITION)
    return losses.total.detach(), passes, training


@pytest.mark.parametrize("lambda_unlabeled", [0, 1])
def test_strong_labeled_trains_on_both_views_of_the_labeled_batch(lambda_unlabeled: int) -> None:
    overrides = (f"method.lambda_unlabeled={lambda_unlabeled}", "threshold.tau=1")  # no strong unlabeled view
    loss, ((images, logits),), training = loss_of("method.strong_labeled=true", *overrides)
    weak, targets = training.labeled_batch(POSITION, training.weak)
    strong, _ = training.labeled_batch(POSITION, training.augment, "labeled_strong")
    assert torch.equal(images, torch.cat((weak, strong)))
    assert not torch.equal(weak, strong)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, targets.repeat(2)))
    _, ((images, _),), _ = loss_of(*overrides)
    assert torch.equal(images, weak)


def test_logit_interpolation_mixes_the_logits_of_both_passes() -> None:
    overrides = ("threshold.tau=0", "method.lambda_unlabeled=1e-30")  # the labeled loss only, to float32
    loss, passes, training = loss_of("method.logit_interpolation=true", *overrides)
    (_, together), (images, separate) = passes
    weak, targets = training.labeled_batch(POSITION, training.weak)
    assert torch.equal(images, weak)
    share = torch.rand(4, 3, generator=torch_generator(0, "logit_interpolation", POSITION.step))
    logits = share * together[:4] + (1 - share) * separate
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, targets))
    assert not torch.allclose(together[:4], separate, atol=1e-3), "BatchNorm normalizes the two passes differently"


def test_cosine_ramp_weights_the_unlabeled_loss() -> None:
    tau = "threshold.tau=0"
    full, off = loss_of(tau, "method.ramp=0")[0], loss_of(tau, "method.lambda_unlabeled=1e-30")[0]
    for ramp, shape, factor in (
        (1.0, "linear", 0.25),
        (1.0, "cosine", (1 - math.cos(math.pi / 4)) / 2),
        (0.5, "cosine", 0.5),
        (0.25, "cosine", 1.0),
    ):
        loss = loss_of(tau, f"method.ramp={ramp}", f"method.ramp_shape={shape}")[0]
        torch.testing.assert_close(loss - off, factor * (full - off))
