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
import json
import os
import struct
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TypeVar

import numpy

from semisup.disk import Aside, remove_leftovers, write_atomically
from semisup.errors import DataError, in_range
from semisup.images.decode import REASONS, BadImageError, Pixels
from semisup.images.pool import Outcome, decode_files, read_bytes
from semisup.images.recipe import Recipe
from semisup.images.scan import ImageFile
from semisup.images.stored import Rows

T = TypeVar("T")
Digest = Any  # hashlib's sha256, whose type has no name

MAGIC, FORMAT = b"semisup\n", 2
PREFIX = struct.Struct("<8sII32s")
"""A pack opens with: magic, version of the format, length of the JSON header, sha256 of pixels, header and that length.
The pixels follow, and the header comes last, for it is known last."""

RACY_NS = 2_000_000_000
"""A file written this shortly before it was read may be written again within one tick of its times (git's rule)."""


class Watch(Protocol):
    """Shows progress: gives the items on, as tqdm does. Called with the items, what is done, how many there are."""

    def __call__(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]: ...


@dataclass(frozen=True)
class Pictures:
    """What was asked for.

    pixels: (n, 3, S, S) uint8, a plain contiguous array that is the caller's own; or rows of the pack
    names: of the n rows
    kept: for each row the position of its file among those asked for; ascending
    digests: for each file asked for the sha256 of its bytes, hex; "" where they were not read
    quarantined: name and reason (a key of decode.REASONS) of each file without a row
    animated: how many rows are the first of several frames or pages
    came_from: "cache" where no picture was decoded
    """

    pixels: Pixels | Rows
    names: tuple[str, ...]
    kept: tuple[int, ...]
    digests: tuple[str, ...]
    quarantined: tuple[tuple[str, str], ...]
    animated: int
    came_from: Literal["cache", "files"]


class _Pack(NamedTuple):
    """pixels: (n, 3, S, S); bad: position -> reason of each file without a row; animated: how many rows."""

    pixels: Pixels | Rows
    bad: Mapping[int, str]
    animated: int


def read(
    files: Sequence[ImageFile],
    recipe: Recipe,
    cache: Path | None,
    workers: int,
    watch: Watch,
    *,
    stored: bool = False,
) -> Pictures:
    """The pixels of `files`: out of `cache` if it has them, else decoded and put there.

    A cache that cannot be written costs a warning, no more; one that cannot be read counts as empty.

    Args:
        files: as scanned.
        recipe: how they are decoded.
        cache: a folder, made if need be, that any number of processes may share; None for none.
        workers: processes that decode and threads that hash; changes nothing but the time.
        watch: called with ("hashing" | "decoding") for what takes long.
        stored: the pixels are never in memory as a whole: decoded into the pack, which is then stored.

    Raises:
        SettingError: `workers` below 1.
        DataError: a decoding process died, or memory ran out; with `stored`, the cache cannot be written.
    """
    in_range("workers", workers, 1)
    assert cache is not None or not stored
    started = time.time_ns()
    fingerprint = recipe.fingerprint()
    if cache is None:
        return _pictures(files, *_decoded(files, recipe, workers, watch), "files")
    entry = cache / "index" / f"{_key(*map(_stats, files))}.json"
    indexed = known = _read_index(entry)
    if known is None and _holds_packs(cache):
        known = list(watch(_hashed(files, recipe, workers), "hashing", len(files)))
    pack = None
    if known is not None:
        pack = _read_pack(_pack_path(cache, fingerprint, known), len(files), recipe.size, stored=stored)
    if known is not None and pack is not None:
        found = _pictures(files, known, pack, "cache")
    elif stored:
        known, pack = _streamed(files, recipe, cache, workers, watch)
        found = _pictures(files, known, pack, "files")
    else:
        known, pack = _decoded(files, recipe, workers, watch)
        found = _pictures(files, known, pack, "files")
    try:
        if found.came_from == "files" and not stored:
            _write_pack(_pack_path(cache, fingerprint, known), pack)
        if known != indexed and _settled(files, known, started):
            _write(entry, json.dumps([entry.stem, *known]).encode())
    except OSError as error:
        warnings.warn(f"the image cache {cache} cannot be written ({error}); going on without", stacklevel=2)
    return found


def _decoded(files: Sequence[ImageFile], recipe: Recipe, workers: int, watch: Watch) -> tuple[list[str], _Pack]:
    """Every file's digest, or its reason where it was not read; and what they hold."""
    pixels = numpy.empty((len(files), 3, recipe.size, recipe.size), numpy.uint8)
    known: list[str] = []
    bad: dict[int, str] = {}
    rows = animated = 0
    outcomes = watch(decode_files(files, recipe, workers), "decoding", len(files))
    for picture, moves in _good(outcomes, known, bad):
        pixels[rows] = picture
        rows, animated = rows + 1, animated + moves
    return known, _Pack(pixels[:rows], bad, animated)


def _good(outcomes: Iterable[Outcome], known: list[str], bad: dict[int, str]) -> Iterator[tuple[Pixels, bool]]:
    """The pictures among the outcomes, and whether each is the first of several; what is said of every file is added to
    `known`, and the reason of each without a picture to `bad`."""
    for position, outcome in enumerate(outcomes):
        known.append(outcome.sha256 or str(outcome.reason))
        if outcome.pixels is None:
            bad[position] = str(outcome.reason)
        else:
            yield outcome.pixels, outcome.animated


def _streamed(
    files: Sequence[ImageFile], recipe: Recipe, cache: Path, workers: int, watch: Watch
) -> tuple[list[str], _Pack]:
    """As `_decoded`, but into a pack as they come, whose rows are returned.

    Raises:
        DataError: it cannot be written.
    """
    known: list[str] = []
    bad: dict[int, str] = {}
    animated = 0
    digest = hashlib.sha256()
    try:
        (cache / "packs").mkdir(parents=True, exist_ok=True)
        remove_leftovers(cache / "packs")
        with Aside(cache / "packs") as file:
            file.write(bytes(PREFIX.size))
            outcomes = watch(decode_files(files, recipe, workers), "decoding", len(files))
            for picture, moves in _good(outcomes, known, bad):
                row = picture.reshape(-1).data
                file.write(row)
                digest.update(row)
                animated += moves
            path = _pack_path(cache, recipe.fingerprint(), known)
            header = _header(path, bad, animated)
            file.write(header)
            file.put(path, PREFIX.pack(MAGIC, FORMAT, len(header), _signed(digest, header)))
        shape = (len(files) - len(bad), 3, recipe.size, recipe.size)
        return known, _Pack(Rows(path, shape, PREFIX.size), bad, animated)
    except OSError as error:
        allowed = "pixels of more than dataset.resident_gb stay in it; raise that, or give dataset.cache room"
        raise DataError(f"the image cache {cache} cannot be written ({error}): {allowed}") from error


def _hashed(files: Sequence[ImageFile], recipe: Recipe, workers: int) -> Iterator[str]:
    """What `_decoded` says of every file first, without decoding."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(functools.partial(_digest, limit=recipe.max_bytes), files)


def _digest(file: ImageFile, limit: int) -> str:
    try:
        return hashlib.sha256(read_bytes(file.path, limit)).hexdigest()
    except BadImageError as bad:
        return bad.reason


def _pictures(
    files: Sequence[ImageFile], known: Sequence[str], pack: _Pack, came_from: Literal["cache", "files"]
) -> Pictures:
    kept = tuple(position for position in range(len(files)) if position not in pack.bad)
    return Pictures(
        pixels=pack.pixels,
        names=tuple(files[position].name for position in kept),
        kept=kept,
        digests=tuple("" if digest in REASONS else digest for digest in known),
        quarantined=tuple((files[position].name, reason) for position, reason in pack.bad.items()),
        animated=pack.animated,
        came_from=came_from,
    )


def _settled(files: Sequence[ImageFile], known: Sequence[str], started: int) -> bool:
    """Whether a later start may trust the files' times: none is racy, and none was out of reach only today."""
    latest = max((max(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    return latest < started - RACY_NS and "unreadable" not in known


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stats(file: ImageFile) -> str:
    return json.dumps([file.name, file.bytes_, file.mtime_ns, file.ctime_ns, file.inode])


def _pack_path(cache: Path, fingerprint: str, known: Sequence[str]) -> Path:
    return cache / "packs" / f"{_key(fingerprint, *known)}.pack"


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


def _write_pack(path: Path, pack: _Pack) -> None:
    assert not isinstance(pack.pixels, Rows)
    header = _header(path, pack.bad, pack.animated)
    pixels = pack.pixels.reshape(-1).data
    digest = _signed(hashlib.sha256(pixels), header)
    _write(path, PREFIX.pack(MAGIC, FORMAT, len(header), digest), pixels, header)


def _header(path: Path, bad: Mapping[int, str], animated: int) -> bytes:
    return json.dumps({"key": path.stem, "bad": list(bad.items()), "animated": animated}).encode()


def _read_pack(path: Path, count: int, size: int, *, stored: bool) -> _Pack | None:
    """The pack of `count` files at S = `size`; None if it is not there or not whole. `stored`: read through once."""
    try:
        with open(path, "rb") as file:
            magic, version, length, wanted = PREFIX.unpack(file.read(PREFIX.size))
            rest = os.fstat(file.fileno()).st_size - PREFIX.size - length
            if magic != MAGIC or version != FORMAT or rest < 0 or rest % (3 * size**2):
                return None
            shape = (rest // (3 * size**2), 3, size, size)
            pixels: Pixels | Rows
            if stored:
                digest, pixels = _digest_of(file, rest), Rows(path, shape, PREFIX.size)
            else:
                values = numpy.empty(shape, numpy.uint8)
                if file.readinto(values.reshape(-1).data) != rest:
                    return None
                digest, pixels = hashlib.sha256(values.reshape(-1).data), values
            header = file.read(length)
    except (OSError, struct.error):
        return None
    if _signed(digest, header) != wanted:
        return None
    fields = json.loads(header)  # from here on the header is as we wrote it, though maybe under another name
    pack = _Pack(pixels, dict(fields["bad"]), fields["animated"])
    return pack if fields["key"] == path.stem and len(pixels) + len(pack.bad) == count else None


def _digest_of(file: BinaryIO, bytes_: int) -> Digest:
    """Of the next so many bytes of a file, a few at a time."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(2**22))
    while bytes_ > 0 and (got := file.readinto(buffer[: min(bytes_, len(buffer))])):  # type: ignore[attr-defined]
        digest.update(buffer[:got])
        bytes_ -= got
    return digest


def _signed(digest: Digest, header: bytes) -> bytes:
    """Of the pixels, and then of the header."""
    digest.update(header + struct.pack("<I", len(header)))
    return bytes(digest.digest())


def _write(path: Path, *chunks: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    write_atomically(path, *chunks)
