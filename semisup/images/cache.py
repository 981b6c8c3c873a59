"""Cache decoded pixels: a second start with the same files and settings decodes nothing.

    index/KEY.json   the digest of every file's content, so that the files need not be read;
                     KEY = hash of name, size, times and inode of every file
    packs/KEY.pack   a pack: the decoded pixels of all files, and a header;
                     KEY = hash of the decode settings and of the digests of all files

Files that were only touched, copied or moved have no index under their new key. They are hashed, and the hashes lead to
their existing pack. Everything read from the cache is verified, and damaged entries are built again. Locks are not
necessary: processes that write the same key at the same time write the same bytes, and a rename publishes the file.
Nothing is removed except temporary files of processes that died.

A general cache (joblib.Memory, diskcache) was not used: neither verifies what it reads, and neither can read single
rows of a file that is larger than memory.
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
from semisup.runtime.atomic_files import AtomicFile, remove_stale_temporary_files

T = TypeVar("T")
Files = Sequence[ImageFile]

HASH_CHUNK = 1024
"""Number of files that are submitted for hashing at once: each queued task of a thread pool takes 2 kB."""

RACY_NS = 2_000_000_000
"""Nanoseconds. A file modified less than this before it was read is not trusted (the rule of git).

It may change again without a visible change of its modification time, whose resolution is limited.
"""


class ProgressCallback(Protocol):
    """Function that wraps an iterable to show progress, as tqdm does.

    Arguments: the items, a description, the number of items.
    """

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]: ...


def no_progress(items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
    """Return the items unchanged: a `ProgressCallback` that shows nothing."""
    return items


@dataclass(frozen=True)
class DecodedImages:
    """Pixels of a list of files.

    pixels: (n, 3, S, S) uint8, one row per usable file: a contiguous array owned by the caller, or rows of a pack on
        disk
    names: n names, the file of each row
    decoded: n ascending positions in the list of files, the file of each row
    digests: sha256 of the content of each file of the list, in hexadecimal digits; "" for a file that was not read
    quarantined: name and reason (a key of decode.REASONS) of each file without a row
    animated: number of rows whose file has several frames or pages; the row is the first of them
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

    path: path of the index; None without a cache
    indexed: digest, or reason why there is none, of every file, from the index; None without an index
    digests: like `indexed`, but from the index or from hashing; None if the decoder will compute them
    pack: pixels from the cache; None if the cache has no intact pack for these files
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
    """Read the pixels of one list of files from the cache.

    Missing files are decoded and cached (see `read_lists`).
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

    If the cache cannot be written, there is only a warning; if it cannot be read, it counts as empty.

    Args:
        file_lists: name of the list -> files, as scanned; each list has its own cache entry.
        settings: how the files are decoded.
        cache: directory, created if necessary, that any number of processes can share; None = no cache.
        workers: number of processes that decode and of threads that hash; the pixels do not depend on it.
        watch: shows progress; called with the description "hashing" or "decoding".
        on_disk: write the decoded pixels to a pack and leave them there, so that memory never has all of them.

    Raises:
        SettingError: `workers` is below 1.
        DataError: decoding processes died whatever the file was, memory ran out, or `on_disk` is true and the cache
            cannot be written.
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
        the digest of every file, or the reason why it was not read; and the pixels.
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
        digests: gets the digest of every file, or the reason why it was not read.
        bad: gets position -> reason of each unusable file.
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
    """Collect the decoded pixels in a pack (cache file), to which images are written one by one.

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
        reason = "pixels beyond dataset.memory_gb are kept there; increase that, or free space in dataset.cache"
        raise DataError(f"the image cache {cache} cannot be written ({error}): {reason}") from error


def _hash_files(files: Files, settings: DecodeSettings, workers: int) -> Iterator[str]:
    """Yield the digest of every file, or the reason why it was not read, without decoding."""
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
    """Whether an index of these files can be trusted later.

    It cannot if a file was modified just before it was read (see RACY_NS), or if a file was temporarily unreadable.
    """
    latest = max((max(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    return latest < started - RACY_NS and "unreadable" not in digests


def _key(parts: Iterable[str]) -> str:
    """Hash lines of text one by one, without having all of them in memory."""
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
    """Read an index: the digest of every file, or the reason why it was not read; None without a valid index.

    Only the key is verified: with a wrong digest no pack is found, and the image is decoded again.
    """
    try:
        entry = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return entry[1:] if isinstance(entry, list) and entry[:1] == [path.stem] else None


def _write_index(path: Path, digests: Sequence[str]) -> None:
    """Write an index in pieces, without fsync: if a power cut damages the index, reading it returns None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_temporary_files(path.parent)
    with AtomicFile(path.parent) as file:
        for piece in json.JSONEncoder().iterencode([path.stem, *digests]):
            file.write(piece.encode())
        file.commit(path, durable=False)
