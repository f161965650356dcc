"""A guest's screen as PNG: QEMU delivers PPM, which few programs show."""

import re
import struct
import zlib

_HEADER = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB_8 = bytes([8, 2, 0, 0, 0])  # Bits per channel, colour type RGB, and no options.


def png_of_ppm(raw: bytes) -> bytes:
    """Raises ValueError when it is not a whole picture of one byte per channel."""
    header = _HEADER.match(raw)
    if header is None:
        raise ValueError("it is no PPM picture")
    width, height = int(header[1]), int(header[2])
    pixels = raw[header.end() :]
    stride = width * 3
    if width == 0 or height == 0 or len(pixels) < stride * height:
        raise ValueError("the picture is cut short")
    rows = (b"\0" + pixels[row * stride : (row + 1) * stride] for row in range(height))
    size = struct.pack(">II", width, height)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", size + _RGB_8),
            _chunk(b"IDAT", zlib.compress(b"".join(rows), 1)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
