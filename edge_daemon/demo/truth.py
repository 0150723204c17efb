"""What was on the belt, part by part, held against what the daemon said of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_daemon.demo.conveyor import Conveyor, class_of

ALL = "all"


@dataclass
class Score:
    """One model's verdicts on good and on flawed parts."""

    good: int = 0
    rejected: int = 0
    """Good parts that it called ng."""
    flawed: int = 0
    found: int = 0
    """Flawed parts that it called ng."""

    @property
    def parts(self) -> int:
        return self.good + self.flawed

    @property
    def escapes(self) -> int:
        """Flawed parts that it let pass."""
        return self.flawed - self.found


class Truth:
    """Counts parts as their results come in, and whether each one has exactly one.

    `previewed`: frames that the conveyor drew before the first one that was captured.
    """

    def __init__(self, conveyor: Conveyor, station: float) -> None:
        """`station`: how far across the picture a part stands in its frames, as a share."""
        self.conveyor = conveyor
        self._station = station
        self._scores: defaultdict[tuple[str, str], Score] = defaultdict(Score)
        self._told: dict[int, str] = {}  # part number -> serial
        self._newest = -1
        self.previewed = 0
        self.unjudged: Counter[str] = Counter()
        """Parts that no model judged, by reason."""
        self.mispaired: list[str] = []
        """Serials of parts whose frames show another part."""
        self.stalled: set[int] = set()
        """The conveyor's frames that were drawn too late: their parts are not where they belong."""
        self.displaced: list[str] = []
        """Serials of parts with such frames, which show another part: pairing is not at fault."""
        self.doubled: list[str] = []
        """Serials of which more than one part was told."""
        self.ok_of: dict[str, tuple[int, ...]] = {}
        """Serials of parts that came out ok, with their frames."""

    def take(self, part: Mapping[str, Any]) -> bool:
        """One part as published; False for a message that is delivered again, which changes
        nothing."""
        if part["part"] in self._told:
            return False
        self._judge(part)
        return True

    def _judge(self, part: Mapping[str, Any]) -> None:
        serial = part["serial"]
        if serial in self._told.values():
            self.doubled.append(serial)
        self._told[part["part"]] = serial
        self._newest = max(self._newest, part["part"])
        model, number = part["model"], place_of(serial)
        if model is None or part["late"] or part["verdict"] == "uninspected":
            self.unjudged[part["reason"]] += 1
            return
        indexes = [frame + self.previewed for frame in part["frames"]]
        if any(self.conveyor.stands_at(index, self._station) != number for index in indexes):
            if self.stalled.isdisjoint(indexes):
                self.mispaired.append(serial)
            else:
                self.displaced.append(serial)
                return
        if part["verdict"] == "ok":
            self.ok_of[serial] = tuple(part["frames"])
        scene = model.partition("@")[0]
        flaws = self.conveyor.flaws(number, scene)
        light = self.conveyor.light(indexes[0], scene)
        for group in (ALL, light):
            _add(self._scores[model, group], bool(flaws), part["verdict"] == "ng")
        for kind in flaws:
            _add(self._scores[model, kind], True, class_of(kind) in part["causes"])

    @property
    def parts(self) -> int:
        """Parts that have a result."""
        return len(self._told)

    @property
    def missing(self) -> int:
        """Parts below the newest one that have none."""
        return self._newest + 1 - len(self._told)

    @property
    def serials(self) -> frozenset[str]:
        """Of the parts that have a result."""
        return frozenset(self._told.values())

    @property
    def models(self) -> tuple[str, ...]:
        """Those that judged a part, in order of their first one."""
        return tuple(model for model, group in self._scores if group == ALL)

    def score(self, model: str, group: str = ALL) -> Score:
        """Of all parts, of those in one light, or of those with one kind of defect."""
        return self._scores.get((model, group), Score())


def _add(score: Score, is_flawed: bool, is_rejected: bool) -> None:
    score.good += not is_flawed
    score.rejected += is_rejected and not is_flawed
    score.flawed += is_flawed
    score.found += is_rejected and is_flawed


_FIRST = 100_000


def serial_of(place: int) -> str:
    """The serial number of the part at this place on the belt."""
    return f"SN-{_FIRST + place}"


def place_of(serial: str) -> int:
    """The place on the belt of the part with this serial number."""
    return int(serial.removeprefix("SN-")) - _FIRST
