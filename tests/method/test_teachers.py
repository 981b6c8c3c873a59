"""Mean of the last labelings as pseudo-labels (`labeler.teachers`)."""

import copy
from typing import Any

import pytest
import torch

from semisup.config import schema
from semisup.config.controls import reference_configs
from semisup.core.events import PoolLabeled, StepEnd
from semisup.errors import SettingError
from semisup.training.loop import train
from semisup.training.state import restore, start
from tests.conftest import checked, choose, options, toy_problem


def words(method: str, teachers: int) -> list[str]:
    chosen = choose("method", method, gate=0, refresh_every=1)
    small = ["model.widths=[8]", "train.batch_size=4", "optimizer.lr=0.01", "train.epochs=5", "threshold.tau=0.4"]
    return [*chosen, *small, f"labeler.teachers={teachers}"]


@pytest.mark.parametrize("method", ["self_training", "noisy_student"])
def test_pseudo_labels_are_the_mean_of_the_last_labelings(method: str) -> None:
    config, problem = checked(*words(method, 2)), toy_problem()
    state = start(problem, config.settings)
    labelings: list[torch.Tensor] = []
    snapshot: Any = None
    for event in train(problem, config.settings, state):
        if isinstance(event, PoolLabeled):
            labelings.append(event.labels.probabilities.clone())
        elif isinstance(event, StepEnd) and snapshot is None and len(labelings) == 3:
            snapshot = copy.deepcopy(state.snapshot())
    teachers = state.memory["teachers"]
    assert teachers.shape == (2, 30, 3)
    assert len(labelings) > 3
    assert torch.equal(labelings[-1], teachers.mean(dim=0))
    assert not torch.equal(teachers[0], teachers[1])
    resumed = start(problem, config.settings)
    restore(resumed, snapshot)
    for _ in train(problem, config.settings, resumed):
        pass
    assert torch.equal(resumed.memory["teachers"], teachers)
    pairs = zip(state.student.state_dict().values(), resumed.student.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "method", [name for name in options("method") if name not in ("self_training", "noisy_student", "supervised")]
)
def test_teachers_are_refused_with_online_methods(method: str) -> None:
    with pytest.raises(SettingError, match=r"^labeler\.teachers=2: has no effect"):
        checked(f"method={method}", "labeler.teachers=2", "train.ema_decay=0.9")


def test_one_teacher_has_no_memory_and_references_have_one() -> None:
    problem, config = toy_problem(), checked(*words("self_training", 1))
    assert "teachers" not in start(problem, config.settings).memory
    several = checked(*words("self_training", 3))
    assert several.id != config.id
    for reference in reference_configs(several.config, {"steps": 9, "labeled_steps": 9}).values():
        assert schema.validate(reference).config["labeler"]["teachers"] == 1
