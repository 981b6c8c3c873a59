"""Read data sets with the classes of torchvision.datasets (readers), and translate the errors of torchvision."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from semisup.core.class_split import Index
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.decode import Pixels
from semisup.runtime.torchvision_compat import torchvision


class ReaderSpec(NamedTuple):
    """Description of a data set of torchvision.

    reader: name of the reader, a Python class in torchvision.datasets
    channels: C, the number of channels of an image
    train, test: argument (name, value) with which the reader reads the training and the test images
    planes: function that returns the pixels of an instance of the reader, (n, C, s, s)
    targets: name of the reader's attribute with the class index of each image
    classes: names of the image classes; empty if the reader has an attribute `classes`
    files: required files, relative to `dataset.root`
    own_unlabeled: images that are published without classes: the argument (name, value) with which the reader reads
        them, their file, and the number of bytes per image; None = there are no such images
    """

    reader: str
    channels: int
    train: tuple[str, bool | str]
    test: tuple[str, bool | str]
    planes: Callable[[Any], Pixels]
    targets: str
    classes: tuple[str, ...]
    files: tuple[str, ...]
    own_unlabeled: tuple[tuple[str, str], str, int] | None = None


class ReaderLabels(NamedTuple):
    """Labels of a data set of torchvision.

    classes: K names
    train, test: (n,) int64 in [0, K), class indices of the training and the test images
    own_unlabeled: number of images that are published without classes
    """

    classes: tuple[str, ...]
    train: Index
    test: Index
    own_unlabeled: int


def nchw(reader: Any) -> Pixels:
    """Return the pixels, (n, C, s, s), of a torchvision data set that stores them in this order."""
    pixels: Pixels = reader.data
    return pixels


def nhwc(reader: Any) -> Pixels:
    """Return the pixels, (n, C, s, s), of a torchvision data set that stores them as (n, s, s, C)."""
    pixels: Pixels = reader.data.transpose(0, 3, 1, 2)
    return pixels


def grayscale(reader: Any) -> Pixels:
    """Return the pixels, (n, 1, s, s), of a torchvision data set that stores them as (n, s, s)."""
    pixels: Pixels = reader.data.numpy()[:, None]
    return pixels


def by_flag(reader: str, channels: int, planes: Callable[[Any], Pixels], files: tuple[str, ...]) -> ReaderSpec:
    """Describe a data set whose reader has an argument `train`: True for training images, False for test images."""
    return ReaderSpec(
        reader=reader,
        channels=channels,
        train=("train", True),
        test=("train", False),
        planes=planes,
        targets="targets",
        classes=(),
        files=files,
    )


def idx_source(reader: str) -> ReaderSpec:
    """Return how to read a torchvision data set of gray images whose files have the format of MNIST: four IDX files."""
    files = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return by_flag(reader, 1, grayscale, tuple(f"{reader}/raw/{file}-ubyte" for file in files))


_labels: dict[tuple[ReaderSpec, Path, tuple[tuple[int, int], ...]], ReaderLabels] = {}
"""Cache: reader, root, size and time of each file -> labels. The runs of a sweep read the same labels repeatedly."""


def read_labels(source: ReaderSpec, root: Path, download: bool) -> ReaderLabels:
    """Read the class indices of all images of a torchvision data set.

    Args:
        root, download: the settings `dataset.root` and `dataset.download`.

    Raises:
        SettingError: files are missing.
        DataError: torchvision rejects the files, the download failed, there are no class names, or the labels do not
            fit the images.
    """
    key = (source, root, _stamps(source, root))
    if key[2] and key in _labels:
        return _labels[key]
    train = open_reader(source.reader, source.files, root, download, source.train)
    test = open_reader(source.reader, source.files, root, download, source.test)
    classes = source.classes or tuple(getattr(train, "classes", ()))
    if not classes:
        raise DataError(f"dataset.root={root}: {source.reader} names no classes; is {source.files[-1]} missing?")
    targets = [numpy.asarray(getattr(reader, source.targets), dtype=numpy.int64) for reader in (train, test)]
    for reader, each in zip((train, test), targets, strict=True):
        if len(reader) != len(each) or not set(each.tolist()) <= set(range(len(classes))):
            raise DataError(
                f"dataset.root={root}: the images and the labels of {source.reader} do not match;"
                " download the files again"
            )
    unlabeled = 0
    if source.own_unlabeled:
        _, file, bytes_ = source.own_unlabeled
        unlabeled = (root / file).stat().st_size // bytes_
    labels = ReaderLabels(classes, targets[0], targets[1], unlabeled)
    _labels[(source, root, _stamps(source, root))] = labels
    return labels


def _stamps(source: ReaderSpec, root: Path) -> tuple[tuple[int, int], ...]:
    """Read size and modification time of every required file of a data set; () if a file is missing."""
    try:
        stats = [(root / file).stat() for file in source.files]
    except OSError:
        return ()
    return tuple((each.st_size, each.st_mtime_ns) for each in stats)


def open_reader(
    name: str, files: tuple[str, ...], root: Path, download: bool, *arguments: tuple[str, bool | str]
) -> Any:
    """Open a data set with its reader, a Python class in torchvision.datasets.

    Args:
        name: name of the reader.
        files: required files, relative to `root`, for the error message.
        root, download: the settings `dataset.root` and `dataset.download`.
        arguments: further keyword arguments of the reader, as (name, value).

    Raises:
        SettingError: files are missing.
        DataError: torchvision rejects the files, or the download failed.
    """
    reader = getattr(torchvision("datasets"), name)
    try:
        # torchvision verifies the published checksum of each file before it opens the file
        return reader(os.fspath(root), download=download, **dict(arguments))
    except (RuntimeError, OSError, ValueError, TypeError, LookupError, AssertionError, EOFError) as error:
        raise _translated_error(
            name, [file for file in files if not (root / file).exists()], root, download, error
        ) from error


def _translated_error(
    name: str, missing: list[str], root: Path, download: bool, error: Exception
) -> SettingError | DataError:
    """Translate an error of torchvision into an error that tells the user how to fix the problem.

    Args:
        missing: required files that do not exist.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    if missing and download:
        return DataError(f"dataset.download=true: {name} could not be downloaded into {root} ({reason})")
    if missing and not root.is_dir():
        near = closest_match(root.name, [each.name for each in root.parent.glob("*/")])
        allowed = f"there is no such folder; dataset.download=true creates it and downloads {name}"
        return SettingError("dataset.root", str(root), allowed, near and str(root.parent / near))
    if missing:
        listed = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        allowed = f"{name} needs {listed} there; dataset.download=true downloads them"
        return SettingError("dataset.root", str(root), allowed)
    hint = f"remove the files of {name} and download them again with dataset.download=true"
    return DataError(f"dataset.root={root}: torchvision rejects these files ({reason}); {hint}")
