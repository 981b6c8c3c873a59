"""What decoders dislike about a file they write to the terminal, some in words of the file; here they are told not to.

Pillow raises the same as an exception, which becomes a reason.
"""

import contextlib
import ctypes
import logging

from PIL import _imaging


def silence_decoders() -> None:
    """From here on, in this process. Where Pillow is built so that its libtiff cannot be found, that still writes."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        for kind in ("Error", "Warning"):
            library[f"TIFFSet{kind}Handler"](None)
