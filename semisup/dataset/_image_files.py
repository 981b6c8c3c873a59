"""Data sets that are files of pictures: decoded once, whatever the split; what is no picture is left out and told."""

import functools
import hashlib
import math
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy
import torch

from semisup.core.types import SPLITS, Images, Pixels
from semisup.dataset._protocol import Data
from semisup.errors import DataError, SettingError, check_choice, check_range
from semisup.images.cache import DecodedImages, ProgressCallback, read_pools
from semisup.images.decode import Pixels as Array
from semisup.images.decode_settings import DecodeSettings
from semisup.images.duplicates import IGNORE, ON_DUPLICATE, cached, find_duplicates, report_duplicates, to_report
from semisup.images.on_disk import LazyImages, PackedImages
from semisup.images.pool import max_workers
from semisup.images.scan import ImageFile
from semisup.runtime.memory_limit import local_process_count, memory_limit_bytes


class FileSplit(NamedTuple):
    """The files of one split and their class numbers, -1 where the class is unknown or must not be known."""

    files: list[ImageFile]
    targets: list[int]

    def rows(self, rows: Sequence[int]) -> "FileSplit":
        return FileSplit([self.files[row] for row in rows], [self.targets[row] for row in rows])

    def hidden(self) -> "FileSplit":
        """The same files, their classes unknown."""
        return FileSplit(self.files, [-1] * len(self.files))


class FileIndex(NamedTuple):
    """What a survey found.

    parts: of each split
    hidden: true classes of the unlabeled files, -1 where unknown
    pools: name -> files, all there are, in lists that do not depend on the split: each is decoded, and cached, as one
    ignored: reason -> count of what was not taken for a picture
    """

    parts: Mapping[str, FileSplit]
    hidden: list[int]
    pools: Mapping[str, list[ImageFile]]
    ignored: Mapping[str, int]


class FileDatasetSettings(Protocol):
    """What is asked of the settings of a data set of files; properties, so that frozen dataclasses fit."""

    @property
    def max_bad_fraction(self) -> float: ...

    @property
    def on_duplicate(self) -> str: ...

    @property
    def workers(self) -> int | None: ...

    @property
    def cache(self) -> str | None: ...

    @property
    def memory_gb(self) -> float | None: ...

    def recipe(self) -> DecodeSettings: ...


def check(settings: FileDatasetSettings) -> None:
    """Raise SettingError where one of these is out of its range."""
    check_range("max_bad_fraction", settings.max_bad_fraction, 0, 1)
    check_choice("on_duplicate", settings.on_duplicate, ON_DUPLICATE)
    check_range("workers", settings.workers, 1, 1024)
    check_range("memory_gb", settings.memory_gb, 0)
    settings.recipe()


def read_files(
    settings: FileDatasetSettings, classes: tuple[str, ...], found: FileIndex, watch: ProgressCallback
) -> Data:
    """Decode, or take from the cache, deal out to the splits, and look for the same image twice.

    Raises:
        SettingError: more than the given `memory_gb`, and no cache that it could stay in.
        DataError: more of a split than `max_bad_fraction` is no picture; or on_duplicate=error and an image is in several of
            training, validation and test, or under two classes.
    """
    cache = Path(settings.cache).expanduser() if settings.cache else None
    data = _data(settings, classes, found, cache, watch)
    if settings.on_duplicate != IGNORE:
        key = f"{data.fingerprint} {settings.recipe().fingerprint()}"
        duplicates = cached(
            cache, key, functools.partial(find_duplicates, {split: getattr(data, split) for split in SPLITS})
        )
        data.report["duplicates"] = to_report(duplicates, classes)
        with _reported(data.report):
            report_duplicates(duplicates, classes, settings.on_duplicate)
    return data


def _data(
    settings: FileDatasetSettings,
    classes: tuple[str, ...],
    found: FileIndex,
    cache: Path | None,
    watch: ProgressCallback,
) -> Data:
    """All but the twins; what else is known of every file is let go before they are looked for."""
    workers = settings.workers or max_workers()
    recipe, numbers = settings.recipe(), _numbers(found)
    limit = resident_bytes(settings.memory_gb, copies=1 if _check_unchanged(found, numbers) else 2)
    stored = 3 * recipe.size**2 * sum(map(len, found.pools.values())) > limit
    if stored and cache is None:
        if settings.memory_gb is not None:
            allowed = "must be a folder where more than dataset.memory_gb of pixels are to stay in it"
            raise SettingError("dataset.cache", None, allowed)
        stored = False
    pools = read_pools(found.pools, recipe, cache, workers, watch, stored=stored)
    dealt = _assign_to_splits(found, numbers, pools, limit if stored else math.inf)
    report = {
        "ignored": dict(found.ignored),
        "quarantined": {split: dealt[split].quarantined for split in SPLITS},
        "first_frame_of_several": {name: pictures.animated for name, pictures in pools.items()},
        "recipe": asdict(recipe),
    }
    with _reported(report):
        for split in SPLITS:
            _check(split, dealt[split].quarantined, len(found.parts[split].files), settings.max_bad_fraction)
    images: dict[str, Any] = {split: _images(dealt[split], found.parts[split]) for split in SPLITS}
    return Data(
        **images,
        hidden_targets=torch.tensor(found.hidden, dtype=torch.int64)[dealt["unlabeled"].kept],
        classes=classes,
        fingerprint=_fingerprint(classes, found.parts, dealt),
        report=report,
    )


@contextmanager
def _reported(report: dict[str, Any]) -> Iterator[None]:
    """A DataError in here has the report, which lists what it has no room for."""
    try:
        yield
    except DataError as error:
        error.report = report
        raise


def resident_bytes(memory_gb: float | None, copies: int) -> float:
    """Bytes of pixels that may be in memory at once; by itself half of what there is for this process and for those
    beside it, if so many copies of them are made."""
    return memory_limit_bytes() / 2 / local_process_count() / copies if memory_gb is None else memory_gb * 1e9


class _Dealt(NamedTuple):
    """Of one split.

    pixels: (n, 3, S, S), of the files that are pictures
    kept: (n,) their positions among the split's files, ascending
    digests: sha256 of each file of the split; "" where it was not read
    quarantined: name -> reason of the others
    """

    pixels: Pixels
    kept: Any
    digests: list[str]
    quarantined: dict[str, str]


def _assign_to_splits(
    found: FileIndex, numbers: Mapping[str, Any], pools: Mapping[str, DecodedImages], limit: float
) -> dict[str, _Dealt]:
    """From the pools to the splits; one of more than `limit` bytes stays where it is."""
    sources = [pictures.pixels for pictures in pools.values()]
    digests = [digest for pictures in pools.values() for digest in pictures.digests]
    which = numpy.repeat(numpy.arange(len(pools), dtype=numpy.uint8), [len(each.digests) for each in pools.values()])
    row = numpy.concatenate([_rows_of(pictures) for pictures in pools.values()])
    reasons = {name: reason for pictures in pools.values() for name, reason in pictures.quarantined}
    dealt = {}
    for split, own in numbers.items():
        kept = numpy.flatnonzero(row[own] >= 0)
        taken = own[kept]
        pixels = _gather(sources, which[taken], row[taken], limit)
        names = (file.name for file in found.parts[split].files) if reasons else ()
        bad = {name: reasons[name] for name in names if name in reasons}
        dealt[split] = _Dealt(pixels, kept, [digests[number] for number in own.tolist()], bad)
    return dealt


def _rows_of(pictures: DecodedImages) -> Any:
    """(n,) of each file its row among the pixels, -1 where it has none."""
    row = numpy.full(len(pictures.digests), -1)
    row[numpy.asarray(pictures.kept, numpy.int64)] = numpy.arange(len(pictures.kept))
    return row


def _numbers(found: FileIndex) -> dict[str, Any]:
    """Of each split's files their numbers among the files of all pools.

    A pool that its split begins with, as a large one does, is known by that; the others are looked up by name.
    """
    begins, number = {}, 0
    for name, files in found.pools.items():
        begins[name], number = number, number + len(files)
    heads = {split: _head(part.files, found.pools.get(split, [])) for split, part in found.parts.items()}
    by_name = {
        file.name: begins[name] + position
        for name, files in found.pools.items()
        if heads.get(name, 0) < len(files)
        for position, file in enumerate(files)
    }
    numbers = {}
    for split, part in found.parts.items():
        head = heads[split]
        others = [by_name[file.name] for file in part.files[head:]]
        first = numpy.arange(head) + begins.get(split, 0)
        numbers[split] = numpy.concatenate([first, numpy.array(others, numpy.int64)])
    return numbers


def _check_unchanged(found: FileIndex, numbers: Mapping[str, Any]) -> bool:
    """Whether every split is a pool, or nothing: else the pixels are in memory twice while they are dealt out."""
    files = sum(map(len, found.pools.values()))
    whole = all(len(own) in (0, len(found.pools.get(split, ()))) for split, own in numbers.items())
    return whole and sum(map(len, numbers.values())) == files


def _head(files: Sequence[ImageFile], pool: Sequence[ImageFile]) -> int:
    """How many files it begins with are the pool's: all of them, or none."""
    return len(pool) if len(files) >= len(pool) and all(map(operator.is_, files, pool)) else 0


def _gather(sources: list[Array | PackedImages], which: Any, row: Any, limit: float) -> Pixels:
    """Rows of the sources: a source as it is where they are all of it, else a copy; above `limit` bytes they stay."""
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


def _check(split: str, bad: Mapping[str, str], count: int, max_bad_fraction: float) -> None:
    """Warn of what was left out; raise DataError where it is too much."""
    if not bad:
        return
    said = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:5]) + ("; ..." if len(bad) > 5 else "")
    share = len(bad) / count
    if share > max_bad_fraction:
        limit = f"{share:.2%} of them, more than dataset.max_bad_fraction={max_bad_fraction:g} allows"
        enough = math.ceil(1000 * share) / 1000
        how = f"mend or remove them, or dataset.max_bad_fraction={enough:g} leaves them out"
        raise DataError(f"{split}: {len(bad)} unusable image(s), {limit} ({said}); {how}")
    warnings.warn(f"{split}: {len(bad)} unusable image(s) left out, see data_report.json ({said})", stacklevel=4)


def _images(dealt: _Dealt, part: FileSplit) -> Images:
    targets = torch.tensor(part.targets, dtype=torch.int64)[dealt.kept]
    return Images(dealt.pixels, targets, [part.files[position].name for position in dealt.kept.tolist()])


def _fingerprint(classes: tuple[str, ...], parts: Mapping[str, FileSplit], dealt: Mapping[str, _Dealt]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split in SPLITS:
        part = parts[split]
        for file, target, content in zip(part.files, part.targets, dealt[split].digests, strict=True):
            digest.update(repr((split, file.name, target, content)).encode())
    return digest.hexdigest()
