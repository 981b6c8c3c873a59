"""Suppress warnings that image decoders write to the terminal.

Some of these warnings contain text from the image file.

No information is lost: for the same problems Pillow raises exceptions, which become a reason of decode.REASONS.
"""

import contextlib
import ctypes
import logging

from PIL import _imaging


def silence_decoders() -> None:
    """Silence the warnings of image decoders in this process, except libtiff if Pillow loads it separately."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        for kind in ("Error", "Warning"):
            library[f"TIFFSet{kind}Handler"](None)
