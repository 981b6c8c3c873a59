"""Any classifier of timm by its name, pretrained or not, with a new classifier layer for K classes.

Images in [0, 1], gray or RGB, are resized and normalized inside the model, by the mean and standard deviation that its
weights were trained with. The weights are one file on this machine before a run starts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.errors import check_choice, check_range
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
FREEZE, NORM = ("none", "encoder"), ("learn", "frozen")


class TimmWeights(NamedTuple):
    """What run.json records about the weights: file name, digest, page and license."""

    file: str
    sha256: str
    source: str | None
    license: str | None


@dataclass(frozen=True)
class TimmClassifier:
    """A classifier of timm.

    architecture: one of `timm.list_models()`; a tag after a dot selects the weights and their preprocessing
    weights: null = random, a file (.safetensors, .pth), or `hub` = timm's own, downloaded once into the Hugging Face
        cache
    sha256: digest of the weights' file; another file is refused
    input_size: side in pixels to which images are resized inside the model (bicubic); null = dataset.size
    freeze: `encoder` = only the classifier layer is trained
    norm: `frozen` = BatchNorm keeps the statistics of its weights, in training too
    drop_path: probability, in [0, 1), with which a residual branch is left out in training
    """

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
        check_range("drop_path", self.drop_path, 0, 0.99)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        more = {"drop_path_rate": self.drop_path} if self.drop_path > 0 else {}
        network = create_network("model.architecture", self.architecture, num_classes, **more)
        source = preprocessing(network)
        if pretrained and (file := self.weights_file()) is not None:
            require_digest("model.weights", file, self.sha256)
            load_into(network, read_weights("model.weights", file), "model.weights", file, classifier_names(network))
        mean, std = (source.mean, source.std) if self.weights is not None else ((0.0,) * 3, (1.0,) * 3)
        if self.freeze == "encoder":
            network.requires_grad_(False)
            for name in classifier_names(network):
                network.get_submodule(name).requires_grad_(True)
        frozen_norm = self.norm == "frozen" or self.freeze == "encoder"
        return TimmNetwork(network, mean, std, self.input_size or size, frozen_norm=frozen_norm)

    def weights_file(self) -> Path | None:
        """Return the file of the weights, downloaded if need be; None without pretrained weights."""
        if self.weights is None:
            return None
        if self.weights == HUB:
            return hub_file("model", self.architecture)
        return Path(self.weights).expanduser().absolute()

    def download_url(self) -> str | None:
        """Return the URL that `weights_file` would download now; None where there is nothing to download."""
        return missing_hub_file("model", self.architecture) if self.weights == HUB else None

    def weights_digest(self) -> str | None:
        """Return the sha256 of the weights' file; None without pretrained weights."""
        file = self.weights_file()
        return None if file is None else require_digest("model.weights", file, self.sha256)

    def weights_info(self) -> TimmWeights | None:
        """Describe the weights for run.json; None without pretrained weights."""
        file = self.weights_file()
        if file is None:
            return None
        with torch.device("meta"):
            network = create_network("model.architecture", self.architecture, 0)
        own = self.weights == HUB
        license_ = preprocessing(network).license if own else None
        return TimmWeights(file.name, str(self.weights_digest()), hub_page(network) if own else None, license_)


class TimmNetwork(nn.Module):
    """Resizes and normalizes images, then applies the network."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int, *, frozen_norm: bool
    ) -> None:
        super().__init__()
        self.network, self.size, self.frozen_norm = network, size, frozen_norm
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "TimmNetwork":
        """Set the mode of all layers but, with frozen statistics, BatchNorm."""
        super().train(mode)
        for layer in self.modules() if self.frozen_norm else ():
            if isinstance(layer, _BatchNorm):
                layer.train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        images = images.expand(-1, 3, -1, -1)
        if images.shape[-1] != self.size:
            images = interpolate(images, (self.size, self.size), mode="bicubic", antialias=True)
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits
