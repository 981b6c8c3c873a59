"""Any classifier of torchvision by its name, with random or pretrained weights and a head for K classes.

The model normalizes images in [0, 1] as its pretrained weights require; gray images are repeated over three channels.
The weights are those of an entry in torchvision's list, which are downloaded once, or those of a local file.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from semisup.core.added_setting import added
from semisup.errors import SettingError, closest_match, first_line
from semisup.model._freezing import FreezableNetwork, check_freezing, freeze_layers
from semisup.runtime.meta_network import meta_network, state_bytes
from semisup.runtime.torchvision_compat import torchvision
from semisup.runtime.weights_file import (
    WeightsInfo,
    file_state,
    is_file_name,
    load_into,
    read_weights,
    require_digest,
)

KEY = "model.weights"

AUXILIARY_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
OLD_DENSENET_KEY = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
"""torchvision's files have old names, such as `denselayer1.norm.1.weight` for `denselayer1.norm1.weight`."""


@dataclass(frozen=True)
class TorchvisionClassifier:
    """Settings of a torchvision classifier, explained in `conf/model/torchvision.yaml`."""

    architecture: str
    weights: str | None
    sha256: str | None
    freeze: str = field(metadata=added("none"))
    train_blocks: int | None = field(metadata=added(None))
    norm: str = field(metadata=added("learn"))

    def __post_init__(self) -> None:
        check_freezing(self.freeze, self.train_blocks, self.norm)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        models = self._models()
        entry = self._entry(models)
        preset = entry.transforms() if entry is not None else None
        mean, std = (tuple(preset.mean), tuple(preset.std)) if preset else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        file = self.weights_file()
        if file is None or not pretrained:
            network = self._network(models, num_classes)
        else:
            self._fetch(file)
            network = self._load(models, file)
            _replace_head(network, num_classes)
        model = _Classifier(network, mean, std)
        sha256 = None if file is None else self.sha256
        return freeze_layers(model, self.freeze, self.train_blocks, self.norm, self.architecture, sha256)

    def weights_file(self) -> Path | None:
        if self.weights is None:
            return None
        if is_file_name(self.weights):
            return Path(self.weights).expanduser()
        name = Path(urlparse(self._entry(self._models()).url).path).name  # as torch.hub names it
        return Path(torch.hub.get_dir()) / "checkpoints" / name

    def download_url(self) -> str | None:
        file = self.weights_file()
        return None if file is None or file.exists() else self._source()

    def weights_digest(self) -> str | None:
        file = self.weights_file()
        if file is None:
            return None
        self._fetch(file)
        digest = require_digest(KEY, file, self.sha256)  # first, so that the error for a replaced file says so
        state = (self.architecture, *file_state(KEY, file))
        if state not in _checked_files:
            meta_network(lambda: self._load(self._models(), file))
            _checked_files.add(state)
        return digest

    def weights_info(self) -> WeightsInfo | None:
        file = self.weights_file()
        if file is None:
            return None
        source = self._source()
        license_ = self._entry(self._models()).meta.get("license") if source is not None else None
        return WeightsInfo(file.name, self.sha256 or require_digest(KEY, file, None), source, license_)

    def _source(self) -> str | None:
        """Return the URL of the pretrained weights; None for a local file and without pretrained weights."""
        local = self.weights is None or is_file_name(self.weights)
        return None if local else str(self._entry(self._models()).url)

    def _fetch(self, file: Path) -> None:
        """Download the weights file if it is missing and has a URL."""
        if (url := self.download_url()) is not None:
            hash_in_name = re.search(r"-([0-9a-f]{8,})\.", file.name)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(file), hash_in_name and hash_in_name[1])
            except (OSError, RuntimeError) as error:
                raise SettingError(
                    KEY, file.name, f"could not be downloaded ({first_line(error)}); put the file of {url} at {file}"
                ) from None

    def _load(self, models: ModuleType, file: Path) -> nn.Module:
        """Build the network with as many classes as the weights file has, and load the weights."""
        expected = meta_network(lambda: self._network(models, 1000, loading=True))
        state = read_weights(KEY, file, self.sha256, 2 * state_bytes(expected) + 2**26)
        if self.architecture.startswith("densenet"):
            state = {OLD_DENSENET_KEY.sub(r"\1\2", name): value for name, value in state.items()}
        last = state.get(list(expected.state_dict())[-1])  # of the head, whose first dimension is the number of classes
        classes = last.shape[0] if last is not None and last.ndim else 1000
        network = self._network(models, max(1, classes), loading=True)
        load_into(network, state, KEY, file)
        return _without_auxiliary_heads(network, self.architecture)

    def _network(self, models: ModuleType, num_classes: int, *, loading: bool = False) -> nn.Module:
        """Build the network with random weights.

        Args:
            loading: True = the caller will load weights: build all layers that torchvision's weight files have.
        """
        settings: dict[str, Any] = {}
        if self.architecture in AUXILIARY_HEADS:
            settings = {
                "aux_logits": loading,
                "init_weights": False,
                "transform_input": self.weights is not None,  # the weights were trained with (x - 0.5) / 0.5
            }
        elif self.architecture.startswith("vgg") and loading:
            settings = {"init_weights": False}
        elif self.architecture.startswith("vit") and self.weights is not None:
            settings = {"image_size": self._entry(models).meta["min_size"][0]}
        network: nn.Module = models.get_model(self.architecture, weights=None, num_classes=num_classes, **settings)
        return network

    def _models(self) -> ModuleType:
        models = torchvision("models")
        names = models.list_models(models)
        if self.architecture not in names:
            raise SettingError(
                "model.architecture",
                self.architecture,
                "must be a classifier of torchvision.models",
                closest_match(self.architecture, names),
            )
        return models

    def _entry(self, models: ModuleType) -> Any:
        """Return the entry of torchvision's list of weights that the setting `weights` names.

        Returns:
            For weights in a local file, the entry DEFAULT; without pretrained weights, None.
        """
        if self.weights is None:
            return None
        choices = models.get_model_weights(self.architecture)
        if is_file_name(self.weights):
            return choices.DEFAULT
        if self.weights not in choices.__members__:
            raise SettingError(
                KEY,
                self.weights,
                f"must be null, the path of a file (.safetensors, .pth), or one of {', '.join(choices.__members__)}",
                closest_match(self.weights, choices.__members__),
            )
        return choices[self.weights]


_checked_files: set[tuple[object, ...]] = set()
"""Architecture and state of the files that were found to fit: the jobs of a sweep read a file once to check it."""


class _Classifier(FreezableNetwork):
    """A torchvision network that first normalizes images and repeats gray images over three channels."""

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(self.normalized(images))
        return logits if isinstance(logits, Tensor) else logits.logits  # inception and googlenet, in training


def _without_auxiliary_heads(network: nn.Module, architecture: str) -> nn.Module:
    """Remove the auxiliary heads of a network, which compute additional losses in training."""
    for name in AUXILIARY_HEADS.get(architecture, ()):
        network.aux_logits = False  # type: ignore[assignment]
        setattr(network, name, None)
    return network


def _replace_head(network: nn.Module, num_classes: int) -> None:
    """Replace the last linear layer or convolution by a new one with `num_classes` outputs."""
    name, last = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    if isinstance(last, nn.Linear):
        head: nn.Module = nn.Linear(last.in_features, num_classes, bias=last.bias is not None)
    else:
        head = nn.Conv2d(last.in_channels, num_classes, kernel_size=1)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, head)
