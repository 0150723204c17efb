"""What a subscriber heard of parts, held against the belt that they lay on. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.sim.belt import CODES, WIDTH, Belt, codes

ZONE = (0.35, 0.65)
MOMENT_S = 0.005
"""Where followed parts are judged, as shares of the width; never two at a time."""
DEADLINE_S = 0.4
SLACK_S = 0.002
LATE_TRIGGER = 0.2
"""Of the pitch: a trigger without a time that arrives later may mean another part's frames."""
LINKS = {"BTL": "bottle", "CAN": "can"}

Message = Mapping[str, Any]


@dataclass
class Heard:
    """Everything that came, in order, and what the rig did."""

    parts: list[Message] = field(default_factory=list)
    results: dict[tuple[str, int], Message] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)
    """Trigger id -> place on the belt."""
    answers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Trigger id -> numbers that it was answered with, in all boots."""
    away: list[tuple[float, float]] = field(default_factory=list)
    """When the station may not have been connected, by the belt's clock: what came then waited."""


@dataclass
class Reckoning:
    """What came of a run."""

    parts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    late: int = 0
    flawed: int = 0  # with a scratch, judged in time
    found: int = 0
    escaped: int = 0
    false_ng: int = 0
    redelivered: int = 0
    unheard: int = 0  # in view while the daemon was dead, or open when it was killed
    unseen: int = 0  # passed while no frame was inspected
    late_triggers: int = 0
    models: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """What the rig did to the station."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        recall = f"{100 * self.found / self.flawed:.2f} %" if self.flawed else "none flawed"
        return (
            f"{self.parts} parts ({_words(self.verdicts)}; {_words(self.reasons)}), "
            f"{self.late} late; by {_words(self.models)}; recall {recall} of {self.flawed} flawed, "
            f"{self.escaped} escapes, {self.false_ng} false rejects; {self.unheard} not heard for "
            f"a dead daemon, {self.unseen} unseen in changeovers, {self.redelivered} delivered "
            f"twice, {self.late_triggers} triggers late; {_words(self.done)}; "
            f"{len(self.faults)} faults"
        )


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def utc_of(iso: str) -> float:
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


class Reckoner:
    """One run's books. `ahead_s`: what the epoch's clock is ahead of the belt's."""

    def __init__(self, belt: Belt, heard: Heard, ahead_s: float) -> None:
        self._belt, self._heard, self._ahead_s = belt, heard, ahead_s
        self.found = Reckoning()
        self._parts = self._once(heard.parts)

    def triggered(self) -> Reckoning:
        """Each announced part has one result, which is its own."""
        told: dict[str, list[Message]] = defaultdict(list)
        owners: dict[tuple[str, int], int] = {}
        for part in self._parts:
            told[part["id"]].append(part)
            for frame in part["frames"]:
                if owners.setdefault((part["boot"], frame), part["part"]) != part["part"]:
                    self._fault(part, f"frame {frame} belongs to another part too")
        for name, number in self._heard.announced.items():
            results = told.pop(name, [])
            if len(results) != 1:
                self._wrong(f"{name} has {len(results)} results: {results}")
            for part in results:
                self._judge(part, number)
        for name in told:
            self._wrong(f"{name} was never announced")
        return self.found

    def tracked(self) -> Reckoning:
        """Each part that passed the zone before a living daemon has one result."""
        seen: dict[int, list[Message]] = defaultdict(list)
        for part in self._parts:
            number = self._in_zone(utc_of(part["captured_at"]) - self._ahead_s)
            if number is None:
                self._fault(part, "nothing lay in the zone")
                continue
            seen[number].append(part)
            if len({each["boot"] for each in seen[number]}) < len(seen[number]):
                self._fault(part, f"place {number} was told twice in one boot")
            self._judge(part, number)
        self._find_missing(seen)
        return self.found

    # ------------------------------------------------------------------ all parts

    def _once(self, parts: Iterable[Message]) -> list[Message]:
        """Without what came again; numbers have no gap within a boot, and are told in order."""
        came: dict[tuple[str, int], Message] = {}
        following: Counter[str] = Counter()
        for part in parts:
            key = part["boot"], part["part"]
            if key in came:
                self.found.redelivered += 1
                if came[key] != part:
                    self._fault(part, f"was told in two ways: {came[key]}")
                continue
            came[key] = part
            if part["part"] != following[part["boot"]]:
                self._fault(part, f"came where {following[part['boot']]} was due")
            following[part["boot"]] = part["part"] + 1
        self.found.parts = len(came)
        return list(came.values())

    def _judge(self, part: Message, number: int) -> None:
        """One part's result against the part itself."""
        found = self.found
        found.verdicts[part["verdict"]] += 1
        if part["reason"]:
            found.reasons[part["reason"]] += 1
        found.late += part["late"]
        if part["late"] is not (part["reason"] == "late"):
            self._fault(part, "is late without the reason, or the other way round")
        if part["age_ms"] > DEADLINE_S * 1e3 and not part["late"]:
            self._fault(part, "is past its deadline, and told as in time")
        if part["reason"] is None:
            self._check_judge(part)
            if self._came_late(part, number):
                found.late_triggers += 1
                return
            self._check_frames(part, number)
            self._check_verdict(part, number)

    def _check_judge(self, part: Message) -> None:
        """One model, that of the product; its rules have names of their own."""
        self.found.models[part["model"]] += 1
        name, _, version = part["model"].partition("@")
        if part["product"] is not None and LINKS[part["product"]] != name:
            self._fault(part, "was judged by another product's model")
        if part["causes"] not in ([], [f"scratch-{version[0]}"]):
            self._fault(part, "has causes of another model")
        for frame in part["frames"]:
            result = self._heard.results.get((part["boot"], frame))
            if result is not None and result["model"] not in (None, part["model"]):
                self._fault(part, f"frame {frame} was judged by {result['model']}")

    def _came_late(self, part: Message, number: int) -> bool:
        """Whether its trigger was held up on its way, brought no time, and so meant another.

        Not those that waited while the station was away: it knows, and gives them no frame.
        """
        if part["by"] != "trigger":
            return False
        passed_at = self._belt.passes_at(number)
        lag_s = utc_of(part["triggered_at"]) - self._ahead_s - passed_at
        has_waited = any(began <= passed_at <= ended for began, ended in self._heard.away)
        return lag_s > LATE_TRIGGER * self._belt.pitch_s and not has_waited

    def _check_frames(self, part: Message, number: int) -> None:
        """They show it, and no other where there is room for one; and were judged in time."""
        triggered = part["triggered_at"] or part["captured_at"]
        due_utc = utc_of(triggered) + DEADLINE_S + SLACK_S
        for frame in part["frames"]:
            result = self._heard.results.get((part["boot"], frame))
            if result is None:
                continue
            took = result["latency_ms"] or {}
            judged_utc = utc_of(result["time"]) + sum(took.values()) / 1e3
            if judged_utc > due_utc:
                self._fault(part, f"frame {frame} was judged after the deadline, and is not late")
            shown = codes(result["detections"])
            if shown and number % CODES not in shown:
                self._fault(part, f"frame {frame} shows {shown}, not {number}")

    def _check_verdict(self, part: Message, number: int) -> None:
        has_part, is_flawed = self._belt.has_part(number), self._belt.has_scratch(number)
        if part["verdict"] == "empty":
            if has_part and part["by"] == "track":
                self._fault(part, "is empty")
            return
        if not has_part:
            self._fault(part, f"is {part['verdict']}, and nothing lay there")
            return
        is_ng = part["verdict"] == "ng"
        self.found.flawed += is_flawed
        self.found.found += is_flawed and is_ng
        self.found.escaped += is_flawed and not is_ng
        if is_ng and not is_flawed:
            self.found.false_ng += 1
            self._fault(part, "is ng without a scratch")

    # ------------------------------------------------------------------ tracks

    def _in_zone(self, at: float) -> int | None:
        """The place that is in the zone at this moment, or is about to be."""
        away: dict[int, float] = {}
        for number in self._belt.near(at):
            if self._belt.has_part(number):
                x = self._belt.x(number, at) / WIDTH
                away[number] = max(ZONE[0] - x, x - ZONE[1], 0.0)
        best = min(away, key=lambda each: away[each], default=None)
        return best if best is not None and away[best] < 0.1 else None

    def _find_missing(self, seen: Mapping[int, list[Message]]) -> None:
        """Parts that passed before a living daemon, and have no result."""
        inspected: dict[str, list[float]] = defaultdict(list)
        for (boot, _), result in self._heard.results.items():
            if result["verdict"] != "uninspected":
                inspected[boot].append(utc_of(result["time"]) - self._ahead_s)
        told_until = {
            part["boot"]: utc_of(part["captured_at"]) - self._ahead_s for part in self._parts
        }
        for boot, all_times in inspected.items():
            times = _moments(sorted(all_times))
            last_told = told_until.get(boot, times[0])
            for number in range(max(0, min(self._belt.near(times[0]))), 1 << 30):
                enters, leaves = (self._belt.at_x(number, WIDTH * share) for share in ZONE)
                if enters > times[-1]:
                    break
                if number in seen or not self._belt.has_part(number) or enters < times[0] + 0.3:
                    continue
                if enters > last_told:
                    self.found.unheard += 1
                elif sum(enters <= at <= leaves for at in times) < 3:
                    self.found.unseen += 1
                else:
                    self._wrong(f"place {number} passed at {enters:.3f} and has no result")

    def _fault(self, part: Message, what: str) -> None:
        self._wrong(f"{what}: {dict(part)}")

    def _wrong(self, what: str) -> None:
        self.found.faults.append(what)


def _moments(times: list[float]) -> list[float]:
    """Those that lie apart: a reader that was held up takes several frames at one moment."""
    apart = times[:1]
    for at in times:
        if at - apart[-1] >= MOMENT_S:
            apart.append(at)
    return apart
