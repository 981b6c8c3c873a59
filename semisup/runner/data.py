"""Read the data of a run and move them to its device. The data of the last run are cached."""

import numpy
import torch
from torch import Tensor

from semisup.config.schema import RunConfig
from semisup.core.types import Images
from semisup.dataset import SPLITS, Data, Dataset
from semisup.images.on_disk import LazyImages
from semisup.runner.compatibility import check_compatibility, check_output_folders
from semisup.runner.out_of_memory import reading, translate_oom
from semisup.runner.progress import Bars
from semisup.runner.refit import refit_data
from semisup.runtime.distributed import local_device
from semisup.training.state import TrainingData

_loaded_data: dict[tuple[Dataset, str, bool], tuple[TrainingData, Data]] = {}
"""The data of the last run, because most runs of a sweep have the same data."""


def load_data(run_config: RunConfig, bars: Bars) -> tuple[TrainingData, Data]:
    """Read the data set of a run, check that the settings fit it, and move it to the run's device.

    Returns:
        The data on the device, and the data as read.

    Raises:
        DataError: the files do not match the settings.
        SettingError: the settings and the data are incompatible.
        InsufficientMemoryError: the images do not fit into memory.
    """
    refit = run_config.settings.train.refit
    key = (run_config.dataset, run_config.run.device, refit)
    if key not in _loaded_data:
        _loaded_data.clear()  # before the next one is read, so that memory holds one
        check_output_folders(run_config)
        info = run_config.dataset.inspect()
        check_compatibility(run_config, info.classes, info.counts, info.channels, sizes=False)
        with translate_oom(run_config, reading):
            data = run_config.dataset.read(info, bars.watch)
            data = refit_data(data) if refit else data
            _loaded_data[key] = build_problem(run_config, data), data
    problem, data = _loaded_data[key]
    counts = {split: len(getattr(data, split)) for split in SPLITS}
    check_compatibility(run_config, data.classes, counts, data.labeled.pixels.shape[1], sizes=False)
    return problem, data


def build_problem(run_config: RunConfig, data: Data) -> TrainingData:
    """Convert the data of a run to training data on the run's device."""
    device = local_device(run_config.run.device)
    images = {split: move_to_device(getattr(data, split), device) for split in SPLITS}
    return TrainingData(**images, hidden_targets=data.hidden_targets, num_classes=len(data.classes), device=device)


def move_to_device(images: Images, device: torch.device) -> Images:
    """Move images to the device.

    If they take more than half of a GPU's free memory, they remain in CPU memory, and each batch is copied separately.
    """
    pixels = images.pixels
    if device.type == "cuda" and isinstance(pixels, Tensor) and pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        everything = numpy.arange(len(images))
        held = LazyImages([pixels.numpy()], numpy.zeros(len(images), numpy.uint8), everything, device)
        return Images(held, images.targets.to(device), images.paths)
    return images.to(device)
