"""Files of pretrained weights: the same checks for every model and encoder."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semisup.errors import SettingError
from semisup.model import identify_weights
from semisup.model.timm import TimmClassifier
from semisup.model.torchvision import TorchvisionClassifier
from semisup.runtime.timm_compat import create_network, timm_meta_network
from semisup.runtime.torchvision_compat import torchvision

MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[str], Any]]] = {
    "torchvision": (
        lambda: torchvision("models").get_model("squeezenet1_1", weights=None),
        lambda file: TorchvisionClassifier("squeezenet1_1", file, None, "none", None, "learn"),
    ),
    "timm": (
        lambda: create_network("model.architecture", "test_efficientnet", 1000),
        lambda file: TimmClassifier(
            architecture="test_efficientnet",
            weights=file,
            sha256=None,
            input_size=None,
            freeze="none",
            train_blocks=None,
            norm="learn",
            drop_path=0.0,
        ),
    ),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> tuple[dict[str, torch.Tensor], Callable[[Path], Any]]:
    """Random weights of a network, and the settings that start from the weights in a file."""
    network, settings = MODELS[request.param]
    return network().state_dict(), lambda path: settings(str(path))


Model = tuple[dict[str, torch.Tensor], Callable[[Path], Any]]


def first_weights(network: nn.Module) -> torch.Tensor:
    return next(iter(network.state_dict().values()))


def test_weights_that_are_not_finite_are_refused(model: Model, tmp_path: Path) -> None:
    state, settings = model
    name = next(iter(state))
    state[name].view(-1)[0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(SettingError, match=f"{name} has values that are not finite"):
        settings(tmp_path / "nan.pth").build(3, 2, 64)


def test_flipped_bit_in_an_archive_is_refused(model: Model, tmp_path: Path) -> None:
    state, settings = model
    torch.save(state, file := tmp_path / "flipped.pth")
    with zipfile.ZipFile(file) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(file.read_bytes())
    content[largest.header_offset + 2000] ^= 1
    file.write_bytes(content)
    with pytest.raises(SettingError, match="is damaged"):
        settings(file).build(3, 2, 64)


def test_safetensors_file_loads_the_same_weights(model: Model, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state, settings = model
    torch.save(state, tmp_path / "own.pth")
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "own.safetensors")
    pickled, safe = (first_weights(settings(tmp_path / f"own.{end}").build(3, 2, 64)) for end in ("pth", "safetensors"))
    assert torch.equal(pickled, safe)


def test_weights_inside_a_training_checkpoint_are_loaded(model: Model, tmp_path: Path) -> None:
    state, settings = model
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c.pt"
    )
    loaded = first_weights(settings(tmp_path / "c.pt").build(3, 2, 64))
    assert torch.equal(loaded, next(iter(state.values())))


def test_identifying_weights_hashes_the_file_once(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, settings = model
    torch.save(state, file := tmp_path / "own.pth")
    hashed: list[str] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: hashed.append(file.name) or real(file, name))
    assert identify_weights(settings(file)) == identify_weights(settings(file))
    assert hashed == [str(file)]


def test_timm_network_without_data_is_built_once() -> None:
    network = timm_meta_network("model.architecture", "test_efficientnet")
    assert timm_meta_network("model.architecture", "test_efficientnet") is network
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}
