"""Any classifier of timm by its name, pretrained or not, with a new classifier layer for K classes.

The model takes gray or RGB images in [0, 1]. It resizes them, and normalizes them by the mean and standard deviation
that its weights were trained with. The weights are one file on this machine before a run starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.core.added_setting import added
from semisup.core.layers import NormalizedNetwork
from semisup.errors import SettingError, check_choice, check_range
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

FREEZE, NORM = ("none", "encoder", "blocks"), ("learn", "frozen")

ONLY_WITH_BLOCKS = "must be null except with model.freeze=blocks"


@dataclass(frozen=True)
class TimmClassifier:
    """Settings of a timm classifier. Keys: `conf/model/timm.yaml`."""

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
        check_choice("freeze", self.freeze, FREEZE)
        check_choice("norm", self.norm, NORM)
        check_range("drop_path", self.drop_path, 0, 1, below=True)
        check_range("train_blocks", self.train_blocks, 1)
        if (self.freeze == "blocks") != (self.train_blocks is not None):
            allowed = "must be given with freeze=blocks, for example 2" if self.freeze == "blocks" else ONLY_WITH_BLOCKS
            raise SettingError("train_blocks", self.train_blocks, allowed)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        more = {"drop_path_rate": self.drop_path} if self.drop_path > 0 else {}
        network = create_network("model.architecture", self.architecture, num_classes, **more)
        source = preprocessing(network)
        if pretrained and (weights := self._weights()) is not None:
            weights.load(network)
        mean, std = (source.mean, source.std) if self.weights is not None else ((0.0,) * 3, (1.0,) * 3)
        frozen_norm = self.norm == "frozen" or self.freeze == "encoder"
        model = TimmNetwork(network, mean, std, self.input_size or size, frozen_norm=frozen_norm)
        self._freeze(model)
        if self.weights is not None and self.freeze != "none":
            model.frozen_names, model.weights_sha256 = frozenset(_frozen_names(model)), self.sha256
        return model.train()  # a new network is in training mode; this keeps frozen BatchNorm in eval mode

    def _freeze(self, model: "TimmNetwork") -> None:
        """Freeze layers: exclude them from training, as the setting `freeze` says.

        Raises:
            SettingError: timm forms no groups of layers of this network, or fewer than `train_blocks`.
        """
        if self.freeze == "none":
            return
        trained = set(model.head_parameters())
        if self.train_blocks is not None:
            depths = model.layer_depths()
            if depths is None:
                raise SettingError(
                    "model.freeze",
                    self.freeze,
                    f"timm does not divide {self.architecture} into blocks; use none or encoder",
                )
            blocks = max(depth for each, depth in depths.items() if each not in trained) + 1
            if self.train_blocks > blocks:
                raise SettingError(
                    "model.train_blocks",
                    self.train_blocks,
                    f"must be at most {blocks}, the number of blocks of {self.architecture}",
                )
            trained |= {each for each, depth in depths.items() if depth >= blocks - self.train_blocks}
        for parameter in model.parameters():
            parameter.requires_grad_(parameter in trained)

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


class TimmNetwork(NormalizedNetwork):
    """A timm network with its preprocessing: it resizes and normalizes images.

    `PartlyFrozen` documents frozen_names and weights_sha256.
    """

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int, *, frozen_norm: bool
    ) -> None:
        super().__init__(network, mean, std, size)
        self.frozen_norm = frozen_norm
        self.frozen_names: frozenset[str] = frozenset()
        self.weights_sha256: str | None = None

    def layer_depths(self) -> dict[nn.Parameter, int] | None:
        """Return the depth of every parameter, from 0 at the input; None if timm defines none for this network."""
        if (groups := layer_groups(self.network)) is None:
            return None
        return {parameter: groups[name] for name, parameter in self.network.named_parameters()}

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the classifier layers.

        If timm does not name these layers, they are those of the last linear layer or convolution.
        """
        return [parameter for layer in self.classifier_layers() for parameter in layer.parameters()]

    def classifier_layers(self) -> list[nn.Module]:
        """Return the classifier layers that timm names, or else the last linear layer or convolution."""
        linear = [name for name, each in self.network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)]
        return [self.network.get_submodule(name) for name in classifier_names(self.network) or linear[-1:]]

    def train(self, mode: bool = True) -> "TimmNetwork":
        """Set the mode of all layers, except that BatchNorm with frozen statistics remains in eval mode."""
        super().train(mode)
        for _, layer in _frozen_norms(self):
            layer.train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalized(images))
        return logits


def _frozen_norms(model: TimmNetwork) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and layer of each BatchNorm layer whose running statistics stay fixed.

    With `norm=frozen` these are all BatchNorm layers, otherwise only those whose parameters are frozen.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm):
            trained = [parameter.requires_grad for parameter in layer.parameters()]
            if model.frozen_norm or (trained and not any(trained)):
                yield name, layer


def _frozen_names(model: TimmNetwork) -> Iterator[str]:
    """Yield the names of the frozen parameters and of the BatchNorm statistics that stay fixed."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            yield name
    for name, layer in _frozen_norms(model):
        yield from (f"{name}.{key}" for key, _ in layer.named_buffers())
