"""Check that the settings of a run fit its data, model and device, before any image is decoded."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from semisup.config.schema import RunConfig
from semisup.dataset import ScansFolders
from semisup.errors import NoUnlabeledError, SettingError
from semisup.method import OfflineMethod
from semisup.model import ResizesImages
from semisup.reject import Reject
from semisup.runner.memory_check import check_image_memory, check_memory, check_method_memory, device_memory
from semisup.runner.parent import check_same_classes
from semisup.runner.refit import refit_counts
from semisup.runner.trial_network import meta_model, model_input, try_network, weight_bytes
from semisup.runtime.precision import MAX_SHAPES
from semisup.text import escape


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
        check_image_memory(run_config, sum(counts.values()), channels)
        check_method_memory(run_config, labeled + counts["unlabeled"], channels)
        check_memory(
            "model", name, 2 * weights, "its weights and their gradients", device_memory(run_config.run.device)
        )
    _check_determinism(run_config, channels, len(classes))
    _check_optimizer(run_config, channels, len(classes))
    refusal, takes_one = try_network(run_config.settings.model, *model_input(run_config, channels, len(classes)))
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


def _check_optimizer(run_config: RunConfig, channels: int, num_classes: int) -> None:
    """Raise SettingError if the optimizer cannot be built for the model."""
    network = meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    run_config.settings.optimizer.build(network)


def _check_determinism(run_config: RunConfig, channels: int, num_classes: int) -> None:
    """Raise SettingError if the run must be deterministic, but the model has no deterministic backward pass on a GPU.

    This concerns models with adaptive pooling to more than one pixel, such as alexnet and vgg.
    """
    if run_config.run.device == "cpu" or not run_config.run.deterministic:
        return
    network = meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    pools = [each.output_size for each in network.modules() if isinstance(each, nn.AdaptiveAvgPool2d)]
    if any(side not in (1, (1, 1)) for side in pools):
        name = run_config.config["model"].get("architecture", run_config.config["model"]["name"])
        raise SettingError(
            "deterministic",
            True,
            f"not supported with {name} on a GPU, whose pooling has no deterministic algorithm; "
            "use deterministic=false",
        )


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
