"""`method.ratio` of offline methods: pseudo-labeled images per labeled image in an epoch, drawn in repeated passes."""

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

OVERRIDES = ("model.widths=[8]", "train.batch_size=4", "method=self_training", "method.gate=0", "threshold.tau=0")


def rounds(*overrides: str, labeled: int = 12, unlabeled: int = 90) -> tuple[Any, Any, Any, Any]:
    """Return method, data, memory and context after the unlabeled set was labeled and entirely selected."""
    config, problem = checked(*OVERRIDES, "train.epochs=1", *overrides), toy_problem(labeled, unlabeled)
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    training = make_context(problem, config.settings, state)
    memory = relabeled(config.settings.method, training, state)
    assert len(memory["index"]) == unlabeled
    return config.settings.method, problem, memory, training


def relabeled(method: Any, training: Any, state: Any) -> Any:
    def whole() -> Generator[Any, None, None]:
        results.append((yield from method.relabel(training, state.memory, Position(state.step, state.epoch, 0, 0.5))))

    results: list[Any] = []
    list(whole())
    return results[0]


def drawn_indices(method: Any, training: Any, memory: Any, epoch: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List the indices of the pseudo-labeled images of an epoch's steps."""
    indices: list[int] = []
    take = lambda images, index: (indices.extend(index.tolist()), images.pixels[index])[1]  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr("semisup.method.self_training.gather_images", take)
        for position in range(method.steps_in_epoch(training, memory)):
            method.loss(training, memory, Position(epoch * 20 + position, epoch, position, 0.5))
    return indices


def test_epoch_has_ratio_images_per_label_and_passes_cover_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, training = rounds("method.ratio=3")
    assert method.steps_in_epoch(training, memory) == 3 + 9
    epochs = [drawn_indices(method, training, memory, epoch, monkeypatch) for epoch in range(5)]
    assert [len(each) for each in epochs] == [36] * 5
    flat = [number for each in epochs for number in each]
    assert sorted(flat[:90]) == list(range(90)), "the first pass over the set"
    assert sorted(flat[90:180]) == list(range(90)), "the second, of half of the third epoch on"
    assert flat[:90] != flat[90:180] != list(range(90))
    assert epochs[2] == memory["index"][infinite_batch(0, "pseudo_labeled", 90, 36, 2)].tolist()


def test_targets_match_the_drawn_images(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, training = rounds("method.ratio=3")
    used_targets: list[torch.Tensor] = []
    monkeypatch.setattr(
        "semisup.method.self_training.pseudo_label_cross_entropy",
        lambda training, memory, logits, targets, weight, size: (used_targets.append(targets), logits.sum() * 0)[1],
    )
    indices = drawn_indices(method, training, memory, 1, monkeypatch)
    assert torch.cat(used_targets).tolist() == memory["targets"][indices].tolist()


@pytest.mark.parametrize("overrides", [["method.ratio=null"], ["method.ratio=8"]])
def test_smaller_set_is_one_pass_in_its_own_order(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, training = rounds(*overrides)
    assert drawn_indices(method, training, memory, 1, monkeypatch) == list(range(90))


def test_single_last_image_joins_the_previous_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, memory, training = rounds("method.ratio=3", labeled=3)  # 9 = 4 + 5
    assert method.steps_in_epoch(training, memory) == 1 + 2
    assert len(drawn_indices(method, training, memory, 1, monkeypatch)) == 9


@pytest.mark.parametrize("method", ["self_training", "noisy_student"])
def test_ratio_below_1_is_a_setting_error(method: str) -> None:
    with pytest.raises(SettingError, match=r"method\.ratio"):
        checked(f"method={method}", "method.ratio=0")
