"""model=timm: weights from a file, frozen layers and statistics, resizing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from semisup.errors import SettingError
from semisup.model.timm import TimmClassifier
from tests.conftest import Program
from tests.encoder.toy import ARCHITECTURE, TRANSFORMER, toy_folder, toy_weights


def settings(**changes: Any) -> TimmClassifier:
    values: dict[str, Any] = {
        "architecture": ARCHITECTURE,
        "weights": None,
        "sha256": None,
        "input_size": None,
        "freeze": "none",
        "norm": "learn",
        "drop_path": 0.0,
        "train_blocks": None,
    }
    return TimmClassifier(**(values | changes))


def test_weights_of_a_file_are_loaded_and_the_classifier_is_new(tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    network: Any = settings(weights=str(file)).build(3, 7, 32)
    state = torch.load(file, weights_only=True)
    assert torch.equal(network.network.conv_stem.weight, state["conv_stem.weight"])
    assert network(torch.rand(2, 1, 16, 16)).shape == (2, 7)
    other = settings().build(3, 7, 32)
    assert not torch.equal(dict(other.named_parameters())["network.conv_stem.weight"], state["conv_stem.weight"])


def test_normalization_is_the_one_of_the_weights(tmp_path: Path) -> None:
    network: Any = settings(weights=str(toy_weights(tmp_path / "toy.pth"))).build(3, 7, 32)
    assert network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert settings().build(3, 7, 32).get_buffer("mean").flatten().tolist() == [0, 0, 0]


def test_another_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    digest = settings(weights=str(file)).weights_digest()
    toy_weights(file, seed=1)
    model = settings(weights=str(file), sha256=digest)
    with pytest.raises(SettingError, match=f"must be the file with sha256 {digest}; the sha256 of this file is "):
        model.build(3, 7, 32)
    model.build(3, 7, 32, pretrained=False)


def test_frozen_encoder_trains_the_classifier_only(tmp_path: Path) -> None:
    network = settings(weights=str(toy_weights(tmp_path / "toy.pth")), freeze="encoder").build(3, 7, 32)
    learned = [name for name, value in network.named_parameters() if value.requires_grad]
    assert learned == ["network.classifier.weight", "network.classifier.bias"]


@pytest.mark.parametrize(("norm", "moves"), [("learn", True), ("frozen", False)])
def test_frozen_norm_keeps_its_statistics_in_training(norm: str, moves: bool) -> None:
    network = settings(norm=norm).build(3, 7, 32)
    before = network.get_buffer("network.bn1.running_mean").clone()
    network(torch.rand(4, 3, 32, 32))
    assert torch.equal(network.get_buffer("network.bn1.running_mean"), before) is not moves


def test_images_are_resized_inside_the_model() -> None:
    network: Any = settings(architecture=TRANSFORMER, input_size=160).build(1, 5, 8).eval()
    assert network(torch.rand(1, 1, 8, 8)).shape == (1, 5)


def test_run_records_the_weights_and_is_reproduced(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    words = ["model=timm", f"model.architecture={ARCHITECTURE}", f"model.weights={file}", "model.input_size=32"]
    words += ["method=supervised", "dataset=folder", f"dataset.root={toy_folder(tmp_path / 'images')}"]
    words += ["dataset.size=16", "dataset.workers=1", "train.epochs=1", "train.batch_size=6", "plots=false"]
    status, output = program("train", *words, "precision=float32", "tracking=none")
    assert status == 0, output
    (about,) = (tmp_path / "outputs/runs").glob("*/run.json")
    weights = json.loads(about.read_text())["weights"]
    assert weights["file"] == "toy.pth"
    assert weights["sha256"] == settings(weights=str(file)).weights_digest()
    status, output = program("reproduce", str(about.parent))
    assert status == 0, output
    toy_weights(file, seed=1)
    status, output = program("reproduce", str(about.parent))
    assert status == 2
    assert weights["sha256"] in output
