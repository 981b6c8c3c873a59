"""How a picture becomes S x S pixels; all that does so, and nothing else, is in the fingerprint.

Two starts with one fingerprint and one file have the same pixels, so the cache is keyed by it. Decoders are part of
it: another libjpeg gives other pixels.
"""

import dataclasses
import json
from dataclasses import dataclass

import PIL
from PIL import features

from semisup.errors import check_choice, check_range

VERSION = 2
"""Raise this when decode.py gives other pixels for the same settings."""

RESIZES = ("stretch", "center_crop")
LARGEST_MAX_PIXELS = 178_956_970
"""Where Pillow itself refuses a picture."""


@dataclass(frozen=True)
class DecodeSettings:
    """The settings of decoding.

    size: S, the side of the result in pixels, 1 to 4096
    resize: "stretch" = both sides to S, whatever the shape was; "center_crop" = the short side to S, then the middle
    draft: let the JPEG decoder scale down by 2, 4 or 8 first, never below 2 S: faster on large photographs, and a
        little different
    background: the gray, 0 (black) to 255 (white), that shows through where a picture is transparent
    max_pixels: a picture of more is refused by its header, before memory is spent on it

    Raises:
        SettingError: a setting out of range, by its key.
    """

    size: int
    resize: str
    draft: bool
    background: int
    max_pixels: int

    def __post_init__(self) -> None:
        check_range("size", self.size, 1, 4096)
        check_choice("resize", self.resize, RESIZES)
        check_range("background", self.background, 0, 255)
        check_range("max_pixels", self.max_pixels, 1, LARGEST_MAX_PIXELS)

    @property
    def max_bytes(self) -> int:
        """A file of more is refused unread: even uncompressed, max_pixels of 16-bit RGBA and 16 MiB of metadata fit."""
        return 8 * self.max_pixels + 2**24

    def fingerprint(self) -> str:
        """All that decides the pixels of a file, as text: the settings, our version, the decoders' versions."""
        decoders = {name: features.version(name) for name in ("jpg", "libjpeg_turbo", "webp", "libtiff", "zlib")}
        decoders["pillow"] = PIL.__version__
        return json.dumps({"version": VERSION, **dataclasses.asdict(self), "decoders": decoders}, sort_keys=True)
