"""What a picture says of itself in its header: how large it is, and how it is to be turned.

By the header alone: a small file may unfold to gigabytes. A photograph lies in its file as the
sensor saw it, and EXIF says how it was held; here and where it is decoded it counts upright, as
people label it. Sources: EXIF 2.32 (tag 274), PNG 1.2 with eXIf, JPEG (ITU T.81).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_PIXELS = 64_000_000
"""Of one golden image: 192 MB once it is decoded."""

UPRIGHT = 1
"""EXIF's orientation of a picture that lies in its file as it is to be seen."""

_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_SEGMENTS = 1000  # before the picture itself; profiles and thumbnails come in a few dozen
_TAGS = 500  # of the first directory of EXIF
_ORIENTATION = 274
_MOST_TIFF_BYTES = 1 << 16  # a segment of a JPEG holds no more


@dataclass(frozen=True)
class PictureHeader:
    """Width and height in pixels as they lie in the file, and EXIF's orientation, 1 to 8."""

    width: int
    height: int
    orientation: int = UPRIGHT
    bits: int = 8  # a channel

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        is_on_its_side = self.orientation >= 5
        return (self.height, self.width) if is_on_its_side else (self.width, self.height)


def picture_header(path: Path) -> PictureHeader | None:
    """Of a JPEG, PNG or BMP; None of anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(32)
            if head.startswith(_PNG):
                return _png(file, head)
            if head.startswith(b"BM"):
                width, height = struct.unpack_from("<ii", head, 18)
                return PictureHeader(abs(width), abs(height))  # negative from its top
            if head.startswith(b"\xff\xd8"):
                return _jpeg(file)
    except (OSError, ValueError, struct.error):
        pass
    return None


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of the upright JPEG, PNG or BMP; None of anything else."""
    header = picture_header(path)
    return None if header is None else header.size


def _png(file: BinaryIO, head: bytes) -> PictureHeader:
    width, height, bits = struct.unpack_from(">IIB", head, 16)
    orientation = UPRIGHT
    file.seek(len(_PNG))
    with suppress(struct.error):  # what breaks off hides no size
        for _ in range(_SEGMENTS):
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"eXIf" and length <= _MOST_TIFF_BYTES:
                orientation = _orientation(file.read(length))
            if kind in {b"eXIf", b"IDAT", b"IEND"}:
                break
            file.seek(length + 4, 1)
    return PictureHeader(width, height, orientation, bits)


def _jpeg(file: BinaryIO) -> PictureHeader | None:
    """The frame may come before EXIF; the picture's own data ends the search for both.

    What follows the frame and cannot be read hides no size: a decoder may go on all the same.
    """
    size: tuple[int, int] | None = None
    orientation: int | None = None
    file.seek(2)
    with suppress(ValueError, struct.error):
        for _ in range(_SEGMENTS):
            segment = _segment(file)
            if segment is None or (size and orientation):
                break
            marker, length = segment
            begins_at = file.tell()
            if size is None and 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                _, height, width = struct.unpack(">BHH", file.read(5))
                size = width, height
            elif marker == 0xE1 and orientation is None:
                content = file.read(length)
                if content.startswith(_EXIF):
                    orientation = _orientation(content[len(_EXIF) :])
            file.seek(begins_at + length)
    return None if size is None else PictureHeader(*size, orientation or UPRIGHT)


def _segment(file: BinaryIO) -> tuple[int, int] | None:
    """The next segment with a content: its marker, and how long that is; None at the data."""
    while True:
        head = file.read(2)
        if len(head) < 2 or head[0] != 0xFF:
            return None
        marker = head[1]
        while marker == 0xFF:  # padding
            (marker,) = file.read(1)
        if marker in (0xDA, 0xD9):
            return None
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a content
            continue
        length = file.read(2)
        if len(length) < 2:
            return None
        return marker, max(0, struct.unpack(">H", length)[0] - 2)


def _orientation(tiff: bytes) -> int:
    """What the first directory says; upright where it says nothing that can be understood."""
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[tiff[:4]]
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for number in range(min(count, _TAGS)):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, at + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else UPRIGHT
    except (KeyError, struct.error):
        pass
    return UPRIGHT
