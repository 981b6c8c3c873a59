"""How an image becomes S x S pixels, with a fingerprint of everything that decides them and of nothing else.

Equal fingerprints and equal files give equal pixels, so the cache is keyed by the fingerprint. It contains the versions
of the decoders: another libjpeg gives other pixels.
"""

import dataclasses
import json
from dataclasses import dataclass

import PIL
from PIL import features

from semisup.errors import check_choice, check_range
from semisup.images.formats import heif_version

VERSION = 3
"""Increase this when decode.py gives other pixels for the same settings."""

DECODERS = ("jpg", "libjpeg_turbo", "webp", "libtiff", "zlib", "avif", "jpg_2000")
"""Libraries inside Pillow, by Pillow's names for them."""

RESIZES = ("stretch", "center_crop")
LARGEST_MAX_PIXELS = 178_956_970
"""Pillow itself refuses larger images."""


@dataclass(frozen=True)
class DecodeSettings:
    """Settings of decoding.

    size: S, side of the result in pixels, 1 to 4096
    resize: "stretch" = both sides to S, whatever the aspect ratio; "center_crop" = short side to S, then the center
    draft: let the JPEG decoder reduce by 2, 4 or 8 first, never below 2 S: faster on large photographs, with slightly
        different pixels
    background: gray behind transparent pixels, 0 (black) to 255 (white)
    max_pixels: larger images are refused by their header, before memory is allocated

    Raises:
        SettingError: a setting is out of range.
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
        """Larger files are refused unread: uncompressed 16-bit RGBA of max_pixels and 16 MiB of metadata fit."""
        return 8 * self.max_pixels + 2**24

    def fingerprint(self) -> str:
        """Everything that decides the pixels of a file, as text: the settings, VERSION, the decoders' versions."""
        decoders = {name: features.version(name) for name in DECODERS}
        decoders |= {"pillow": PIL.__version__, "pillow_heif": heif_version()}
        return json.dumps({"version": VERSION, **dataclasses.asdict(self), "decoders": decoders}, sort_keys=True)
