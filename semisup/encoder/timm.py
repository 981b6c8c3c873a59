"""A frozen encoder from timm: one of its pretrained networks."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from semisup.encoder._network import BackboneNetwork
from semisup.encoder._settings import NetworkSettings
from semisup.errors import SettingError, check_range, first_line
from semisup.runtime.timm_compat import TimmWeights, create_network, preprocessing, timm_meta_network
from semisup.runtime.weights_file import WeightsInfo


@dataclass(frozen=True)
class TimmEncoder(NetworkSettings):
    """A network of timm with pretrained weights, without its classifier.

    The settings are explained in `conf/encoder/timm.yaml`.
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
            self._weights().load(network)
        source = preprocessing(network)
        size = self.input_size or source.size
        return BackboneNetwork(network, source.mean, source.std, size, self.precision)

    def weights_file(self) -> Path:
        return self._weights().file()

    def download_url(self) -> str | None:
        return self._weights().download_url()

    def weights_info(self) -> WeightsInfo:
        return self._weights().info()

    def _weights(self) -> TimmWeights:
        return TimmWeights("encoder", self.architecture, self.weights, self.sha256)


@cache
def _dimension(architecture: str, input_size: int | None) -> int:
    """Compute the number of features per image, by a forward pass without data (on the meta device).

    Raises:
        SettingError: the network does not accept images of this size.
    """
    network = timm_meta_network("encoder.architecture", architecture).eval()
    source = preprocessing(network)
    size = input_size or source.size
    try:
        features = network(torch.zeros(1, 3, size, size, device="meta"))
    except (RuntimeError, AssertionError, IndexError) as error:
        raise SettingError(
            "encoder.input_size",
            size,
            f"{architecture} does not accept images of this size ({first_line(error)}); null = "
            f"{source.size}, its default; type encoder.input_size={source.size}",
        ) from None
    return int(features.shape[1])
