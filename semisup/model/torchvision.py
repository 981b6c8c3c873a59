"""Any of torchvision's classifiers by name, pretrained or not, with a head for K classes.

Pretrained weights come with the normalization that they were trained with; images in [0, 1] are
normalized inside the model, and grey ones are repeated over the channels, so that the rest of the program
need not know. Weights are downloaded by torchvision into its own cache the first time.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from semisup.errors import SettingError, closest_match
from semisup.runtime.torchvision_compat import torchvision

PLAIN = {"aux_logits": False, "init_weights": False}  # one head, torch's own first weights


@dataclass(frozen=True)
class TorchvisionClassifier:
    """`architecture`: as in `torchvision.models.list_models(torchvision.models)`; `weights`: null, or a name such as
    DEFAULT or IMAGENET1K_V1."""

    architecture: str
    weights: str | None

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        models = self._models()
        weights = None if self.weights is None else self._pretrained(models)
        preset = weights.transforms() if weights is not None else None
        mean, std = (tuple(preset.mean), tuple(preset.std)) if preset else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        if weights is None or not pretrained:
            settings = PLAIN if self.architecture in ("googlenet", "inception_v3") else {}
            network = models.get_model(self.architecture, weights=None, num_classes=num_classes, **settings)
            return _Classifier(network, mean, std)
        try:
            network = models.get_model(self.architecture, weights=weights)
        except OSError as error:
            raise SettingError("model.weights", self.weights, f"could not be downloaded ({error})") from None
        _replace_head(network, num_classes)
        return _Classifier(network, mean, std)

    def download_url(self) -> str | None:
        if self.weights is None:
            return None
        address: str = self._pretrained(self._models()).url
        here = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(address).path).name  # as torch.hub names it
        return None if here.exists() else address

    def _models(self) -> ModuleType:
        models = torchvision("models")
        names = models.list_models(models)
        if self.architecture not in names:
            allowed = "must be a classifier of torchvision.models"
            raise SettingError(
                "model.architecture", self.architecture, allowed, closest_match(self.architecture, names)
            )
        return models

    def _pretrained(self, models: ModuleType) -> Any:
        choices = models.get_model_weights(self.architecture)
        if self.weights not in choices.__members__:
            allowed = f"must be null or one of {', '.join(choices.__members__)}"
            raise SettingError(
                "model.weights", self.weights, allowed, closest_match(str(self.weights), choices.__members__)
            )
        return choices[self.weights]


class _Classifier(nn.Module):
    """Three channels and the network's own normalization, then the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network((images.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return logits if isinstance(logits, Tensor) else logits.logits  # inception and googlenet, in training


def _replace_head(network: nn.Module, num_classes: int) -> None:
    """Put a fresh layer of `num_classes` outputs where the last linear (or 1x1 convolution, in squeezenet) was."""
    name, last = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    if isinstance(last, nn.Linear):
        head: nn.Module = nn.Linear(last.in_features, num_classes, bias=last.bias is not None)
    else:
        head = nn.Conv2d(last.in_channels, num_classes, kernel_size=1)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, head)
