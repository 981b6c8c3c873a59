"""`method.ratio` by rounds: so many pseudo-labeled images an epoch for each labeled one, and all in turn."""

from collections.abc import Generator
from typing import Any

import pytest
import torch

from semisup.core.sampling import infinite_batch
from semisup.errors import SettingError
from semisup.method import Position
from semisup.training.loop import train
from semisup.training.state import make_context, start
from tests.conftest import checked, toy_problem

WORDS = ("model.widths=[8]", "train.batch_size=4", "method=self_training", "method.gate=0", "threshold.tau=0")


def rounds(*overrides: str, labeled: int = 12, unlabeled: int = 90) -> tuple[Any, Any, Any, Any]:
    """Settings, problem, state and learner after the pool was labeled, all of it kept."""
    config, problem = checked(*WORDS, "train.epochs=1", *overrides), toy_problem(labeled, unlabeled)
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    learner = make_context(problem, config.settings, state)
    memory = relabeled(config.settings.method, learner, state)
    assert len(memory["index"]) == unlabeled
    return config.settings.method, problem, memory, learner


def relabeled(method: Any, learner: Any, state: Any) -> Any:
    def whole() -> Generator[Any, None, None]:
        found.append((yield from method.relabel(learner, state.memory, Position(state.step, state.epoch, 0, 0.5))))

    found: list[Any] = []
    list(whole())
    return found[0]


def seen(method: Any, learner: Any, memory: Any, epoch: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the pseudo-labeled images that the steps of an epoch ask for."""
    asked: list[int] = []
    take = lambda images, index: (asked.extend(index.tolist()), images.pixels[index])[1]  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr("semisup.method.self_training.gather_images", take)
        for position in range(method.steps_in_epoch(learner, memory)):
            method.loss(learner, memory, Position(epoch * 20 + position, epoch, position, 0.5))
    return asked


def test_an_epoch_has_that_many_and_the_passes_come_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, learner = rounds("method.ratio=3")
    assert method.steps_in_epoch(learner, memory) == 3 + 9
    epochs = [seen(method, learner, memory, epoch, monkeypatch) for epoch in range(5)]
    assert [len(each) for each in epochs] == [36] * 5
    flat = [number for each in epochs for number in each]
    assert sorted(flat[:90]) == list(range(90)), "the first pass over the set"
    assert sorted(flat[90:180]) == list(range(90)), "the second, of half of the third epoch on"
    assert flat[:90] != flat[90:180] != list(range(90))
    assert epochs[2] == memory["index"][infinite_batch(0, "pseudo_labeled", 90, 36, 2)].tolist()


def test_targets_and_weights_are_those_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, learner = rounds("method.ratio=3")
    told: list[torch.Tensor] = []
    monkeypatch.setattr(
        "semisup.method.self_training.weighted_cross_entropy",
        lambda logits, targets, weight, size: (told.append(targets), logits.sum() * 0)[1],
    )
    asked = seen(method, learner, memory, 1, monkeypatch)
    assert torch.cat(told).tolist() == memory["targets"][asked].tolist()


@pytest.mark.parametrize("words", [["method.ratio=null"], ["method.ratio=8"]])
def test_where_the_set_is_smaller_it_is_one_pass_in_the_order_of_the_set(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, memory, learner = rounds(*words)
    assert seen(method, learner, memory, 1, monkeypatch) == list(range(90))


def test_one_image_left_over_joins_the_batch_before(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, learner = rounds("method.ratio=3", labeled=3)  # 9 = 4 + 5
    assert method.steps_in_epoch(learner, memory) == 1 + 2
    assert len(seen(method, learner, memory, 1, monkeypatch)) == 9


@pytest.mark.parametrize("method", ["self_training", "noisy_student"])
def test_less_than_one_is_an_error_at_the_door(method: str) -> None:
    with pytest.raises(SettingError, match=r"method\.ratio"):
        checked(f"method={method}", "method.ratio=0")
