"""Set time and memory limits of a decoding process, so that a malicious file cannot stop the run.

Linux enforces both limits, macOS only the time limit, and Windows neither.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from semisup.images.decode_settings import DecodeSettings

SECONDS = 30.0
"""Largest CPU time of one file, in seconds; the largest accepted image needs about one second.

CPU time is limited, and not elapsed time, so that the result does not depend on how busy the machine is.
"""

BYTES_PER_PIXEL, SPARE_BYTES = 48, 2**28
"""Bytes of address space per pixel, and in addition.

They are for the image, its rotated copy, its copy with the background color, and the buffers of the decoder.
"""

TOO_SLOW = -getattr(signal, "SIGPROF", 27)
"""Exit code of a process that exceeded SECONDS."""


def limit_memory(settings: DecodeSettings) -> None:
    """Limit the memory of this process to what decoding an image of `max_pixels` pixels takes.

    If more is needed, Python raises MemoryError. This function has no effect on systems other than Linux.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return  # not Linux
    needed = pages * os.sysconf("SC_PAGE_SIZE") + BYTES_PER_PIXEL * settings.max_pixels + settings.max_bytes
    needed += SPARE_BYTES
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Context manager; its body may use SECONDS of CPU time, after which the signal SIGPROF ends the process."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
