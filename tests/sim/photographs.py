"""Photographs as phones and cameras write them: on their side, with EXIF that says how to turn."""

from __future__ import annotations

import struct
import zlib

import cv2

from edge_daemon.host.memory import Pixels


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF with one tag: how the camera was held, 1 to 8."""
    begin = b"II*\0" if order == "<" else b"MM\0*"
    tag = struct.pack(f"{order}HHIHH", 274, 3, 1, orientation, 0)
    return begin + struct.pack(f"{order}IH", 8, 1) + tag + bytes(4)


def with_exif(picture: bytes, tiff: bytes) -> bytes:
    """A JPEG or PNG with these words of EXIF in it."""
    if picture.startswith(b"\xff\xd8"):
        content = b"Exif\0\0" + tiff
        return (
            picture[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + picture[2:]
        )
    chunk = b"eXIf" + tiff
    whole = struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return picture[:33] + whole + picture[33:]  # behind the header


def photograph(upright: Pixels, orientation: int, suffix: str = ".jpg") -> bytes:
    """A file that shows `upright` once it is turned as its EXIF says."""
    on_its_side = {
        1: upright,
        2: cv2.flip(upright, 1),
        3: cv2.rotate(upright, cv2.ROTATE_180),
        4: cv2.flip(upright, 0),
        5: cv2.transpose(upright),
        6: cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE),
        7: cv2.rotate(cv2.transpose(upright), cv2.ROTATE_180),
        8: cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE),
    }[orientation]
    order = "<" if orientation % 2 else ">"
    picture = cv2.imencode(suffix, on_its_side)[1].tobytes()
    return with_exif(picture, exif(orientation, order))
