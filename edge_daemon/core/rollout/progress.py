"""How far a rollout is: its evidence, and what was done in the stage that it is in.

All that a decision needs, and nothing of it is lost in a restart: `as_mapping` and `read_progress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.blocks import Block, read_block
from edge_daemon.core.rollout.evidence import Evidence, Place, read_evidence
from edge_daemon.core.rollout.margins import margin_of, stage_margin
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.reading import Reading, SliceReading, read
from edge_daemon.core.rollout.replay import RuleSnapshot
from edge_daemon.core.rollout.rule import MIN_COVERAGE, RuleResult, Situation, decide
from edge_daemon.core.rollout.shadow_back import decide_back, read_back
from edge_daemon.core.rollout.values import Pair, Plan
from edge_daemon.core.values import Check

LONGEST_S = 5.0
"""A gap between two looks that still counts as a running line."""


WAITS = RuleResult(Decision.WAIT, "No pair was seen yet.")


@dataclass
class Progress:
    """Of one rollout; `stage` is an index in the plan, `running_s` of a line on which it judged."""

    plan: Plan
    began_utc: float
    stage: int = 0
    parts: int = 0
    running_s: float = 0.0
    entered: list[tuple[int, float, float]] = field(default_factory=list)
    """Stages so far: which, the share that it may have, and when (UTC)."""
    evidence: Evidence = field(init=False)
    said: RuleResult = WAITS
    continues: tuple[str, ...] = ()
    """Earlier rollouts of the same two versions, whose evidence counts too; newest first."""
    situation: Situation = Situation(0)
    """What the rule looked at last, beside the evidence."""
    blocks: dict[int, list[Block]] = field(default_factory=dict)
    """Whole blocks of each compare stage, by its number."""
    discarded: dict[str, int] = field(default_factory=dict)
    """How many blocks came to nothing, by why."""
    _looked: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self.evidence = Evidence(rule.name for rule in self.plan.slices)

    def enter(self, stage: int, share: float, utc: float) -> None:
        """Another stage: its parts and minutes begin anew, the evidence goes on."""
        if self.entered and (stage, share) == self.entered[-1][:2]:
            return
        if stage != self.stage:
            self.parts, self.running_s = 0, 0.0
        self.stage = stage
        self.entered.append((stage, share, utc))

    def add(self, pair: Pair) -> Place:
        """Count one pair; its place is kept beside it."""
        self.parts += 1
        return self.evidence.add(pair)

    def look(self, now_at: float, captured: int, *, judges: bool) -> None:
        """Time passed. It counts while frames come and the candidate judges beside the line."""
        before = self._looked
        self._looked = now_at, captured
        if before is None or not judges or captured <= before[1]:
            return
        self.running_s += min(now_at - before[0], LONGEST_S)

    def reading(self) -> Reading:
        """The evidence as it stands."""
        if self.plan.stages[self.stage].is_back:
            return read_back(self.evidence, self.plan)
        return read(self.evidence, self.plan, stage_margin(self.plan, self.stage))

    def decide(self, reading: Reading, now_utc: float, *, held: bool) -> RuleResult:
        """What comes next, by the rule."""
        self.situation = situation = Situation(
            stage=self.stage,
            parts=self.parts,
            minutes=self.running_s / 60.0,
            compared=len(self.blocks.get(self.stage, ())) // 2,
            discarded=", ".join(f"{why} {n} times" for why, n in self.discarded.items()),
            hours=max(0.0, now_utc - self.began_utc) / 3600.0,
            held=held,
        )
        rule = decide_back if self.plan.stages[self.stage].is_back else decide
        self.said = rule(self.plan, situation, reading)
        if self.continues:
            why = f"{self.said.why} The evidence of {', '.join(self.continues)} counts too."
            self.said = replace(self.said, why=why)
        return self.said

    def go_on(self, before: Progress, rollout: str) -> bool:
        """Take over the evidence of an earlier rollout of the same two versions, where it is good.

        The chance of a false stop is spent once: a candidate that is tried again and again must
        not have a new one each time. Slices that are other ones now begin anew, as the draws do.
        """
        overall = before.evidence.slices[OVERALL]
        parts = sum(sum(block.cells) for block in overall.blocks)
        if not parts or parts < MIN_COVERAGE * (parts + overall.lost):
            return False
        known = {rule.name: rule for rule in before.plan.slices}
        names = [rule.name for rule in self.plan.slices if known.get(rule.name) == rule]
        for name in (OVERALL, *names):
            self.evidence.slices[name] = before.evidence.slices[name]
        self.continues = (rollout, *before.continues)
        self.said = RuleResult(Decision.WAIT, f"It goes on with the evidence of {rollout}.")
        return True

    def snapshot(self, now_utc: float) -> RuleSnapshot:
        """What was decided last, and from what; for a replay."""
        evidence = self.evidence.as_mapping()
        return RuleSnapshot(now_utc, self.situation, evidence, self.said.decision)

    def checks(self, reading: Reading) -> tuple[Check, ...]:
        """The figures behind a decision, each with its limit."""
        plan, found = self.plan, list[Check]()
        for one in reading.slices:
            margin = margin_of(plan, self.stage, one.name)
            found += _checks(one, margin, plan.false_reject_margin)
        return tuple(found)

    # ----------------------------------------------------------------------- written and read

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {
            "stage": self.stage,
            "parts": self.parts,
            "running_s": self.running_s.hex(),
            "entered": [list(each) for each in self.entered],
            "evidence": self.evidence.as_mapping(),
            "decision": self.said.decision.value,
            "why": self.said.why,
            "blocks": {
                str(stage): [block.as_list() for block in blocks]
                for stage, blocks in self.blocks.items()
            },
            "discarded": self.discarded,
            **({"continues": list(self.continues)} if self.continues else {}),
        }


def _checks(one: SliceReading, margin: float, rejects_margin: float) -> list[Check]:
    found = []
    for word, side, allowed in (
        ("missed", one.missed, margin),
        ("false_rejects", one.false_rejects, rejects_margin),
    ):
        note = f"log10 of the evidence, from {side.units} parts"
        measured, limit = round(side.log10_e, 3), round(side.limit, 3)
        found.append(
            Check(f"evidence.{one.name}.{word}", not side.is_proven, measured, limit, note)
        )
        bound = round(side.bound, 5)
        found.append(Check(f"bound.{one.name}.{word}", side.bound < allowed, bound, allowed))
    return found


def read_progress(plan: Plan, began_utc: float, values: Mapping[str, Any]) -> Progress:
    """What was written; raises ValueError if it is none, or of another rule."""
    made = Progress(plan, began_utc)
    try:
        made.stage, made.parts = int(values["stage"]), int(values["parts"])
        made.running_s = float.fromhex(values["running_s"])
        made.entered = [(int(s), float(share), float(utc)) for s, share, utc in values["entered"]]
        made.said = RuleResult(Decision(values["decision"]), str(values["why"]))
        made.evidence = read_evidence(values["evidence"])
        made.blocks = {
            int(stage): [read_block(block) for block in blocks]
            for stage, blocks in values.get("blocks", {}).items()
        }
        made.discarded = {str(why): int(n) for why, n in values.get("discarded", {}).items()}
        made.continues = tuple(map(str, values.get("continues", ())))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no progress of a rollout: {error!r}") from error
    return made
