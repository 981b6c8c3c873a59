"""Import timm, an optional library, beside any build of torch and torchvision.

timm imports torchvision, which beside a CPU-only torch fails until `torchvision_compat` has repaired it. So the whole
program imports timm through this module.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from semisup.errors import SettingError, closest_match, first_line
from semisup.runtime.torchvision_compat import torchvision

INSTALL = "pip install 'semisup[timm]'"
HUB = "https://huggingface.co/"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class Preprocessing(NamedTuple):
    """The input that a network's weights were trained on.

    mean, std: of each channel, for images in [0, 1]
    size: side in pixels
    license: as its author states it; None where unknown
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    license: str | None


def import_timm(key: str, value: object) -> Any:
    """Import timm.

    Args:
        key, value: the setting that needs it, for the error message.

    Raises:
        SettingError: timm is not installed.
    """
    torchvision()
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise SettingError(key, value, f"needs the package {error.name}; type {INSTALL}") from None


def is_architecture(name: str) -> bool:
    """Whether timm is installed and has a network of this name."""
    try:
        return bool(import_timm("model", name).is_model(name))
    except SettingError:
        return False


def create_network(key: str, architecture: str, num_classes: int, **settings: Any) -> nn.Module:
    """Build a timm network with random weights.

    Args:
        key: the setting that names the architecture, for the error message.
        architecture: one of `timm.list_models()`; a tag after a dot selects the preprocessing.
        num_classes: 0 = no classifier; the network then returns its pooled features.
        settings: further arguments of `timm.create_model`.

    Raises:
        SettingError: timm is not installed, there is no such architecture, or it cannot be built with `settings`.
    """
    timm = import_timm(key, architecture)
    if not timm.is_model(architecture):
        names = timm.list_models()
        nearest = closest_match(architecture.partition(".")[0], names)
        raise SettingError(key, architecture, "must be an architecture of timm.list_models()", nearest)
    try:
        network: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=num_classes, **settings)
    except (TypeError, RuntimeError, AssertionError, ValueError) as error:
        raise SettingError(key, architecture, f"timm cannot build it ({first_line(error)})") from None
    return network


def preprocessing(network: nn.Module) -> Preprocessing:
    """Read the input of the weights that timm publishes for a network."""
    config: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return Preprocessing(
        mean=tuple(config.get("mean") or (0.0, 0.0, 0.0)),
        std=tuple(config.get("std") or (1.0, 1.0, 1.0)),
        size=int((config.get("input_size") or (3, 224, 224))[-1]),
        license=config.get("license") or None,
    )


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the network's classifier layers, such as `classifier` or `head.fc`."""
    found = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)


def hub_page(network: nn.Module) -> str | None:
    """Return the URL of the page of timm's own weights of a network; None where there are none."""
    repository = (getattr(network, "pretrained_cfg", None) or {}).get("hf_hub_id")
    return f"{HUB}{repository}" if repository else None


def hub_file(section: str, architecture: str) -> Path:
    """Return the file of timm's own weights in the user's Hugging Face cache, downloaded if it is not there.

    The variables HF_HOME and HF_HUB_OFFLINE apply.

    Args:
        section: `model` or `encoder`, for the error message.

    Raises:
        SettingError: timm publishes no weights for it, or they cannot be downloaded; says what to download instead.
    """
    page = _page_of(section, architecture)
    hub = importlib.import_module("huggingface_hub")
    if (path := _cached(page)) is not None:
        return path
    try:
        return Path(hub.hf_hub_download(page.removeprefix(HUB), HUB_FILES[0]))
    except Exception as error:  # of the network, the server, the disk
        allowed = (
            f"cannot be downloaded ({first_line(error)[:120]}); download {page}/resolve/main/{HUB_FILES[0]}"
            f" on a connected machine and type {section}.weights=/path/to/{HUB_FILES[0]}"
        )
        raise SettingError(f"{section}.weights", "hub", allowed) from None


def missing_hub_file(section: str, architecture: str) -> str | None:
    """Return the URL of the file that `hub_file` would download now; None where it is in the cache."""
    page = _page_of(section, architecture)
    return None if _cached(page) is not None else f"{page}/resolve/main/{HUB_FILES[0]}"


def _page_of(section: str, architecture: str) -> str:
    with torch.device("meta"):
        network = create_network(f"{section}.architecture", architecture, 0)
    page = hub_page(network)
    if page is None:
        raise SettingError(f"{section}.weights", "hub", f"timm publishes no weights of {architecture}; give a file")
    return page


def _cached(page: str) -> Path | None:
    hub = importlib.import_module("huggingface_hub")
    for name in HUB_FILES:
        if isinstance(path := hub.try_to_load_from_cache(page.removeprefix(HUB), name), str):
            return Path(path)
    return None
