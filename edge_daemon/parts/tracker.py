"""Follows the objects of a belt through its frames, so that each is counted and judged once.

Every object moves at a constant velocity, corrected by each sight of it (an alpha-beta filter);
objects of a frame are assigned to those that are followed so that the sum of squared distances is
least, within a gate. A newcomer is taken to move as the others do. The same frames give the same
tracks, in whatever order detections come.

SciPy is imported by the first `Tracker`, and by no station that follows nothing: it takes 70 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.golden import iou
from edge_daemon.core.parts.objects import Shown
from edge_daemon.core.parts.values import Seen
from edge_daemon.core.values import Size, Verdict
from edge_daemon.core.zones import WHOLE, Zone
from edge_daemon.errors import BoxError
from edge_daemon.parts.beat import Beat

MOST_TRACKS = 512  # objects that are followed; of more, those seen longest ago are given up
SURE_SIGHTS = 2  # before an object is a part: one alone is mostly a flicker of the network
MOST_MISSES = 10  # frames in a row without a sight before an object counts as gone
MOST_OUTSIDE = 2  # frames in a row outside of the zone before it has left: boxes tremble

# How far from its expected place an object may be seen, in diagonals of its box. Narrow: an object
# that is overlooked once must not be taken for the one that follows it.
GATE = 0.4
MISSED_GATE = 0.2  # so much more for each frame in which it was missed, up to four
NEW_GATE = 0.75  # a newcomer, which is taken to move as the others do
WIDE_GATE = 1.5  # the first objects of all, whose velocity nobody knows
STOP_GATE = 1.2  # a belt may stop or start: so many steps of an object may always lie between

FEW_INTERVALS = 2.0
"""Within so many a belt may stop or start, and stamps may be late. After a longer gap an object is
where its velocity took it: else it could not be told from the one behind it."""

BACK = 0.4
"""How far behind its last sight an object may be seen, in diagonals: a belt does not run backwards.

So after many lost frames the next object is not taken for one that has left the picture.
"""

EDGE = 1.0  # so many pixels from the edge of the picture, a box is taken to be cut by it
SAME_IOU = 0.5  # a box that overlaps a followed object so much is that object once more
FEW = 400  # pairs of tracks and objects that are compared one by one faster than all at once
_ALPHA, _BETA = 0.85, 0.4
_FAR = 1e6


@dataclass
class _Track:
    """One object: place and velocity of its centre in pixels and pixels a second."""

    number: int
    x: float
    y: float
    vx: float
    vy: float
    diagonal: float
    seen_at: float
    seen_x: float
    seen_y: float
    sights: int = 1
    misses: int = 0
    outside: int = 0
    held: tuple[str, ...] | None = None  # causes of ng, seen before it counted as a part
    entered: bool = False
    left: bool = False
    is_first: bool = False  # it came when nothing was known of how objects move here

    def is_behind(self, x: float, y: float) -> bool:
        """Whether this place lies where the object came from."""
        if self.sights < SURE_SIGHTS:
            return False
        along = (x - self.seen_x) * self.vx + (y - self.seen_y) * self.vy
        return along < -BACK * self.diagonal * math.hypot(self.vx, self.vy)

    def gate(self, step_s: float) -> float:
        """How far from its expected place it may be, in pixels; a belt that stops or starts within
        `step_s` makes that difference."""
        if self.sights < SURE_SIGHTS:
            share = WIDE_GATE if self.is_first else NEW_GATE
        else:
            share = GATE + MISSED_GATE * min(self.misses, 4)
        step = math.hypot(self.vx, self.vy) * step_s
        return max(share * self.diagonal, STOP_GATE * step)


class Tracker:
    """One camera's objects; `zone` is where they are parts (None: the whole picture)."""

    def __init__(self, zone: Zone | None) -> None:
        self._zone = zone or WHOLE
        self._assign = _assignment()
        self._tracks: list[_Track] = []
        self._next = 0
        self._beat = Beat()
        self._at: float | None = None
        self._passed_s = 0.0

    def look_in(self, zone: Zone | None) -> None:
        """Where objects are parts from the next frame on."""
        self._zone = zone or WHOLE

    @property
    def followed(self) -> int:
        """How many objects are followed at this moment, at most `MOST_TRACKS`."""
        return len(self._tracks)

    @property
    def inside(self) -> tuple[int, ...]:
        """The objects that stood in the zone in the last frame, as parts or to become parts."""
        return tuple(
            track.number for track in self._tracks if track.outside == 0 and not track.left
        )

    def follow(
        self, objects: Sequence[Shown], size: Size, at: float, *, is_stamped: bool = False
    ) -> tuple[tuple[Seen, ...], tuple[int, ...]]:
        """The objects of the next frame, captured at `at` monotonic seconds.

        `is_stamped`: by the camera's driver, so that it is exact.

        Returns what was seen of each part in the zone, and the parts that left it.
        """
        objects = sorted(objects, key=lambda each: (each.box, each.confidence))
        at = self._beat.next(at, is_exact=is_stamped)
        self._move(at)
        pairs = self._pairs(objects)
        seen: list[Seen] = []
        for index, track in enumerate(self._tracks):
            if index in pairs:
                self._see(track, objects[pairs[index]], size, at)
            else:
                track.misses += 1
        matched = [objects[each].box for each in pairs.values()]
        taken = set(pairs.values())
        for index, each in enumerate(objects):
            is_known = index in taken or any(iou(each.box, box) >= SAME_IOU for box in matched)
            if not is_known:
                pairs[len(self._tracks)] = index
                self._tracks.append(self._newcomer(each, at))
                matched.append(each.box)
        left = []
        for index, track in enumerate(self._tracks):
            sight = objects[pairs[index]] if index in pairs else None
            told, is_gone = self._tell(track, sight, size)
            if told is not None:
                seen.append(told)
            if is_gone:
                left.append(track.number)
        self._forget(left)
        return tuple(seen), tuple(left)

    # ------------------------------------------------------------------ places

    def _move(self, at: float) -> None:
        passed_s = self._passed_s = 0.0 if self._at is None else max(0.0, at - self._at)
        self._at = at
        for track in self._tracks:
            track.x += track.vx * passed_s
            track.y += track.vy * passed_s

    def _pairs(self, objects: Sequence[Shown]) -> dict[int, int]:
        """Which track (by its place in the list) is which object."""
        if not self._tracks or not objects:
            return {}
        step_s, usual_s = self._passed_s, self._beat.usual_s
        if usual_s is not None:
            step_s = min(step_s, FEW_INTERVALS * usual_s)
        gate_of = [track.gate(step_s) for track in self._tracks]
        if len(self._tracks) * len(objects) <= FEW:
            found = self._sole_pairs(objects, gate_of)
            if found is not None:
                return found
        places = np.array([(track.x, track.y) for track in self._tracks])
        gates = np.array(gate_of)
        diagonals = np.array([track.diagonal for track in self._tracks])
        boxes = np.array([each.box for each in objects])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        apart = ((places[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
        cost = apart / (diagonals**2)[:, None]
        within = apart <= (gates**2)[:, None]
        for row, track in enumerate(self._tracks):
            for column in np.flatnonzero(within[row]):
                within[row, column] = not track.is_behind(*centres[column])
        rows, columns = self._assign(np.where(within, cost, _FAR))
        return {
            int(row): int(column)
            for row, column in zip(rows, columns, strict=True)
            if within[row, column]
        }

    def _sole_pairs(
        self, objects: Sequence[Shown], gates: Sequence[float]
    ) -> dict[int, int] | None:
        """The pairs where no track has a choice, and no two want the same; None where one does."""
        centres = [_place(each)[:2] for each in objects]
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for index, track in enumerate(self._tracks):
            x, y, gate = track.x, track.y, gates[index]
            reach = gate * gate
            for column, (cx, cy) in enumerate(centres):
                dx = cx - x
                is_near = -gate <= dx <= gate and dx * dx + (cy - y) ** 2 <= reach
                if is_near and not track.is_behind(cx, cy):
                    if index in pairs or column in taken:
                        return None
                    pairs[index] = column
                    taken.add(column)
        return pairs

    def _see(self, track: _Track, each: Shown, size: Size, at: float) -> None:
        x, y, diagonal = _place(each)
        passed_s = at - track.seen_at
        track.misses = 0
        if passed_s < self._beat.least_s:
            return
        x1, y1, x2, y2 = each.box
        gain, share, over_s = _BETA, _ALPHA, max(passed_s, self._beat.mean_s)
        if track.sights == 1:  # its first velocity was a guess
            gain, share, over_s = 1.0, 1.0, passed_s
        # What the picture cuts seems to move slower.
        if track.is_first or (x1 > EDGE and x2 < size[0] - EDGE):
            track.vx += gain * (x - track.x) / over_s
        if track.is_first or (y1 > EDGE and y2 < size[1] - EDGE):
            track.vy += gain * (y - track.y) / over_s
        track.x += share * (x - track.x)
        track.y += share * (y - track.y)
        track.diagonal, track.seen_at, track.seen_x, track.seen_y = diagonal, at, x, y
        track.sights += 1

    def _newcomer(self, each: Shown, at: float) -> _Track:
        x, y, diagonal = _place(each)
        known = [track for track in self._tracks if track.sights >= SURE_SIGHTS]
        vx = median(track.vx for track in known) if known else 0.0
        vy = median(track.vy for track in known) if known else 0.0
        self._next += 1
        return _Track(self._next - 1, x, y, vx, vy, diagonal, at, x, y, is_first=not known)

    # ------------------------------------------------------------------ parts

    def _tell(self, track: _Track, sight: Shown | None, size: Size) -> tuple[Seen | None, bool]:
        """What this frame says of the object as a part, and whether it left with it."""
        if track.left:
            return None, False
        # A zone counts what is outside of the picture as on its edge.
        is_shown = 0.0 <= track.x <= size[0] and 0.0 <= track.y <= size[1]
        is_inside = is_shown and self._zone.holds(track.x / size[0], track.y / size[1])
        track.outside = 0 if is_inside else track.outside + 1
        if track.entered and (track.outside >= MOST_OUTSIDE or track.misses > MOST_MISSES):
            track.left = True
            return None, True
        if sight is None or not is_inside:
            return None, False
        if track.sights < SURE_SIGHTS:
            if sight.verdict is Verdict.NG:
                track.held = sight.causes
            return None, False
        track.entered = True
        verdict, causes = sight.verdict, sight.causes
        if track.held is not None:
            verdict, causes = Verdict.NG, tuple(dict.fromkeys((*track.held, *causes)))
            track.held = None
        return Seen(track.number, verdict, causes, sight.box), False

    def _forget(self, left: list[int]) -> None:
        """Objects that are gone; where there are too many, those that were seen longest ago."""
        kept = [track for track in self._tracks if track.misses <= MOST_MISSES]
        if len(kept) > MOST_TRACKS:
            kept.sort(key=lambda track: (track.seen_at, track.number))
            given_up, kept = kept[:-MOST_TRACKS], kept[-MOST_TRACKS:]
            left += [track.number for track in given_up if track.entered and not track.left]
            kept.sort(key=lambda track: track.number)
        self._tracks = kept


def _place(each: Shown) -> tuple[float, float, float]:
    x1, y1, x2, y2 = each.box
    diagonal = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    return (x1 + x2) / 2, (y1 + y2) / 2, diagonal


_Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


def _assignment() -> Callable[[NDArray[np.float64]], _Pairs]:
    """The solver; raises BoxError where SciPy is not installed."""
    try:
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415
    except ImportError as error:
        raise BoxError(
            "parts.by: track needs SciPy, which is not installed.",
            hint="Install it: pip install 'edge-daemon[tracks]'.",
        ) from error
    found: Any = linear_sum_assignment
    solver: Callable[[NDArray[np.float64]], _Pairs] = found
    return solver
