"""Cache decoded pixels: a second start with the same files and settings decodes nothing.

    index/KEY.json   the digest of the content of every file;
                     KEY = hash of name, size, times and inode of every file
    packs/KEY.pack   a pack: the decoded pixels of all files;
                     KEY = hash of the decode settings and of the digests of all files

Files that were only copied or moved are hashed again, and their hashes lead to the existing pack. Everything that is
read from the cache is verified; damaged files of the cache are written again. Several processes can share a cache.
"""

import functools
import hashlib
import itertools
import json
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy

from semisup.errors import DataError, check_range
from semisup.images.archive_members import has_parquet
from semisup.images.decode import REASONS, BadImageError, Pixels
from semisup.images.decode_settings import DecodeSettings
from semisup.images.on_disk import PackedImages
from semisup.images.packs import ImagePack, PackWriter, read_pack, write_pack
from semisup.images.pool import DecodeResult, decode_files
from semisup.images.read_file import read_file
from semisup.images.scan import ImageFile
from semisup.runtime.atomic_files import AtomicFile
from semisup.runtime.temporary_files import remove_stale_temporary_files

T = TypeVar("T")
Files = Sequence[ImageFile]

HASH_CHUNK = 1024
"""Number of files that are submitted for hashing at once: each queued task of a thread pool takes 2 kB."""

RACY_NS = 2_000_000_000
"""Nanoseconds. A file modified less than this before it was read is not trusted (the rule of git).

It may change again without a visible change of its modification time, whose resolution is limited.
"""


class ProgressCallback(Protocol):
    """Function that yields the items of an iterable and shows the progress, as tqdm does.

    Its arguments are the items, a description, and the number of items.
    """

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]: ...


def no_progress(items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
    """Return the items unchanged, without showing progress."""
    return items


@dataclass(frozen=True)
class DecodedImages:
    """The decoded images of a list of files, and the files that could not be decoded.

    pixels: (n, 3, S, S) uint8, one row per usable file: an array, or rows of a cache file on disk
    names: for each row, the name of its file
    decoded: for each row, the index of its file in the list, ascending
    digests: for each file of the list, the sha256 of its content in hexadecimal digits; "" = the file was not read
    quarantined: name and reason (a key of decode.REASONS) of each file that could not be decoded; it has no row
    animated: number of rows whose file has several frames or pages; only the first frame is decoded
    source: "cache" if nothing was decoded, "files" otherwise
    """

    pixels: Pixels | PackedImages
    names: tuple[str, ...]
    decoded: Sequence[int]
    digests: tuple[str, ...]
    quarantined: tuple[tuple[str, str], ...]
    animated: int
    source: Literal["cache", "files"]


class _CacheEntry(NamedTuple):
    """Content of the cache for one list of files.

    path: path of the index file; None without a cache
    indexed: content of the index file: for every file its digest, or the reason why it was not read; None = there is no
        valid index file
    digests: the same as `indexed`, computed by hashing the files if there is no index file; None = computed later,
        while the files are decoded
    pack: pixels from the cache; None = the cache has none for these files
    """

    path: Path | None
    indexed: Sequence[str] | None
    digests: Sequence[str] | None
    pack: ImagePack | None


def read(
    files: Files,
    settings: DecodeSettings,
    cache: Path | None,
    workers: int,
    watch: ProgressCallback,
    *,
    on_disk: bool = False,
) -> DecodedImages:
    """Read the pixels of one list of files from the cache; decode and cache missing ones.

    The arguments and errors are those of `read_lists`.
    """
    return read_lists({"": files}, settings, cache, workers, watch, on_disk=on_disk)[""]


def read_lists(
    file_lists: Mapping[str, Files],
    settings: DecodeSettings,
    cache: Path | None,
    workers: int,
    watch: ProgressCallback,
    *,
    on_disk: bool = False,
) -> dict[str, DecodedImages]:
    """Read the pixels of several lists of files from the cache; decode and cache missing ones.

    Args:
        file_lists: name of the list -> files.
        settings: how the files are decoded.
        cache: directory of the cache, created if necessary; None = no cache. If it cannot be written, there is a
            warning.
        workers: number of processes that decode, and of threads that hash.
        watch: shows progress; called with the description "hashing" or "decoding".
        on_disk: leave the decoded pixels in cache files instead of memory; needs a cache.

    Returns:
        name of the list -> pixels.

    Raises:
        SettingError: `workers` is below 1.
        DataError: decoding processes died repeatedly, memory ran out, or `on_disk` is true and the cache cannot be
            written.
    """
    check_range("workers", workers, 1)
    assert cache is not None or not on_disk
    started = time.time_ns()
    entries = {
        name: _lookup(each, settings, cache, workers, watch, on_disk=on_disk) for name, each in file_lists.items()
    }
    missing = [file for name, files in file_lists.items() if entries[name].pack is None for file in files]
    # one pass over all lists, so that no process waits between two of them
    results = decode_files(missing, settings, workers) if missing else iter(())
    images = {}
    for name, files in file_lists.items():
        path, indexed, digests, pack = entries.pop(name)
        is_new = digests is None or pack is None
        if digests is None or pack is None:
            own = watch(itertools.islice(results, len(files)), "decoding", len(files))
            if on_disk and cache is not None:
                digests, pack = _decode_to_pack(own, files, settings, cache)
            else:
                digests, pack = _decode(own, files, settings)
        images[name] = _decoded_images(files, digests, pack, "files" if is_new else "cache")
        if cache is None or path is None:
            continue
        try:
            if is_new and not on_disk:
                write_pack(_pack_path(cache, settings, digests), pack)
            if digests != indexed and _timestamps_stable(files, digests, started):
                _write_index(path, digests)
        except OSError as error:
            message = f"the image cache {cache} cannot be written ({error}); continuing without it"
            warnings.warn(message, stacklevel=2)
    return images


def _lookup(
    files: Files, settings: DecodeSettings, cache: Path | None, workers: int, watch: ProgressCallback, *, on_disk: bool
) -> _CacheEntry:
    if cache is None:
        return _CacheEntry(None, None, None, None)
    path = cache / "index" / f"{_key(file.content_key() for file in files)}.json"
    indexed = digests = _read_index(path)
    if digests is None and _has_packs(cache):
        digests = list(watch(_hash_files(files, settings, workers), "hashing", len(files)))
    pack = None
    if digests is not None:
        pack = read_pack(_pack_path(cache, settings, digests), len(files), settings.size, on_disk=on_disk)
    return _CacheEntry(path, indexed, digests, pack)


def _decode(results: Iterable[DecodeResult], files: Files, settings: DecodeSettings) -> tuple[list[str], ImagePack]:
    """Collect the decoded pixels in memory.

    Returns:
        (digests, pack). digests: for every file the sha256 of its content, or the reason why it was not read. pack: the
        pixels in memory.
    """
    pixels = numpy.empty((len(files), 3, settings.size, settings.size), numpy.uint8)
    digests: list[str] = []
    bad: dict[int, str] = {}
    rows = animated = 0
    for image, is_animated in _usable(results, digests, bad):
        pixels[rows] = image
        rows, animated = rows + 1, animated + is_animated
    return digests, ImagePack(pixels[:rows], bad, animated)


def _usable(results: Iterable[DecodeResult], digests: list[str], bad: dict[int, str]) -> Iterator[tuple[Pixels, bool]]:
    """Yield the pixels of each usable file, and whether the file has several frames.

    Args:
        digests: this function appends the digest of every file, or the reason why it was not read.
        bad: this function adds index of the file -> reason, for each unusable file.
    """
    for position, result in enumerate(results):
        digests.append(result.sha256 or str(result.reason))
        if result.pixels is None:
            bad[position] = str(result.reason)
        else:
            yield result.pixels, result.animated


def _decode_to_pack(
    results: Iterable[DecodeResult], files: Files, settings: DecodeSettings, cache: Path
) -> tuple[list[str], ImagePack]:
    """Write the decoded pixels to a pack (cache file), one image at a time.

    Returns:
        (digests, pack). digests: for every file the sha256 of its content, or the reason why it was not read. pack: the
        written pack.

    Raises:
        DataError: the pack cannot be written.
    """
    digests: list[str] = []
    bad: dict[int, str] = {}
    animated = 0
    try:
        with PackWriter(cache / "packs") as writer:
            for image, is_animated in _usable(results, digests, bad):
                writer.add(image)
                animated += is_animated
            return digests, writer.finish(_pack_path(cache, settings, digests), bad, animated, settings.size)
    except OSError as error:
        reason = (
            "images that do not fit in dataset.memory_gb are stored there; increase dataset.memory_gb, or free disk"
            " space, or set dataset.cache=FOLDER to a folder on another disk"
        )
        raise DataError(f"the image cache {cache} cannot be written ({error}): {reason}") from error


def _hash_files(files: Files, settings: DecodeSettings, workers: int) -> Iterator[str]:
    """Yield the sha256 of every file, or the reason why the file cannot be read."""
    with ThreadPoolExecutor(1 if has_parquet(files) else workers) as pool:  # rows of Parquet are read in order
        for start in range(0, len(files), HASH_CHUNK):
            chunk = files[start : start + HASH_CHUNK]
            yield from pool.map(functools.partial(_digest, limit=settings.max_bytes), chunk)


def _digest(file: ImageFile, limit: int) -> str:
    try:
        return hashlib.sha256(read_file(file, limit)).hexdigest()
    except BadImageError as bad:
        return bad.reason


def _decoded_images(
    files: Files, digests: Sequence[str], pack: ImagePack, source: Literal["cache", "files"]
) -> DecodedImages:
    positions = range(len(files))
    decoded = tuple(position for position in positions if position not in pack.bad) if pack.bad else positions
    return DecodedImages(
        pixels=pack.pixels,
        names=tuple(files[position].name for position in decoded),
        decoded=decoded,
        digests=tuple("" if digest in REASONS else digest for digest in digests),
        quarantined=tuple((files[position].name, reason) for position, reason in pack.bad.items()),
        animated=pack.animated,
        source=source,
    )


def _timestamps_stable(files: Files, digests: Sequence[str], started: int) -> bool:
    """Whether a later change of the files can be detected by their sizes and times.

    It cannot if a file was modified less than RACY_NS before it was read, or if a file was unreadable.
    """
    latest = max((max(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    return latest < started - RACY_NS and "unreadable" not in digests


def _key(parts: Iterable[str]) -> str:
    """Compute the sha256 of lines of text, in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


def _pack_path(cache: Path, settings: DecodeSettings, digests: Sequence[str]) -> Path:
    return cache / "packs" / f"{_key(itertools.chain([settings.fingerprint()], digests))}.pack"


def _has_packs(cache: Path) -> bool:
    try:
        return any((cache / "packs").iterdir())
    except OSError:
        return False


def _read_index(path: Path) -> list[str] | None:
    """Read an index file: the digest of every file, or the reason why it was not read.

    Returns:
        None if there is no valid index file.
    """
    try:
        entry = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return entry[1:] if isinstance(entry, list) and entry[:1] == [path.stem] else None


def _write_index(path: Path, digests: Sequence[str]) -> None:
    """Write an index file, without waiting until it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_temporary_files(path.parent)
    with AtomicFile(path.parent) as file:
        for piece in json.JSONEncoder().iterencode([path.stem, *digests]):
            file.write(piece.encode())
        file.commit(path, durable=False)
