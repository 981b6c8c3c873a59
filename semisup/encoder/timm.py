"""Any pretrained network of timm as a frozen encoder."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from semisup.encoder import EncoderWeights
from semisup.encoder._network import BackboneNetwork
from semisup.encoder._settings import ViewSettings
from semisup.errors import SettingError, check_range, first_line
from semisup.runtime.timm_compat import (
    classifier_names,
    create_network,
    hub_file,
    hub_page,
    missing_hub_file,
    preprocessing,
)
from semisup.runtime.weights_file import load_into, read_weights, require_digest

HUB = "hub"


@dataclass(frozen=True)
class TimmEncoder(ViewSettings):
    """A network of timm with pretrained weights, without its classifier.

    architecture: one of `timm.list_models()`; a tag after a dot selects the preprocessing
    weights: a file (.safetensors, .pth), or `hub` = timm's own, downloaded once into the Hugging Face cache
    input_size: side in pixels to which images are resized for the network; null = the one its weights were trained on
    """

    architecture: str
    weights: str
    input_size: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("input_size", self.input_size, 8, 4096)

    def dimension(self) -> int:
        return _dimension(self.architecture, self.input_size)

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        network = create_network("encoder.architecture", self.architecture, 0)
        if pretrained:
            file = self.weights_file()
            require_digest("encoder.weights", file, self.sha256)
            weights = read_weights("encoder.weights", file)
            load_into(network, weights, "encoder.weights", file, classifier_names(network))
        source = preprocessing(network)
        size = self.input_size or source.size
        return BackboneNetwork(network, source.mean, source.std, size, self.precision)

    def weights_file(self) -> Path:
        if self.weights == HUB:
            return hub_file("encoder", self.architecture)
        return Path(self.weights).expanduser().absolute()

    def download_url(self) -> str | None:
        return missing_hub_file("encoder", self.architecture) if self.weights == HUB else None

    def weights_info(self) -> EncoderWeights:
        network = _without_memory(self.architecture)
        source = hub_page(network) if self.weights == HUB else None
        license_ = preprocessing(network).license if self.weights == HUB else None
        return EncoderWeights(self.weights_file().name, str(self.sha256), source, license_)


def _without_memory(architecture: str) -> nn.Module:
    with torch.device("meta"):
        return create_network("encoder.architecture", architecture, 0)


@cache
def _dimension(architecture: str, input_size: int | None) -> int:
    """D, measured on one image on the meta device.

    Raises:
        SettingError: the network does not accept images of this size.
    """
    network = _without_memory(architecture).eval()
    source = preprocessing(network)
    size = input_size or source.size
    try:
        features = network(torch.zeros(1, 3, size, size, device="meta"))
    except (RuntimeError, AssertionError, IndexError) as error:
        allowed = f"{architecture} does not accept it ({first_line(error)}); null = {source.size}, its own"
        raise SettingError("encoder.input_size", size, allowed) from None
    return int(features.shape[1])
