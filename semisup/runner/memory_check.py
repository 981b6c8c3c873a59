"""Check that the images of a run, the copies that its method needs, and its model fit into memory."""

import torch

from semisup.config.schema import RunConfig
from semisup.errors import SettingError
from semisup.method import HoldsAllImages, OnlineMethod
from semisup.runtime.memory_limit import memory_limit_bytes


def check_image_memory(run_config: RunConfig, images: int, channels: int) -> None:
    """Raise SettingError if the images do not fit into CPU memory.

    If the images can be stored in a cache file, it is enough that the images of one training step fit.

    Args:
        images: number of images of all splits.
    """
    size, config = run_config.dataset.size, run_config.config["dataset"]
    what = "the images"
    if "memory_gb" in config and config["cache"] is not None:
        method = run_config.settings.method
        unlabeled = method.ratio if isinstance(method, OnlineMethod) else 0  # for each labeled one
        images, what = min(images, run_config.settings.train.batch_size * (1 + unlabeled)), "the images of a step"
    check_memory("dataset.size", size, images * channels * size**2, what, memory_limit_bytes())


def check_method_memory(run_config: RunConfig, images: int, channels: int) -> None:
    """Raise SettingError if the method keeps a copy of the training images that does not fit into memory.

    Args:
        images: number of labeled and unlabeled images.
    """
    method = run_config.settings.method
    if isinstance(method, HoldsAllImages) and method.uses_unlabeled:
        size = run_config.dataset.size
        values = channels * size**2 if run_config.encoder is None else run_config.encoder.dimension()
        what = f"{images} training images of {values} values each in float32"
        there = device_memory(run_config.run.device)
        check_memory("method", run_config.config["method"]["name"], method.memory_bytes(images, values), what, there)


def device_memory(device: str) -> int:
    """Return the memory of the CPU or of a GPU, in bytes."""
    if device in ("cpu", "mps"):  # the GPU of a Mac uses the memory of the CPU
        return memory_limit_bytes()
    return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)


def check_memory(key: str, value: object, bytes_: int, what: str, there: int) -> None:
    """Raise SettingError if `bytes_` is more than `there`, the memory of the device in bytes.

    Args:
        key, value: the setting for the error message.
        what: noun for the data that need `bytes_` bytes, in the plural.
    """
    if bytes_ > there:
        raise SettingError(
            key, value, f"{what} take {bytes_ / 1e9:.3g} GB of memory, but only {there / 1e9:.3g} GB exist"
        )
