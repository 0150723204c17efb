"""What two models say of the same frames becomes one pair of each unit.

Both opinions of a unit are folded over the frames that both saw, and over no others; each is by
its model's own recipe, whoever's verdict counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.arms import as_opinion, in_box, view_of
from edge_daemon.core.parts.fold import fold
from edge_daemon.core.parts.values import FrameOpinions, PartOutcome, PartRules
from edge_daemon.core.rollout.membership import UnitTraits, largest_area, local_hour, slice_names
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion, Pair, Split, UnitKind

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
        looks = tuple(self._with_shadow(each) for each in told.looks)
        seen = [self._seen[each.frame] for each in looks if each.frame in self._seen]
        pair = self._pair(
            assigned,
            looks,
            next((s.brightness for s in seen if s.brightness is not None), None),
            told.assignment.product,
            told.captured.utc if told.captured else 0.0,
            is_drawn=not seen or any(each.drawn for each in seen),
        )
        return None if pair is None else replace(pair, part=told.part, id=told.id)

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
        """That of a frame, or of a span of them."""
        first = frames[0].judged
        if first.assigned is None:
            return None
        pair = self._pair(
            first.assigned,
            [FrameOpinions(each.judged.frame, each.incumbent, each.candidate) for each in frames],
            frames[0].brightness,
            first.assignment.product,
            first.captured_utc,
            is_drawn=any(each.drawn for each in frames),
        )
        return None if pair is None else replace(pair, part=first.frame)

    def _pair(
        self,
        assigned: Assigned,
        looks: Sequence[FrameOpinions],
        brightness: float | None,
        product: str | None,
        utc: float,
        *,
        is_drawn: bool,
    ) -> Pair | None:
        """Of one unit that is over: folded over the frames that both saw; None for too few."""
        self.coverage.assign(assigned)
        rules = self.split.slices
        area = largest_area([each for look in looks for each in (look.incumbent, look.candidate)])
        hour = local_hour(utc) if any(rule.hours is not None for rule in rules) else None
        names = slice_names(rules, UnitTraits(brightness, area, product, hour))
        common = [
            (look.frame, look.incumbent, look.candidate)
            for look in looks
            if look.incumbent is not None and look.candidate is not None
        ]
        incumbent = _folded([each[1] for each in common], self._rules, product)
        candidate = _folded([each[2] for each in common], self._rules, product)
        if incumbent is None or candidate is None:
            if is_drawn:
                self.coverage.lost.update((OVERALL, *names))
            return None
        frames = tuple(each[0] for each in common)
        return Pair(
            self.split.rollout,
            self._boot,
            frames[0],
            None,
            assigned,
            incumbent,
            candidate,
            frames,
            utc,
            product,
            names,
            brightness,
        )


def _folded(opinions: Sequence[Opinion], rules: PartRules, product: str | None) -> Opinion | None:
    """One model's opinion of a unit; None where it saw too little, or was not one model.

    What it found is that of the first frame that has the unit's verdict.
    """
    folded = fold([view_of(each, product) for each in opinions], rules)
    return as_opinion(folded, opinions)
