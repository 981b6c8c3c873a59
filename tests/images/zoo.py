"""Create every kind of file that a folder of images may contain, each with its required outcome."""

import functools
import io
import os
import socket
import struct
import traceback
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy
import pillow_heif
from PIL import Image

from semisup.images.formats import TGA_FOOTER

T = TypeVar("T")
COLOR, BACKGROUND = (200, 60, 40), 100


@dataclass(frozen=True)
class Specimen:
    """Test file and its required outcome: one color (with a tolerance for lossy formats), any pixels, or a reason."""

    name: str
    data: bytes
    color: tuple[int, int, int] | None = None
    tolerance: int = 0
    reason: str | None = None
    animated: bool = False


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def heic() -> bytes:
    """Create a HEIC file, as phones write it."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(plain()).save(buffer, quality=100, chroma=444)
    return buffer.getvalue()


def avif(brand: bytes) -> bytes:
    """Create an AVIF file with this main brand; its other brands include `avif`."""
    data = saved(plain(), "AVIF", quality=100, subsampling="4:4:4")
    assert data[4:12] == b"ftypavif"
    assert b"avif" in data[16 : int.from_bytes(data[:4])]
    return data[:8] + brand + data[12:]


def noise(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Create an image that resizing and rotating change."""
    return Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8))


def plain(color: tuple[int, ...] = COLOR, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (40, 30), color)


def gray16(value: int) -> Image.Image:
    return Image.fromarray(numpy.full((30, 40), value, numpy.uint16))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """Create a white 1-bit PNG without having its pixels in memory."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    packer = zlib.compressobj(1)
    pixels = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(width: int, height: int, tile: int) -> bytes:
    """Create a black gray TIFF with one compressed tile of tile x tile pixels."""
    packer = zlib.compressobj(1)
    pixels = b"".join([packer.compress(bytes(tile)) for _ in range(tile)]) + packer.flush()
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 0, 325: len(pixels)}
    tags[324] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


def _last_scan(jpeg: bytes) -> bytes:
    return jpeg[jpeg.rindex(b"\xff\xda") : -2]


@functools.cache
def no_pictures() -> list[Specimen]:
    jpeg, progressive, whole = saved(noise(), "JPEG"), saved(noise(), "JPEG", progressive=True), saved(noise(), "PNG")
    webp, text = saved(noise(), "WEBP"), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 5_000_000))
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * 5_000_000))
    cut = [
        Specimen(f"{name}_{word}.jpg", data[:end], reason="truncated")
        for name, data in {"jpeg": jpeg, "progressive": progressive, "png": whole, "webp": webp}.items()
        for word, end in (("half", len(data) // 2), ("10", -10), ("2", -2))
    ]
    return [
        *cut,
        Specimen("cut_in_header.png", whole[:40], reason="truncated"),
        Specimen("empty.jpg", b"", reason="unidentified"),
        Specimen("one_byte.jpg", b"\xff", reason="unidentified"),
        Specimen("text.jpg", b"no picture\n", reason="unidentified"),
        Specimen("page.jpg", b"<!doctype html><html><body>404</body></html>", reason="unidentified"),
        Specimen("svg.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", reason="unidentified"),
        Specimen("eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", reason="unidentified"),
        Specimen("pdf.jpg", b"%PDF-1.4\n%%EOF\n", reason="unidentified"),
        Specimen("no_sides.png", png(0, 0), reason="unidentified"),
        Specimen("int32.tif", saved(Image.new("I", (9, 9), 70_000), "TIFF"), reason="unsupported mode"),
        Specimen("float.tif", saved(Image.new("F", (9, 9), 0.5), "TIFF"), reason="unsupported mode"),
        Specimen("lab.tif", saved(Image.new("LAB", (9, 9)), "TIFF"), reason="unsupported mode"),
        Specimen("inverted16.tif", _retagged(saved(gray16(9), "TIFF"), 262, 0), reason="unsupported mode"),
        Specimen("bits12.tif", _retagged(saved(gray16(9), "TIFF"), 258, 12), reason="unsupported mode"),
        Specimen("bomb.png", png(13_000, 13_000), reason="too large"),
        Specimen("bomb_for_pillow.png", png(13_000, 14_000), reason="too large"),
        Specimen("tile.tif", tiff(10, 10, tile=8000), reason="too large"),
        Specimen("scans.jpg", progressive[:-2] + _last_scan(progressive) * 200 + progressive[-2:], reason="too slow"),
        Specimen("long_text.png", png(8, 8, text), reason="corrupt"),
        Specimen("long_profile.png", png(8, 8, profile), reason="corrupt"),
        Specimen("flipped_late.png", whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:], reason="corrupt"),
        Specimen("flipped.png", whole[:80] + bytes([whole[80] ^ 255]) + whole[81:], reason="corrupt"),
    ]


@functools.cache
def pictures() -> list[Specimen]:
    """Create the usable images, each of one color."""
    gray = (90, 90, 90)
    over = tuple((channel * 128 + BACKGROUND * 127 + 127) // 255 for channel in COLOR)
    behind = (BACKGROUND,) * 3
    palette = plain().quantize(4)
    first = [plain(), plain((0, 0, 0)), plain((9, 9, 9))]
    frames = {"save_all": True, "append_images": first[1:]}
    exif = Image.Exif()
    exif[0x0112] = 99
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    return [
        Specimen("plain.jpg", saved(plain(), "JPEG", quality=95), COLOR, 4),
        Specimen("really_png.jpg", saved(plain(), "PNG"), COLOR),
        Specimen("plain.bmp", saved(plain(), "BMP"), COLOR),
        Specimen("plain.webp", saved(plain(), "WEBP", lossless=True), COLOR),
        Specimen("plain.tif", saved(plain(), "TIFF", compression="tiff_lzw"), COLOR),
        Specimen("plain.jfif", saved(plain(), "JPEG", quality=95), COLOR, 4),
        Specimen("plain.avif", avif(b"avif"), COLOR, 3),
        Specimen("mif1.avif", avif(b"mif1"), COLOR, 3),
        Specimen("plain.jp2", saved(plain(), "JPEG2000"), COLOR),
        Specimen("plain.j2k", saved(plain(), "JPEG2000", no_jp2=True), COLOR),
        Specimen("plain.ppm", saved(plain(), "PPM"), COLOR),
        Specimen("plain.pgm", saved(plain((90,), "L"), "PPM"), gray),
        Specimen("plain.ico", saved(plain().resize((32, 32)), "ICO"), COLOR),
        Specimen("plain.tga", saved(plain(), "TGA"), COLOR),
        Specimen("plain.qoi", saved(plain(), "QOI"), COLOR),
        Specimen("plain.sgi", saved(plain(), "SGI"), COLOR),
        Specimen("plain.heic", heic(), COLOR, 4),
        Specimen("jpeg.heic", saved(plain(), "JPEG", quality=95), COLOR, 4),
        Specimen("jpeg.bak", saved(plain(), "JPEG", quality=95), COLOR, 4),
        Specimen("png_without_suffix", saved(plain(), "PNG"), COLOR),
        Specimen("cmyk.jpg", saved(plain().convert("CMYK"), "JPEG", quality=95), COLOR, 6),
        Specimen("cmyk.tif", saved(plain().convert("CMYK"), "TIFF"), COLOR, 1),
        Specimen("gray.png", saved(plain((90,), "L"), "PNG"), gray),
        Specimen("gray_clear.png", saved(plain((90,), "L"), "PNG", transparency=90), behind),
        Specimen("gray_alpha.png", saved(plain((90, 0), "LA"), "PNG"), behind),
        Specimen("one_bit.png", png(8, 8), (255, 255, 255)),
        Specimen("palette.png", saved(palette, "PNG"), COLOR, 1),
        Specimen("palette_clear.png", saved(palette, "PNG", transparency=bytes([0] * 4)), behind),
        Specimen("palette_alpha.tif", saved(plain((1, 0), "PA"), "TIFF"), behind),
        Specimen("alpha.png", saved(plain((*COLOR, 128), "RGBA"), "PNG"), over, 1),
        Specimen("hidden_color.webp", saved(plain((*COLOR, 0), "RGBA"), "WEBP", lossless=True, exact=True), behind),
        Specimen("key_color.png", saved(plain(), "PNG", transparency=COLOR), behind),
        Specimen("gray16.png", saved(gray16(0x5A7F), "PNG"), gray),
        Specimen("gray16.tif", saved(gray16(0x5A7F), "TIFF"), gray),
        Specimen("gray16_clear.png", saved(gray16(0x5A7F), "PNG", transparency=0x5A7F), behind),
        Specimen("orientation_99.jpg", saved(plain(), "JPEG", exif=exif, quality=95), COLOR, 4),
        Specimen("broken_exif.jpg", saved(plain(), "JPEG", exif=broken, quality=95), COLOR, 4),
        Specimen("no_exif.png", saved(plain(), "PNG", exif=b"Exif\0\0garbage!!"), COLOR),
        Specimen("animated.gif", saved(plain(), "GIF", **frames), COLOR, 1, animated=True),
        Specimen("animated.webp", saved(plain(), "WEBP", lossless=True, **frames), COLOR, animated=True),
        Specimen("animated.png", saved(plain(), "PNG", **frames), COLOR, animated=True),
        Specimen("pages.tif", saved(plain(), "TIFF", **frames), COLOR, animated=True),
        Specimen("phone.jpg", saved(plain(), "MPO", quality=95, **frames), COLOR, 4, animated=True),
        Specimen("dot.png", saved(plain().crop((0, 0, 1, 1)), "PNG"), COLOR),
        Specimen("line.png", png(1, 100_000), (255, 255, 255)),
    ]


def oriented(orientation: int, form: str) -> bytes:
    """Create a noise image with EXIF's Orientation tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(noise(), form, exif=exif)


def oddities(folder: Path) -> dict[str, int]:
    """Fill `folder` with files that are no images, and return how a scan that follows no links counts them."""
    (folder / "x.jpg").mkdir()  # a directory like any other
    (folder / ".ipynb_checkpoints").mkdir()
    for name in (".ipynb_checkpoints/a.jpg", ".DS_Store", "._a.jpg", ".jpg", "Thumbs.db", "notes.txt", "README"):
        (folder / name).write_bytes(b"x")
    (folder / "first_version.tga").write_bytes(saved(plain(), "TGA").removesuffix(bytes(8) + TGA_FOOTER))
    os.mkfifo(folder / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path must be short
        server.bind("socket.jpg")
        os.chdir(here)
    (folder / "broken.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "loop").symlink_to("..")
    return {"hidden": 5, "not a regular file": 2, "other suffix": 3, "symlink": 3}


def quiet(items: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Progress callback that shows nothing."""
    return items


def in_child(act: Callable[[], object], *, user: int | None = None) -> int:
    """Call `act` in a forked child, as another user if possible; return the process id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        if user is not None and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def passes(process: int) -> bool:
    """Whether the child process ended with exit status 0."""
    return os.waitpid(process, 0)[1] == 0


def _retagged(tiff: bytes, tag: int, value: int) -> bytes:
    """Change the first value of a SHORT tag in a little-endian TIFF of one page."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, start)
    changed = bytearray(tiff)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", tiff, place)[0] == tag:
            struct.pack_into("<H", changed, place + 8, value)
    assert changed != tiff
    return bytes(changed)
