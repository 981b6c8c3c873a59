"""model.freeze, model.train_blocks and model.norm for networks of torchvision; tests/encoder has those of timm."""

from pathlib import Path
from typing import Any

import pytest
import torch

from semisup.core.events import StepEnd
from semisup.errors import SettingError
from semisup.training.state import start
from tests.conftest import checked, toy_problem
from tests.model.test_weights import save_weights
from tests.training.test_loop import everything, resumed_at, same_weights

NAME = "shufflenet_v2_x0_5"
MODEL = ("model=torchvision", f"model.architecture={NAME}", "precision=float32")
HEAD = {"network.fc.weight", "network.fc.bias"}


def built(*overrides: str) -> Any:
    return checked(*MODEL, *overrides).settings.model.build(3, 7, 32)


def trained_names(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_encoder_is_frozen_with_its_statistics() -> None:
    model = built("model.freeze=encoder").train()
    assert trained_names(model) == HEAD
    assert not any(each.training for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d))


def test_last_blocks_are_trained() -> None:
    model = built("model.freeze=blocks", "model.train_blocks=1").train()
    assert trained_names(model) == HEAD | {f"network.conv5.{each}" for each in ("0.weight", "1.weight", "1.bias")}
    assert model.network.conv5[1].training
    assert not model.network.conv1[1].training


@pytest.mark.parametrize(("norm", "moves"), [("learn", True), ("frozen", False)])
def test_frozen_norm_keeps_its_statistics_and_trains_its_weights(norm: str, moves: bool) -> None:
    model = built(f"model.norm={norm}").train()
    before = model.network.conv1[1].running_mean.clone()
    model(torch.rand(4, 3, 32, 32))
    assert torch.equal(model.network.conv1[1].running_mean, before) is not moves
    assert trained_names(model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.freeze=all",), r"model\.freeze=all: must be one of blocks, encoder, none"),
        (("model.freeze=blocks",), r"model\.train_blocks=null: must be given with freeze=blocks"),
        (("model.freeze=blocks", "model.train_blocks=99"), r"model\.train_blocks=99: must be at most \d+, the number"),
        (("model.norm=batch",), r"model\.norm=batch: must be one of frozen, learn"),
    ],
)
def test_invalid_setting_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        built(*overrides)


def test_run_id_and_weights_do_not_depend_on_keys_that_are_not_set() -> None:
    config = checked(*MODEL).config
    added = {"freeze": "none", "train_blocks": None, "norm": "learn"}
    assert added.items() <= config["model"].items()
    assert checked(*MODEL).id == checked(*MODEL, "model.freeze=none", "model.norm=learn").id
    assert checked(*MODEL).id != checked(*MODEL, "model.norm=frozen").id


def test_state_of_a_frozen_encoder_holds_the_head_and_resumes_bit_identically(tmp_path: Path) -> None:
    file = save_weights(tmp_path / "own.pth", seed=1, name=NAME)
    words = ("train.batch_size=6", "train.epochs=null", "train.steps=6", "train.evaluate_every_steps=3")
    chosen = checked(*MODEL, f"model.weights={file}", "model.freeze=encoder", "method=supervised", *words).settings
    problem = toy_problem(channels=3)
    snapshot = start(problem, chosen).snapshot()
    assert set(snapshot["student"]) == HEAD
    assert snapshot["frozen_sha256"] == chosen.model.sha256  # type: ignore[attr-defined]
    rows, weights, end = everything(problem, chosen)
    again_rows, again_weights, again_end = resumed_at(4, StepEnd, problem, chosen)
    assert (again_rows, again_end) == (rows, end)
    assert same_weights(again_weights, weights)
