"""Which parts get a picture: by one number for each part, that anybody can compute again.

A part has one draw, whatever its reasons. It is kept as soon as a reason holds on one of its frames
whose share lies above the draw. So the probability of its picture is the largest of these shares,
and it stands beside the picture.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edge_daemon.core.collecting.reasons import Why

MOST_UNITS = 4096
"""Parts that are remembered; of more, the oldest is forgotten."""


def draw(boot: str, unit: str) -> float:
    """The part's number in [0, 1): the first 8 bytes of SHA-256 of `collect:<boot>:<unit>`."""
    digest = hashlib.sha256(f"collect:{boot}:{unit}".encode()).digest()
    return min(int.from_bytes(digest[:8], "big") / 2.0**64, 1.0 - 2.0**-53)


AHEAD = 256
"""Frames whose draws are worked out before the lane asks for them."""


@dataclass(frozen=True)
class Inclusion:
    """Why a part was chosen; `reasons` the most telling first, all that hold so far.

    `leading` is the first of those by whose share it is in. It is in exactly where `draw` is less
    than `probability`.
    """

    unit: str
    draw: float
    probability: float
    reasons: tuple[Why, ...]
    leading: Why
    is_audited: bool = False  # it would be in by the audit's share alone


@dataclass
class _Unit:
    draw: float
    probability: float = 0.0
    reasons: set[Why] = field(default_factory=set)
    taken: Why | None = None


@dataclass(frozen=True)
class Chosen:
    """What one frame changes for its part.

    `is_taken`: this frame's picture is to be kept, instead of an earlier one of the part.
    """

    inclusion: Inclusion
    is_taken: bool


class Choice:
    """Parts of one boot, as their frames come. Not for two threads at a time.

    `shares`: of each reason that is collected, from 0 to 1.
    """

    def __init__(self, boot: str, shares: Mapping[Why, float]) -> None:
        self._boot = boot
        self._shares = dict(shares)
        self._units: OrderedDict[str, _Unit] = OrderedDict()
        self._steps = sorted(set(shares.values()))
        self._above = tuple(
            frozenset(why for why, share in shares.items() if share >= step)
            for step in (*self._steps, 2.0)
        )

    def could_take(self, unit: str) -> frozenset[Why]:
        """The reasons that would take this part: those whose share lies above its draw.

        Nothing is noted, and any thread may ask.
        """
        return self._above[bisect_right(self._steps, draw(self._boot, unit))]

    def see(self, unit: str, reasons: Iterable[Why]) -> Chosen | None:
        """One frame of a part; None where nothing is to be kept, or to be changed."""
        holding = {why for why in reasons if why in self._shares}
        known = self._unit(unit)
        if holding <= known.reasons:
            return None
        known.reasons |= holding
        known.probability = max(self._shares[why] for why in known.reasons)
        if known.draw >= known.probability:
            return None
        by = [why for why in known.reasons if known.draw < self._shares[why]]
        leading = min(by, key=lambda why: why.rank)
        is_taken = known.taken is None or leading.rank < known.taken.rank
        if is_taken:
            known.taken = leading
        return Chosen(self._inclusion(unit, known), is_taken)

    def was_lost(self, unit: str) -> None:
        """The picture was chosen and could not be kept: a later frame may be it."""
        known = self._units.get(unit)
        if known is not None:
            known.taken, known.reasons = None, set()

    def _unit(self, unit: str) -> _Unit:
        known = self._units.get(unit)
        if known is None:
            known = self._units[unit] = _Unit(draw(self._boot, unit))
            if len(self._units) > MOST_UNITS:
                self._units.popitem(last=False)
        return known

    def _inclusion(self, unit: str, known: _Unit) -> Inclusion:
        assert known.taken is not None
        reasons = tuple(sorted(known.reasons, key=lambda why: why.rank))
        audited = known.draw < self._shares.get(Why.AUDIT, 0.0)
        return Inclusion(unit, known.draw, known.probability, reasons, known.taken, audited)


class DrawnAhead:
    """What could take the next frames, where each is a part: a draw costs the lane, with a cold
    cache, more than all else that it does for a picture.

    One thread asks, and another works ahead. Where that one is late, the draw is made when asked.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._asked = self._until = -1
        self._drawn: list[tuple[int, frozenset[Why]]] = [(-1, frozenset())] * AHEAD

    def of(self, frame: int) -> frozenset[Why]:
        """As `Choice.could_take` says of this frame."""
        self._asked = frame
        drawn, could = self._drawn[frame % AHEAD]
        return could if drawn == frame else self._choice.could_take(str(frame))

    def go_on(self) -> None:
        """Work out what will be asked for next."""
        first = self._asked + 1
        for frame in range(max(first, self._until), first + AHEAD):
            self._drawn[frame % AHEAD] = (frame, self._choice.could_take(str(frame)))
        self._until = first + AHEAD
