"""Time and memory limits of a decoding process, so that a hostile file harms only itself.

The kernel enforces them: decoders are C code, which Python cannot interrupt.
"""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from semisup.images.decode_settings import DecodeSettings

SECONDS = 30.0
"""CPU seconds for one file; the largest accepted image needs about one. CPU time, so that a busy machine changes
nothing."""

BYTES_PER_PIXEL, SPARE_BYTES = 48, 2**28
"""Of address space: an image, its upright copy, its colors on the background, and the decoder's buffers."""

TOO_SLOW = -signal.SIGPROF
"""Exit code of a process that exceeded SECONDS."""


def limit_memory(settings: DecodeSettings) -> None:
    """Limit this process to the memory that the largest accepted image needs; beyond it, MemoryError is raised."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux
    needed = pages * os.sysconf("SC_PAGE_SIZE") + BYTES_PER_PIXEL * settings.max_pixels + settings.max_bytes
    needed += SPARE_BYTES
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Kill this process by SIGPROF when the body takes more than SECONDS of CPU time."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
