"""The bytes of one file -> its pixels, or the reason why there are none. Never pixels that are silently wrong.

What a file is, is decided by its content: a PNG named .jpg is a PNG. What is not done is as much a part of it:
Pillow's LOAD_TRUNCATED_IMAGES stays off (it paints what is missing gray), and formats that start a program to be read
(EPS, PDF: Ghostscript) are never tried.
"""

import io
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

# Imported by name, or the first WebP would make Pillow import all of its forty formats.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from semisup.images.decode_settings import DecodeSettings
from semisup.images.integrity import find_corruption
from semisup.images.quiet_decoders import silence_decoders

silence_decoders()

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

REASONS = {
    "unreadable": "not a regular file any more, no permission, or a fault of the disk",
    "unidentified": "none of JPEG, PNG, WebP, BMP, GIF, TIFF",
    "truncated": "the data end before the picture does",
    "corrupt": "the decoder found the data wrong",
    "too large": "more pixels than max_pixels, or more bytes, memory or pixels in a tile than that needs",
    "too slow": "more scans than pictures have, or more seconds of a processor than a picture may take",
    "crashed": "the process that decoded it died of it, twice",
    "too narrow": "center_crop would have to make more than max_pixels of it first",
    "unsupported mode": "no rule makes 8 bits of its values: 12- or 32-bit integers, floats, LAB, inverted 16-bit gray",
}
"""Why a file is no picture: every reason there is."""

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_EXIF_ORIENTATION, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_TILE = 0x0112, 258, 262, (322, 323)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Pixels = NDArray[numpy.uint8]


class BadImageError(ValueError):
    """A file that gives no pixels. `reason` is a key of REASONS."""

    def __init__(self, reason: str) -> None:
        assert reason in REASONS, reason
        super().__init__(reason)
        self.reason = reason


class Decoded(NamedTuple):
    """One picture.

    pixels: (3, S, S) uint8, contiguous, RGB
    animated: the file holds more frames or pages; `pixels` are of the first
    """

    pixels: Pixels
    animated: bool


def decode(data: bytes, recipe: DecodeSettings) -> Decoded:
    """Decode, turn upright by EXIF, lay transparency on the background, resize.

    16-bit gray keeps its upper 8 bits; 1-bit, gray, palette and CMYK are converted to RGB as Pillow does.
    Not thread-safe: the filter of warnings is set meanwhile.

    Raises:
        BadImageError: with one of REASONS; no other error of Pillow comes through.
        MemoryError: this machine's lack, not the file's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decode(data, recipe)
        except (BadImageError, MemoryError):
            raise
        except UnidentifiedImageError as error:
            raise BadImageError("unidentified") from error
        except Image.DecompressionBombError as error:
            raise BadImageError("too large") from error
        except Exception as error:  # Pillow raises nearly everything on bytes gone wrong
            early = isinstance(error, EOFError) or "truncated" in str(error).lower()
            raise BadImageError("truncated" if early else "corrupt") from error


def _decode(data: bytes, recipe: DecodeSettings) -> Decoded:
    if reason := find_corruption(data):
        raise BadImageError(reason)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if max(image.width * image.height, _tile(image)) > recipe.max_pixels:
            raise BadImageError("too large")
        if not _is_convertible(image):
            raise BadImageError("unsupported mode")
        animated = bool(getattr(image, "is_animated", False))
        if recipe.draft:
            image.draft(None, (2 * recipe.size, 2 * recipe.size))
        image.load()
        opaque = _to_rgb(_apply_exif_orientation(image), recipe.background)
    resized = _RESIZE[recipe.resize](opaque, recipe)
    return Decoded(numpy.ascontiguousarray(numpy.asarray(resized).transpose(2, 0, 1)), animated)


def _tile(image: Image.Image) -> int:
    """The pixels that have to be decoded at once: a TIFF's tile may be larger than the picture."""
    sides = (getattr(image, "tag_v2", {}).get(tag, 0) for tag in _TIFF_TILE)
    return math.prod(side if isinstance(side, int) else 0 for side in sides)


def _is_convertible(image: Image.Image) -> bool:
    """Whether the values become 8 bits without a guess: Pillow gives 12-bit and inverted TIFF as 16-bit gray too."""
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {_TIFF_BITS: (16,), _TIFF_PHOTOMETRIC: 1})
        return tags.get(_TIFF_BITS) == (16,) and tags.get(_TIFF_PHOTOMETRIC) == 1
    return image.mode in _MODES


def _apply_exif_orientation(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Unlike ImageOps.exif_transpose this never writes EXIF again, which fails on broken ones."""
    try:
        method = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing of the pixels, which can
        return image
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image, background: int) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _to_8bit(image, background)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", layer.size, (background, background, background))
    canvas.paste(layer, mask=layer)
    return canvas


def _to_8bit(image: Image.Image, background: int) -> Image.Image:
    """16-bit gray, by its upper 8 bits; Pillow's own conversion makes white of all above 255."""
    values = numpy.asarray(image)
    gray = (values >> 8).astype(numpy.uint8)
    if "transparency" in image.info:
        gray[values == image.info["transparency"]] = background
    return Image.fromarray(gray).convert("RGB")


def _stretch(image: Image.Image, recipe: DecodeSettings) -> Image.Image:
    """torchvision's Resize((S, S)) of a PIL image."""
    return image.resize((recipe.size, recipe.size), Image.Resampling.BILINEAR)


def _center_crop(image: Image.Image, recipe: DecodeSettings) -> Image.Image:
    """torchvision's Resize(S), then CenterCrop(S). Pillow's `box` would spare the rest, but rounds to float32."""
    size, (width, height) = recipe.size, image.size
    long = int(size * max(width, height) / min(width, height))
    if size * long > recipe.max_pixels:
        raise BadImageError("too narrow")
    width, height = (size, long) if width <= height else (long, size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


_RESIZE: dict[str, Callable[[Image.Image, DecodeSettings], Image.Image]] = {
    "stretch": _stretch,
    "center_crop": _center_crop,
}
