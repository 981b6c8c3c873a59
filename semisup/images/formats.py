"""Detect by suffix and first bytes whether a file has one of the image formats that are read.

A file with one of the suffixes counts as an image; for all other files, the first bytes decide. This module does not
import Pillow.
"""

import importlib.metadata
from functools import cache

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "QOI", "SGI")
"""Pillow's names of the formats that Pillow recognizes by their first bytes."""

TGA, TGA_SUFFIX, TGA_FOOTER = "TGA", ".tga", b"TRUEVISION-XFILE.\x00"
"""A format that cannot be recognized by its first bytes: only files with the footer of its second version are read."""

HEIF, HEIC_SUFFIXES = "HEIF", frozenset({".heic", ".heif", ".hif"})
HEIC_HINT = "HEIC; type pip install 'semisup[heic]'"

SUFFIXES = HEIC_SUFFIXES | {
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".ico", ".qoi", ".sgi"),
}
"""Suffixes of the files that count as images, whatever their content is."""

SIGNATURE_BYTES = 64
"""Number of first bytes of a file that `is_image_content` needs; HEIF and AVIF list their brands in them."""

_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG, MPO
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"BM",
    b"qoif",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def is_image_content(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an image in one of the supported formats."""
    if head.startswith(b"BM"):
        return head[6:10] == b"\0\0\0\0"  # two reserved fields; texts begin with BM, too
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(_SIGNATURES) or is_avif(head) or is_heif(head)


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a HEIF image, such as HEIC; AVIF images do not count."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and not is_avif(head)


def is_avif(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an AVIF image."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4]), SIGNATURE_BYTES)
    others = {head[start : start + 4] for start in range(16, end, 4)} if head[8:12] in (b"mif1", b"msf1") else set()
    return not _AVIF_BRANDS.isdisjoint({head[8:12], *others})


@cache
def heif_version() -> str | None:
    """Read the version of pillow-heif (the extra `heic`) without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version("pillow-heif")
    except importlib.metadata.PackageNotFoundError:
        return None
