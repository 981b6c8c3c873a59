"""Settings by which an image is decoded to S x S pixels, and the fingerprint of these settings.

Equal fingerprints and equal files give equal pixels, so the cache uses the fingerprint as part of its key.
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
"""Pillow's names of the decoder libraries that it contains."""

RESIZES = ("stretch", "center_crop")
LARGEST_MAX_PIXELS = 178_956_970
"""Largest allowed value of max_pixels; Pillow itself refuses larger images."""


@dataclass(frozen=True)
class DecodeSettings:
    """Settings by which an image file is decoded to pixels.

    size: S, the side of the result in pixels, 1 to 4096
    resize: "stretch" = resize both sides to S, whatever the aspect ratio; "center_crop" = resize the short side to S,
        then crop the center
    draft: let the JPEG decoder first reduce the image by 2, 4 or 8, but not below 2 * S; faster, with slightly
        different pixels
    background: gray value that replaces transparent pixels, 0 (black) to 255 (white)
    max_pixels: images with more pixels are rejected

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
        """Largest allowed size of a file in bytes: 16-bit RGBA without compression, and 16 MiB of metadata."""
        return 8 * self.max_pixels + 2**24

    def fingerprint(self) -> str:
        """Return a text with the settings, VERSION and the versions of the decoders.

        The pixels of an image depend only on its file and on this text.
        """
        decoders = {name: features.version(name) for name in DECODERS}
        decoders |= {"pillow": PIL.__version__, "pillow_heif": heif_version()}
        return json.dumps({"version": VERSION, **dataclasses.asdict(self), "decoders": decoders}, sort_keys=True)
