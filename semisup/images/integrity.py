"""Check an image file before decoding: truncation, wrong checksums, and too much work for the decoder."""

import re
import zlib

PNG, CHUNK_OVERHEAD = b"\x89PNG\r\n\x1a\n", 12  # of a chunk: its length, its kind and its checksum

MAX_SCANS = 100
"""Largest number of scans in a JPEG. Encoders write about ten scans of a progressive JPEG.

A scan of only a hundred bytes can cause work for every pixel.
"""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, 0xD8})


def find_corruption(data: bytes) -> str | None:
    """Check an image file for damage that Pillow does not detect.

    Returns:
        the reason why the file must not be decoded, a key of decode.REASONS; None if no damage is found.
    """
    if data.startswith(PNG):
        return _png_corruption(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "truncated" if int.from_bytes(data[4:8], "little") + 8 > len(data) else None
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        return "too slow" if _count_scans(data) > MAX_SCANS else None
    return None


def _png_corruption(data: bytes) -> str | None:
    """Check the length and the CRC-32 of every chunk of a PNG file; return "truncated", "corrupt" or None."""
    view, start = memoryview(data), len(PNG)
    while start + CHUNK_OVERHEAD <= len(data):
        end = start + CHUNK_OVERHEAD + int.from_bytes(view[start : start + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return "corrupt"
        if data.startswith(b"IEND", start + 4):
            return None
        start = end
    return "truncated"


def _count_scans(data: bytes) -> int:
    """Count the scans of the first image in a JPEG file."""
    # data after the first image, which phones append, do not count
    scans = 0
    match = _MARKER.search(data)
    while match is not None and data[match.end() - 1] != _END_OF_IMAGE:
        marker, position = data[match.end() - 1], match.end()
        scans += marker == _START_OF_SCAN
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(data[position : position + 2], "big")
        match = _MARKER.search(data, position + length)
    return scans
