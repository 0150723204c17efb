"""What a subscriber heard of a station that tries candidates, held against what it promises. Pure.

Nothing of the station's own reckoning is used: each arm is computed again here, from what was
published and from what the journal has.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_daemon.cli.drill_ledger import SubscriberLedger
from tests.sim.reckoning import Found

LINKS = {"BTL": "bottle", "CAN": "can"}
KEPT_S = 1.0
"""What was told so long before a death is in the evidence after it."""
SLACK = 20
"""Parts that may be counted in the evidence and not be told: those of the last batch."""

Message = Mapping[str, Any]


def arm_again(rollout: str, boot: str, unit: str, share: float) -> tuple[float, str]:
    """The draw and the arm, as anybody can compute them with a pocket calculator's SHA-256."""
    digest = hashlib.sha256(f"{rollout}:{boot}:{unit}".encode()).digest()
    drawn = min(int.from_bytes(digest[:8], "big") / 2.0**64, 1.0 - 2.0**-53)
    return drawn, "candidate" if drawn < share else "incumbent"


@dataclass(frozen=True)
class Left:
    """What the journal of a dead daemon says of the rollout that was on.

    `units`: drawn so far, by the evidence; `pairs`: (boot, part) of those that are kept.
    """

    rollout: str
    share: float
    units: int = 0
    pairs: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Judge:
    """Whom a part was told to be judged by, and by what right."""

    model: str | None
    frames: tuple[int, ...]
    rollout: str
    arm: str
    share: float
    is_bad: bool


@dataclass
class Reckoning(Found):
    """What came of a run."""

    frames: int = 0
    lost: int = 0
    dropped: int = 0
    parts: int = 0
    assigned: int = 0
    candidates: int = 0
    by_two: int = 0
    outside: int = 0
    wider: int = 0
    withdrawn: int = 0
    recomputed: int = 0  # from the journal alone
    deaths: int = 0
    deaths_in_share: int = 0
    kept_pairs: int = 0
    lost_pairs: int = 0
    oldest_lost_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = (
            ("frames", f"{self.frames}, {self.lost} lost, {self.dropped} dropped and told"),
            ("parts", f"{self.parts}, {self.assigned} of them drawn in a rollout"),
            ("  the candidate's", f"{self.candidates}"),
            ("  judged by two models", f"{self.by_two}"),
            ("  outside their share", f"{self.outside}"),
            ("  arms from the journal alone", f"{self.recomputed}"),
            ("  fell back to the incumbent", f"{self.withdrawn}"),
            ("stages entered", _words(self.stages)),
            ("rollouts ended", _words(self.ends)),
            ("done to it", _words(self.done)),
            ("deaths of the daemon", f"{self.deaths}, {self.deaths_in_share} in a share"),
            ("  share wider afterwards", f"{self.wider}"),
            ("  pairs lost by them", f"{self.lost_pairs} of {self.lost_pairs + self.kept_pairs}"),
            ("  the oldest was", f"{self.oldest_lost_s:.2f} s, promised {KEPT_S:g} s"),
            ("frames not judged", _words(self.reasons)),
            ("faults", f"{len(self.faults)}"),
        )
        return "\n".join(f"{name:<32}{value}" for name, value in rows)


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


class Reckoner:
    """Hears everything in the order in which it came; not for several threads at once.

    Args:
        marks: the confidence of each model's detections, which says whose weights looked.
    """

    def __init__(self, marks: Mapping[str, float]) -> None:
        self.found = Reckoning()
        self.parts: dict[tuple[str, int], Judge] = {}
        self.owed: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
        """By rollout: rejected parts of the candidate, and when they were told."""
        self._marks = marks
        self._books = SubscriberLedger(LINKS)
        self._frames: dict[tuple[str, int], tuple[str | None, str | None]] = {}
        self._bodies: dict[tuple[str, int], int] = {}
        self._allowed: dict[str, float] = {}
        self._told: dict[str, list[float]] = defaultdict(list)  # this life's, by rollout
        self._before: dict[str, int] = {}  # units that the life before left
        self._counted: list[tuple[str, str, int]] = []  # by a life that ended, of a rollout

    # ------------------------------------------------------------------ what is heard

    def result(self, body: Message) -> None:
        """One frame."""
        found, key = self.found, (body["boot"], body["frame"])
        found.frames += 1
        self._books.take_result(body)
        shadow = body.get("shadow") or {}
        self._frames[key] = body["model"], shadow.get("model")
        for model, seen in ((body["model"], body), (shadow.get("model"), shadow)):
            marks = {each["confidence"] for each in seen.get("detections") or ()}
            if marks - {self._marks.get(model)}:
                self._wrong(f"frame {key} is told as {model}'s, and others looked: {marks}")
        if body.get("reason") is not None:
            found.reasons[body["reason"]] += 1
            found.dropped += body["reason"].startswith("dropped_")
            if body["reason"] in ("worker_lost", "inference_failed"):
                self._wrong(f"frame {key} has no verdict: {body['reason']}")
        line = body.get("rollout")
        if line is not None:
            self._check_arm(key, line)
            found.withdrawn += line["share"] == 0.0 < self._allowed.get(line["id"], 0.0)

    def event(self, body: Message) -> None:
        """One line of `model/event`."""
        self._books.take_event(body)
        rollout, kind = body.get("rollout"), body["type"]
        if rollout is None:
            return
        if kind == "stage_entered":
            stage = body["message"].partition(":")[0]
            self.found.stages[stage.replace(" ", "_")] += 1
            share = float(stage.partition(" ")[2] or 0.0)
            self._allowed[rollout] = max(share, self._allowed.get(rollout, 0.0))
        elif kind in ("rollout_stopped", "rollout_completed"):
            self.found.ends[_end_of(body)] += 1

    def part(self, body: Message, at: float) -> None:
        """One part, told at this moment; what is told again must be the same."""
        key = body["boot"], body["part"]
        again = self._bodies.setdefault(key, hash(str(body)))
        if again != hash(str(body)):
            self._wrong(f"part {key} was told in two ways: {body}")
        if key in self.parts:
            return
        line = body.get("rollout")
        is_bad = body["verdict"] == "ng"
        if line is None:
            self.parts[key] = Judge(body["model"], tuple(body["frames"]), "", "", 0.0, is_bad)
            return
        self._check_arm(key, line)
        self._check_share(key, line)
        judge = Judge(
            *(body["model"], tuple(body["frames"])),
            *(line["id"], line["arm"], line["share"], is_bad),
        )
        self.parts[key] = judge
        self._told[judge.rollout].append(at)
        if judge.arm == "candidate" and is_bad:
            self.owed[judge.rollout][key] = at
        self._check_causes(key, body)

    def _check_arm(self, key: tuple[str, int], line: Message) -> None:
        drawn, arm = arm_again(line["id"], key[0], line["unit"], line["share"])
        if (drawn, arm) != (line["draw"], line["arm"]):
            self.found.outside += 1
            self._wrong(f"{key} is the {line['arm']}'s by {line['draw']}; {drawn} was due: {line}")

    def _check_share(self, key: tuple[str, int], line: Message) -> None:
        """Stages and parts are told by one way, in the order in which they were; frames are not."""
        allowed = self._allowed.get(line["id"], 0.0)
        if line["share"] > allowed:
            self.found.wider += 1
            self._wrong(f"{key} has the share {line['share']:g}, and {allowed:g} was entered")

    def _check_causes(self, key: tuple[str, int], body: Message) -> None:
        """Rules have the names of their models; the other's count where the stricter one does."""
        if body["model"] is None:
            return
        others = set((body.get("shadow") or {}).get("causes") or ())
        own = {f"scratch-{body['model'].partition('@')[2][0]}"}
        if not set(body["causes"]) <= own | others:
            self.found.by_two += 1
            self._wrong(f"part {key} has causes of another model: {body}")

    # ------------------------------------------------------------------ what a death leaves

    def died(self, at: float, boot: str, left: Left | None) -> None:
        """The daemon was killed at this moment; `left`: of the rollout that was on."""
        self.found.deaths += 1
        told, self._told = self._told, defaultdict(list)
        if left is None:
            self._before = {}
            return
        self.found.deaths_in_share += left.share > 0.0
        self._allowed[left.rollout] = left.share
        known = left.units - self._before.get(left.rollout, 0)
        self._before = {left.rollout: left.units}
        times = told[left.rollout]
        due = sum(each < at - KEPT_S for each in times)
        if known < due:
            self._wrong(
                f"{left.rollout}: {due} parts were told long before a death, {known} counted"
            )
        self._counted.append((boot, left.rollout, known))
        for key, told_at in self.owed.pop(left.rollout, {}).items():
            if key in left.pairs:
                self.found.kept_pairs += 1
                continue
            age_s = at - told_at
            self.found.lost_pairs += 1
            self.found.oldest_lost_s = max(self.found.oldest_lost_s, age_s)
            if age_s > KEPT_S:
                self._wrong(f"part {key} was told {age_s:.2f} s before a death, and has no pair")

    # ------------------------------------------------------------------ the end

    def end(
        self, rollouts: Mapping[str, tuple[str, str]], rows: Iterable[tuple[str, Message]]
    ) -> Reckoning:
        """`rollouts`: candidate and reference of each; `rows`: (boot, result) of the journal."""
        found = self.found
        found.parts = len(self.parts)
        for key, judge in self.parts.items():
            self._check_judge(key, judge, rollouts)
        told = Counter((boot, judge.rollout) for (boot, _), judge in self.parts.items())
        for boot, rollout, known in self._counted:
            if known > told[boot, rollout] + SLACK:
                self._wrong(
                    f"{rollout}: {boot} told {told[boot, rollout]} parts, {known} are counted"
                )
        for boot, body in rows:
            found.recomputed += 1
            self._check_row(boot, body)
        found.lost = self._books.missing
        found.faults += self._books.faults
        return found

    def _check_judge(
        self, key: tuple[str, int], judge: Judge, rollouts: Mapping[str, tuple[str, str]]
    ) -> None:
        """One model, that of its arm, which saw each of its frames."""
        found = self.found
        found.assigned += bool(judge.rollout)
        found.candidates += judge.arm == "candidate"
        if judge.model is None:
            return
        if judge.rollout:
            due = rollouts[judge.rollout][judge.arm == "incumbent"]
            if judge.model != due:
                found.outside += 1
                self._wrong(f"part {key} is the {judge.arm}'s, and {judge.model} judged it")
        for frame in judge.frames:
            model, shadow = self._frames.get((key[0], frame), (None, None))
            if model is not None and judge.model not in (model, shadow):
                found.by_two += 1
                self._wrong(f"part {key} is {judge.model}'s, its frame {frame} {model}'s")

    def _check_row(self, boot: str, body: Message) -> None:
        key, line = (boot, body["part"]), body["rollout"]
        drawn, arm = arm_again(line["id"], boot, line["unit"], line["share"])
        told = self.parts.get(key)
        if (drawn, arm) != (line["draw"], line["arm"]):
            self.found.outside += 1
            self._wrong(f"the journal gives part {key} to the {line['arm']} by {line['draw']}")
        elif told is not None and (told.model, told.arm) != (body["model"], line["arm"]):
            self._wrong(f"part {key} was told as {told}, the journal has {body}")

    def _wrong(self, what: str) -> None:
        self.found.faults.append(what)


def _end_of(event: Message) -> str:
    """One word for how a rollout ended."""
    if event["type"] == "rollout_completed":
        return "completed"
    why = event.get("message") or ""
    words = (("Aborted", "aborted"), ("swap", "superseded"), ("misses", "stopped_by_evidence"))
    return next((word for sign, word in words if sign in why), "stopped_by_a_guard")
