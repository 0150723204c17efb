"""What two models say of the same frames becomes one pair of each unit.

Both opinions of a unit are folded over the frames that both saw, and over no others; each is by
its model's own recipe, whoever's verdict counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge_daemon.core.parts.arms import as_opinion, in_box, view_of
from edge_daemon.core.parts.fold import fold
from edge_daemon.core.parts.values import FrameOpinions, PartOutcome, PartRules
from edge_daemon.core.rollout.membership import UnitTraits, largest_area, local_hour, slice_names
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion, Pair, SliceRule, Split, UnitKind
from edge_daemon.core.values import Judged

MOST_FRAMES = 2048
"""Frames whose opinions wait for their part."""


@dataclass(frozen=True)
class Seen:
    """One frame as both saw it; `candidate` is None where it did not look.

    `drawn`: it was to look; where it was not, by a draw before anybody looked, nothing is missing.
    """

    judged: Judged
    incumbent: Opinion | None
    candidate: Opinion | None
    brightness: float | None = None
    drawn: bool = True

    @classmethod
    def of(
        cls,
        judged: Judged,
        looked: Opinion | None,
        brightness: float | None,
        *,
        drawn: bool = True,
    ) -> Seen:
        """`looked`: what the candidate saw beside the lane, where the frame does not bear it."""
        incumbent, candidate = both(judged)
        return cls(judged, incumbent, candidate or looked, brightness, drawn)


@dataclass
class Coverage:
    """What became of all units of a split, also of those without a pair.

    `lost`: units by slice, and all of them, that both were to see and did not; what was not
    measured is in no slice. `arms`: by declared share the draws, and those of them that gave the
    unit to the candidate. `misassigned`: draws that did not give the arm that they had to.
    """

    lost: Counter[str] = field(default_factory=Counter)
    arms: dict[float, tuple[int, int]] = field(default_factory=dict)
    misassigned: int = 0
    last_draw: float | None = None

    def assign(self, assigned: Assigned) -> None:
        """One unit that is over; units of one order or span have one draw between them."""
        if assigned.draw == self.last_draw:
            return
        self.last_draw = assigned.draw
        is_candidate = assigned.arm is Arm.CANDIDATE
        draws, candidates = self.arms.get(assigned.share, (0, 0))
        self.arms[assigned.share] = (draws + 1, candidates + is_candidate)
        self.misassigned += is_candidate != (assigned.draw < assigned.share)


class Pairing:
    """One split's pairs; frames come in order, and a part after its frames.

    `by_parts`: units are the parts that are told. Otherwise they are frames, or spans of them.
    """

    def __init__(self, boot: str, split: Split, rules: PartRules, *, by_parts: bool) -> None:
        self._boot = boot
        self.split = split
        self._rules = rules
        self._by_parts = by_parts
        self._seen: OrderedDict[int, Seen] = OrderedDict()
        self._span: list[Seen] = []
        self.coverage = Coverage()

    def frame(self, seen: Seen) -> Pair | None:
        """One frame more; the pair of the unit that ends before it, or with it."""
        if self._by_parts:
            self._seen[seen.judged.frame] = seen
            if len(self._seen) > MOST_FRAMES:
                self._seen.popitem(last=False)
            return None
        if self.split.unit is not UnitKind.SPAN:
            return self._paired((seen,))
        ended: Pair | None = None
        if self._span and seen.judged.assigned != self._span[0].judged.assigned:
            ended = self.end()
        self._span.append(seen)
        return ended

    def end(self) -> Pair | None:
        """The pair of the span that is open; no more frames of it come."""
        span, self._span = tuple(self._span), []
        return self._paired(span) if span else None

    def part(self, told: PartOutcome) -> Pair | None:
        """The pair of a part, where both saw enough of it."""
        assigned = told.assigned
        if assigned is None or assigned.rollout != self.split.rollout:
            return None
        self.coverage.assign(assigned)
        looks = tuple(self._with_shadow(each) for each in told.looks)
        seen = [self._seen[each.frame] for each in looks if each.frame in self._seen]
        brightness = next((s.brightness for s in seen if s.brightness is not None), None)
        captured_utc = told.captured.utc if told.captured else 0.0
        traits = self._traits(looks, brightness, told.assignment.product, captured_utc)
        found = self._folded(looks, told.assignment.product)
        names = slice_names(self.split.slices, traits)
        if found is None:
            if not seen or any(each.drawn for each in seen):
                self.coverage.lost.update((OVERALL, *names))
            return None
        pair = self._pair(assigned, found, traits, names)
        return replace(pair, part=told.part, id=told.id, captured_utc=captured_utc)

    def _with_shadow(self, look: FrameOpinions) -> FrameOpinions:
        """With what the candidate saw beside the lane, in the box of the object."""
        seen = self._seen.get(look.frame)
        if look.candidate is not None or seen is None or seen.candidate is None:
            return look
        found = seen.candidate
        if look.box is not None:
            found = in_box(found, look.box, seen.judged.size)
        return replace(look, candidate=found)

    def _paired(self, frames: Sequence[Seen]) -> Pair | None:
        judged = frames[0].judged
        if judged.assigned is None:
            return None
        self.coverage.assign(judged.assigned)
        looks = tuple(
            FrameOpinions(each.judged.frame, each.incumbent, each.candidate) for each in frames
        )
        product, utc = judged.assignment.product, judged.captured_utc
        traits = self._traits(looks, frames[0].brightness, product, utc)
        found = self._folded(looks, product)
        names = slice_names(self.split.slices, traits)
        if found is None:
            if any(each.drawn for each in frames):
                self.coverage.lost.update((OVERALL, *names))
            return None
        pair = self._pair(judged.assigned, found, traits, names)
        return replace(pair, part=judged.frame, captured_utc=utc)

    def _traits(
        self,
        looks: Sequence[FrameOpinions],
        brightness: float | None,
        product: str | None,
        utc: float,
    ) -> UnitTraits:
        opinions = [each for look in looks for each in (look.incumbent, look.candidate)]
        hour = local_hour(utc) if _asks_for_hours(self.split.slices) else None
        return UnitTraits(brightness, largest_area(opinions), product, hour)

    def _folded(
        self, looks: Sequence[FrameOpinions], product: str | None
    ) -> tuple[Opinion, Opinion, tuple[int, ...]] | None:
        """Both opinions over the frames that both saw, with the frames; None for too few."""
        common = [
            (look.frame, look.incumbent, look.candidate)
            for look in looks
            if look.incumbent is not None and look.candidate is not None
        ]
        incumbent = folded_opinion([each[1] for each in common], self._rules, product)
        candidate = folded_opinion([each[2] for each in common], self._rules, product)
        if incumbent is None or candidate is None:
            return None
        return incumbent, candidate, tuple(each[0] for each in common)

    def _pair(
        self,
        assigned: Assigned,
        found: tuple[Opinion, Opinion, tuple[int, ...]],
        traits: UnitTraits,
        names: tuple[str, ...],
    ) -> Pair:
        incumbent, candidate, frames = found
        return Pair(
            self.split.rollout,
            self._boot,
            frames[0],
            None,
            assigned,
            incumbent,
            candidate,
            frames,
            0.0,
            traits.product,
            names,
            traits.brightness,
        )


def _asks_for_hours(rules: Sequence[SliceRule]) -> bool:
    return any(rule.hours is not None for rule in rules)


def folded_opinion(
    opinions: Sequence[Opinion], rules: PartRules, product: str | None
) -> Opinion | None:
    """One model's opinion of a unit; None where it saw too little, or was not one model.

    What it found is that of the first frame that has the unit's verdict.
    """
    folded = fold([view_of(each, product) for each in opinions], rules)
    return as_opinion(folded, opinions)
