"""Any classifier of timm by its name, pretrained or not, with a new classifier layer for K classes.

The model takes gray or RGB images in [0, 1], resizes them, and normalizes them as in the training of the pretrained
weights.
"""

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from semisup.core.added_setting import added
from semisup.errors import check_range
from semisup.model._freezing import FreezableNetwork, check_freezing, freeze_layers
from semisup.runtime.meta_network import meta_network
from semisup.runtime.timm_compat import (
    TimmWeights,
    classifier_names,
    create_network,
    layer_groups,
    preprocessing,
    timm_meta_network,
)
from semisup.runtime.weights_file import WeightsInfo


@dataclass(frozen=True)
class TimmClassifier:
    """Settings of a timm classifier, explained in `conf/model/timm.yaml`."""

    architecture: str
    weights: str | None
    sha256: str | None
    input_size: int | None
    freeze: str
    norm: str
    drop_path: float
    train_blocks: int | None = field(metadata=added(None))

    def __post_init__(self) -> None:
        check_range("input_size", self.input_size, 8, 4096)
        check_range("drop_path", self.drop_path, 0, 1, below=True)
        check_freezing(self.freeze, self.train_blocks, self.norm)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        more = {"drop_path_rate": self.drop_path} if self.drop_path > 0 else {}
        network = create_network("model.architecture", self.architecture, num_classes, **more)
        source = preprocessing(network)
        if pretrained and (weights := self._weights()) is not None:
            weights.load(network)
        mean, std = (source.mean, source.std) if self.weights is not None else ((0.0,) * 3, (1.0,) * 3)
        model = TimmNetwork(network, mean, std, self.input_size or size)
        sha256 = None if self.weights is None else self.sha256
        return freeze_layers(model, self.freeze, self.train_blocks, self.norm, self.architecture, sha256)

    def own_size(self) -> int:
        """Return the side in pixels of the images for which the network was designed."""
        return preprocessing(timm_meta_network("model.architecture", self.architecture)).size

    def weights_file(self) -> Path | None:
        weights = self._weights()
        return None if weights is None else weights.file()

    def download_url(self) -> str | None:
        weights = self._weights()
        return None if weights is None else weights.download_url()

    def weights_digest(self) -> str | None:
        weights = self._weights()
        if weights is None:
            return None
        digest = weights.digest()
        if (self.architecture, digest) not in _checked:
            weights.load(meta_network(lambda: create_network("model.architecture", self.architecture, 1)))
            _checked.add((self.architecture, digest))
        return digest

    def weights_info(self) -> WeightsInfo | None:
        weights = self._weights()
        return None if weights is None else weights.info()

    def _weights(self) -> TimmWeights | None:
        return None if self.weights is None else TimmWeights("model", self.architecture, self.weights, self.sha256)


_checked: set[tuple[str, str]] = set()
"""(architecture, digest) of each file that was checked, so that the runs of a sweep in one process check it once."""


class TimmNetwork(FreezableNetwork):
    """A timm network that first resizes and normalizes images."""

    def layer_depths(self) -> dict[nn.Parameter, int] | None:
        """Return the depth of every parameter, 0 in the first block; None if timm defines no blocks for it."""
        if (groups := layer_groups(self.network)) is None:
            return None
        return {parameter: groups[name] for name, parameter in self.network.named_parameters()}

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the classifier layers."""
        return [parameter for layer in self.classifier_layers() for parameter in layer.parameters()]

    def classifier_layers(self) -> list[nn.Module]:
        """Return the classifier layers that timm names, or, without names, the last linear layer or convolution."""
        linear = [name for name, each in self.network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)]
        return [self.network.get_submodule(name) for name in classifier_names(self.network) or linear[-1:]]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalized(images))
        return logits
