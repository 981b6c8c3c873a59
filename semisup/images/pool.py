"""Decode many files in several processes, in order.

If a file kills a process or exceeds the time limit, it gets no pixels, and the other files are still decoded.
"""

import functools
import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from semisup.errors import DataError, check_range
from semisup.images.archive_members import has_parquet
from semisup.images.decode import BadImageError, Pixels, decode
from semisup.images.decode_settings import DecodeSettings
from semisup.images.isolated import MAX_CONSECUTIVE_CRASHES, SPAWNER, decode_isolated, init_worker, starting_processes
from semisup.images.read_file import read_file
from semisup.images.resource_limits import limit_memory, time_limit
from semisup.images.scan import ImageFile

FEW_FILES, FEW_BYTES = 16, 2**19
"""With fewer files, or fewer bytes in all files, one decoding process is faster than several.

To start another process takes 20 ms, as long as to decode 8 photographs of 60 kB.
"""

_CHUNK_FILES, _CHUNK_BYTES = 32, 2**22
_CHUNKS = 8  # per process at least, if there are enough files, so that all processes finish at about the same time


class DecodeResult(NamedTuple):
    """Result of decoding one file.

    name: name of the file, as in ImageFile
    sha256: digest of the file's content in hexadecimal digits; "" if unknown, for example because the file is
        unreadable
    pixels: (3, S, S) uint8; None if the file cannot be decoded
    animated: whether the file has several frames; only the first is decoded
    reason: why there are no pixels, a key of decode.REASONS; None if there are pixels
    """

    name: str
    sha256: str
    pixels: Pixels | None
    animated: bool
    reason: str | None


def decode_files(files: Sequence[ImageFile], settings: DecodeSettings, workers: int) -> Iterator[DecodeResult]:
    """Decode `files` and yield one result for each, in order.

    Args:
        workers: number of decoding processes, at least 1; the results do not depend on it. With 1, this process
            decodes, so a file that crashes the decoder crashes the program.

    Raises:
        SettingError: `workers` is below 1.
        DataError: decoding processes died repeatedly, or memory ran out in this process.
    """
    check_range("workers", workers, 1)
    if workers == 1 or not files or not _may_have_children():
        return map(functools.partial(decode_file, settings=settings), files)
    if len(files) < FEW_FILES or sum(file.bytes_ for file in files) < FEW_BYTES:
        return _decode_one_by_one(files, settings)
    return _decode_in_pool(files, settings, workers)


def max_workers() -> int:
    """Return the default number of decoding processes: one per CPU core, but at least 2."""
    return max(os.cpu_count() or 1, 2)


def _may_have_children() -> bool:
    """Whether this process can start other processes; daemons and workers of joblib cannot."""
    method = multiprocessing.get_start_method(allow_none=True)
    is_known = method is None or method in multiprocessing.get_all_start_methods()
    return is_known and not multiprocessing.current_process().daemon


def decode_file(file: ImageFile, settings: DecodeSettings) -> DecodeResult:
    """Read and decode one file in this process.

    Raises:
        DataError: memory ran out.
    """
    try:
        return _decode_one(file, settings)
    except MemoryError as error:
        raise DataError(
            f"{file.name}: not enough memory to decode it; set a lower dataset.max_pixels or dataset.workers=1"
        ) from error


def _decode_one(file: ImageFile, settings: DecodeSettings) -> DecodeResult:
    digest = ""
    try:
        data = read_file(file, settings.max_bytes)
        digest = hashlib.sha256(data).hexdigest()
        pixels, animated = decode(data, settings)
    except BadImageError as bad:
        return DecodeResult(file.name, digest, None, False, bad.reason)
    return DecodeResult(file.name, digest, pixels, animated, None)


def _decode_limited(file: ImageFile, settings: DecodeSettings) -> DecodeResult:
    """Decode a file with a time limit; if memory runs out, the reason in the result is "too large"."""
    try:
        with time_limit():
            return _decode_one(file, settings)
    except MemoryError:
        return _failed(file, "too large")


def _failed(file: ImageFile, reason: str) -> DecodeResult:
    return DecodeResult(file.name, "", None, False, reason)


def _decode_one_by_one(files: Sequence[ImageFile], settings: DecodeSettings) -> Iterator[DecodeResult]:
    return decode_isolated(
        files,
        functools.partial(_decode_limited, settings=settings),
        functools.partial(_prepare, settings, has_parquet(files)),
        _failed,
    )


def _decode_in_pool(files: Sequence[ImageFile], settings: DecodeSettings, workers: int) -> Iterator[DecodeResult]:
    even = -(-len(files) // (_CHUNKS * workers))
    length = max(1, min(_CHUNK_FILES, _CHUNK_BYTES // (3 * settings.size**2), even))
    chunks = deque(files[start : start + length] for start in range(0, len(files), length))
    parquet = has_parquet(files)
    while chunks:
        yield from _run_pool(chunks, settings, workers, parquet)


def _run_pool(
    chunks: deque[Sequence[ImageFile]], settings: DecodeSettings, workers: int, parquet: bool
) -> Iterator[DecodeResult]:
    """Decode chunks of files in order and remove them from `chunks`, until none is left or a worker process died."""
    pool = ProcessPoolExecutor(workers, mp_context=SPAWNER, initializer=_init_pool_worker, initargs=(settings, parquet))
    pending: deque[tuple[Sequence[ImageFile], Future[list[DecodeResult]]]] = deque()
    broken = False
    try:
        while pending or (chunks and not broken):
            while chunks and not broken and len(pending) < 4 * workers:
                try:
                    with starting_processes():
                        pending.append((chunks[0], pool.submit(_decode_chunk, chunks[0], settings)))
                except BrokenProcessPool:
                    broken = True
                    break
                chunks.popleft()
            if not pending:
                break
            chunk, future = pending.popleft()
            try:
                yield from future.result()
            except MemoryError:
                yield from _decode_one_by_one(chunk, settings)
            except BrokenProcessPool:
                broken = True
                yield from _decode_one_by_one(_unfinished(chunk, pending, chunks), settings)
    finally:
        pool.shutdown(cancel_futures=True)


def _unfinished(
    first: Sequence[ImageFile],
    pending: deque[tuple[Sequence[ImageFile], Future[list[DecodeResult]]]],
    chunks: deque[Sequence[ImageFile]],
) -> list[ImageFile]:
    """Collect the files that are decoded again one by one, after a worker process died.

    Returns:
        The files of the first chunk that failed and of the submitted chunks after it, up to but without the first one
        that was decoded successfully. If no submitted chunk is left, chunks that were not submitted yet are added until
        there are at least MAX_CONSECUTIVE_CRASHES files.

    Args:
        first: the first chunk that failed.
        pending: the later chunks that were submitted, with their results; the chunks whose files are returned are
            removed from it.
        chunks: the chunks that were not submitted yet; those whose files are returned are removed from it, too.
    """
    files = list(first)
    while pending and not _succeeded(pending[0][1]):
        files += pending.popleft()[0]
    while not pending and chunks and len(files) < MAX_CONSECUTIVE_CRASHES:
        files += chunks.popleft()
    return files


def _succeeded(future: Future[list[DecodeResult]]) -> bool:
    return future.done() and future.exception() is None


def _decode_chunk(chunk: Sequence[ImageFile], settings: DecodeSettings) -> list[DecodeResult]:
    results = []
    for file in chunk:
        with time_limit():
            results.append(_decode_one(file, settings))
    return results


def _init_pool_worker(settings: DecodeSettings, parquet: bool) -> None:
    init_worker()
    _prepare(settings, parquet)


def _prepare(settings: DecodeSettings, parquet: bool) -> None:
    """Limit the memory of this decoding process; if Parquet files are read, import pyarrow first."""
    if parquet:
        # before the limit, because pyarrow needs much memory
        import semisup.images.parquet_cells  # noqa: F401
    limit_memory(settings)
