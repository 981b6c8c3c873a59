"""Pretrained weights of torchvision's models: one file, its digest in the config, the run id and run.json."""

import hashlib
import json
import pickle
import re
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semisup.config.run_id import result_config, run_id
from semisup.errors import SettingError
from semisup.model import Pretrained, identify_weights
from semisup.model.torchvision import TorchvisionClassifier
from semisup.runner import run as run_module
from semisup.runtime.torchvision_compat import torchvision
from tests.conftest import Program, checked

NAME = "squeezenet1_1"
MODEL = ("model=torchvision", f"model.architecture={NAME}")
SHORT = ("dataset.size=32", "method=supervised", "train.steps=1", "tracking=none", "plots=false", "device=cpu")


def save_weights(path: Path, seed: int, name: str = NAME) -> Path:
    """Save random weights in the format of torchvision's files."""
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision("models").get_model(name, weights=None).state_dict(), path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hub_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of DEFAULT in the cache of torch.hub; a download fails the test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("it downloads"))
    url = torchvision("models").get_model_weights(NAME).DEFAULT.url
    return save_weights(tmp_path / "cache" / "hub" / "checkpoints" / Path(url).name, seed=1)


def test_validation_fills_in_the_digest_of_a_listed_file(hub_file: Path) -> None:
    run_config = checked(*MODEL, "model.weights=DEFAULT")
    model = run_config.settings.model
    assert isinstance(model, Pretrained)
    assert run_config.config["model"]["sha256"] == model.sha256 == sha256(hub_file)
    info = model.weights_info()
    assert info is not None
    assert (info.file, info.sha256, info.license) == (hub_file.name, sha256(hub_file), None)
    assert str(info.source).startswith("https://download.pytorch.org/")


def test_validation_fills_in_the_digest_of_a_local_file_and_makes_its_path_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_weights(tmp_path / "own.pth", seed=2)
    monkeypatch.chdir(tmp_path)
    run_config = checked(*MODEL, "model.weights=./own.pth")
    assert run_config.config["model"]["weights"] == str(file)
    info = run_config.settings.model.weights_info()  # type: ignore[attr-defined]
    assert info == ("own.pth", sha256(file), None, None)


def test_run_id_depends_on_the_contents_and_name_of_the_file_but_not_on_its_folder(tmp_path: Path) -> None:
    one, same = save_weights(tmp_path / "a" / "own.pth", seed=2), tmp_path / "b" / "own.pth"
    same.parent.mkdir()
    shutil.copy(one, same)
    renamed = Path(shutil.copy(one, tmp_path / "other.pth"))
    ids = [checked(*MODEL, f"model.weights={file}").id for file in (one, same, renamed)]
    save_weights(one, seed=3)
    ids.append(checked(*MODEL, f"model.weights={one}").id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_run_id_without_pretrained_weights_does_not_depend_on_the_key() -> None:
    config = checked(*MODEL).config
    without = config | {"model": {key: value for key, value in config["model"].items() if key != "sha256"}}
    assert run_id(config) == run_id(without)
    assert "sha256" not in result_config(config)["model"]


def test_given_digest_must_be_that_of_the_file(hub_file: Path) -> None:
    digest, other = sha256(hub_file), "0" * 64
    assert checked(*MODEL, "model.weights=DEFAULT", f"model.sha256='{digest}'").config["model"]["sha256"] == digest
    with pytest.raises(SettingError) as caught:
        checked(*MODEL, "model.weights=DEFAULT", f"model.sha256='{other}'")
    assert digest in str(caught.value)
    assert other in str(caught.value)
    with pytest.raises(SettingError, match=r"model\.sha256=0+.*: must be null if model\.weights is null"):
        checked(*MODEL, f"model.sha256='{other}'")


def test_a_file_that_changes_between_validation_and_use_is_refused(hub_file: Path) -> None:
    model = checked(*MODEL, "model.weights=DEFAULT").settings.model
    save_weights(hub_file, seed=9)
    with pytest.raises(
        SettingError, match=f"must be the file with sha256 .*; the sha256 of this file is {sha256(hub_file)}"
    ):
        model.build(3, 2, 32)
    assert isinstance(model.build(3, 2, 32, pretrained=False), nn.Module), "which needs no file"


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "googlenet", "densenet121"])
def test_loading_gives_the_network_that_torchvision_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    models = torchvision("models")
    entry = models.get_model_weights(name).DEFAULT
    file = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    file.parent.mkdir(parents=True)
    full = models.get_model(
        name, weights=None, **({"aux_logits": True, "init_weights": False} if name == "googlenet" else {})
    )
    state = full.state_dict()
    if name == "densenet121":  # the names in torchvision's own file
        old = {key: re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key) for key in state}
        state = {old[key]: state[key] for key in state if not key.endswith("num_batches_tracked")}
    torch.save(state, file)
    expected = models.get_model(name, weights=entry).state_dict()
    model = TorchvisionClassifier(name, "DEFAULT", None, "none", None, "learn").build(3, 7, 64)
    loaded = model.network.state_dict()  # type: ignore[union-attr]
    assert list(loaded) == list(expected)
    same = [key for key in expected if torch.equal(loaded[key], expected[key])]
    assert 0 < len(expected) - len(same) <= 2, "all but weight and bias of the head"
    bare = TorchvisionClassifier(name, "DEFAULT", None, "none", None, "learn").build(3, 7, 64, pretrained=False)
    bare.load_state_dict(model.state_dict())
    if name == "googlenet":
        assert bare.network.transform_input == model.network.transform_input, "which no state_dict holds"


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this code ran",)


def _truncated(path: Path) -> None:
    save_weights(path, seed=1)
    path.write_bytes(path.read_bytes()[:-4000])


def _with_code(path: Path) -> None:
    torch.save({"a": _Code()}, path)


def _pickled_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Code()))


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = torch.load(save_weights(path, seed=1), weights_only=True)
        change(state)
        torch.save(state, path)

    return write


def _compressed(path: Path) -> None:
    save_weights(path, seed=1)
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(f"{path}.zip", "w", zipfile.ZIP_DEFLATED) as small:
        for part in stored.infolist():
            small.writestr(part.filename, stored.read(part))
    Path(f"{path}.zip").replace(path)


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**29)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, r"cannot be read \(No such file or directory\)"),
    "folder": (lambda path: path.mkdir(), "is not a file"),
    "empty": (lambda path: path.touch(), "the file is empty"),
    "truncated": (_truncated, "is damaged, or contains more than tensors"),
    "text": (lambda path: path.write_text("weights"), "is damaged, or contains more than tensors"),
    "compressed": (_compressed, r"damaged, .*\(the file is a zip archive with compressed parts"),
    "code": (_with_code, "loading it would run "),
    "bare code": (_pickled_code, "loading it would run|is damaged, or contains more than tensors"),
    "other architecture": (lambda path: save_weights(path, 1, "mobilenet_v3_small"), "does not fit the architecture"),
    "missing keys": (
        _changed(lambda state: [state.pop(key) for key in list(state)[:7]]),
        r"7 missing: features\.0\.weight, features\.0\.bias, .* and 2 more",
    ),
    "extra keys": (
        _changed(lambda state: state.update({"extra": torch.ones(1), **{k: state.pop(k) for k in list(state)[-1:]}})),
        "1 not in the network: extra",
    ),
    "other shape": (
        _changed(lambda state: state.update({"features.0.weight": torch.ones(2, 3)})),
        r"1 of another shape: features\.0\.weight \(2, 3\) instead of \(64, 3, 3, 3\)",
    ),
    "not finite": (_changed(lambda state: state["features.0.bias"].fill_(float("nan"))), r"features\.0\.bias has val"),
    "expanded": (
        _changed(lambda state: state.update({"classifier.1.bias": torch.ones(1).expand(2**40)})),
        r"the tensor classifier\.1\.bias is not dense",
    ),
    "a list": (
        lambda path: torch.save([torch.ones(1)], path),
        "must contain a state_dict of named tensors, but contains a list",
    ),
    "a checkpoint": (
        lambda path: torch.save({"epoch": 3, "state_dict": OrderedDict(a=torch.ones(1))}, path),
        "does not fit the architecture",
    ),
    "too large": (_too_large, r"takes 0.5369 GB, more than the 0.07699 GB that weights of this model can take"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_an_unusable_file_is_refused_in_one_line(case: str, program: Program, tmp_path: Path) -> None:
    write, reason = BAD_FILES[case]
    file = tmp_path / "own.pth"
    write(file)
    with pytest.raises(SettingError, match=reason):
        identify_weights(TorchvisionClassifier(NAME, str(file), None, "none", None, "learn"))
    status, output = program("train", *MODEL, f"model.weights={file}", *SHORT)
    assert status == 2
    assert output.strip().count("\n") == 0, output
    assert f"model.weights={file}: " in output
    assert "this code ran" not in output
    assert not (tmp_path / "outputs").exists()


def test_an_unknown_entry_is_refused_at_validation() -> None:
    with pytest.raises(SettingError, match=r"model\.weights=imagenet: must be null, .* one of IMAGENET1K_V1"):
        checked(*MODEL, "model.weights=imagenet")


def runs_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/runs/*-*"))


def test_a_replaced_file_gives_another_run_and_reproduce_refuses_it(
    program: Program, tmp_path: Path, hub_file: Path
) -> None:
    command = ("train", *MODEL, "model.weights=DEFAULT", *SHORT)
    assert program(*command)[0] == 0
    (run,) = runs_of(tmp_path)
    first = sha256(hub_file)
    recorded = json.loads((run / "run.json").read_text())["weights"]
    assert (recorded["file"], recorded["sha256"], recorded["license"]) == (hub_file.name, first, None)
    assert recorded["source"].endswith(hub_file.name)
    status, output = program(*command)
    assert (status, len(runs_of(tmp_path))) == (0, 1), output
    original = hub_file.read_bytes()
    save_weights(hub_file, seed=5)
    for words in (("reproduce", str(run), "tracking=none"), ("reproduce", str(run), "--check-only")):
        status, output = program(*words)
        assert status == 2, output
        assert f"must be the file with sha256 {first}; the sha256 of this file is {sha256(hub_file)}" in output
    assert program(*command)[0] == 0
    assert len(runs_of(tmp_path)) == 2, "it said that it was already done"
    moved = tmp_path / "moved" / hub_file.name
    moved.parent.mkdir()
    moved.write_bytes(original)
    status, output = program("reproduce", str(run), "tracking=none", "plots=false", f"model.weights={moved}")
    assert (status, "identical (" in output) == (0, True), output


def test_an_unfinished_run_is_not_continued_from_another_file(
    program: Program, tmp_path: Path, hub_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)
    command = ("train", *MODEL, "model.weights=DEFAULT", *SHORT, "checkpoint.every_steps=1")
    assert program(*command)[0] == 0
    (run,) = runs_of(tmp_path)
    (run / "summary.json").unlink()  # as a run killed before its last write
    first = sha256(hub_file)
    original = hub_file.read_bytes()
    save_weights(hub_file, seed=5)
    status, output = program(*command)
    assert status == 2, output
    assert f"its sha256 is {sha256(hub_file)}, but the unfinished run {run.name} began with {first}" in output
    assert runs_of(tmp_path) == [run]
    hub_file.write_bytes(original)
    status, output = program(*command)
    assert (status, (run / "summary.json").exists()) == (0, True), output


def test_predict_needs_no_file_of_weights(program: Program, tmp_path: Path, hub_file: Path) -> None:
    from PIL import Image

    assert program("train", *MODEL, "model.weights=DEFAULT", *SHORT)[0] == 0
    (run,) = runs_of(tmp_path)
    hub_file.unlink()
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8), 90).save(tmp_path / "images" / "one.png")
    status, output = program("predict", str(run), "images")
    assert (status, output.count("one.png")) == (0, 1), output
