"""Create damaged images of every format; mutant number k of seed s is the same on every machine."""

import functools
import random
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from tests.images.zoo import noise, saved

PNG = b"\x89PNG\r\n\x1a\n"


class Mutant(NamedTuple):
    """Damaged image. `seed`: name of the original image; `how`: names of the changes."""

    seed: str
    how: str
    data: bytes


@functools.cache
def seeds() -> dict[str, bytes]:
    """Create the original images: name -> content of the file. The first word of a name is the format."""
    color = noise(12, 9).resize((48, 36), Image.Resampling.BICUBIC)
    several = lambda form: saved(  # noqa: E731  of copies: saving as MPO leaves its settings on an image
        color.copy(), form, save_all=True, append_images=[color.rotate(90), color.rotate(180)]
    )
    clear = color.copy()
    clear.putalpha(color.convert("L"))
    gray, palette = color.convert("L"), color.quantize(16)
    deep = gray.point(lambda value: value * 257, "I").convert("I;16")
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": saved(color, "JPEG", exif=exif),
        "jpeg gray": saved(gray, "JPEG"),
        "jpeg cmyk": saved(color.convert("CMYK"), "JPEG"),
        "jpeg progressive": saved(color, "JPEG", progressive=True, subsampling=0),
        "jpeg pages": several("MPO"),
        "png": saved(color, "PNG", exif=exif),
        "png alpha": saved(clear, "PNG"),
        "png palette": saved(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "png 16 bits": saved(deep, "PNG"),
        "png 1 bit": saved(gray.convert("1"), "PNG"),
        "png animated": several("PNG"),
        "gif": saved(palette, "GIF", transparency=3),
        "gif animated": several("GIF"),
        "webp": saved(color, "WEBP", exif=exif),
        "webp lossless": saved(clear, "WEBP", lossless=True),
        "webp animated": several("WEBP"),
        "bmp": saved(color, "BMP"),
        "bmp palette": saved(palette, "BMP"),
        "tiff": saved(color, "TIFF", exif=exif),
        "tiff lzw": saved(color, "TIFF", compression="tiff_lzw"),
        "tiff deflate": saved(clear, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": saved(color, "TIFF", compression="jpeg"),
        "tiff packbits": saved(palette, "TIFF", compression="packbits"),
        "tiff fax": saved(gray.convert("1"), "TIFF", compression="group4"),
        "tiff 16 bits": saved(deep, "TIFF"),
        "tiff pages": several("TIFF"),
    }


def mutant(seed: int, number: int) -> Mutant:
    """Apply one to three changes to an image."""
    draw = random.Random(f"{seed} {number}")
    name = draw.choice(list(seeds()))
    data = seeds()[name]
    if draw.random() < 0.15:
        return Mutant(name, "cut", data[: draw.randrange(len(data))])
    how = [draw.choice(list(CHANGES)) for _ in range(draw.choice((1, 1, 2, 3)))]
    for each in how:
        data = CHANGES[each](data, draw)
    if name.startswith("png") and draw.random() < 0.5:
        return Mutant(name, " ".join([*how, "sealed"]), _sealed(data))
    return Mutant(name, " ".join(how), data)


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 4, 32))):
        changed[_place(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _write(data: bytes, draw: random.Random) -> bytes:
    """Write a number that parsers often do not handle, in either byte order."""
    number = draw.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1))
    word = struct.pack(draw.choice("<>") + draw.choice("BHI"), 0)
    word = number.to_bytes(8, "little")[: len(word)][:: draw.choice((1, -1))]
    place = _place(data, draw)
    return data[:place] + word + data[place + len(word) :]


def _delete(data: bytes, draw: random.Random) -> bytes:
    place = _place(data, draw)
    return data[:place] + data[place + draw.choice((1, 2, 4, 64)) :]


def _insert(data: bytes, draw: random.Random) -> bytes:
    place = _place(data, draw)
    return data[:place] + draw.randbytes(draw.choice((1, 2, 4, 64))) + data[place:]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    place, length = _place(data, draw), draw.choice((4, 16, 64, 256))
    return data[:place] + data[place : place + length] * draw.choice((2, 9)) + data[place + length :]


def _splice(data: bytes, draw: random.Random) -> bytes:
    other = draw.choice(list(seeds().values()))
    return data[: _place(data, draw)] + other[_place(other, draw) :]


def _append(data: bytes, draw: random.Random) -> bytes:
    return data + draw.choice((b"\xff\xd9", b"\0" * 9, draw.randbytes(99), *seeds().values()))


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip,
    "write": _write,
    "delete": _delete,
    "insert": _insert,
    "repeat": _repeat,
    "splice": _splice,
    "append": _append,
}


def _place(data: bytes, draw: random.Random) -> int:
    """Choose a position in a file; every second time in the first 200 bytes, where the headers are."""
    return draw.randrange(max(1, min(len(data), 200) if draw.random() < 0.5 else len(data)))


def _sealed(data: bytes) -> bytes:
    """Correct the checksums of a PNG, so that the decoder reads the data behind them."""
    changed, start = bytearray(data), len(PNG)
    while start + 12 <= len(changed):
        end = start + 12 + int.from_bytes(changed[start : start + 4], "big")
        if end > len(changed):
            break
        changed[end - 4 : end] = zlib.crc32(changed[start + 4 : end - 4]).to_bytes(4, "big")
        start = end
    return bytes(changed)
