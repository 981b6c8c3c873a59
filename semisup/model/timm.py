"""Any classifier of timm by its name, pretrained or not, with a new classifier layer for K classes.

Images in [0, 1], gray or RGB, are resized and normalized inside the model, by the mean and standard deviation that its
weights were trained with. The weights are one file on this machine before a run starts.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.core.layers import NormalizedNetwork
from semisup.errors import check_choice, check_range
from semisup.runtime.timm_compat import TimmWeights, classifier_names, create_network, preprocessing
from semisup.runtime.weights_file import WeightsInfo

FREEZE, NORM = ("none", "encoder"), ("learn", "frozen")


@dataclass(frozen=True)
class TimmClassifier:
    """A classifier of timm. Keys: `conf/model/timm.yaml`."""

    architecture: str
    weights: str | None
    sha256: str | None
    input_size: int | None
    freeze: str
    norm: str
    drop_path: float

    def __post_init__(self) -> None:
        check_range("input_size", self.input_size, 8, 4096)
        check_choice("freeze", self.freeze, FREEZE)
        check_choice("norm", self.norm, NORM)
        check_range("drop_path", self.drop_path, 0, 1, below=True)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        more = {"drop_path_rate": self.drop_path} if self.drop_path > 0 else {}
        network = create_network("model.architecture", self.architecture, num_classes, **more)
        source = preprocessing(network)
        if pretrained and (weights := self._weights()) is not None:
            weights.load(network)
        mean, std = (source.mean, source.std) if self.weights is not None else ((0.0,) * 3, (1.0,) * 3)
        if self.freeze == "encoder":
            network.requires_grad_(False)
            for name in classifier_names(network):
                network.get_submodule(name).requires_grad_(True)
        frozen_norm = self.norm == "frozen" or self.freeze == "encoder"
        return TimmNetwork(network, mean, std, self.input_size or size, frozen_norm=frozen_norm)

    def weights_file(self) -> Path | None:
        weights = self._weights()
        return None if weights is None else weights.file()

    def download_url(self) -> str | None:
        weights = self._weights()
        return None if weights is None else weights.download_url()

    def weights_digest(self) -> str | None:
        weights = self._weights()
        return None if weights is None else weights.digest()

    def weights_info(self) -> WeightsInfo | None:
        weights = self._weights()
        return None if weights is None else weights.info()

    def _weights(self) -> TimmWeights | None:
        return None if self.weights is None else TimmWeights("model", self.architecture, self.weights, self.sha256)


class TimmNetwork(NormalizedNetwork):
    """Resizes and normalizes images, then applies the network."""

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int, *, frozen_norm: bool
    ) -> None:
        super().__init__(network, mean, std, size)
        self.frozen_norm = frozen_norm

    def train(self, mode: bool = True) -> "TimmNetwork":
        """Set the mode of all layers but, with frozen statistics, BatchNorm."""
        super().train(mode)
        for layer in self.modules() if self.frozen_norm else ():
            if isinstance(layer, _BatchNorm):
                layer.train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalized(images))
        return logits
