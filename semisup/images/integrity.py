"""What the bytes of a file say before a decoder sees them: cut short, checksums wrong, work without an end.

Pillow opens some cut files all the same, and decodes as many scans as a JPEG asks for.
"""

import re
import zlib

PNG, TAIL = b"\x89PNG\r\n\x1a\n", 12  # of a chunk: its length, its kind and its checksum

MAX_SCANS = 100
"""Encoders make about ten scans of a progressive JPEG. Each is work for every pixel, and may be of a hundred bytes."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, 0xD8})


def find_corruption(data: bytes) -> str | None:
    """A key of decode.REASONS, or None where only a decoder can tell."""
    if data.startswith(PNG):
        return _png_fault(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "truncated" if int.from_bytes(data[4:8], "little") + 8 > len(data) else None
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        return "too slow" if _scans(data) > MAX_SCANS else None
    return None


def _png_fault(data: bytes) -> str | None:
    """Chunk by chunk to the end: length, kind, content, CRC-32 of kind and content."""
    view, start = memoryview(data), len(PNG)
    while start + TAIL <= len(data):
        end = start + TAIL + int.from_bytes(view[start : start + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return "corrupt"
        if data.startswith(b"IEND", start + 4):
            return None
        start = end
    return "truncated"


def _scans(data: bytes) -> int:
    """The scans before the end of the first image; what is appended after that, as phones do, does not count."""
    scans = 0
    found = _MARKER.search(data)
    while found is not None and data[found.end() - 1] != _END_OF_IMAGE:
        marker, position = data[found.end() - 1], found.end()
        scans += marker == _START_OF_SCAN
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(data[position : position + 2], "big")
        found = _MARKER.search(data, position + length)
    return scans
