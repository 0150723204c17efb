"""What a file of weights is by its first bytes: said before a library fails on it.

Only what is certain is refused here: a pointer of Git LFS, a web page, one format under the name of
another, a checkpoint of a repository that ultralytics cannot read. Nothing is unpacked or
unpickled, and little is read.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from edge_daemon.errors import BundleError, Code

_HEAD_BYTES = 64 << 10
_TAIL_BYTES = 66 << 10  # the end of a zip's directory, with the longest comment
_DIRECTORY_BYTES = 1 << 20

_LFS = b"version https://git-lfs.github.com/spec/"
_ZIP, _ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
_REPOSITORY = b"cmodels.yolo\n"
"""How a pickle names a class of the module `models.yolo`."""

_CHECKPOINT, _TORCHSCRIPT, _ONNX = "a checkpoint of PyTorch", "TorchScript", "ONNX"
_SUFFIXES = {_CHECKPOINT: ".pt", _TORCHSCRIPT: ".torchscript", _ONNX: ".onnx"}


def refuse_unlike(weights: Path) -> None:
    """Raise BundleError(load_failed) for weights that are plainly not what their name says.

    `weights` is a file, or an OpenVINO folder, of which only the pointers are looked for.
    """
    if weights.is_dir():
        for inner in sorted(path for path in weights.rglob("*") if path.is_file()):
            _refuse_pointer(inner.name, _head(inner))
        return
    head = _head(weights)
    _refuse_pointer(weights.name, head)
    _refuse_page(weights.name, head)
    if _REPOSITORY in head:
        raise _wrong(
            f"{weights.name} was made with the repository of YOLOv5 or YOLOv7, whose code is needed"
            " to read it.",
            "Train it again with ultralytics, for example from yolov5su.pt or yolo11n.pt.",
        )
    found = _format(weights, head)
    wanted = _SUFFIXES.get(found) if found else None
    if wanted is not None and wanted != weights.suffix:
        raise _wrong(
            f"{weights.name} is {found}, which its name does not say.",
            f"Name it weights{wanted}, and correct weights.file in model.yaml.",
        )


def _refuse_pointer(name: str, head: bytes) -> None:
    if head.startswith(_LFS):
        raise _wrong(
            f"{name} is a pointer of Git LFS, not the file itself.",
            "Fetch it with 'git lfs pull', and make the bundle again.",
        )


def _refuse_page(name: str, head: bytes) -> None:
    begins = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begins.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<svg")):
        raise _wrong(
            f"{name} is a web page (HTML or XML), not weights.",
            "The download was answered with a page: fetch the file itself.",
        )


def _format(path: Path, head: bytes) -> str | None:
    if head.startswith(_ZIP):
        names = _zip_names(path)
        if b"/data.pkl" not in names:
            return None
        return _TORCHSCRIPT if b"/constants.pkl" in names else _CHECKPOINT
    if len(head) < 3:
        return None
    if head[0] == 0x80 and head[1] in (2, 3, 4, 5):
        return _CHECKPOINT
    # A ModelProto: its first field is ir_version, a small number; then its producer, domain, own
    # version, graph or operators.
    if head[0] == 0x08 and head[1] < 0x20 and head[2] in b"\x12\x1a\x22\x28\x3a\x42":
        return _ONNX
    return None


def _zip_names(path: Path) -> bytes:
    """The bytes of a zip's directory, which hold its names; none where it is odd or too long."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        at = tail.rfind(_ZIP_END)
        if at < 0 or at + 20 > len(tail):
            return b""
        length, begin = struct.unpack_from("<II", tail, at + 12)
        if length > _DIRECTORY_BYTES or begin + length > size:
            return b""
        file.seek(begin, os.SEEK_SET)
        return file.read(length)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _wrong(message: str, hint: str) -> BundleError:
    return BundleError(message, hint=hint, code=Code.LOAD_FAILED)
