"""Keep decoders from writing warnings to the terminal, some of which contain text from the file.

Pillow raises the same problems as exceptions, which become reasons.
"""

import contextlib
import ctypes
import logging

from PIL import _imaging


def silence_decoders() -> None:
    """Silence the decoders in this process; libtiff stays audible where it is not linked into Pillow's module."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        for kind in ("Error", "Warning"):
            library[f"TIFFSet{kind}Handler"](None)
