"""Pictures as bytes: PNGs made here, and those of the unit tests in every format."""

from __future__ import annotations

import pathlib
import struct
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[3]
SAMPLES = SOURCE / "tests" / "data" / "images"

# One of each format that is accepted.
FORMATS = {
    "jpeg": "icc_wide.jpg",
    "png": "icc_p3.png",
    "webp": "icc_p3.webp",
    "gif": "plain.gif",
    "bmp": "rgb24.bmp",
    "tiff": "lzw.tif",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 48, height: int = 32, tint: int = 0) -> bytes:
    """A gradient; `tint` makes different ones."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in ((x * 5 + tint) & 255, (y * 7) & 255, (tint * 40) & 255))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def kind(data: bytes) -> str:
    """"png", "jpeg", "webp" or "unknown", by content."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "unknown"


def size(data: bytes) -> tuple[int, int]:
    """(width, height) of a PNG, JPEG or WebP."""
    what = kind(data)
    if what == "png":
        return struct.unpack(">II", data[16:24])
    if what == "webp":
        if data[12:16] == b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        if data[12:16] == b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    at = 2
    while at + 9 < len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise AssertionError("no size in the JPEG")
