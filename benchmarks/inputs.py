"""Settings, images and files shared by the measurements, generated from fixed seeds."""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import numpy
import torch
from PIL import Image

from semisup.config import schema
from semisup.config.compose import config_folder
from semisup.config.hydra_versions import initialized
from semisup.core.rng import torch_generator
from semisup.core.types import Images
from semisup.training.state import TrainingData

CLASSES = 11
JPEG_SIZE = (500, 400)
PARTS = (*["training/labeled"] * 5, "validation", "testing")  # 6 % of the photographs each


class Shape(NamedTuple):
    """Sizes of a training that is measured: model, image size and batch size.

    model: name in conf/model
    words: overrides of the model's settings
    size: side of an image in pixels
    batch: labeled images per step
    ratio: unlabeled images per labeled image
    """

    model: str
    words: tuple[str, ...]
    size: int
    batch: int
    ratio: int


SHAPES = {
    "cnn_224": Shape("cnn", (), 224, 4, 1),
    "small_cnn_64": Shape("small_cnn", (), 64, 32, 2),
    "wrn_32": Shape("wide_resnet", (), 32, 16, 7),
}
QUICK = {
    "cnn_224": Shape("cnn", ("model.widths=[16,32,64,128]", "model.hidden=250"), 224, 4, 1),
    "small_cnn_64": Shape("small_cnn", (), 64, 16, 2),
    "wrn_32": Shape("wide_resnet", (), 32, 2, 7),
}


def checked(*words: str) -> Any:
    """Compose and validate the settings of the command `semisup train WORDS`."""
    with initialized(config_folder()):
        return schema.validate(hydra.compose("train", overrides=["tracking=none", "device=cpu", *words]))


def settings(shape: Shape, *words: str) -> Any:
    """Compose the settings of a training with this model, image size and batch size, without evaluations."""
    length = ("train.steps=100000000", "train.evaluate_every_steps=99999999")
    return checked(
        f"model={shape.model}",
        *shape.words,
        f"dataset.size={shape.size}",
        f"train.batch_size={shape.batch}",
        *length,
        *words,
    )


def images(number: int, size: int, seed: int) -> Images:
    """Generate random images, (number, 3, size, size) uint8."""
    pixels = torch.randint(0, 256, (number, 3, size, size), dtype=torch.uint8, generator=torch_generator(seed, "bench"))
    return Images(pixels, torch.arange(number) % CLASSES, [f"{each:06d}" for each in range(number)])


def problem(shape: Shape, pool: int | None = None, device: str = "cpu") -> TrainingData:
    """Generate random training data with these sizes: eight batches of labeled images, and unlabeled images.

    Args:
        pool: number of unlabeled images; None = as many as labeled ones.
    """
    size, count, where = shape.size, 8 * shape.batch, torch.device(device)
    parts = [images(number, size, seed) for seed, number in enumerate((count, pool or count, 16, 16))]
    labeled, unlabeled, validation, test = (part.to(where) for part in parts)
    return TrainingData(labeled, unlabeled, validation, test, parts[1].targets, CLASSES, where)


@contextlib.contextmanager
def photographs(number: int) -> Iterator[Path]:
    """Return a context with a folder of generated 500 x 400 JPEGs in Food-11's layout.

    The folder is deleted at the end of the context. The images are smooth color fields with some noise, so that a file
    has about 60 kB, like a photograph of this size. 30 % are labeled, 6 % are for validation, 6 % for test, and the
    rest is unlabeled.
    """
    with tempfile.TemporaryDirectory(prefix="semisup-bench-") as name:
        root = Path(name)
        random = numpy.random.default_rng(0)
        members: Counter[str] = Counter()
        for index in range(number):
            part = PARTS[index % 100 // 6] if index % 100 < 6 * len(PARTS) else ""
            folder = root / (f"{part}/{members[part] % CLASSES:02d}" if part else "training/unlabeled/00")
            members[part] += 1
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (9, 11, 3), dtype=numpy.uint8))
            smooth = numpy.asarray(coarse.resize(JPEG_SIZE, Image.Resampling.BICUBIC), dtype=numpy.int16)
            noisy = smooth + random.integers(-12, 13, (*JPEG_SIZE[::-1], 1), dtype=numpy.int16)
            Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).save(folder / f"{index:06d}.jpg", quality=90)
        time.sleep(2.5)  # the cache trusts no file that was written within the last two seconds
        yield root
