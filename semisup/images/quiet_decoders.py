"""Suppress warnings that image decoders write to the terminal; they can contain text from the image file."""

import contextlib
import ctypes
import logging

from PIL import _imaging


def silence_decoders() -> None:
    """Suppress the warnings of Pillow and, if it is part of Pillow's binary, of libtiff in this process."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        for kind in ("Error", "Warning"):
            library[f"TIFFSet{kind}Handler"](None)
