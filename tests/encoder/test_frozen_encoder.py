"""Runs of model=timm whose encoder is frozen: checkpoints without it, prediction, resume and reproduction with it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from semisup.core.events import StepEnd
from semisup.errors import SettingError
from semisup.record import checkpoint
from semisup.runner import run as run_module
from semisup.runtime.timm_compat import TimmWeights, layer_groups
from semisup.training.state import restore, start
from tests.conftest import Program, checked, toy_problem
from tests.encoder.test_timm_model import settings
from tests.encoder.toy import ARCHITECTURE, toy_folder, toy_weights
from tests.training.test_loop import everything, resumed_at, same_weights

HEAD = {"network.classifier.weight", "network.classifier.bias"}


def words(weights: Path, *overrides: str) -> list[str]:
    model = ["model=timm", f"model.architecture={ARCHITECTURE}", f"model.weights={weights}", "model.input_size=32"]
    return [*model, "train.batch_size=6", "precision=float32", *overrides]


def run_words(tmp_path: Path, weights: Path, *overrides: str) -> list[str]:
    data = ["dataset=folder", f"dataset.root={toy_folder(tmp_path / 'images')}", "dataset.size=16", "dataset.workers=1"]
    length = ["train.epochs=null", "train.steps=4", "train.evaluate_every_steps=2", "plots=false", "tracking=none"]
    return ["train", *words(weights), *data, *length, "method=supervised", "checkpoint.every_steps=1", *overrides]


@pytest.mark.parametrize(
    ("freeze", "train_blocks", "frozen"),
    [("encoder", None, 6), ("blocks", 1, 5), ("blocks", 3, 3), ("blocks", 6, 0), ("none", None, 0)],
)
def test_blocks_before_the_trained_ones_are_frozen(freeze: str, train_blocks: int | None, frozen: int) -> None:
    model: Any = settings(freeze=freeze, train_blocks=train_blocks).build(3, 7, 32)
    groups = layer_groups(model.network)
    assert groups is not None
    for name, parameter in model.network.named_parameters():
        assert parameter.requires_grad is (groups[name] >= frozen), name
    for name, layer in model.network.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.training is (groups[f"{name}.weight"] >= frozen), name


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"freeze": "blocks", "train_blocks": 7}, r"model\.train_blocks=7: must be at most 6, the number of blocks"),
        ({"freeze": "blocks"}, r"train_blocks=null: must be given with freeze=blocks"),
        ({"train_blocks": 2}, r"train_blocks=2: must be null except with model\.freeze=blocks"),
        ({"freeze": "blocks", "train_blocks": 0}, r"train_blocks=0: must be at least 1"),
    ],
)
def test_number_of_blocks_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings(**wrong).build(3, 7, 32)


@pytest.mark.parametrize("more", [("model.freeze=encoder",), ("model.freeze=blocks", "model.train_blocks=2")])
def test_state_holds_what_training_changes_and_resumes_bit_identically(more: tuple[str, ...], tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    length = ("train.epochs=null", "train.steps=8", "train.evaluate_every_steps=3")
    chosen = checked(*words(file, *more, *length, "train.ema_decay=0.5", "method=fixmatch", "method.ratio=1")).settings
    problem = toy_problem(channels=3)
    state = start(problem, chosen)
    snapshot = state.snapshot()
    whole = state.student.state_dict()
    assert snapshot["frozen_sha256"] == chosen.model.sha256  # type: ignore[attr-defined]
    assert HEAD <= set(snapshot["student"]) < set(whole)
    assert set(snapshot["student"]) == set(snapshot["average"])
    rows, weights, end = everything(problem, chosen)
    moved = {name for name in whole if not torch.equal(whole[name], weights[name])}
    assert HEAD <= moved <= set(snapshot["student"])
    for stop in (1, 5):
        again_rows, again_weights, again_end = resumed_at(stop, StepEnd, problem, chosen)
        assert (again_rows, again_end) == (rows, end)
        assert same_weights(again_weights, weights)
    with pytest.raises(RuntimeError, match=r"with other pretrained weights \(sha256 0"):
        restore(state, snapshot | {"frozen_sha256": "0"})


def test_checkpoints_of_a_frozen_encoder_hold_the_head_and_name_the_weights(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    sizes = {}
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)
    for freeze in ("none", "encoder"):
        status, output = program(*run_words(tmp_path, file, f"model.freeze={freeze}", f"name={freeze}"))
        assert status == 0, output
        (best,) = (tmp_path / "outputs" / freeze).glob("*/checkpoints/best-*.pt")
        (last,) = (tmp_path / "outputs" / freeze).glob("*/checkpoints/last-*.pt")
        sizes[freeze] = best.stat().st_size, last.stat().st_size
    assert set(checkpoint.load(best)["weights"]) == HEAD
    digest = checked(*words(file)).config["model"]["sha256"]
    assert checkpoint.load(best)["frozen_sha256"] == checkpoint.load(last)["frozen_sha256"] == digest
    assert 20 * sizes["encoder"][0] < sizes["none"][0], sizes
    assert 20 * sizes["encoder"][1] < sizes["none"][1], sizes


def _refuses_to_download(run: Path, program: Program) -> None:
    """Assert that predict and export do not download weights of frozen layers that this machine does not have."""
    config = run / "config.yaml"
    content = config.read_text()
    changed = re.sub(r"(?m)^  weights: .*$", "  weights: hub", content)
    assert changed != content
    config.write_text(changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimmWeights, "download_url", lambda self: "https://example.org/weights")
        patch.setattr(TimmWeights, "file", lambda self: pytest.fail("the weights would be downloaded"))
        for words_ in (("predict", str(run), "new"), ("export", str(run), "--format=safetensors")):
            status, output = program(*words_)
            assert (status, output.strip().count("\n")) == (2, 0), output
            assert "are not on this machine; download them from https://example.org/weights" in output
    config.write_text(content)


def test_run_of_a_frozen_encoder_predicts_resumes_and_is_reproduced(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)
    file = toy_weights(tmp_path / "toy.pth")
    command = run_words(tmp_path, file, "model.freeze=encoder")
    status, output = program(*command)
    assert status == 0, output
    (run,) = (tmp_path / "outputs/runs").glob("*-*")
    recorded = (run / "metrics.jsonl").read_text()
    (tmp_path / "new").mkdir()
    Image.new("RGB", (16, 16), (90, 10, 10)).save(tmp_path / "new" / "one.png")
    status, predicted = program("predict", str(run), "new")
    assert (status, predicted.count("one.png")) == (0, 1), predicted

    file.rename(tmp_path / "elsewhere.pth")
    digest = checkpoint.load(next((run / "checkpoints").glob("best-*.pt")))["frozen_sha256"]
    missing = (
        f"model.weights={file}: cannot be read (No such file or directory); put the file with sha256 {digest} there"
    )
    for words_ in (("predict", str(run), "new"), ("reproduce", str(run), "tracking=none")):
        status, output = program(*words_)
        assert (status, output.strip().count("\n")) == (2, 0), output
        assert missing in output
    toy_weights(file, seed=1)
    status, output = program("predict", str(run), "new")
    assert status == 2
    assert f"must be the file with sha256 {digest}" in output
    (tmp_path / "elsewhere.pth").rename(file)
    _refuses_to_download(run, program)

    (run / "summary.json").unlink()  # as a run killed before its last write
    status, output = program(*command)
    assert status == 0, output
    assert (run / "metrics.jsonl").read_text() == recorded
    status, again = program("predict", str(run), "new")
    assert (status, again) == (0, predicted)
    status, output = program("reproduce", str(run), "tracking=none", "plots=false")
    assert (status, "identical (" in output) == (0, True), output
