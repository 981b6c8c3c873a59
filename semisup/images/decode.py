"""Decode the bytes of one file into pixels, or return the reason why that is impossible.

Damaged files are rejected, not decoded to wrong pixels. The content decides the format: a PNG named .jpg is decoded as
a PNG.
"""

import io
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

# Imported by name: otherwise the first WebP makes Pillow import all of its forty formats.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    QoiImagePlugin,
    SgiImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from semisup.images.decode_settings import DecodeSettings
from semisup.images.formats import FORMATS, HEIC_HINT, HEIF, TGA, TGA_FOOTER, heif_version, is_heif
from semisup.images.integrity import find_corruption
from semisup.images.quiet_decoders import silence_decoders

silence_decoders()

REASONS = {
    "unreadable": "no longer a regular file, no permission, a disk error, or a closed Pillow image",
    "unidentified": "none of the formats that are read; see the table of formats",
    HEIC_HINT: "a HEIC image with the suffix of another format, and the extra heic is not installed",
    "truncated": "the data end before the image does",
    "corrupt": "a checksum or the decoder rejects the data",
    "too large": (
        "more pixels than dataset.max_pixels, or more bytes, memory or pixels in a tile than such an image needs"
    ),
    "too slow": "more scans than encoders write, or more CPU seconds than allowed for one image",
    "crashed": "decoding the file killed the process, twice",
    "too narrow": "center_crop would first have to enlarge the image to more than dataset.max_pixels pixels",
    "unsupported mode": "no defined conversion to 8 bits: 12- or 32-bit integers, floats, LAB, inverted 16-bit gray",
}
"""Every reason why a file gives no pixels -> what it means."""

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
    """Error for a file that cannot be decoded.

    Args:
        reason: a key of REASONS.
    """

    def __init__(self, reason: str) -> None:
        assert reason in REASONS, reason
        super().__init__(reason)
        self.reason = reason


class Decoded(NamedTuple):
    """Pixels of a decoded image file, and whether the file has several frames.

    pixels: (3, S, S) uint8, contiguous, RGB
    animated: whether the file has several frames or pages; `pixels` are then the pixels of the first one
    """

    pixels: Pixels
    animated: bool


def decode(data: bytes, settings: DecodeSettings) -> Decoded:
    """Decode an image, apply its EXIF orientation, blend transparency with the background, and resize.

    16-bit gray values are reduced to their upper 8 bits; all other modes are converted to RGB by Pillow. This function
    is not thread-safe, because it changes the warning filters.

    Args:
        data: content of the file.

    Raises:
        BadImageError: the image cannot be decoded.
        MemoryError: memory ran out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decode(data, settings)
        except (BadImageError, MemoryError):
            raise
        except UnidentifiedImageError as error:
            raise BadImageError("unidentified") from error
        except Image.DecompressionBombError as error:
            raise BadImageError("too large") from error
        except Exception as error:  # Pillow raises almost any exception for damaged data
            raise BadImageError(_reason(error)) from error


def _decode(data: bytes, settings: DecodeSettings) -> Decoded:
    if reason := find_corruption(data):
        raise BadImageError(reason)
    with Image.open(io.BytesIO(data), formats=_formats(data)) as image:
        if max(image.width * image.height, _tile_pixels(image)) > settings.max_pixels:
            raise BadImageError("too large")
        if not _is_convertible(image):
            raise BadImageError("unsupported mode")
        animated = bool(getattr(image, "is_animated", False))
        if settings.draft:
            image.draft(None, (2 * settings.size, 2 * settings.size))
        image.load()
        return Decoded(_to_pixels(image, settings), animated)


def convert_image(image: Image.Image, settings: DecodeSettings) -> Pixels:
    """Convert an open Pillow image to (3, S, S) uint8 pixels, in the same way as `decode` converts a file.

    The setting `draft` has no effect.

    Raises:
        BadImageError: the image cannot be converted.
        MemoryError: memory ran out.
    """
    if image.width * image.height > settings.max_pixels:
        raise BadImageError("too large")
    if not _is_convertible(image):
        raise BadImageError("unsupported mode")
    closed_unread = bool(getattr(image, "tile", ())) and getattr(image, "fp", None) is None
    try:
        return _to_pixels(image, settings)
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # of an image that was opened, but whose pixels were not read before, or was closed
        is_closed = closed_unread or "closed image" in str(error)
        raise BadImageError("unreadable" if is_closed else _reason(error)) from error


def _reason(error: Exception) -> str:
    """Return the key of REASONS for an error of a decoder."""
    return "truncated" if isinstance(error, EOFError) or "truncated" in str(error).lower() else "corrupt"


def _to_pixels(image: Image.Image, settings: DecodeSettings) -> Pixels:
    opaque = _to_rgb(_apply_exif_orientation(image), settings.background)
    resized = _RESIZE[settings.resize](opaque, settings)
    return numpy.ascontiguousarray(numpy.asarray(resized).transpose(2, 0, 1))


def _formats(data: bytes) -> tuple[str, ...]:
    """Return Pillow's names of the formats that the data may have.

    Raises:
        BadImageError: the data are a HEIC image, and the package pillow-heif is not installed.
    """
    if is_heif(data):
        if heif_version() is None:
            raise BadImageError(HEIC_HINT)
        # imported for HEIF files only
        import pillow_heif

        pillow_heif.register_heif_opener()
        return (HEIF,)
    return (TGA,) if data.endswith(TGA_FOOTER) else FORMATS


def _tile_pixels(image: Image.Image) -> int:
    """Compute the number of pixels in a tile of a TIFF file; 0 for other files."""
    # a tile is decoded as a whole and may be larger than the image
    sides = (getattr(image, "tag_v2", {}).get(tag, 0) for tag in _TIFF_TILE)
    return math.prod(side if isinstance(side, int) else 0 for side in sides)


def _is_convertible(image: Image.Image) -> bool:
    """Whether the values of an image have a defined conversion to 8 bits."""
    if image.mode.startswith("I;16"):
        # Pillow opens 12-bit and inverted TIFF files as 16-bit gray, too
        tags = getattr(image, "tag_v2", {_TIFF_BITS: (16,), _TIFF_PHOTOMETRIC: 1})
        return tags.get(_TIFF_BITS) == (16,) and tags.get(_TIFF_PHOTOMETRIC) == 1
    return image.mode in _MODES


def _apply_exif_orientation(image: Image.Image) -> Image.Image:
    """Rotate or mirror an image as its EXIF orientation requires."""
    try:
        # not ImageOps.exif_transpose: it also rewrites the EXIF data, which fails if they are damaged
        method = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # unreadable EXIF; the pixels may be intact
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
    """Convert a 16-bit gray image to 8-bit RGB: keep the upper 8 bits, and set transparent pixels to `background`."""
    # Pillow's own conversion makes all values above 255 white
    values = numpy.asarray(image)
    gray = (values >> 8).astype(numpy.uint8)
    if "transparency" in image.info:
        gray[values == image.info["transparency"]] = background
    return Image.fromarray(gray).convert("RGB")


def _stretch(image: Image.Image, settings: DecodeSettings) -> Image.Image:
    """Resize both sides to S, as torchvision's Resize((S, S)) does for a PIL image."""
    return image.resize((settings.size, settings.size), Image.Resampling.BILINEAR)


def _center_crop(image: Image.Image, settings: DecodeSettings) -> Image.Image:
    """Resize the short side to S and crop the center, as torchvision's Resize(S) and CenterCrop(S) do.

    Raises:
        BadImageError: the resized image would have more than `max_pixels` pixels.
    """
    # not `resize` with the argument `box`, which would be faster, but rounds the box to float32
    size, (width, height) = settings.size, image.size
    long_side = int(size * max(width, height) / min(width, height))
    if size * long_side > settings.max_pixels:
        raise BadImageError("too narrow")
    width, height = (size, long_side) if width <= height else (long_side, size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


_RESIZE: dict[str, Callable[[Image.Image, DecodeSettings], Image.Image]] = {
    "stretch": _stretch,
    "center_crop": _center_crop,
}
