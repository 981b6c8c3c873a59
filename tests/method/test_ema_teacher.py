"""`method.ema_teacher`: the average of the weights, in eval mode, labels the weak views instead of the student."""

from typing import Any

import pytest
import torch

from semisup.errors import SettingError
from semisup.method import Position, unlabeled_batch
from semisup.training.loop import train
from semisup.training.state import State, make_context, start
from tests.conftest import checked, toy_problem

OVERRIDES = (
    "model.widths=[8,16]",
    "train.batch_size=4",
    "optimizer.lr=0.01",
    "train.ema_decay=0.9",
    "augment=randaugment",
    "precision=float32",
)


def trained(method: str, *overrides: str) -> tuple[Any, State, Any]:
    """Return settings, state and context after two epochs, when the average differs from the student."""
    config = checked(
        *OVERRIDES, f"method={method}", "threshold.tau=0.2", "train.epochs=2", "method.ratio=2", *overrides
    )
    problem = toy_problem()
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    return config.settings, state, make_context(problem, config.settings, state)


@pytest.mark.parametrize("skip_rejected", [False, True])
@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_confidence_and_class_come_from_the_weight_average(method: str, skip_rejected: bool) -> None:
    settings, state, training = trained(
        method, "method.ema_teacher=true", f"method.skip_rejected={str(skip_rejected).lower()}"
    )
    position = Position(state.step, state.epoch, 0, 0.5)
    batch = unlabeled_batch(training, position, settings.method.ratio)
    weak = training.view(training.weak, batch.pixels, "weak", position.step)
    assert state.average is not None
    with torch.no_grad():
        expected = state.average.eval()(weak).softmax(dim=1)
        own = state.student.eval()(weak).softmax(dim=1)
    assert len(batch.index.unique()) == len(batch.index)
    state.student.train()
    _, memory = settings.method.loss(training, state.memory, position)
    torch.testing.assert_close(memory["last/confidence"][batch.index], expected.amax(dim=1))
    assert torch.equal(memory["last/predicted"][batch.index], expected.argmax(dim=1))
    assert not torch.allclose(expected, own, atol=1e-3)


@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_ema_teacher_without_ema_decay_is_a_setting_error(method: str) -> None:
    with pytest.raises(SettingError, match=r"train\.ema_decay"):
        checked(f"method={method}", "method.ema_teacher=true")


@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_ema_teacher_selecting_none_is_bit_identical_to_the_supervised_run(method: str) -> None:
    weak = ("augment=weak", "augment.strength=1")
    nothing = ("method.ema_teacher=true", "method.skip_rejected=true", "threshold=quantile", "threshold.q=0")
    students = []
    for overrides in ((f"method={method}", *nothing), ("method=supervised",)):
        config, problem = checked(*OVERRIDES, *weak, "train.epochs=2", *overrides), toy_problem()
        state = start(problem, config.settings)
        for _ in train(problem, config.settings, state):
            pass
        students.append(state.student.state_dict().values())
    assert all(torch.equal(own, other) for own, other in zip(*students, strict=True))
