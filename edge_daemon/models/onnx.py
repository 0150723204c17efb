"""Does an ONNX file keep tensors in other files? Those would be loaded without any check.

ONNX lets a tensor name a file (`external_data`, a path of the sender's choice). The protobuf is
walked by its wire format, only along the fields that lead to tensors, so that no ONNX library has
to open a file from strangers; tensor data are skipped, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from edge_daemon.errors import BundleError, Code

_MAX_DEPTH = 64  # graphs inside nodes (if, loop) nest a few deep at most

# Message type -> field number -> message type below, from onnx.proto3. A TensorProto's field 13
# is external_data, field 14 data_location (1 is EXTERNAL).
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}

_Bytes = Union[bytes, mmap.mmap]
_Field = tuple[int, int, int, int]
"""Field number, wire type, then start and end of its bytes (or the number and 0)."""


def refuse_external_data(path: Path) -> None:
    """Raise BundleError when the model names another file, or is no ONNX model at all."""
    if path.stat().st_size == 0:
        raise _unreadable(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            external = _has_external(content, 0, len(content), "model", 0)
        except (ValueError, IndexError) as error:
            raise _unreadable(path) from error
    if external:
        raise BundleError(
            f"{path.name} keeps tensors in another file, which nothing vouches for.",
            hint="Export it as one ONNX file.",
        )


def _unreadable(path: Path) -> BundleError:
    return BundleError(
        f"{path.name} is not a readable ONNX model.",
        hint="Export it again.",
        code=Code.LOAD_FAILED,
    )


def _has_external(content: _Bytes, start: int, end: int, kind: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    below = _FIELDS[kind]
    for number, wire, first, last in _fields(content, start, end):
        if kind == "tensor" and (number == 13 or (number == 14 and wire == 0 and first != 0)):
            return True
        inner = below.get(number) if wire == 2 else None
        if inner and _has_external(content, first, last, inner, depth + 1):
            return True
    return False


def _fields(content: _Bytes, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field number 0")
        if wire == 0:
            value, at = _varint(content, at, end)
            yield number, wire, value, 0
            continue
        if wire == 2:
            size, at = _varint(content, at, end)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("unknown wire type")
        if at + size > end:
            raise ValueError("runs past its end")
        yield number, wire, at, at + size
        at += size


def _varint(content: _Bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("number without an end")
