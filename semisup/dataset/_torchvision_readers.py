"""torchvision's readers of data sets: what each holds, how it is asked, and what to do about what it refuses.

torchvision compares the files with the published checksums before it opens them, so that nothing foreign is unpacked.
"""

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
    """How torchvision knows a data set.

    reader: the name of its class in torchvision.datasets
    channels: C
    train, test: the argument by which the reader is asked for a part, and its value
    planes: the reader's pixels as (n, C, s, s)
    targets: the name of the reader's class numbers
    classes: names, where the reader has none
    files: what it needs, relative to `dataset.root`
    own_unlabeled: the same for a part without classes, its file and the bytes of an image in that; None = there is none
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
    """What is known without keeping a pixel: class names, (n,) int64 class numbers of a part, images without one."""

    classes: tuple[str, ...]
    train: Index
    test: Index
    own_unlabeled: int


def nchw(reader: Any) -> Pixels:
    """Pixels that are kept as (n, C, s, s)."""
    pixels: Pixels = reader.data
    return pixels


def nhwc(reader: Any) -> Pixels:
    """Pixels that are kept as (n, s, s, C)."""
    pixels: Pixels = reader.data.transpose(0, 3, 1, 2)
    return pixels


def grayscale(reader: Any) -> Pixels:
    """Pixels that are kept as a tensor (n, s, s)."""
    pixels: Pixels = reader.data.numpy()[:, None]
    return pixels


def by_flag(reader: str, channels: int, planes: Callable[[Any], Pixels], files: tuple[str, ...]) -> ReaderSpec:
    """A data set whose reader is asked for a part by train=True or False, and names its classes itself."""
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
    """MNIST, and what took over its files: grey, in four files of the IDX format."""
    files = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return by_flag(reader, 1, grayscale, tuple(f"{reader}/raw/{file}-ubyte" for file in files))


_known: dict[tuple[ReaderSpec, Path, tuple[tuple[int, int], ...]], ReaderLabels] = {}
"""Labels of files that were read before, by their sizes and times: the members of a sweep ask again and again."""


def read_labels(source: ReaderSpec, root: Path, download: bool) -> ReaderLabels:
    """The classes of all images; arguments as in the settings of `Arrays`.

    Raises:
        SettingError, DataError: as `open_reader`; or images and labels do not go together.
    """
    key = (source, root, _stamps(source, root))
    if key[2] and key in _known:
        return _known[key]
    train = open_reader(source.reader, source.files, root, download, source.train)
    test = open_reader(source.reader, source.files, root, download, source.test)
    classes = source.classes or tuple(getattr(train, "classes", ()))
    if not classes:
        raise DataError(f"dataset.root={root}: {source.reader} names no classes; is {source.files[-1]} missing?")
    targets = [numpy.asarray(getattr(reader, source.targets), dtype=numpy.int64) for reader in (train, test)]
    for reader, each in zip((train, test), targets, strict=True):
        if len(reader) != len(each) or not set(each.tolist()) <= set(range(len(classes))):
            raise DataError(f"dataset.root={root}: the images and the labels of {source.reader} do not go together")
    unlabeled = 0
    if source.own_unlabeled:
        _, file, bytes_ = source.own_unlabeled
        unlabeled = (root / file).stat().st_size // bytes_
    found = ReaderLabels(classes, targets[0], targets[1], unlabeled)
    _known[(source, root, _stamps(source, root))] = found
    return found


def _stamps(source: ReaderSpec, root: Path) -> tuple[tuple[int, int], ...]:
    """Size and time of every file; nothing if one is missing."""
    try:
        stats = [(root / file).stat() for file in source.files]
    except OSError:
        return ()
    return tuple((each.st_size, each.st_mtime_ns) for each in stats)


def open_reader(
    name: str, files: tuple[str, ...], root: Path, download: bool, *arguments: tuple[str, bool | str]
) -> Any:
    """torchvision's reader of a data set, which has read it.

    Args:
        name: its class in torchvision.datasets.
        files: what it needs, relative to `root`: what is missing of these is named.
        root, download: as in the settings.
        arguments: further ones, by name.

    Raises:
        SettingError: files are missing.
        DataError: they are there, but torchvision does not take them; or they could not be fetched.
    """
    reader = getattr(torchvision("datasets"), name)
    try:
        return reader(os.fspath(root), download=download, **dict(arguments))
    except (RuntimeError, OSError, ValueError, TypeError, LookupError, AssertionError, EOFError) as error:
        raise _refused(name, [file for file in files if not (root / file).exists()], root, download, error) from error


def _refused(name: str, missing: list[str], root: Path, download: bool, error: Exception) -> SettingError | DataError:
    """What torchvision raised, as what to do about it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if missing and download:
        return DataError(f"dataset.download=true: {name} could not be fetched into {root} ({reason})")
    if missing and not root.is_dir():
        near = closest_match(root.name, [each.name for each in root.parent.glob("*/")])
        allowed = f"there is no such folder; dataset.download=true makes it and fetches {name}"
        return SettingError("dataset.root", str(root), allowed, near and str(root.parent / near))
    if missing:
        said = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        return SettingError("dataset.root", str(root), f"{name} needs {said} there; dataset.download=true fetches them")
    hint = f"remove the files of {name}, and dataset.download=true fetches them again"
    return DataError(f"dataset.root={root}: torchvision does not take what is there ({reason}); {hint}")
