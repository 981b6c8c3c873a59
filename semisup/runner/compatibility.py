"""Check that the settings of a run fit its data, model and device, before any image is decoded."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from semisup.config.schema import RunConfig
from semisup.core.partial_state import trained_state
from semisup.dataset import ScansFolders
from semisup.errors import NoUnlabeledError, SettingError, first_line
from semisup.method import HoldsAllImages, OfflineMethod, OnlineMethod
from semisup.model import ModelSettings, ResizesImages
from semisup.reject import Reject
from semisup.runner.parent import check_same_classes
from semisup.runner.refit import refit_counts
from semisup.runtime.memory_limit import memory_limit_bytes
from semisup.runtime.meta_network import SkipWeightInit, meta_network, state_bytes
from semisup.runtime.precision import MAX_SHAPES
from semisup.text import escape

LARGE_SIDE, LARGE_BYTES = 256, 2**29
"""Largest image side in pixels, and largest size of the weights in bytes, for a test of the model on real tensors."""


def check_compatibility(
    run_config: RunConfig, classes: Sequence[str], counts: Mapping[str, int], channels: int, *, sizes: bool = True
) -> None:
    """Raise SettingError if the settings of a run do not fit its data, model or device.

    Args:
        classes: the class names of the data set.
        counts: number of images of each split, such as `labeled`.
        channels: number of channels of an image, 1 or 3.
        sizes: whether to warn if the validation set is larger than the labeled set.
    """
    refit = run_config.settings.train.refit
    counts = refit_counts(counts) if refit else counts
    labeled, batch_size = counts["labeled"], run_config.settings.train.batch_size
    if counts["validation"] == 0 and not refit:
        hint = "; type dataset.folds=5 dataset.fold=0 to hold out a fifth of the labeled images"
        raise SettingError(
            "dataset",
            run_config.config["dataset"]["name"],
            "has no validation images, by which a run selects its best model"
            f"{hint if 'folds' in run_config.config['dataset'] else ''}",
        )
    if run_config.settings.method.uses_unlabeled and counts["unlabeled"] == 0:
        name = run_config.config["method"]["name"]
        raise NoUnlabeledError("method", name, _no_unlabeled(run_config.config["dataset"], labeled // len(classes)))
    _check_reject(run_config, labeled)
    check_same_classes(run_config, classes)
    name = run_config.config["model"]["name"]
    weights = weight_bytes(run_config, channels, len(classes))
    if not run_config.elsewhere:
        _check_image_memory(run_config, sum(counts.values()), channels)
        _check_method_memory(run_config, labeled + counts["unlabeled"], channels)
        _check_memory(
            "model", name, 2 * weights, "its weights and their gradients", _device_memory(run_config.run.device)
        )
    _check_determinism(run_config, channels, len(classes))
    _check_optimizer(run_config, channels, len(classes))
    refusal, takes_one = _probe_model(run_config.settings.model, *model_input(run_config, channels, len(classes)))
    if refusal is not None:
        raise _size_error(run_config, name, refusal)
    if not takes_one and (batch_size == 1 or (batch_size <= labeled and labeled % batch_size == 1)):
        raise SettingError(
            "train.batch_size",
            batch_size,
            f"leaves a batch of one image ({labeled} labeled images), which BatchNorm in model={name} cannot normalize",
        )
    _warn_recompilation(run_config)
    if sizes:
        _warn_large_validation(run_config, len(classes), counts)


def _check_reject(run_config: RunConfig, labeled: int) -> None:
    """Raise SettingError if `reject` needs more labeled images than there are."""
    reject = run_config.settings.reject
    if isinstance(reject, Reject) and reject.min_labeled > labeled:
        raise SettingError("reject.k", reject.min_labeled, f"must be at most {labeled}, the number of labeled images")


def _no_unlabeled(dataset: Mapping[str, object], labels: int) -> str:
    """Write the message for a data set without unlabeled images.

    Args:
        dataset: the settings of the data set.
        labels: mean number of labeled images per class.
    """
    ways = []
    if "unlabeled" in dataset:
        ways.append("dataset.unlabeled=FOLDER names a folder of them")
    if labels > 1 and dataset.get("labels_per_class", labels) is None:
        few = labels // 2
        ways.append(f"dataset.labels_per_class={few} treats all but {few} labeled images of each class as unlabeled")
    return "; ".join(["needs unlabeled images, but the data set has none", *ways])


def _size_error(run_config: RunConfig, name: str, refusal: str) -> SettingError:
    """Create the error for a network that cannot process images of this size.

    Args:
        name: name of the model.
        refusal: error message of the network.
    """
    model = run_config.settings.model
    if not isinstance(model, ResizesImages):
        return SettingError(
            "dataset.size", run_config.dataset.size, f"model={name} does not accept this size: {refusal}"
        )
    key, value = ("dataset.size", run_config.dataset.size)
    if model.input_size is not None:
        key, value = "model.input_size", model.input_size
    hint = f"type model.input_size={model.own_size()} to resize the images inside the model"
    return SettingError(key, value, f"{model.architecture} does not accept this size: {refusal}; {hint}")


def _warn_large_validation(run_config: RunConfig, num_classes: int, counts: Mapping[str, int]) -> None:
    """Warn if the validation set is larger than the labeled set, because its labels could be used for training.

    Args:
        counts: number of images of each split.
    """
    validation, labeled = counts["validation"], counts["labeled"]
    if validation <= labeled:
        return
    message = f"the validation set ({validation} images) is larger than the labeled set ({labeled} images)"
    if run_config.config["dataset"]["name"] == "folder":  # the user's own images
        message += "; after the best setting is selected, train.refit=true trains it on both sets"
    elif "validation_per_class" in run_config.config["dataset"]:
        count = max(1, labeled // num_classes)
        message += f"; with about as many as there are labels: dataset.validation_per_class={count}"
    warnings.warn(message, stacklevel=2)


def _warn_recompilation(run_config: RunConfig) -> None:
    """Warn if each labeling of the unlabeled set can cause another compilation of the model (`compile=true`).

    A model is compiled for every batch size, and each labeling can change the size of the last batch of an epoch.

    Raises:
        SettingError: the number of possible batch sizes exceeds the number of compilations that torch allows.
    """
    method, name = run_config.settings.method, run_config.config["method"]["name"]
    if not run_config.run.compile or not isinstance(method, OfflineMethod) or not method.uses_unlabeled:
        return
    sizes = run_config.settings.train.batch_size + 1
    if sizes > MAX_SHAPES // 2:
        raise SettingError(
            "train.batch_size",
            sizes - 1,
            f"must be at most {MAX_SHAPES // 2 - 1} with compile=true and method={name}, whose batches vary in size",
        )
    warnings.warn(
        f"compile=true: with method={name} the last batch of an epoch changes its size with each labeling, and torch "
        f"compiles once for each size, up to {sizes} times; an online method or compile=false avoids this",
        stacklevel=3,
    )


_probe_results: dict[tuple[str, int, int, int], tuple[str | None, bool]] = {}
"""Cached results of `_probe_model`, because most runs of a sweep have the same model."""


def _probe_model(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    """Test whether a network accepts images of this size, and whether it can be trained on a batch of one image.

    Args:
        channels: number of channels of an image.
        size: side of an image in pixels.

    Returns:
        The network's error message for images of this size, or None; and whether a batch of one image is possible.
    """
    # a network that is not large runs on real tensors, because the meta device would import torch's compiler (2 s)
    key = (repr(model), channels, num_classes, size)
    if key not in _probe_results:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _probe_results[key] = _run_probe(model, channels, num_classes, size)
    return _probe_results[key]


def _run_probe(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    try:
        network = _meta_model(model, channels, num_classes, size)
        device = torch.device("meta")
        if size <= LARGE_SIDE and state_bytes(network) <= LARGE_BYTES:
            device = torch.device("cpu")
            with SkipWeightInit():
                network = model.build(channels, num_classes, size, pretrained=False)
        network.eval()(torch.zeros(2, channels, size, size, device=device))
    except (RuntimeError, AssertionError, IndexError) as error:
        return first_line(error), True
    try:
        network.train()(torch.zeros(1, channels, size, size, device=device))
    except ValueError:
        return None, False
    return None, True


def check_output_folders(run_config: RunConfig) -> None:
    """Raise SettingError if `output_root` or `dataset.cache` is inside a folder with images of the data set."""
    if not isinstance(run_config.dataset, ScansFolders):
        return
    config = run_config.config
    outputs = {"output_root": config["output_root"], "dataset.cache": config["dataset"].get("cache")}
    for key, folder in run_config.dataset.scanned_folders().items():
        for output_key, output in outputs.items():
            if output is not None and _is_inside(Path(output).expanduser(), folder):
                raise SettingError(
                    output_key,
                    output,
                    f"must not be inside {key} ({escape(str(folder))}), whose images are the data; use another folder",
                )


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _check_image_memory(run_config: RunConfig, images: int, channels: int) -> None:
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
    _check_memory("dataset.size", size, images * channels * size**2, what, memory_limit_bytes())


def _check_method_memory(run_config: RunConfig, images: int, channels: int) -> None:
    """Raise SettingError if the method keeps a copy of the training images that does not fit into memory.

    Args:
        images: number of labeled and unlabeled images.
    """
    method = run_config.settings.method
    if isinstance(method, HoldsAllImages) and method.uses_unlabeled:
        size = run_config.dataset.size
        values = channels * size**2 if run_config.encoder is None else run_config.encoder.dimension()
        what = f"{images} training images of {values} values each in float32"
        there = _device_memory(run_config.run.device)
        _check_memory("method", run_config.config["method"]["name"], method.memory_bytes(images, values), what, there)


def model_input(run_config: RunConfig, channels: int, num_classes: int) -> tuple[int, int, int]:
    """Return the arguments with which the model is built: number of channels, number of classes, and image size.

    The features of an encoder are treated as images of one pixel, with a channel for each feature.
    """
    if run_config.encoder is None:
        return channels, num_classes, run_config.dataset.size
    return run_config.encoder.dimension(), num_classes, 1


def _device_memory(device: str) -> int:
    """Return the memory of the CPU or of a GPU, in bytes."""
    if device in ("cpu", "mps"):  # the GPU of a Mac uses the memory of the CPU
        return memory_limit_bytes()
    return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)


def _check_memory(key: str, value: object, bytes_: int, what: str, there: int) -> None:
    """Raise SettingError if `bytes_` is more than `there`, the memory of the device in bytes.

    Args:
        key, value: the setting for the error message.
        what: noun for the data that need `bytes_` bytes, in the plural.
    """
    if bytes_ > there:
        raise SettingError(
            key, value, f"{what} take {bytes_ / 1e9:.3g} GB of memory, but only {there / 1e9:.3g} GB exist"
        )


def weight_bytes(run_config: RunConfig, channels: int, num_classes: int) -> int:
    """Compute the size of the model's weights and buffers in bytes, without allocating them.

    Raises:
        SettingError: the model cannot be built.
    """
    return state_bytes(_buildable_model(run_config, channels, num_classes))


def checkpoint_bytes(run_config: RunConfig, channels: int, num_classes: int) -> int:
    """Compute the size of the model's tensors in a checkpoint, in bytes.

    A checkpoint does not contain the layers of a frozen encoder.

    Raises:
        SettingError: the model cannot be built.
    """
    model = _buildable_model(run_config, channels, num_classes)
    return sum(value.nbytes for value in trained_state(model).values())


def _buildable_model(run_config: RunConfig, channels: int, num_classes: int) -> nn.Module:
    try:
        return _meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    except (RuntimeError, AssertionError, IndexError, OverflowError) as error:
        name = run_config.config["model"]["name"]
        raise SettingError("model", name, f"cannot be built ({first_line(error)})") from None


def _check_optimizer(run_config: RunConfig, channels: int, num_classes: int) -> None:
    """Raise SettingError if the optimizer cannot be built for the model."""
    network = _meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    run_config.settings.optimizer.build(network)


def _check_determinism(run_config: RunConfig, channels: int, num_classes: int) -> None:
    """Raise SettingError if the run must be deterministic, but the model has no deterministic backward pass on a GPU.

    This concerns models with adaptive pooling to more than one pixel, such as alexnet and vgg.
    """
    if run_config.run.device == "cpu" or not run_config.run.deterministic:
        return
    network = _meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    pools = [each.output_size for each in network.modules() if isinstance(each, nn.AdaptiveAvgPool2d)]
    if any(side not in (1, (1, 1)) for side in pools):
        name = run_config.config["model"].get("architecture", run_config.config["model"]["name"])
        raise SettingError(
            "deterministic",
            True,
            f"not supported with {name} on a GPU, whose pooling has no deterministic algorithm; "
            "use deterministic=false",
        )


def _meta_model(model: ModelSettings, channels: int, num_classes: int, size: int) -> nn.Module:
    """Build the network on torch's meta device, so that its tensors have no data. The result is cached."""
    key = (repr(model), channels, num_classes, size)
    if key not in _meta_models:
        _meta_models[key] = meta_network(lambda: model.build(channels, num_classes, size, pretrained=False))
    return _meta_models[key]


_meta_models: dict[tuple[str, int, int, int], nn.Module] = {}
"""Cached results of `_meta_model`, because most runs of a sweep have the same model."""


def check_control_is_fair(run_config: RunConfig) -> None:
    """Raise SettingError if the control of a run could have other learning rates than the run.

    The control is the same run without unlabeled images, with the same number of steps. The learning rates can differ
    if the length of the run is given in epochs, or if `train.patience` can end the run early. In these cases, the
    number of steps in which only the classifier layers are trained (`train.head_first`) can differ, too.
    """
    factors = {run_config.settings.schedule.factor(share / 8) for share in range(9)}
    train = run_config.settings.train
    compared = run_config.sweep.control and run_config.settings.method.uses_unlabeled and not train.refit
    if not compared or (len(factors) == 1 and train.head_first == 0):
        return
    by_schedule = len(factors) > 1
    key, value = (
        ("schedule", run_config.config["schedule"]["name"]) if by_schedule else ("train.head_first", train.head_first)
    )
    control = "the control (the same run without unlabeled images) would have other learning rates"
    constant = "schedule=constant schedule.warmup=0" if by_schedule else "train.head_first=0"
    if train.patience is not None:
        raise SettingError(
            key,
            value,
            f"with train.patience, {control}; use {constant}, or sweep.control=false to train no control",
        )
    if train.steps is None:
        raise SettingError(
            key,
            value,
            f"with train.epochs, {control}; set train.steps, or sweep.control=false to train no control",
        )
