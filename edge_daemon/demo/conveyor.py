"""A drawn production line: the camera of the demo, the drills and the training of the demo models.

`Conveyor.draw` fills a frame, `Conveyor.truth` says what is on it without drawing. Both are pure in
(seed, width, height, index, scene): frame 70,000 may be asked for first, and is always the same.
Nothing here paces, waits or starts a thread. What parts are is in `conveyor_parts`, how they look
in `conveyor_art`.

Lengths are in reference pixels of a picture 480 pixels high, and grow with the height of the frame.
An instance keeps the sprites of recent parts, so give each thread its own.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from edge_daemon.demo.conveyor_art import BELT_Y, Image, Painter
from edge_daemon.demo.conveyor_parts import FORMS, Form, Mark, Plan, Point, bounds, placed

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the frame; x2 and y2 are just outside."""
Light = Literal["normal", "low_light"]

MOST_PIXELS: Final = 8192
"""Of a frame's width and height: a larger one is a slip of the pen, and would fill the memory."""
SCENES: Final = ("bottle", "can")
KINDS: Final = {
    "bottle": ("scratch_straight", "scratch_curved", "dent"),
    "can": ("dent", "tab_missing"),
}
"""The kinds of defect that a part of each scene may have."""

_MARGIN: Final = 120.0  # beyond the frame's edges, where a part may still show
_SEEN: Final = 0.35  # the share of a part in view from which it counts as seen
_DEFECT_SEEN: Final = 0.5

_GLASS: Final = ((58, 96, 38), (30, 66, 112), (150, 128, 70), (178, 182, 176), (122, 66, 40))
_CAPS: Final = ((40, 40, 200), (190, 120, 30), (60, 170, 220), (70, 70, 74), (70, 150, 60))
_PAPER: Final = ((226, 232, 236), (186, 214, 232), (208, 196, 176))
_PAINT: Final = ((40, 36, 186), (168, 92, 28), (64, 130, 44), (36, 136, 214), (132, 52, 104))
_METAL: Final = (196, 196, 190)


@dataclass(frozen=True)
class Belt:
    """How parts come by; lengths are in reference pixels, shares 0..1.

    Usually a slow and crowded belt that shows every kind of defect soon, as training needs it.
    """

    speed: float = 5.0
    """Travel between two frames."""
    pitch: float = 236.0
    """From one place for a part to the next: with this jitter, two parts never touch."""
    jitter: float = 30.0
    """How far from the middle of its place a part may stand, to either side."""
    empty: float = 0.08
    """The share of places that are left empty."""
    defects: float = 0.35
    """The share of parts that carry a defect."""
    even: bool = False
    """One part of every 1/defects has one defect, and the kinds take turns; else chance decides."""
    stretch: int = 60
    """Frames under one light."""
    dim_every: int = 5
    """Of so many stretches one is in low light."""

    def __post_init__(self) -> None:
        for name in ("speed", "pitch", "stretch", "dim_every"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is above 0")
        for name in ("empty", "defects"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1")
        if not 0 <= self.jitter < self.pitch:
            raise ValueError("jitter is from 0 to the pitch")


USUAL_BELT: Final = Belt()


@dataclass(frozen=True)
class Defect:
    """What is wrong with a part, and where."""

    kind: str
    box: Box


@dataclass(frozen=True)
class Part:
    """A part on the belt: its silhouette's box, clipped to the frame, and the defects in view."""

    kind: str
    box: Box
    defects: tuple[Defect, ...]


def class_of(kind: str) -> str:
    """What a model calls this kind of defect: both kinds of scratch are one class."""
    return "scratch" if kind.startswith("scratch_") else kind


def labels(parts: Iterable[Part]) -> list[tuple[str, Box]]:
    """Every part and defect as (class name, box)."""
    found: list[tuple[str, Box]] = []
    for part in parts:
        found.append((part.kind, part.box))
        found += [(class_of(each.kind), each.box) for each in part.defects]
    return found


def _chance(name: str) -> random.Random:
    """Chance that is the same each time for this name."""
    return random.Random(name)  # noqa: S311  pictures, not secrets


def _scratch(chance: random.Random, kind: str, at: Point, room: float) -> Mark:
    """A bright stroke or a dark crooked crack around `at`, at most `room` to either side."""
    side = chance.choice((-1.0, 1.0))
    if kind == "scratch_straight":
        w, h = chance.uniform(0.75, 1.0) * min(room, 22.0), chance.uniform(15.0, 28.0)
        ends = ((-w * side, -h), (w * side, h))
        return Mark(kind, tuple((at[0] + x, at[1] + y) for x, y in ends), chance.uniform(2.6, 3.6))
    w, h = chance.uniform(0.85, 1.0) * min(room, 24.0), chance.uniform(18.0, 28.0)
    if chance.random() < 0.5:  # an arc
        sweep = [math.pi * (step / 14 - 0.5) * 1.15 for step in range(15)]
        points = [(side * w * (1.62 * math.cos(a) - 0.62), h * math.sin(a)) for a in sweep]
    else:  # a zig-zag
        points = [(w * (-1) ** step * side, h * (step / 1.5 - 1)) for step in range(4)]
    return Mark(kind, tuple((at[0] + x, at[1] + y) for x, y in points), chance.uniform(2.0, 2.6))


def _mark(chance: random.Random, kind: str, form: Form, taken: Sequence[Mark]) -> Mark | None:
    """A defect of this kind, or None where the first has left no room for it."""
    if kind == "tab_missing":
        (x, y), w, h = form.lid, 0.56 * form.radius, 0.72 * form.top
        return Mark(kind, ((x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)))
    size = chance.uniform(17.0, 23.0)
    reach = size if kind == "dent" else 24.0
    x = chance.uniform(-1.0, 1.0) * max(0.0, 0.86 * form.radius - reach)
    y = chance.uniform(*form.clear)
    if any(abs(y - p[1]) < 36 for mark in taken for p in mark.points):
        return None
    if kind != "dent":
        return _scratch(chance, kind, (x, y), 0.9 * form.radius - abs(x))
    tall = chance.uniform(0.85, 1.25)
    turn = [math.tau * step / 16 for step in range(16)]
    rim = tuple((x + size * math.cos(a), y + size * tall * math.sin(a)) for a in turn)
    return Mark(kind, rim)


def _marks(chance: random.Random, kinds: Iterable[str], form: Form) -> tuple[Mark, ...]:
    """A defect of each kind that there is room for."""
    marks: list[Mark] = []
    for kind in kinds:
        mark = _mark(chance, kind, form, marks)
        if mark is not None:
            marks.append(mark)
    return tuple(marks)


def _kinds(chance: random.Random, scene: str, share: float) -> list[str]:
    """One kind of defect on this share of the parts, or on one in four of them two."""
    if chance.random() >= share:
        return []
    return chance.sample(KINDS[scene], 2 if chance.random() < 0.25 else 1)


def _kind_in_turn(seed: int, scene: str, number: int, share: float) -> list[str]:
    """The one kind of defect whose turn it is at this place, or none."""
    if share == 0:
        return []
    block = max(1, round(1 / share))
    turn, place = divmod(number, block)
    if _chance(f"{seed}/{scene}/flaw/{turn}").randrange(block) != place:
        return []
    return [KINDS[scene][turn % len(KINDS[scene])]]


def _plan(seed: int, scene: str, number: int, belt: Belt) -> Plan | None:
    """What the part at this place on the belt is like; None for an empty place."""
    chance = _chance(f"{seed}/{scene}/{number}")
    if chance.random() < belt.empty:
        return None
    shape = chance.randrange(len(FORMS[scene]))
    form = FORMS[scene][shape]
    if scene == "bottle":
        paper = chance.choice(_PAPER)
        zones = (chance.choice(_GLASS), chance.choice(_CAPS), paper, chance.choice(_CAPS))
    else:
        zones = (chance.choice(_PAINT), _METAL, chance.choice(_PAPER), chance.choice(_CAPS))
    gain = chance.uniform(0.86, 1.12)
    tilt = math.radians(chance.uniform(-4.0, 4.0))
    scale = chance.uniform(0.92, 1.06)
    dx, dy = chance.uniform(-belt.jitter, belt.jitter), chance.uniform(-5.0, 7.0)
    # last, so that a line of another rate carries the same parts
    if belt.even:
        kinds = _kind_in_turn(seed, scene, number, belt.defects)
    else:
        kinds = _kinds(chance, scene, belt.defects)
    marks = _marks(chance, kinds, form)
    colours = tuple((float(b), float(g), float(r)) for b, g, r in zones)
    return Plan(scene, shape, colours, gain, tilt, scale, dx, dy, marks)


def _check(index: int, scene: str) -> None:
    if scene not in SCENES:
        raise ValueError(f"There is no scene {scene!r}; the conveyor shows bottle or can.")
    if index < 0:
        raise ValueError(f"Frames are numbered from 0, so there is none {index}.")


_planned = functools.lru_cache(maxsize=256)(_plan)


class Conveyor:
    """Frames of parts that travel from left to right, and the truth about them."""

    def __init__(
        self, *, seed: int = 1, width: int = 640, height: int = 480, belt: Belt = USUAL_BELT
    ) -> None:
        if not (64 <= width <= MOST_PIXELS and 64 <= height <= MOST_PIXELS):
            sizes = f"from 64x64 to {MOST_PIXELS}x{MOST_PIXELS} pixels"
            raise ValueError(f"A conveyor frame is {sizes}, not {width}x{height}.")
        self.width, self.height = width, height
        self._seed, self._belt, self._scale = seed, belt, height / 480
        self._changes: tuple[tuple[int, Belt], ...] = ()  # from which place on, oldest first
        self._painter = Painter(width, height)

    def change(self, place: int, *, defects: float, dim_every: int) -> None:
        """From this place on the belt carries so many flawed parts, and so much of it is in low
        light. Any thread may call it; the place must come after those of earlier changes.

        Raises ValueError.
        """
        if self._changes and place <= self._changes[-1][0]:
            raise ValueError(f"The belt changes already from place {self._changes[-1][0]} on.")
        belt = replace(self._belt, defects=defects, dim_every=dim_every)
        self._changes = (*self._changes, (place, belt))

    def truth(self, index: int, scene: str) -> tuple[Part, ...]:
        """The parts at least a third in view, left to right, with the defects half in view."""
        found: list[Part] = []
        for _, plan, foot in self._in_view(index, scene):
            outline = FORMS[scene][plan.shape].outline
            box, seen = self._clip(bounds(placed(outline, plan, self._scale)), foot)
            if seen < _SEEN:
                continue
            defects: list[Defect] = []
            for mark in plan.marks:
                around = bounds(placed(mark.points, plan, self._scale), mark.rim * self._scale)
                spot, seen = self._clip(around, foot)
                if seen >= _DEFECT_SEEN:
                    defects.append(Defect(mark.kind, spot))
            found.append(Part(scene, box, tuple(defects)))
        return tuple(found)

    def flaws(self, number: int, scene: str) -> tuple[str, ...]:
        """The kinds of defect of the part at this place on the belt; () for a good part."""
        plan = _planned(self._seed, scene, number, self._belt_at(number))
        return () if plan is None else tuple(mark.kind for mark in plan.marks)

    def reaches(self, number: int, share: float = 0.5) -> float:
        """The frame, with its fraction, in which this place has come so far across the picture."""
        across = share * self.width / self._scale
        return (across + number * self._belt.pitch) / self._belt.speed

    def stands_at(self, index: int, share: float = 0.5) -> int:
        """The place on the belt that is nearest to there in this frame."""
        across = share * self.width / self._scale
        return round((self._belt.speed * index - across) / self._belt.pitch)

    def light(self, index: int, scene: str) -> Light:
        """The light of a frame: one stretch in every few is low."""
        _check(index, scene)
        every = self._belt_at(self.stands_at(index)).dim_every
        stretch = index // self._belt.stretch
        chance = self._chance(scene, "light", stretch // every)
        return "low_light" if stretch % every == chance.randrange(every) else "normal"

    def draw(self, index: int, scene: str, out: Image, *, covered: bool = False) -> None:
        """Fills `out` (height, width, 3; uint8, BGR) with a frame; `covered`: the lens is, and all
        that shows is the sensor's noise."""
        if out.shape != (self.height, self.width, 3) or out.dtype != np.uint8:
            want = f"({self.height}, {self.width}, 3) of uint8"
            raise ValueError(f"The picture to fill is {want}, not {out.shape} of {out.dtype}.")
        parts = self._in_view(index, scene)
        self._painter.backdrop(out, self._belt.speed * index)
        for number, plan, foot in parts:
            self._painter.part(out, number, plan, foot)
        chance = self._chance(scene, "gain", index // self._belt.stretch)
        if self.light(index, scene) == "low_light":
            gain, noise = chance.uniform(0.36, 0.48), 1.25
        else:
            gain, noise = chance.uniform(0.94, 1.06), 1.0
        if covered:
            gain = 0.0
        self._painter.expose(out, gain, noise, spin=index * 7919 + self._seed * 104729)

    def _chance(self, scene: str, what: str, number: int) -> random.Random:
        return _chance(f"{self._seed}/{scene}/{what}/{number}")

    def _belt_at(self, place: int) -> Belt:
        for first, belt in reversed(self._changes):
            if place >= first:
                return belt
        return self._belt

    def _in_view(self, index: int, scene: str) -> list[tuple[int, Plan, tuple[int, int]]]:
        """(place on the belt, plan, foot in pixels) of each part in view, left to right."""
        _check(index, scene)
        belt = self._belt
        travel = belt.speed * index
        first = math.ceil((travel - self.width / self._scale - _MARGIN) / belt.pitch)
        last = math.floor((travel + _MARGIN) / belt.pitch)
        found: list[tuple[int, Plan, tuple[int, int]]] = []
        for number in range(last, first - 1, -1):
            plan = _planned(self._seed, scene, number, self._belt_at(number))
            if plan is not None:
                x = travel - number * belt.pitch + plan.dx
                foot = (round(x * self._scale), round((BELT_Y + plan.dy) * self._scale))
                found.append((number, plan, foot))
        return found

    def _clip(
        self, box: tuple[float, float, float, float], foot: tuple[int, int]
    ) -> tuple[Box, float]:
        """The box in the frame around a part's foot, and the share of it that is in view."""
        x1, y1 = math.floor(box[0] + foot[0]), math.floor(box[1] + foot[1])
        x2, y2 = math.ceil(box[2] + foot[0]), math.ceil(box[3] + foot[1])
        left, right = max(0, x1), min(self.width, x2)
        top, bottom = max(0, y1), min(self.height, y2)
        area = max(0, right - left) * max(0, bottom - top)
        return (left, top, right, bottom), area / ((x2 - x1) * (y2 - y1))
