"""Checked settings and the data: whether they go together, before anything is decoded, and what is trained on."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from semisup.config.schema import RunConfig
from semisup.core.types import Images
from semisup.dataset import SPLITS, Data, ScansFolders
from semisup.errors import SettingError, escape, first_line
from semisup.images.on_disk import LazyImages
from semisup.method import OfflineMethod, OnlineMethod
from semisup.model import ModelSettings
from semisup.runtime.distributed import local_device
from semisup.runtime.memory_limit import memory_limit_bytes
from semisup.runtime.precision import MAX_SHAPES
from semisup.training.state import TrainingData

LARGE_SIDE, LARGE_BYTES = 256, 2**29  # of images and weights: more is not tried in memory before a run


def check_compatibility(
    run_config: RunConfig, classes: Sequence[str], counts: Mapping[str, int], channels: int
) -> None:
    """Raise SettingError where settings and data do not go together; nothing needs to be decoded yet."""
    labeled, batch_size = counts["labeled"], run_config.settings.train.batch_size
    if counts["validation"] == 0:
        raise SettingError("dataset", run_config.config["dataset"]["name"], "leaves no image for validation")
    if run_config.settings.method.uses_unlabeled and counts["unlabeled"] == 0:
        name = run_config.config["method"]["name"]
        raise SettingError("method", name, "needs unlabeled images, and there are none; method=supervised does not")
    size, name = run_config.dataset.size, run_config.config["model"]["name"]
    weights = weight_bytes(run_config, channels, len(classes))
    if not run_config.elsewhere:
        _check_image_memory(run_config, sum(counts.values()), channels)
        _check_memory(
            "model", name, 2 * weights, "its weights and their gradients", _device_memory(run_config.run.device)
        )
    _check_determinism(run_config, channels, len(classes))
    refusal, takes_one = _probe_model(run_config.settings.model, channels, len(classes), size)
    if refusal is not None:
        raise SettingError("dataset.size", size, f"model={name} cannot take it: {refusal}")
    if not takes_one and (batch_size == 1 or (batch_size <= labeled and labeled % batch_size == 1)):
        allowed = f"leaves a batch of one of {labeled} labeled images, which BatchNorm in model={name} cannot take"
        raise SettingError("train.batch_size", batch_size, allowed)
    _warn_recompilation(run_config)


def _warn_recompilation(run_config: RunConfig) -> None:
    """Warn where every labeling of the pool can mean another compilation of the model: the pseudo-labeled images of an
    epoch end in a batch of what is left, and a model is compiled for every size of a batch.

    Raises:
        SettingError: there could be more sizes than are compiled.
    """
    method, name = run_config.settings.method, run_config.config["method"]["name"]
    if not run_config.run.compile or not isinstance(method, OfflineMethod) or not method.uses_unlabeled:
        return
    sizes = run_config.settings.train.batch_size + 1
    if sizes > MAX_SHAPES // 2:
        allowed = f"at most {MAX_SHAPES // 2 - 1} with compile=true and method={name}, whose batches have so many sizes"
        raise SettingError("train.batch_size", sizes - 1, allowed)
    warnings.warn(
        f"compile=true: with method={name} the last batch of an epoch has another size after each labeling, and each "
        f"size is compiled anew, up to {sizes} times; methods that label at every step have one size",
        stacklevel=3,
    )


_probe_results: dict[tuple[str, int, int, int], tuple[str | None, bool]] = {}
"""What came of `_probe_model`: members of a sweep mostly have the same model."""


def _probe_model(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    """Look at two images, and at one in training: what the network says against such images, and whether one is enough.

    Real tensors without first weights, where it is not large: the meta device would import 2 s of torch's compiler.
    """
    key = (repr(model), channels, num_classes, size)
    if key not in _probe_results:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _probe_results[key] = _run_probe(model, channels, num_classes, size)
    return _probe_results[key]


def _run_probe(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    try:
        network = _meta_model(model, channels, num_classes, size)
        device = torch.device("meta")
        if size <= LARGE_SIDE and _bytes(network) <= LARGE_BYTES:
            device = torch.device("cpu")
            with _SkipWeightInit():
                network = model.build(channels, num_classes, size, pretrained=False)
        network.eval()(torch.zeros(2, channels, size, size, device=device))
    except (RuntimeError, AssertionError, IndexError) as error:
        return first_line(error), True
    try:
        network.train()(torch.zeros(1, channels, size, size, device=device))
    except ValueError:
        return None, False
    return None, True


class _SkipWeightInit(TorchFunctionMode):
    """In here no random numbers are drawn for weights: they stay what the memory held."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


def check_output_folders(run_config: RunConfig) -> None:
    """Raise SettingError if plots or the cache would be written into a folder whose images are the data."""
    if not isinstance(run_config.dataset, ScansFolders):
        return
    config = run_config.config
    outputs = {"output_root": config["output_root"], "dataset.cache": config["dataset"].get("cache")}
    for key, folder in run_config.dataset.scanned_folders().items():
        for output_key, output in outputs.items():
            if output is not None and _is_inside(Path(output).expanduser(), folder):
                allowed = f"must not be inside {key} ({escape(str(folder))}), whose images are the data"
                raise SettingError(output_key, output, f"{allowed}; use another folder")


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _check_image_memory(run_config: RunConfig, images: int, channels: int) -> None:
    """Raise SettingError unless they do in the processor's memory, where a GPU's may stay; where the cache's file can
    hold them, unless those of a step do."""
    size, config = run_config.dataset.size, run_config.config["dataset"]
    what = "the images"
    if "memory_gb" in config and config["cache"] is not None:
        method = run_config.settings.method
        unlabeled = method.ratio if isinstance(method, OnlineMethod) else 0  # for each labeled one
        images, what = min(images, run_config.settings.train.batch_size * (1 + unlabeled)), "the images of a step"
    _check_memory("dataset.size", size, images * channels * size**2, what, memory_limit_bytes())


def _device_memory(device: str) -> int:
    """Bytes, of the processor or of a GPU."""
    return (
        memory_limit_bytes() if device == "cpu" else torch.cuda.get_device_properties(torch.device(device)).total_memory
    )


def _check_memory(key: str, value: object, bytes_: int, what: str, there: int) -> None:
    """Raise SettingError where something takes more than all the memory that there is."""
    if bytes_ > there:
        allowed = f"{what} take {bytes_ / 1e9:.3g} GB of memory, and there are {there / 1e9:.3g}"
        raise SettingError(key, value, allowed)


def weight_bytes(run_config: RunConfig, channels: int, num_classes: int) -> int:
    """What the model's weights and buffers take in memory, without taking it.

    Raises:
        SettingError: there can be no such model.
    """
    name = run_config.config["model"]["name"]
    try:
        network = _meta_model(run_config.settings.model, channels, num_classes, run_config.dataset.size)
    except (RuntimeError, AssertionError, IndexError, OverflowError) as error:
        raise SettingError("model", name, f"cannot be built ({first_line(error)})") from None
    return _bytes(network)


def _check_determinism(run_config: RunConfig, channels: int, num_classes: int) -> None:
    """Raise SettingError where a GPU would refuse the first backward pass: of what is in torchvision's models, only
    pooling to several pixels a side (alexnet, vgg) has no algorithm there that adds in one order."""
    if run_config.run.device == "cpu" or not run_config.run.deterministic:
        return
    network = _meta_model(run_config.settings.model, channels, num_classes, run_config.dataset.size)
    pools = [each.output_size for each in network.modules() if isinstance(each, nn.AdaptiveAvgPool2d)]
    if any(side not in (1, (1, 1)) for side in pools):
        name = run_config.config["model"].get("architecture", run_config.config["model"]["name"])
        allowed = f"goes not with {name} on a GPU, whose pooling adds in any order there; use deterministic=false"
        raise SettingError("deterministic", True, allowed)


def _bytes(network: nn.Module) -> int:
    return sum(value.nbytes for value in network.state_dict().values())


def _meta_model(model: ModelSettings, channels: int, num_classes: int, size: int) -> nn.Module:
    """The network on the meta device, on which work costs nothing."""
    try:
        with torch.device("meta"):
            return model.build(channels, num_classes, size, pretrained=False)
    except NotImplementedError:  # torchvision's regnets compute their widths by tensors
        with torch.device("cpu"):
            return model.build(channels, num_classes, size, pretrained=False).to("meta")


def check_control_is_fair(run_config: RunConfig) -> None:
    """Raise SettingError where a run's control could not have its learning rates.

    A control is given as many steps as the run took. Where an epoch grows with the pseudo-labels, a schedule over
    epochs is another one over steps.
    """
    factors = {run_config.settings.schedule.factor(share / 8) for share in range(9)}
    by_epochs = run_config.settings.train.steps is None and run_config.settings.method.uses_unlabeled
    if run_config.sweep.control and by_epochs and len(factors) > 1:
        allowed = "over train.epochs gives the control other learning rates; set train.steps, or sweep.control=false"
        raise SettingError("schedule", run_config.config["schedule"]["name"], allowed)


def build_problem(run_config: RunConfig, data: Data) -> TrainingData:
    """The data on the run's device."""
    device = local_device(run_config.run.device)
    images = {split: move_to_device(getattr(data, split), device) for split in SPLITS}
    return TrainingData(**images, hidden_targets=data.hidden_targets, num_classes=len(data.classes), device=device)


def move_to_device(images: Images, device: torch.device) -> Images:
    """The images on the device; those that take more than half of a GPU's free memory stay in the processor's, and of
    them a step's go through pinned memory, which `to_device` sees to."""
    pixels = images.pixels
    if device.type == "cuda" and isinstance(pixels, Tensor) and pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        everything = numpy.arange(len(images))
        held = LazyImages([pixels.numpy()], numpy.zeros(len(images), numpy.uint8), everything, device)
        return Images(held, images.targets.to(device), images.paths)
    return images.to(device)
