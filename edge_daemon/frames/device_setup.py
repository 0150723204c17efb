"""Applies the settings to a V4L2 device, and compares them with what it accepted."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Union

from edge_daemon.config import CameraSettings
from edge_daemon.frames import v4l2_layout as layout
from edge_daemon.frames.v4l2 import Control, Mode, V4L2Device

Refused = Mapping[str, str]
"""Setting -> why it could not be set."""

_RATE_SLACK = 0.02
"""29.97 frames a second are the 30 that were asked for."""


@dataclass(frozen=True)
class _Wanted:
    """One control as the settings want it; a step of its value is `unit` of the setting."""

    setting: str
    control: str
    value: Union[int, str]
    unit: int = 1

    @property
    def words(self) -> str:
        return self.value if isinstance(self.value, str) else str(self.value * self.unit)


def asks_something(settings: CameraSettings) -> bool:
    """Whether the settings want anything of a device."""
    mode = (settings.size, settings.format, settings.fps)
    values = (settings.exposure_us, settings.gain)
    return bool(settings.controls) or any(each is not None for each in (*mode, *values))


def set_controls(device: V4L2Device, settings: CameraSettings) -> Refused:
    """Set what the settings name: first `controls` in their order, then exposure and gain.

    Each is looked up anew, as one that is set may free or bind others.
    """
    all_wanted = list(_all_wanted(device.controls(), settings))
    reasons = {wanted.setting: _set(device, wanted) for wanted in all_wanted}
    return {setting: reason for setting, reason in reasons.items() if reason}


def _set(device: V4L2Device, wanted: _Wanted) -> str:
    """Why it was not taken; "" where it was."""
    control = _named(device.controls(), wanted.control)
    if control is None:
        return _no_such(device.controls(), wanted.control)
    if not control.is_settable:
        return "the device lets it be read only"
    value = control.number(wanted.value)
    if value is None:
        return f"the device takes {control.range}"
    try:
        device.set(control, value)
    except OSError as error:
        return f"{error.strerror}; the device takes {control.range}"
    return ""


def _no_such(controls: list[Control], name: str) -> str:
    close = difflib.get_close_matches(name, [control.name for control in controls], n=1)
    return f"the device has no such control{f', but {close[0]}' if close else ''}"


def remarks(device: V4L2Device, settings: CameraSettings, refused: Refused) -> tuple[str, ...]:
    """A sentence for each setting that the device did not take, with the value that it has."""
    controls = device.controls()
    return (*_of_mode(device.mode(), settings), *_of_controls(controls, settings, refused))


def _of_mode(mode: Mode, settings: CameraSettings) -> Iterator[str]:
    size, has = settings.size, f"{mode.width}x{mode.height}"
    if size is not None and size != (mode.width, mode.height):
        yield f"camera.size is {size[0]}x{size[1]}, and the device gives {has}"
    if settings.format is not None and settings.format != mode.fourcc:
        yield f"camera.format is {settings.format}, and the device gives {mode.fourcc}"
    fps = settings.fps
    if fps is not None and mode.fps is not None and abs(mode.fps - fps) > _RATE_SLACK * fps:
        yield f"camera.fps is {fps:g}, and the device gives {mode.fps:g}"


def _of_controls(
    controls: list[Control], settings: CameraSettings, refused: Refused
) -> Iterator[str]:
    for wanted in _all_wanted(controls, settings):
        control = _named(controls, wanted.control)
        value = control.value if control else None
        has = "" if value is None else f", and the device has {value * wanted.unit}"
        if wanted.setting in refused:
            reason = refused[wanted.setting]
            yield f"{wanted.setting} is {wanted.words}{has}: {reason}"
        elif control is not None and value not in (None, control.number(wanted.value)):
            why = ": an automatic mode has it" if control.is_inactive else ""
            yield f"{wanted.setting} is {wanted.words}{has}{why}"


def _all_wanted(controls: list[Control], settings: CameraSettings) -> Iterator[_Wanted]:
    """In the order in which they are set."""
    for name, value in settings.controls.items():
        yield _Wanted(f"camera.controls.{name}", name, value)
    if settings.exposure_us is not None:
        manual = layout.MANUAL_EXPOSURE
        yield from _by_hand(controls, settings, "exposure_us", layout.AUTO_EXPOSURE, manual)
        steps = max(1, round(settings.exposure_us / layout.EXPOSURE_UNIT_US))
        name = _name(controls, layout.EXPOSURE_TIME)
        yield _Wanted("camera.exposure_us", name, steps, layout.EXPOSURE_UNIT_US)
    if settings.gain is not None:
        yield from _by_hand(controls, settings, "gain", layout.AUTO_GAIN, 0)
        name = _name(controls, layout.GAIN, layout.ANALOGUE_GAIN)
        yield _Wanted("camera.gain", name, settings.gain)


def _by_hand(
    controls: list[Control], settings: CameraSettings, key: str, control_id: int, manual: int
) -> Iterator[_Wanted]:
    """Its automatic mode goes off, unless `controls` say how it should be."""
    name = _name(controls, control_id)
    if name and name not in settings.controls:
        yield _Wanted(f"{name}, as camera.{key} wants it,", name, manual)


def _name(controls: list[Control], *ids: int) -> str:
    """The name that the device gives to the first of these; "" where it has none."""
    by_id = {control.id: control.name for control in controls}
    return next((by_id[each] for each in ids if each in by_id), "")


def _named(controls: list[Control], name: str) -> Control | None:
    return next((control for control in controls if control.name == name), None)
