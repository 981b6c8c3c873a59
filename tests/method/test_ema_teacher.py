"""`method.ema_teacher`: the average of the weights labels the weak views, in eval mode, and the student does not."""

from typing import Any

import pytest
import torch

from semisup.errors import SettingError
from semisup.method import Position, unlabeled_batch
from semisup.training.loop import train
from semisup.training.state import State, make_context, start
from tests.conftest import checked, toy_problem

WORDS = (
    "model.widths=[8,16]",
    "train.batch_size=4",
    "optimizer.lr=0.01",
    "train.ema_decay=0.9",
    "augment=randaugment",
    "precision=float32",
)


def trained(method: str, *overrides: str) -> tuple[Any, State, Any]:
    """Settings, state and learner after two epochs; the average is another model than the student by then."""
    config = checked(*WORDS, f"method={method}", "threshold.tau=0.2", "train.epochs=2", "method.ratio=2", *overrides)
    problem = toy_problem()
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    return config.settings, state, make_context(problem, config.settings, state)


@pytest.mark.parametrize("skip_rejected", [False, True])
@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_confidence_and_class_are_those_of_the_average(method: str, skip_rejected: bool) -> None:
    settings, state, learner = trained(
        method, "method.ema_teacher=true", f"method.skip_rejected={str(skip_rejected).lower()}"
    )
    place = Position(state.step, state.epoch, 0, 0.5)
    batch = unlabeled_batch(learner, place, settings.method.ratio)
    weak = learner.view(learner.weak, batch.pixels, "weak", place.step)
    assert state.average is not None
    with torch.no_grad():
        said = state.average.eval()(weak).softmax(dim=1)
        own = state.student.eval()(weak).softmax(dim=1)
    assert len(batch.index.unique()) == len(batch.index)
    state.student.train()
    _, memory = settings.method.loss(learner, state.memory, place)
    torch.testing.assert_close(memory["last/confidence"][batch.index], said.amax(dim=1))
    assert torch.equal(memory["last/predicted"][batch.index], said.argmax(dim=1))
    assert not torch.allclose(said, own, atol=1e-3)


@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_without_an_average_it_is_an_error_at_the_door(method: str) -> None:
    with pytest.raises(SettingError, match=r"train\.ema_decay"):
        checked(f"method={method}", "method.ema_teacher=true")


@pytest.mark.parametrize("method", ["fixmatch", "uda"])
def test_keeping_nothing_it_is_the_supervised_run_bit_for_bit(method: str) -> None:
    weak = ("augment=weak", "augment.strength=1")
    nothing = ("method.ema_teacher=true", "method.skip_rejected=true", "threshold=quantile", "threshold.q=0")
    students = []
    for overrides in ((f"method={method}", *nothing), ("method=supervised",)):
        config, problem = checked(*WORDS, *weak, "train.epochs=2", *overrides), toy_problem()
        state = start(problem, config.settings)
        for _ in train(problem, config.settings, state):
            pass
        students.append(state.student.state_dict().values())
    assert all(torch.equal(own, other) for own, other in zip(*students, strict=True))
