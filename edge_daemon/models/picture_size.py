"""The size of a picture by its header alone: a small file may decode to gigabytes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

MAX_PIXELS = 64_000_000
"""Of one golden image: 192 MB once it is decoded."""

_PNG = b"\x89PNG\r\n\x1a\n"
_SEGMENTS = 1000  # of a JPEG before its frame; profiles and thumbnails come in a few dozen


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of a JPEG, PNG or BMP; None of anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(32)
            if head.startswith(_PNG):
                width, height = struct.unpack_from(">II", head, 16)
            elif head.startswith(b"BM"):
                width, height = struct.unpack_from("<ii", head, 18)
            elif head.startswith(b"\xff\xd8"):
                file.seek(2)
                return _jpeg_size(file)
            else:
                return None
    except (OSError, ValueError, struct.error):
        return None
    return abs(width), abs(height)  # a BMP from its top has a negative height


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    for _ in range(_SEGMENTS):
        prefix, marker = struct.unpack("BB", file.read(2))
        while marker == 0xFF:  # padding
            (marker,) = file.read(1)
        if prefix != 0xFF or marker == 0xDA:  # the picture's own data: no frame came before
            return None
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
    return None
