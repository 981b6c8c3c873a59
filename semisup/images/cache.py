"""Pixels remembered: a second start with the same files and the same recipe opens no picture.

    index/KEY.json   KEY = hash of every file's (name, size, times, inode)
                     -> the digest of every file's bytes, whatever the recipe: known without reading them
    packs/KEY.pack   KEY = hash of the recipe and of those digests -> pixels, header

Files that were only touched, copied or moved miss the index and are hashed, then find their pack. Everything read is
checked, and what is not right is made anew. There are no locks: builders of one key write the same bytes, and a
rename puts them in place. Nothing is removed but what dead builders left half written.
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
from semisup.images.decode import REASONS, BadImageError, Pixels
from semisup.images.decode_settings import DecodeSettings
from semisup.images.on_disk import PackedImages
from semisup.images.packs import ImagePack, PackWriter, read_pack, write_pack
from semisup.images.pool import DecodeResult, decode_files, read_bytes
from semisup.images.scan import ImageFile
from semisup.runtime.atomic_files import AtomicFile, remove_stale_temporary_files

T = TypeVar("T")
Files = Sequence[ImageFile]

AT_ONCE = 1024  # files that are hashed

RACY_NS = 2_000_000_000
"""A file written this shortly before it was read may be written again within one tick of its times (git's rule)."""


class ProgressCallback(Protocol):
    """Shows progress: gives the items on, as tqdm does. Called with the items, what is done, how many there are."""

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]: ...


@dataclass(frozen=True)
class DecodedImages:
    """What was asked for.

    pixels: (n, 3, S, S) uint8, a plain contiguous array that is the caller's own; or rows of the pack
    names: of the n rows
    kept: for each row the position of its file among those asked for; ascending
    digests: for each file asked for the sha256 of its bytes, hex; "" where they were not read
    quarantined: name and reason (a key of decode.REASONS) of each file without a row
    animated: how many rows are the first of several frames or pages
    came_from: "cache" where no picture was decoded
    """

    pixels: Pixels | PackedImages
    names: tuple[str, ...]
    kept: Sequence[int]
    digests: tuple[str, ...]
    quarantined: tuple[tuple[str, str], ...]
    animated: int
    came_from: Literal["cache", "files"]


class _Sought(NamedTuple):
    """What the cache has of a list of files.

    entry: where its index is; None without a cache
    indexed: what that says of every file, its digest or its reason, or None
    known: the same, from the index or from the files themselves; None where a decoder is to say it
    pack: or None
    """

    entry: Path | None
    indexed: Sequence[str] | None
    known: Sequence[str] | None
    pack: ImagePack | None


def read(
    files: Files,
    recipe: DecodeSettings,
    cache: Path | None,
    workers: int,
    watch: ProgressCallback,
    *,
    stored: bool = False,
) -> DecodedImages:
    """The pixels of `files`, as `read_pools` reads them."""
    return read_pools({"": files}, recipe, cache, workers, watch, stored=stored)[""]


def read_pools(
    pools: Mapping[str, Files],
    recipe: DecodeSettings,
    cache: Path | None,
    workers: int,
    watch: ProgressCallback,
    *,
    stored: bool = False,
) -> dict[str, DecodedImages]:
    """The pixels of some lists of files: out of `cache` what it has, the others decoded and put there.

    A cache that cannot be written costs a warning, no more; one that cannot be read counts as empty.

    Args:
        pools: name -> files, as scanned; each list has an entry of its own.
        recipe: how they are decoded.
        cache: a folder, made if need be, that any number of processes may share; None for none.
        workers: processes that decode and threads that hash; changes nothing but the time.
        watch: called with ("hashing" | "decoding") for what takes long.
        stored: the pixels are never in memory as a whole: decoded into the pack, which is then stored.

    Raises:
        SettingError: `workers` below 1.
        DataError: a decoding process died, or memory ran out; with `stored`, the cache cannot be written.
    """
    check_range("workers", workers, 1)
    assert cache is not None or not stored
    started = time.time_ns()
    sought = {name: _lookup(files, recipe, cache, workers, watch, stored=stored) for name, files in pools.items()}
    left = [file for name, files in pools.items() if sought[name].pack is None for file in files]
    outcomes = (
        decode_files(left, recipe, workers) if left else iter(())
    )  # of all at once: no process waits between two lists
    found = {}
    for name, files in pools.items():
        entry, indexed, known, pack = sought.pop(name)
        made = known is None or pack is None
        if known is None or pack is None:
            own = watch(itertools.islice(outcomes, len(files)), "decoding", len(files))
            if stored and cache is not None:
                known, pack = _streamed(own, files, recipe, cache)
            else:
                known, pack = _decoded(own, files, recipe)
        found[name] = _pictures(files, known, pack, "files" if made else "cache")
        if cache is None or entry is None:
            continue
        try:
            if made and not stored:
                write_pack(_pack_path(cache, recipe, known), pack)
            if known != indexed and _timestamps_stable(files, known, started):
                _write(entry, known)
        except OSError as error:
            message = f"the image cache {cache} cannot be written ({error}); going on without"
            warnings.warn(message, stacklevel=2)
    return found


def _lookup(
    files: Files, recipe: DecodeSettings, cache: Path | None, workers: int, watch: ProgressCallback, *, stored: bool
) -> _Sought:
    if cache is None:
        return _Sought(None, None, None, None)
    entry = cache / "index" / f"{_key(map(_stats, files))}.json"
    indexed = known = _read_index(entry)
    if known is None and _holds_packs(cache):
        known = list(watch(_hashed(files, recipe, workers), "hashing", len(files)))
    pack = None
    if known is not None:
        pack = read_pack(_pack_path(cache, recipe, known), len(files), recipe.size, stored=stored)
    return _Sought(entry, indexed, known, pack)


def _decoded(outcomes: Iterable[DecodeResult], files: Files, recipe: DecodeSettings) -> tuple[list[str], ImagePack]:
    """Every file's digest, or its reason where it was not read; and what they hold."""
    pixels = numpy.empty((len(files), 3, recipe.size, recipe.size), numpy.uint8)
    known: list[str] = []
    bad: dict[int, str] = {}
    rows = animated = 0
    for picture, moves in _good(outcomes, known, bad):
        pixels[rows] = picture
        rows, animated = rows + 1, animated + moves
    return known, ImagePack(pixels[:rows], bad, animated)


def _good(outcomes: Iterable[DecodeResult], known: list[str], bad: dict[int, str]) -> Iterator[tuple[Pixels, bool]]:
    """The pictures among the outcomes, and whether each is the first of several; what is said of every file is added to
    `known`, and the reason of each without a picture to `bad`."""
    for position, result in enumerate(outcomes):
        known.append(result.sha256 or str(result.reason))
        if result.pixels is None:
            bad[position] = str(result.reason)
        else:
            yield result.pixels, result.animated


def _streamed(
    outcomes: Iterable[DecodeResult], files: Files, recipe: DecodeSettings, cache: Path
) -> tuple[list[str], ImagePack]:
    """As `_decoded`, but into a pack as they come, whose rows are returned.

    Raises:
        DataError: it cannot be written.
    """
    known: list[str] = []
    bad: dict[int, str] = {}
    animated = 0
    try:
        with PackWriter(cache / "packs") as growing:
            for picture, moves in _good(outcomes, known, bad):
                growing.add(picture)
                animated += moves
            return known, growing.end(_pack_path(cache, recipe, known), bad, animated, recipe.size)
    except OSError as error:
        allowed = "pixels of more than dataset.memory_gb stay in it; raise that, or give dataset.cache room"
        raise DataError(f"the image cache {cache} cannot be written ({error}): {allowed}") from error


def _hashed(files: Files, recipe: DecodeSettings, workers: int) -> Iterator[str]:
    """What `_decoded` says of every file first, without decoding."""
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(files), AT_ONCE):  # a task of the pool takes 2 kB
            some = files[start : start + AT_ONCE]
            yield from pool.map(functools.partial(_digest, limit=recipe.max_bytes), some)


def _digest(file: ImageFile, limit: int) -> str:
    try:
        return hashlib.sha256(read_bytes(file.path, limit)).hexdigest()
    except BadImageError as bad:
        return bad.reason


def _pictures(
    files: Files, known: Sequence[str], pack: ImagePack, came_from: Literal["cache", "files"]
) -> DecodedImages:
    everything = range(len(files))
    kept = tuple(position for position in everything if position not in pack.bad) if pack.bad else everything
    return DecodedImages(
        pixels=pack.pixels,
        names=tuple(files[position].name for position in kept),
        kept=kept,
        digests=tuple("" if digest in REASONS else digest for digest in known),
        quarantined=tuple((files[position].name, reason) for position, reason in pack.bad.items()),
        animated=pack.animated,
        came_from=came_from,
    )


def _timestamps_stable(files: Files, known: Sequence[str], started: int) -> bool:
    """Whether a later start may trust the files' times: none is racy, and none was out of reach only today."""
    latest = max((max(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    return latest < started - RACY_NS and "unreadable" not in known


def _key(parts: Iterable[str]) -> str:
    """Of lines of text, without holding them all."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


def _stats(file: ImageFile) -> str:
    return f"{json.dumps(file.name)} {file.bytes_} {file.mtime_ns} {file.ctime_ns} {file.inode}"


def _pack_path(cache: Path, recipe: DecodeSettings, known: Sequence[str]) -> Path:
    return cache / "packs" / f"{_key(itertools.chain([recipe.fingerprint()], known))}.pack"


def _holds_packs(cache: Path) -> bool:
    try:
        return any((cache / "packs").iterdir())
    except OSError:
        return False


def _read_index(path: Path) -> list[str] | None:
    """The digest, or the reason, of every file. What is wrong here leads to no pack, unless it is another's index."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found[1:] if isinstance(found, list) and found[:1] == [path.stem] else None


def _write(path: Path, known: Sequence[str]) -> None:
    """An index, piece by piece; it may be torn by a power cut: it is then not believed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_temporary_files(path.parent)
    with AtomicFile(path.parent) as file:
        for piece in json.JSONEncoder().iterencode([path.stem, *known]):
            file.write(piece.encode())
        file.commit(path, sure=False)
