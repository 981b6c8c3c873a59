"""Base class of data sets that consist of image files, which are decoded once and cached.

Files that cannot be decoded are left out and reported.
"""

import functools
import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from semisup.core.types import SPLITS, Images, Pixels
from semisup.dataset._file_index import FileIndex, FileSplit, file_numbers, splits_are_lists
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.dataset._roles import MACHINE, NO_EFFECT
from semisup.errors import DataError, SettingError, check_choice, check_range
from semisup.images.cache import DecodedImages, ProgressCallback, no_progress, read, read_lists
from semisup.images.decode import Pixels as Array
from semisup.images.decode_settings import DecodeSettings
from semisup.images.duplicate_report import report_duplicates, to_report
from semisup.images.duplicates import IGNORE, ON_DUPLICATE, cached, find_duplicates
from semisup.images.ignored_files import describe_ignored
from semisup.images.on_disk import LazyImages, PackedImages
from semisup.images.pool import max_workers
from semisup.runtime.memory_limit import local_process_count, memory_limit_bytes


@dataclass(frozen=True)
class ImageFiles:
    """Settings that all data sets of image files have; abstract, because a subclass must find the files.

    max_bad_fraction: largest fraction of unusable files in a split, in [0, 1]
    on_duplicate: "error", "warn" or "ignore": what to do with images in several splits or in two classes
    workers: number of processes that decode; null = default
    cache: folder of decoded pixels; null = no cache
    memory_gb: gigabytes of pixels above which images stay on disk; null = depends on the available memory
    """

    max_bad_fraction: float = field(metadata=NO_EFFECT)
    on_duplicate: str = field(metadata=NO_EFFECT)
    workers: int | None = field(metadata=MACHINE)
    cache: str | None = field(metadata=MACHINE)
    memory_gb: float | None = field(metadata=MACHINE)

    def __post_init__(self) -> None:
        check_range("max_bad_fraction", self.max_bad_fraction, 0, 1)
        check_choice("on_duplicate", self.on_duplicate, ON_DUPLICATE)
        check_range("workers", self.workers, 1, 1024)
        check_range("memory_gb", self.memory_gb, 0)
        self.decode_settings()

    def decode_settings(self) -> DecodeSettings:
        """Return the settings by which a file is decoded to pixels; each subclass defines them."""
        raise NotImplementedError

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        """Decode the files, or load their pixels from the cache; then search for duplicates.

        Raises:
            SettingError: the pixels need more than `memory_gb`, and there is no cache.
            DataError: more than `max_bad_fraction` of the files of a split are unusable; or on_duplicate=error, and an
                image is in several of training, validation and test, or in two classes.
        """
        cache = Path(self.cache).expanduser() if self.cache else None
        data = _read_splits(self, info.classes, info.index, cache, watch)
        if self.on_duplicate != IGNORE:
            key = f"{data.fingerprint} {self.decode_settings().fingerprint()}"
            images = {split: getattr(data, split) for split in SPLITS}
            duplicates = cached(cache, key, functools.partial(find_duplicates, images))
            data.report["duplicates"] = to_report(duplicates, info.classes)
            with _attach_report(data.report):
                report_duplicates(duplicates, info.classes, self.on_duplicate)
        return data

    def read_some(self, info: DatasetInfo, split: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Decode only the files with these names: name -> (C, S, S) uint8; unusable files are left out."""
        wanted, index = set(names), info.index
        files = [file for file in index.parts[split].files if file.name in wanted]
        if not files:
            return {}
        images = read(files, self.decode_settings(), None, 1, no_progress)
        return dict(zip(images.names, torch.from_numpy(images.pixels), strict=True))


def _read_splits(
    settings: ImageFiles, classes: tuple[str, ...], index: FileIndex, cache: Path | None, watch: ProgressCallback
) -> Data:
    """Read the images of all splits, without a search for duplicates."""
    # a function of its own, so that its metadata of the files are freed before the search for duplicates
    decode, numbers = settings.decode_settings(), file_numbers(index)
    limit = resident_bytes(settings.memory_gb, copies=1 if splits_are_lists(index, numbers) else 2)
    on_disk = 3 * decode.size**2 * sum(map(len, index.file_lists.values())) > limit
    if on_disk and cache is None:
        if settings.memory_gb is not None:
            allowed = (
                "must be a folder, because the decoded images do not fit in dataset.memory_gb; they are stored in this"
                " folder instead"
            )
            raise SettingError("dataset.cache", None, allowed)
        on_disk = False
    lists = read_lists(index.file_lists, decode, cache, settings.workers or max_workers(), watch, on_disk=on_disk)
    splits = _assign_to_splits(index, numbers, lists, limit if on_disk else math.inf)
    report = {
        "ignored": {reason: count for reason, count in index.ignored.items() if not reason.startswith(".")},
        "ignored_suffixes": {suffix: count for suffix, count in index.ignored.items() if suffix.startswith(".")},
        "quarantined": {split: splits[split].quarantined for split in SPLITS},
        "first_frame_of_several": {name: images.animated for name, images in lists.items()},
        "recipe": asdict(decode),
    }
    if ignored := describe_ignored(index.ignored):
        warnings.warn(ignored, stacklevel=3)
    with _attach_report(report):
        for split in SPLITS:
            bad, count = splits[split].quarantined, len(index.parts[split].files)
            _check_quarantined(split, bad, count, settings.max_bad_fraction)
    images: dict[str, Any] = {split: _images(splits[split], index.parts[split]) for split in SPLITS}
    return Data(
        **images,
        hidden_targets=torch.tensor(index.hidden, dtype=torch.int64)[splits["unlabeled"].decoded],
        classes=classes,
        fingerprint=_fingerprint(classes, index.parts, splits),
        report=report,
    )


@contextmanager
def _attach_report(report: dict[str, Any]) -> Iterator[None]:
    """Context manager that attaches `report` to a DataError from its body, whose message names only some files."""
    try:
        yield
    except DataError as error:
        error.report = report
        raise


def resident_bytes(memory_gb: float | None, copies: int) -> float:
    """Compute the largest number of bytes of decoded images that this process may keep in memory.

    Args:
        memory_gb: the setting `dataset.memory_gb`; None = half of the available memory, shared by the training
            processes on this machine.
        copies: number of copies of the pixels in memory; not used if `memory_gb` is given.
    """
    return memory_limit_bytes() / 2 / local_process_count() / copies if memory_gb is None else memory_gb * 1e9


class _DecodedSplit(NamedTuple):
    """Decoded image files of one split (labeled, unlabeled, validation or test).

    pixels: (n, 3, S, S) uint8, the images of the n usable files
    decoded: (n,) indices of the usable files in the list of all files of the split, ascending
    digests: sha256 of each file of the split; "" for a file that was not read
    quarantined: name -> reason, for each unusable file
    """

    pixels: Pixels
    decoded: Any
    digests: list[str]
    quarantined: dict[str, str]


def _assign_to_splits(
    index: FileIndex, numbers: Mapping[str, Any], lists: Mapping[str, DecodedImages], limit: float
) -> dict[str, _DecodedSplit]:
    """Gather the images of each split from the decoded lists of files.

    Args:
        numbers: split -> (n,) int64, index of each file of the split; files are counted from 0 through all lists, one
            list after another.
        lists: name of the list -> its decoded images.
        limit: largest size in bytes of a split in memory; a larger one stays on disk.
    """
    sources = [images.pixels for images in lists.values()]
    digests = [digest for images in lists.values() for digest in images.digests]
    which = numpy.repeat(numpy.arange(len(lists), dtype=numpy.uint8), [len(each.digests) for each in lists.values()])
    row = numpy.concatenate([_rows_of(images) for images in lists.values()])
    reasons = {name: reason for images in lists.values() for name, reason in images.quarantined}
    splits = {}
    for split, own in numbers.items():
        decoded = numpy.flatnonzero(row[own] >= 0)
        selected = own[decoded]
        pixels = _gather(sources, which[selected], row[selected], limit)
        names = (file.name for file in index.parts[split].files) if reasons else ()
        bad = {name: reasons[name] for name in names if name in reasons}
        splits[split] = _DecodedSplit(pixels, decoded, [digests[number] for number in own.tolist()], bad)
    return splits


def _rows_of(images: DecodedImages) -> Any:
    """Return for each of n files the index of its row in the pixel array, (n,) int64; -1 for a file without pixels."""
    row = numpy.full(len(images.digests), -1)
    row[numpy.asarray(images.decoded, numpy.int64)] = numpy.arange(len(images.decoded))
    return row


def _gather(sources: list[Array | PackedImages], which: Any, row: Any, limit: float) -> Pixels:
    """Gather images from several arrays or files into one array.

    Args:
        sources: arrays of images, (m, C, S, S) each, in memory or in files.
        which: (n,) integers, for each image the index in `sources` of the array that contains it.
        row: (n,) integers, for each image its row in this array.
        limit: largest number of bytes in memory.

    Returns:
        (n, C, S, S) uint8: a tensor, or `LazyImages` if the images need more memory than `limit`.
    """
    if len(row) * math.prod(sources[0].shape[1:]) > limit:
        return LazyImages(sources, which.astype(numpy.uint8), row, torch.device("cpu"))
    for number, source in enumerate(sources):
        whole = isinstance(source, numpy.ndarray) and len(source) == len(row) and (which == number).all()
        if whole and (row == numpy.arange(len(row))).all():
            return torch.from_numpy(source)
    pixels = numpy.empty((len(row), *sources[0].shape[1:]), numpy.uint8)
    for number, source in enumerate(sources):
        pixels[which == number] = source[row[which == number]]
    return torch.from_numpy(pixels)


def _check_quarantined(split: str, bad: Mapping[str, str], count: int, max_bad_fraction: float) -> None:
    """Warn about the unusable files of a split.

    Args:
        bad: name -> reason, for each unusable file.
        count: number of all files of the split.
        max_bad_fraction: largest allowed fraction of unusable files.

    Raises:
        DataError: the fraction of unusable files is larger than that.
    """
    if not bad:
        return
    listed = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:5])
    listed += "; ..." if len(bad) > 5 else ""
    share = len(bad) / count
    if share > max_bad_fraction:
        limit = f"{share:.2%} of them, more than dataset.max_bad_fraction={max_bad_fraction:g} allows"
        enough = math.ceil(1000 * share) / 1000
        fix = f"repair or remove them, or leave them out with dataset.max_bad_fraction={enough:g}"
        raise DataError(f"{split}: {len(bad)} unusable image(s), {limit} ({listed}); {fix}")
    warnings.warn(f"{split}: {len(bad)} unusable image(s) left out, see data_report.json ({listed})", stacklevel=4)


def _images(split: _DecodedSplit, part: FileSplit) -> Images:
    targets = torch.tensor(part.targets, dtype=torch.int64)[split.decoded]
    return Images(split.pixels, targets, [part.files[position].name for position in split.decoded.tolist()])


def _fingerprint(classes: tuple[str, ...], parts: Mapping[str, FileSplit], splits: Mapping[str, _DecodedSplit]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split in SPLITS:
        part = parts[split]
        for file, target, content in zip(part.files, part.targets, splits[split].digests, strict=True):
            digest.update(repr((split, file.name, target, content)).encode())
    return digest.hexdigest()
