"""Many files -> pixels, in the order asked for, by several processes.

Which process decodes a file changes nothing. A file that is no picture costs its row, and so does one that kills its
process, or does not let it go: those that were under way then are tried again, each alone.
"""

import functools
import hashlib
import multiprocessing
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from semisup.errors import DataError, check_range
from semisup.images.decode import BadImageError, Pixels, decode
from semisup.images.decode_settings import DecodeSettings
from semisup.images.isolated import MAX_CONSECUTIVE_CRASHES, SPAWNER, decode_isolated, hide_main_module, init_worker
from semisup.images.resource_limits import limit_memory, time_limit
from semisup.images.scan import ImageFile

FEW_FILES, FEW_BYTES = 16, 2**19
"""Below either, one process is done before a second has paid: to start it takes 20 ms, 8 photographs of 60 kB."""

_CHUNK_FILES, _CHUNK_BYTES = 32, 2**22
_CHUNKS = 8  # for each process at least, where there are files enough: they end at nearly the same time


class DecodeResult(NamedTuple):
    """What became of one file.

    name: as in ImageFile
    sha256: hex, of the file's bytes; "" where they were not read ("unreadable", or "too large" by its bytes)
    pixels: (3, S, S) uint8, or None
    animated: there were more frames than the one taken
    reason: why there are no pixels, a key of decode.REASONS; None where there are
    """

    name: str
    sha256: str
    pixels: Pixels | None
    animated: bool
    reason: str | None


def decode_files(files: Sequence[ImageFile], recipe: DecodeSettings, workers: int) -> Iterator[DecodeResult]:
    """Decode `files`, one Outcome each, in their order. `workers` changes nothing but the time.

    With one worker it is this process that decodes, and that a file could kill.
    No more than four chunks a worker (32 files or 4 MiB of pixels each) are in memory at once.

    Raises:
        SettingError: `workers` below 1.
        DataError: processes die whatever the file; or this one's memory ran out.
    """
    check_range("workers", workers, 1)
    if workers == 1 or not files or not _may_have_children():
        return map(functools.partial(decode_file, recipe=recipe), files)
    if len(files) < FEW_FILES or sum(file.bytes_ for file in files) < FEW_BYTES:
        return _alone(files, recipe)
    return _by_processes(files, recipe, workers)


def max_workers() -> int:
    """What `workers` is where nobody says: one a core, and never this process."""
    return max(os.cpu_count() or 1, 2)


def _may_have_children() -> bool:
    """Not daemons, and not the workers of joblib: children ask for their parent's start method, and know no `loky`."""
    method = multiprocessing.get_start_method(allow_none=True)
    known = method is None or method in multiprocessing.get_all_start_methods()
    return known and not multiprocessing.current_process().daemon


def decode_file(file: ImageFile, recipe: DecodeSettings) -> DecodeResult:
    """Read and decode one file, once.

    Raises:
        DataError: memory ran out.
    """
    try:
        return _outcome(file, recipe)
    except MemoryError as error:
        raise DataError(f"{file.name}: not enough memory to decode it; lower max_pixels, or the workers") from error


def _outcome(file: ImageFile, recipe: DecodeSettings) -> DecodeResult:
    digest = ""
    try:
        data = read_bytes(file.path, recipe.max_bytes)
        digest = hashlib.sha256(data).hexdigest()
        pixels, animated = decode(data, recipe)
    except BadImageError as bad:
        return DecodeResult(file.name, digest, None, False, bad.reason)
    return DecodeResult(file.name, digest, pixels, animated, None)


def _outcome_alone(file: ImageFile, recipe: DecodeSettings) -> DecodeResult:
    """As `decode_file`, within bounds; a lack of memory is the file's fault here, for there is no other file."""
    try:
        with time_limit():
            return _outcome(file, recipe)
    except MemoryError:
        return _lost(file, "too large")


def _lost(file: ImageFile, reason: str) -> DecodeResult:
    return DecodeResult(file.name, "", None, False, reason)


def read_bytes(path: str, limit: int) -> bytes:
    """The content of a regular file. What has become a FIFO or a device since the scan does not hold us up.

    Raises:
        BadImageError: "unreadable"; "too large" for more than `limit` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BadImageError("unreadable")
            data = file.read(limit + 1) if status.st_size <= limit else None
    except OSError as error:
        raise BadImageError("unreadable") from error
    if data is None or len(data) > limit:
        raise BadImageError("too large")
    return data


def _alone(files: Sequence[ImageFile], recipe: DecodeSettings) -> Iterator[DecodeResult]:
    return decode_isolated(
        files, functools.partial(_outcome_alone, recipe=recipe), functools.partial(limit_memory, recipe), _lost
    )


def _by_processes(files: Sequence[ImageFile], recipe: DecodeSettings, workers: int) -> Iterator[DecodeResult]:
    even = -(-len(files) // (_CHUNKS * workers))
    length = max(1, min(_CHUNK_FILES, _CHUNK_BYTES // (3 * recipe.size**2), even))
    chunks = deque(files[start : start + length] for start in range(0, len(files), length))
    while chunks:
        yield from _until_one_dies(chunks, recipe, workers)


def _until_one_dies(chunks: deque[Sequence[ImageFile]], recipe: DecodeSettings, workers: int) -> Iterator[DecodeResult]:
    """Takes what it has done from `chunks`: all, or all that were under way when a process died."""
    pool = ProcessPoolExecutor(workers, mp_context=SPAWNER, initializer=_begin, initargs=(recipe,))
    flying: deque[tuple[Sequence[ImageFile], Future[list[DecodeResult]]]] = deque()
    broken = False
    try:
        while flying or (chunks and not broken):
            while chunks and not broken and len(flying) < 4 * workers:
                try:
                    with hide_main_module():
                        flying.append((chunks[0], pool.submit(_outcomes, chunks[0], recipe)))
                except BrokenProcessPool:
                    broken = True
                    break
                chunks.popleft()
            if not flying:
                break
            chunk, landing = flying.popleft()
            try:
                yield from landing.result()
            except MemoryError:
                yield from _alone(chunk, recipe)
            except BrokenProcessPool:
                broken = True
                yield from _alone(_suspects(chunk, flying, chunks), recipe)
    finally:
        pool.shutdown(cancel_futures=True)


def _suspects(
    first: Sequence[ImageFile],
    flying: deque[tuple[Sequence[ImageFile], Future[list[DecodeResult]]]],
    chunks: deque[Sequence[ImageFile]],
) -> list[ImageFile]:
    """The files of the chunk that did not come back and of those after it that did not either; so many at least that it
    shows whether every file does it."""
    files = list(first)
    while flying and not _landed(flying[0][1]):
        files += flying.popleft()[0]
    while not flying and chunks and len(files) < MAX_CONSECUTIVE_CRASHES:
        files += chunks.popleft()
    return files


def _landed(landing: Future[list[DecodeResult]]) -> bool:
    return landing.done() and landing.exception() is None


def _outcomes(chunk: Sequence[ImageFile], recipe: DecodeSettings) -> list[DecodeResult]:
    found = []
    for file in chunk:
        with time_limit():
            found.append(_outcome(file, recipe))
    return found


def _begin(recipe: DecodeSettings) -> None:
    init_worker()
    limit_memory(recipe)
