"""What a decoding process may use up, so that a hostile file costs itself and nothing else.

The kernel holds the bounds: decoders are C, and would not let us interrupt them.
"""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from semisup.images.decode_settings import DecodeSettings

SECONDS = 30.0
"""Of a processor, for one file: the largest picture that is let through needs about one. Waiting does not count: a busy
machine changes nothing."""

BYTES_PER_PIXEL, SPARE_BYTES = 48, 2**28
"""Of address space: a picture, its upright copy, its colors on the background, and what the decoder holds meanwhile."""

TOO_SLOW = -signal.SIGPROF
"""How a process ends that took longer."""


def limit_memory(recipe: DecodeSettings) -> None:
    """From here on this process gets no more memory than the largest picture of `recipe` needs: MemoryError instead."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux
    wanted = pages * os.sysconf("SC_PAGE_SIZE") + BYTES_PER_PIXEL * recipe.max_pixels + recipe.max_bytes + SPARE_BYTES
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """In here this process ends by SIGPROF after SECONDS of its processor's time."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
