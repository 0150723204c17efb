"""The structures and numbers of V4L2, as linux/videodev2.h has them."""

from __future__ import annotations

import ctypes

CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""

NEXT_CONTROL = 0x8000_0000
DISABLED, READ_ONLY, INACTIVE, WRITE_ONLY, HAS_PAYLOAD = 0x1, 0x4, 0x10, 0x40, 0x100

INTEGER, BOOLEAN, MENU, BUTTON, INTEGER64, CLASS, STRING, BITMASK, INTEGER_MENU = range(1, 10)
"""The types of controls that exist in every kernel; later ones hold structures."""

AUTO_EXPOSURE, EXPOSURE_TIME = 0x9A_0901, 0x9A_0902
GAIN, AUTO_GAIN, ANALOGUE_GAIN = 0x98_0913, 0x98_0912, 0x9E_0903
MANUAL_EXPOSURE = 1  # of the menu of AUTO_EXPOSURE
EXPOSURE_UNIT_US = 100

DISCRETE = 1
"""Sizes and intervals that are listed one by one; others are ranges with a step."""

_U32 = ctypes.c_uint32


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", _U32),
        ("capabilities", _U32),
        ("device_caps", _U32),
        ("reserved", _U32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", _U32),
        ("type", _U32),
        ("flags", _U32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", _U32),
        ("mbus_code", _U32),
        ("reserved", _U32 * 3),
    )


class FrameSize(ctypes.Structure):
    """struct v4l2_frmsizeenum; `values` is width and height, or two ranges with their steps."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("type", _U32),
        ("values", _U32 * 6),
        ("reserved", _U32 * 2),
    )


class FrameInterval(ctypes.Structure):
    """struct v4l2_frmivalenum; `values` is numerator and denominator, or a range of them."""

    _fields_ = (
        ("index", _U32),
        ("pixel_format", _U32),
        ("width", _U32),
        ("height", _U32),
        ("type", _U32),
        ("values", _U32 * 6),
        ("reserved", _U32 * 2),
    )


class _Format(ctypes.Union):
    _fields_ = (
        ("pix", _U32 * 12),
        ("raw", ctypes.c_uint8 * 200),
        ("align", ctypes.c_void_p),  # other members of the union have pointers
    )


class Format(ctypes.Structure):
    """struct v4l2_format; `fmt.pix` begins with width, height and pixelformat."""

    _fields_ = (("type", _U32), ("fmt", _Format))


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm of a capture; the interval is a fraction of a second."""

    _fields_ = (
        ("type", _U32),
        ("capability", _U32),
        ("capturemode", _U32),
        ("numerator", _U32),
        ("denominator", _U32),
        ("raw", _U32 * 46),
    )


class QueryControl(ctypes.Structure):
    """struct v4l2_query_ext_ctrl."""

    _fields_ = (
        ("id", _U32),
        ("type", _U32),
        ("name", ctypes.c_char * 32),
        ("minimum", ctypes.c_int64),
        ("maximum", ctypes.c_int64),
        ("step", ctypes.c_uint64),
        ("default_value", ctypes.c_int64),
        ("flags", _U32),
        ("elem_size", _U32),
        ("elems", _U32),
        ("nr_of_dims", _U32),
        ("dims", _U32 * 4),
        ("reserved", _U32 * 32),
    )


class _MenuEntry(ctypes.Union):
    _pack_ = 1
    _fields_ = (("name", ctypes.c_char * 32), ("value", ctypes.c_int64))


class QueryMenu(ctypes.Structure):
    """struct v4l2_querymenu: a name, or a number in an integer menu."""

    _pack_ = 1
    _fields_ = (("id", _U32), ("index", _U32), ("entry", _MenuEntry), ("reserved", _U32))


class _Value(ctypes.Union):
    _pack_ = 1
    _fields_ = (
        ("value", ctypes.c_int32),
        ("value64", ctypes.c_int64),
        ("pointer", ctypes.c_uint8 * ctypes.sizeof(ctypes.c_void_p)),
    )


class ControlValue(ctypes.Structure):
    """struct v4l2_ext_control."""

    _pack_ = 1
    _fields_ = (("id", _U32), ("size", _U32), ("reserved", _U32), ("held", _Value))


class ControlValues(ctypes.Structure):
    """struct v4l2_ext_controls."""

    _fields_ = (
        ("which", _U32),
        ("count", _U32),
        ("error_index", _U32),
        ("request_fd", ctypes.c_int32),
        ("reserved", _U32),
        ("controls", ctypes.POINTER(ControlValue)),
    )


def _number(direction: int, number: int, kind: type[ctypes.Structure]) -> int:
    """_IOC of asm-generic/ioctl.h, which all machines have that torch runs on."""
    return direction << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | number


_READ, _BOTH = 2, 3
QUERY_CAPABILITY = _number(_READ, 0, Capability)
ENUM_FORMAT = _number(_BOTH, 2, FormatDescription)
GET_FORMAT = _number(_BOTH, 4, Format)
GET_PARAMETERS = _number(_BOTH, 21, StreamParameters)
QUERY_MENU = _number(_BOTH, 37, QueryMenu)
GET_CONTROLS = _number(_BOTH, 71, ControlValues)
SET_CONTROLS = _number(_BOTH, 72, ControlValues)
ENUM_SIZE = _number(_BOTH, 74, FrameSize)
ENUM_INTERVAL = _number(_BOTH, 75, FrameInterval)
QUERY_CONTROL = _number(_BOTH, 103, QueryControl)


def fourcc(number: int) -> str:
    """The four characters of a pixel format; bit 31 marks big-endian variants."""
    letters = "".join(chr(number >> shift & 0x7F) for shift in (0, 8, 16, 24))
    return letters.rstrip() if letters.isprintable() else f"0x{number:08x}"
