"""What the box tells of its own power and heat, by source; what it does not tell is left out.

    power of processor packages   /sys/class/powercap/intel-rapl:N/energy_uj (Intel and AMD; since
                                  Linux 5.10 root alone may read it, unless a udev rule says so)
    power of a Jetson's rails     /sys/class/hwmon/hwmonN of an ina3221, mV times mA
    power and heat of the GPU     NVML
    heat                          /sys/class/thermal/thermal_zoneN

No figure is put in the place of one that is missing: 0 W would be a lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge_daemon.core.rollout.blocks import Meter
from edge_daemon.host.gpu import Gpu

_UNPRINTABLE = re.compile(r"[^a-z0-9]+")
_COLDEST_C, _HOTTEST_C = -40.0, 150.0
"""Sensors that are not connected tell something beyond."""


class BoxMeters:
    """The sources of this box. A call is one reading: it takes milliseconds and never raises. One
    thread reads."""

    def __init__(self, gpu: Gpu | None, sys: Path = Path("/sys")) -> None:
        self._gpu = gpu
        self._sys = sys
        self._counters: dict[str, _Counter] = {}

    def __call__(self) -> Meter:
        joules = dict(self._packages())
        watts = dict(self._rails())
        celsius = dict(self._zones())
        if self._gpu is not None:
            energy_j, heat_c = self._gpu.energy_j(), self._gpu.celsius()
            if energy_j is not None:
                joules["gpu"] = energy_j
            if heat_c is not None:
                celsius["gpu"] = heat_c
        return Meter(joules, watts, celsius)

    def _packages(self) -> Iterator[tuple[str, float]]:
        """Energy of whole packages; their parts, such as cores, are in it already."""
        for folder in sorted(self._sys.glob("class/powercap/intel-rapl:*")):
            if folder.name.count(":") != 1:
                continue
            energy_uj = _number(folder / "energy_uj")
            if energy_uj is None:
                self._counters.pop(folder.name, None)
                continue
            counter = self._counters.setdefault(folder.name, _Counter())
            wraps_at = _number(folder / "max_energy_range_uj")
            yield _word(_text(folder / "name") or folder.name), counter.read(energy_uj, wraps_at)

    def _rails(self) -> Iterator[tuple[str, float]]:
        for folder in sorted(self._sys.glob("class/hwmon/hwmon*")):
            if _text(folder / "name") != "ina3221":
                continue
            for current in sorted(folder.glob("curr[0-9]*_input")):
                channel = current.name[4:-6]
                milliamperes = _number(current)
                millivolts = _number(folder / f"in{channel}_input")
                if milliamperes is not None and millivolts is not None:
                    label = _text(folder / f"in{channel}_label") or f"rail{channel}"
                    yield _word(label), milliamperes * millivolts / 1e6

    def _zones(self) -> Iterator[tuple[str, float]]:
        for folder in sorted(self._sys.glob("class/thermal/thermal_zone*")):
            millidegrees = _number(folder / "temp")
            if millidegrees is None or not _COLDEST_C < millidegrees / 1e3 < _HOTTEST_C:
                continue
            kind = _word(_text(folder / "type") or "zone")
            yield f"{kind}_{folder.name.removeprefix('thermal_zone')}", millidegrees / 1e3


class _Counter:
    """An energy counter that begins anew at its end, as one that never falls."""

    def __init__(self) -> None:
        self._last_uj: float | None = None
        self._total_uj = 0.0

    def read(self, energy_uj: float, wraps_at: float | None) -> float:
        """Joules since the first reading."""
        step = 0.0 if self._last_uj is None else energy_uj - self._last_uj
        if step < 0.0:
            step += wraps_at or 0.0
        self._total_uj += max(0.0, step)
        self._last_uj = energy_uj
        return self._total_uj / 1e6


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(int(_text(path)))
    except ValueError:
        return None


def _word(name: str) -> str:
    """As a part of a quantity's name: `package-0` becomes `package_0`."""
    return _UNPRINTABLE.sub("_", name.lower()).strip("_") or "unnamed"
