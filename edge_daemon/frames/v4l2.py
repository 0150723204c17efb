"""Asks a V4L2 device what it offers and what is set, and sets its controls.

OpenCV reads the pictures and knows a few controls only. V4L2 lets a second program open a device
that streams, so this works beside it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar, Union

from edge_daemon.frames import v4l2_layout as layout
from edge_daemon.frames.fault import diagnose

_MOST = 512
"""Entries read of one list: a broken driver may never end it."""
_NUMBERS = frozenset(range(layout.INTEGER, layout.INTEGER_MENU + 1)) - {
    layout.BUTTON,
    layout.CLASS,
    layout.STRING,
}
_Listed = TypeVar("_Listed", layout.FormatDescription, layout.FrameSize, layout.FrameInterval)


@dataclass(frozen=True)
class Size:
    """A size in pixels, or a range of sizes, with the rates that it has (frames a second)."""

    width: int
    height: int
    fps: tuple[float, ...] = ()
    least: tuple[int, int] | None = None  # of a range that ends at width and height

    def __str__(self) -> str:
        whole = f"{self.width}x{self.height}"
        return whole if self.least is None else f"{self.least[0]}x{self.least[1]} to {whole}"


@dataclass(frozen=True)
class PixelFormat:
    """One way in which the device gives its pixels."""

    fourcc: str
    description: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Control:
    """One control. `value` is None where it cannot be read; `menu` is value -> name."""

    id: int
    name: str
    kind: int
    minimum: int
    maximum: int
    step: int
    default: int
    flags: int
    value: int | None = None
    menu: Mapping[int, str] = field(default_factory=dict)

    @property
    def range(self) -> str:
        """What it takes, in words."""
        if self.menu:
            return ", ".join(f"{value} {name}" for value, name in self.menu.items())
        if self.kind == layout.BOOLEAN:
            return "0 or 1"
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return f"{self.minimum} to {self.maximum}{step}"

    @property
    def is_settable(self) -> bool:
        return not self.flags & layout.READ_ONLY

    @property
    def is_inactive(self) -> bool:
        """An automatic mode has it at present."""
        return bool(self.flags & layout.INACTIVE)

    def number(self, wanted: Union[int, str]) -> int | None:
        """The value that is meant; None for a name that is not in its menu, or a huge number."""
        if isinstance(wanted, int):
            bits = 63 if self.kind == layout.INTEGER64 else 31
            return wanted if -(1 << bits) <= wanted < 1 << bits else None
        named = (value for value, name in self.menu.items() if name.lower() == wanted.lower())
        return next(named, None)


@dataclass(frozen=True)
class Mode:
    """What the device gives now."""

    width: int
    height: int
    fourcc: str
    fps: float | None


@dataclass(frozen=True)
class Offer:
    """All that a device says of itself."""

    card: str
    mode: Mode
    formats: tuple[PixelFormat, ...]
    controls: tuple[Control, ...]

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height of the largest picture that it lists; (0, 0) where it lists none."""
        sizes = [(size.width, size.height) for one in self.formats for size in one.sizes]
        return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


class V4L2Device:
    """One device; a context manager. One thread at a time.

    Raises SourceError where it cannot be opened, and OSError where it does not speak V4L2.
    """

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise diagnose(path) from None

    def __enter__(self) -> V4L2Device:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    # ------------------------------------------------------------------ what it is

    def card(self) -> str:
        """The device's name for people."""
        capability = layout.Capability()
        fcntl.ioctl(self._fd, layout.QUERY_CAPABILITY, capability)
        return _text(capability.card)

    def mode(self) -> Mode:
        """Size, format and rate as they are now."""
        asked = layout.Format(type=layout.CAPTURE)
        fcntl.ioctl(self._fd, layout.GET_FORMAT, asked)
        width, height, pixelformat = asked.fmt.pix[:3]
        return Mode(width, height, layout.fourcc(pixelformat), self._fps())

    def _fps(self) -> float | None:
        asked = layout.StreamParameters(type=layout.CAPTURE)
        try:
            fcntl.ioctl(self._fd, layout.GET_PARAMETERS, asked)
        except OSError:
            return None
        return _rate(asked.numerator, asked.denominator)

    # ------------------------------------------------------------------ what it offers

    def formats(self) -> list[PixelFormat]:
        """Every pixel format with its sizes and rates, in the device's order."""
        found = []
        for one in self._listed(layout.ENUM_FORMAT, _description):
            sizes = tuple(self._sizes(one.pixelformat))
            name = layout.fourcc(one.pixelformat)
            found.append(PixelFormat(name, _text(one.description), sizes))
        return found

    def _sizes(self, pixelformat: int) -> Iterator[Size]:
        def ask(index: int) -> layout.FrameSize:
            return layout.FrameSize(index=index, pixel_format=pixelformat)

        for one in self._listed(layout.ENUM_SIZE, ask):
            if one.type == layout.DISCRETE:
                width, height = one.values[:2]
                yield Size(width, height, tuple(self._rates(pixelformat, width, height)))
                continue
            least_w, width, _, least_h, height, _ = one.values
            rates = tuple(self._rates(pixelformat, width, height))
            yield Size(width, height, rates, least=(least_w, least_h))
            return

    def _rates(self, pixelformat: int, width: int, height: int) -> Iterator[float]:
        def ask(index: int) -> layout.FrameInterval:
            return layout.FrameInterval(
                index=index, pixel_format=pixelformat, width=width, height=height
            )

        for one in self._listed(layout.ENUM_INTERVAL, ask):
            rate = _rate(*one.values[:2])  # of a range: the shortest interval
            if rate is not None:
                yield rate
            if one.type != layout.DISCRETE:
                return

    def controls(self) -> list[Control]:
        """Every control that holds a number, with its value now."""
        found, last = [], 0
        for _ in range(_MOST):
            asked = layout.QueryControl(id=last | layout.NEXT_CONTROL)
            try:
                fcntl.ioctl(self._fd, layout.QUERY_CONTROL, asked)
            except OSError:
                break
            last = asked.id
            is_number = asked.type in _NUMBERS and not asked.flags & layout.HAS_PAYLOAD
            if is_number and not asked.flags & layout.DISABLED:
                found.append(self._control(asked))
        return found

    def _control(self, asked: layout.QueryControl) -> Control:
        value = None
        if not asked.flags & layout.WRITE_ONLY:
            with suppress(OSError):
                value = self.value(asked.id, asked.type)
        return Control(
            id=asked.id,
            name=variable(_text(asked.name)),
            kind=asked.type,
            minimum=asked.minimum,
            maximum=asked.maximum,
            step=asked.step,
            default=asked.default_value,
            flags=asked.flags,
            value=value,
            menu=dict(self._menu(asked)),
        )

    def _menu(self, asked: layout.QueryControl) -> Iterator[tuple[int, str]]:
        if asked.type not in (layout.MENU, layout.INTEGER_MENU):
            return
        for index in range(asked.minimum, min(asked.maximum, asked.minimum + _MOST) + 1):
            entry = layout.QueryMenu(id=asked.id, index=index)
            with suppress(OSError):  # a menu may have gaps
                fcntl.ioctl(self._fd, layout.QUERY_MENU, entry)
                is_name = asked.type == layout.MENU
                yield index, _text(entry.entry.name) if is_name else str(entry.entry.value)

    # ------------------------------------------------------------------ one control

    def value(self, control_id: int, kind: int) -> int:
        """Its value now; raises OSError."""
        held = layout.ControlValue(id=control_id)
        fcntl.ioctl(self._fd, layout.GET_CONTROLS, _one(held))
        return int(held.held.value64 if kind == layout.INTEGER64 else held.held.value)

    def set(self, control: Control, value: int) -> None:
        """Raises OSError where the device refuses it; it may also take another value."""
        held = layout.ControlValue(id=control.id)
        if control.kind == layout.INTEGER64:
            held.held.value64 = value
        else:
            held.held.value = value
        fcntl.ioctl(self._fd, layout.SET_CONTROLS, _one(held))

    def _listed(self, request: int, ask: Callable[[int], _Listed]) -> Iterator[_Listed]:
        """What the device lists by a running index, up to its EINVAL."""
        for index in range(_MOST):
            entry = ask(index)
            try:
                fcntl.ioctl(self._fd, request, entry)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOTTY):
                    return
                raise
            yield entry


def offer(source: str) -> Offer:
    """What the device offers and what is set; raises SourceError, OSError."""
    with V4L2Device(source) as device:
        return Offer(
            device.card(), device.mode(), tuple(device.formats()), tuple(device.controls())
        )


def variable(name: str) -> str:
    """A control's name as v4l2-ctl writes it: `Exposure Time, Absolute` is exposure_time_absolute.

    Source: name2var of v4l2-ctl in v4l-utils.
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _description(index: int) -> layout.FormatDescription:
    return layout.FormatDescription(index=index, type=layout.CAPTURE)


def _one(held: layout.ControlValue) -> layout.ControlValues:
    return layout.ControlValues(count=1, controls=ctypes.pointer(held))


def _rate(numerator: int, denominator: int) -> float | None:
    """Frames a second of an interval in seconds."""
    return float(Fraction(denominator, numerator)) if numerator and denominator else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
