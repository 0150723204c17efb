"""The decisions of a rollout once more, from what was written down while it ran.

A look is all that the rule saw at one moment. With the plan as it was, the same looks give the
same decisions; with other limits they tell what the rollout would have done. What only the world
decides is taken as it was: which parts came, what was labelled and when, who held or advanced it.
A rollout that would have gone on longer than it did is followed to the end of its record only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import read_evidence
from edge_daemon.core.rollout.margins import leads_to_full, stage_margin
from edge_daemon.core.rollout.reading import read
from edge_daemon.core.rollout.rule import Situation, decide
from edge_daemon.core.rollout.values import Mode, Plan


@dataclass(frozen=True)
class RuleSnapshot:
    """What the rule saw, and what it said; `evidence` as `Evidence.as_mapping` gives it."""

    utc: float
    situation: Situation
    evidence: Mapping[str, Any]
    decision: Decision

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for the journal; JSON keeps floats to the last digit."""
        return {
            "utc": self.utc,
            "situation": asdict(self.situation),
            "evidence": self.evidence,
            "decision": self.decision.value,
        }


def read_look(values: Mapping[str, Any]) -> RuleSnapshot:
    """The look that was written; raises ValueError if it is none."""
    try:
        known = {each.name for each in fields(Situation)}  # earlier versions wrote more
        plain = {name: value for name, value in values["situation"].items() if name in known}
        situation = Situation(**plain)
        return RuleSnapshot(
            values["utc"], situation, values["evidence"], Decision(values["decision"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no look at a rollout: {error!r}") from error


@dataclass(frozen=True)
class Limits:
    """What is to be otherwise; None: as it was."""

    alpha_stop: float | None = None
    alpha_advance: float | None = None
    margin: float | None = None

    def of(self, plan: Plan) -> Plan:
        """The plan with these limits. `margin`: of the last stage, whatever that said itself."""
        if self.margin is not None:
            stages = tuple(
                replace(stage, until=replace(stage.until, margin=None))
                if leads_to_full(plan, number)
                else stage
                for number, stage in enumerate(plan.stages)
            )
            plan = replace(plan, margin=self.margin, stages=stages)
        return replace(
            plan,
            alpha_stop=plan.alpha_stop if self.alpha_stop is None else self.alpha_stop,
            alpha_advance=plan.alpha_advance if self.alpha_advance is None else self.alpha_advance,
        )


@dataclass(frozen=True)
class Replayed:
    """One decision; `recorded` is what was decided then, in the stage of then."""

    utc: float
    stage: int
    decision: Decision
    why: str
    recorded: Decision
    recorded_stage: int

    @property
    def is_same(self) -> bool:
        return (self.stage, self.decision) == (self.recorded_stage, self.recorded)


@dataclass
class _Walk:
    """Where the replay stands. Parts and minutes of all stages so far, and at the entry of its own
    stage."""

    stage: int = 0
    parts: int = 0
    minutes: float = 0.0
    entered_parts: int = 0
    entered_minutes: float = 0.0
    follows: bool = False  # it advanced with the record, and enters the stage when that did

    def enter(self, stage: int, parts: int, minutes: float) -> None:
        self.stage, self.follows = stage, False
        self.entered_parts, self.entered_minutes = parts, minutes


def replay(plan: Plan, looks: Iterable[RuleSnapshot]) -> Iterator[Replayed]:
    """Each look with the decision by this plan, up to a stop or to full.

    Raises ValueError for evidence of another rule.
    """
    walk, before = _Walk(), None
    for look in looks:
        if before is not None:
            _pass(walk, before, look)
        situation = _situation(walk, look.situation)
        evidence = read_evidence(look.evidence)
        reading = read(evidence, plan, stage_margin(plan, walk.stage))
        found = decide(plan, situation, reading)
        recorded, said = look.situation, found.decision
        yield Replayed(look.utc, walk.stage, said, found.why, look.decision, recorded.stage)
        if said is Decision.STOP:
            return
        if said is Decision.ADVANCE:
            if walk.stage + 1 == len(plan.stages):
                return
            if look.decision is Decision.ADVANCE and recorded.stage == walk.stage:
                walk.follows = True
            else:
                parts, minutes = walk.parts + recorded.parts, walk.minutes + recorded.minutes
                walk.enter(walk.stage + 1, parts, minutes)
                if plan.stages[walk.stage].mode is Mode.FULL:
                    return
        before = look


def _pass(walk: _Walk, before: RuleSnapshot, look: RuleSnapshot) -> None:
    """From one look to the next: the record may have entered another stage meanwhile."""
    was, now = before.situation, look.situation
    if now.stage == was.stage:
        return
    walk.parts += was.parts
    walk.minutes += was.minutes
    by_hand = before.decision is not Decision.ADVANCE
    if walk.follows or (by_hand and now.stage > walk.stage):
        walk.enter(now.stage, walk.parts, walk.minutes)


def _situation(walk: _Walk, recorded: Situation) -> Situation:
    """As the rule would have seen it in the stage that the replay is in."""
    if walk.stage == recorded.stage and walk.entered_parts == walk.parts:
        return recorded
    return replace(
        recorded,
        stage=walk.stage,
        parts=walk.parts + recorded.parts - walk.entered_parts,
        minutes=walk.minutes + recorded.minutes - walk.entered_minutes,
    )
