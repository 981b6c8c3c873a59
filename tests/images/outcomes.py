"""Files that a folder may contain and their outcomes: the tables of docs/data.md, each row with its test files."""

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from tests.images.zoo import Specimen, no_pictures, oddities, oriented, pictures, plain, saved

CONVERTED, IGNORED, QUARANTINED = "converted", "ignored", "quarantined"


class Kind(NamedTuple):
    """A row of the tables.

    what: description of the files
    outcome: converted, ignored or quarantined
    rule: how the file is converted, or the reason under which data_report.json counts or lists it
    names: test files of this kind
    """

    what: str
    outcome: str
    rule: str
    names: tuple[str, ...]


NAMES = (
    b"new\nline.png",
    b"right\xe2\x80\xaegnp.png",
    b"escape\x1b[2J\x1b]0;title\x07.png",
    b"<img src=x onerror=alert(1)>&amp;'\".png",
    b'=1+1,"quoted".png',
    b"\xff\xfe.png",
    b"back\\nslash.png",
    unicodedata.normalize("NFC", "cr\u00e8me.png").encode(),
    unicodedata.normalize("NFD", "cr\u00e8me.png").encode(),
)
"""Unusual file names, as bytes."""

_EXIF = tuple(f"oriented_{number}.{form.lower()}" for number in range(1, 9) for form in ("JPEG", "PNG", "WEBP", "TIFF"))

KINDS = (
    Kind("an image with another format's suffix", CONVERTED, "by its content, not by its name", ("really_png.jpg",)),
    Kind(
        "JPEG, PNG, WebP, BMP, GIF, TIFF",
        CONVERTED,
        "to RGB, without their color profile",
        ("plain.jpg", "plain.bmp", "plain.webp", "plain.tif"),
    ),
    Kind(
        "AVIF, JPEG 2000, PPM, PGM, ICO, QOI, SGI; TGA with the footer of its second version",
        CONVERTED,
        "to RGB",
        (
            *(f"plain.{suffix}" for suffix in ("avif", "jp2", "j2k", "ppm", "pgm", "ico", "qoi", "sgi", "tga")),
            "mif1.avif",
        ),
    ),
    Kind("HEIC and HEIF, with the extra `heic`", CONVERTED, "to RGB", ("plain.heic",)),
    Kind(
        "a JPEG, PNG, ... with another suffix, or none",
        CONVERTED,
        "by its content",
        ("plain.jfif", "jpeg.heic", "jpeg.bak", "png_without_suffix"),
    ),
    Kind("gray, 1-bit, palette", CONVERTED, "to RGB", ("gray.png", "one_bit.png", "palette.png")),
    Kind("CMYK", CONVERTED, "to RGB by Pillow's formula", ("cmyk.jpg", "cmyk.tif")),
    Kind(
        "transparency: alpha, in a palette, or one transparent color",
        CONVERTED,
        "over the gray `dataset.background`",
        (
            *("gray_clear.png", "gray_alpha.png", "palette_clear.png", "palette_alpha.tif", "alpha.png"),
            *("hidden_color.webp", "key_color.png", "gray16_clear.png"),
        ),
    ),
    Kind("16-bit gray", CONVERTED, "its upper 8 bits", ("gray16.png", "gray16.tif")),
    Kind("EXIF orientation 1 to 8", CONVERTED, "turned upright", _EXIF),
    Kind(
        "broken EXIF, or an invalid orientation",
        CONVERTED,
        "unrotated",
        ("orientation_99.jpg", "broken_exif.jpg", "no_exif.png"),
    ),
    Kind(
        "animated GIF, WebP, PNG; TIFF or MPO of several pages",
        CONVERTED,
        "the first frame; `first_frame_of_several` counts them",
        ("animated.gif", "animated.webp", "animated.png", "pages.tif", "phone.jpg"),
    ),
    Kind("one pixel, or one row of pixels", CONVERTED, "stretched to the square", ("dot.png", "line.png")),
    Kind(
        "a name with a newline, an escape sequence, a direction mark, HTML, bytes that are not UTF-8",
        CONVERTED,
        "name escaped wherever it is written",
        tuple(map(repr, NAMES[:7])),
    ),
    Kind("two names that differ only in Unicode form", CONVERTED, "two images", tuple(map(repr, NAMES[7:]))),
    Kind(
        "empty, text, HTML, SVG",
        QUARANTINED,
        "unidentified",
        ("empty.jpg", "one_byte.jpg", "text.jpg", "page.jpg", "svg.jpg", "no_sides.png"),
    ),
    Kind("EPS, PDF", QUARANTINED, "unidentified", ("eps.jpg", "pdf.jpg")),
    Kind(
        "cut short",
        QUARANTINED,
        "truncated",
        (
            *(f"{name}_{end}.jpg" for name in ("jpeg", "progressive", "png", "webp") for end in ("half", "10", "2")),
            "cut_in_header.png",
        ),
    ),
    Kind("bits flipped, where the format has a checksum", QUARANTINED, "corrupt", ("flipped.png", "flipped_late.png")),
    Kind(
        "compressed text or profiles that unpack to megabytes",
        QUARANTINED,
        "corrupt",
        ("long_text.png", "long_profile.png"),
    ),
    Kind(
        "32-bit integers, floats, LAB, 12-bit, inverted 16-bit gray",
        QUARANTINED,
        "unsupported mode",
        ("int32.tif", "float.tif", "lab.tif", "inverted16.tif", "bits12.tif"),
    ),
    Kind(
        "more than `dataset.max_pixels` by its header, or in one tile",
        QUARANTINED,
        "too large",
        ("bomb.png", "bomb_for_pillow.png", "tile.tif"),
    ),
    Kind("a JPEG of more than 100 scans", QUARANTINED, "too slow", ("scans.jpg",)),
    Kind("a file without read permission", QUARANTINED, "unreadable", ("locked.png",)),
    Kind("FIFO, socket, device", IGNORED, "not a regular file", ("fifo.jpg", "socket.jpg")),
    Kind("a symbolic link, intact, broken or looping", IGNORED, "symlink", ("broken.jpg", "self.jpg", "loop")),
    Kind(
        "hidden: `.DS_Store`, `._a.jpg`, `.ipynb_checkpoints/`, `Thumbs.db`",
        IGNORED,
        "hidden",
        (".DS_Store", "._a.jpg", ".jpg", ".ipynb_checkpoints", "Thumbs.db"),
    ),
    Kind(
        "no image, with another suffix, or none; TGA of the first version, without a footer",
        IGNORED,
        "other suffix",
        ("notes.txt", "README", "first_version.tga"),
    ),
)


def specimens() -> list[Specimen]:
    """All regular test files except those with unusual names."""
    turned = [
        Specimen(f"oriented_{number}.{form.lower()}", oriented(number, form))
        for number in range(1, 9)
        for form in ("JPEG", "PNG", "WEBP", "TIFF")
    ]
    return [*pictures(), *no_pictures(), *turned, Specimen("locked.png", saved(plain((1, 2, 3)), "PNG"))]


def odd_name(number: int) -> bytes:
    """Encode a different image for each of NAMES."""
    return saved(plain((number, 99, 9)), "PNG")


def fill(folder: Path) -> dict[str, int]:
    """Write all test files to `folder` and return how a scan must count the ignored ones."""
    ignored = oddities(folder)
    for kind in specimens():
        (folder / kind.name).write_bytes(kind.data)
    (folder / "locked.png").chmod(0)
    for number, name in enumerate(NAMES):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(odd_name(number))
    return ignored


def kind_of(name: str) -> Kind:
    """The row of the tables for a test file."""
    (kind,) = [kind for kind in KINDS if name in kind.names]
    return kind
