"""Whose turn it is while two models are compared in blocks of time, and what each block measured.

A block is whole or it is nothing: where the candidate left the line, the line stood still or
another model was prepared, the block under way is measured again, by the same arm, and the blocks
before it stay. So the order that was drawn is the order of the blocks that count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, median_low
from typing import Any

from edge_daemon.core.rollout.compare import Difference, arm_of, difference, paired
from edge_daemon.core.rollout.governor import p99
from edge_daemon.core.rollout.values import Arm, Stage

FEWEST_LOOKS = 10
"""Of fewer looks nothing is told: the block is measured again."""

LONGEST_S = 5.0
"""Without anybody looking at the clock for so long, or without a frame, the block is no block."""

_DIGITS = 6  # of each figure in the journal


@dataclass(frozen=True)
class Turn:
    """What runs at one moment. `block` counts from 0 in its stage; `counts`: the burn-in is over.

    `began_at` tells a block that is measured again from the one that was interrupted.
    """

    rollout: str
    block: int
    arm: Arm
    began_at: float
    counts: bool


@dataclass(frozen=True)
class Meter:
    """What the box tells of itself at one moment, by source; what it does not tell is not there.

    `joules`: energy since some moment, never falling. `watts`: power now. `celsius`: heat now.
    """

    joules: Mapping[str, float] = field(default_factory=dict)
    watts: Mapping[str, float] = field(default_factory=dict)
    celsius: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """One whole block: `seconds`, `frames` of the line and `looks` are those after the burn-in.

    `values` by quantity: `QUANTITIES`, and power and heat by source.
    """

    number: int
    arm: Arm
    began_utc: float
    seconds: float
    frames: int
    looks: int
    values: Mapping[str, float]

    def as_list(self) -> list[Any]:
        """Plain values for the journal; `read_block` reads them."""
        values = {name: _short(value) for name, value in self.values.items()}
        counts = (_short(self.seconds), self.frames, self.looks)
        return [self.number, self.arm.value, self.began_utc, *counts, values]


def read_block(plain: Sequence[Any]) -> Block:
    """The block that was written; raises ValueError, TypeError or AttributeError if it is none."""
    number, arm, began_utc, seconds, frames, looks, values = plain
    found = {str(name): float(value) for name, value in values.items()}
    if not all(math.isfinite(value) for value in found.values()):
        raise ValueError("A figure of a block is not finite.")
    return Block(
        int(number), Arm(arm), float(began_utc), float(seconds), int(frames), int(looks), found
    )


QUANTITIES = {
    "latency_p50_ms": "ms",
    "latency_p99_ms": "ms",
    "capacity_fps": "fps",
    "headroom": "x",
    "looks_share": "share",
    "memory_mb": "MB",
}
"""What is measured in each block, with its unit, in this order; power and heat follow by source."""


def unit_of(quantity: str) -> str:
    """Such as `ms`, or `W` of `power_gpu_w`."""
    if quantity in QUANTITIES:
        return QUANTITIES[quantity]
    return "W" if quantity.endswith("_w") else "°C"


class Rotation:
    """The blocks of one compare stage. `done` are those that the journal kept."""

    def __init__(self, rollout: str, stage: Stage, done: Sequence[Block] = ()) -> None:
        self._rollout = rollout
        self._stage = stage
        self.done = list(done)
        self._running: _Running | None = None

    @property
    def pairs(self) -> int:
        """Whole pairs of blocks so far."""
        return len(self.done) // 2

    def interrupt(self) -> bool:
        """The block under way is nothing; True where there was one."""
        was_running = self._running is not None
        self._running = None
        return was_running

    def turn(self, at: float, utc: float, frames: int, meter: Meter) -> Turn | None:
        """Whose turn it is at this moment; None once all is measured. `frames`: of the line so far.

        A block goes on until it is kept or interrupted; `ended` says when it is over.
        """
        running = self._running
        if running is None:
            if self.pairs >= self._stage.pairs:
                return None
            running = self._running = _Running(at, utc)
        running.look(at, frames, meter, counts=at - running.began_at >= self._stage.burn_in_s)
        number = len(self.done)
        arm = arm_of(self._rollout, number)
        return Turn(self._rollout, number, arm, running.began_at, running.counts)

    def ended(self, at: float) -> bool:
        """Whether the block under way is over."""
        running = self._running
        return running is not None and at - running.began_at >= self._stage.rotate_s

    def is_stale(self, at: float) -> bool:
        """Whether nobody looked, or no frame came, for so long that the block is no block."""
        running = self._running
        return running is not None and running.is_stale(at)

    def keep(self, took_ms: Sequence[float], memory_bytes: int | None) -> bool:
        """The block is over: how long each look took. False where it was nothing."""
        running, self._running = self._running, None
        if running is None or len(took_ms) < FEWEST_LOOKS or running.seconds <= 0.0:
            return False
        number = len(self.done)
        block = running.block(number, arm_of(self._rollout, number), took_ms)
        if memory_bytes:
            values = {**block.values, "memory_mb": memory_bytes / 2**20}
            block = replace(block, values=values)
        self.done.append(block)
        return True


class _Running:
    """One block under way, from its first moment to its last."""

    def __init__(self, began_at: float, began_utc: float) -> None:
        self.began_at = began_at
        self._began_utc = began_utc
        self.counts = False
        self._first: tuple[float, int, Meter] | None = None
        self._last: tuple[float, int, Meter] | None = None
        self._looked_at = self._frame_at = began_at
        self._frames: int | None = None
        self._sums: dict[str, list[float]] = {}

    def look(self, at: float, frames: int, meter: Meter, *, counts: bool) -> None:
        if frames != self._frames:
            self._frames, self._frame_at = frames, at
        self._looked_at = at
        if not counts:
            return
        self.counts = True
        self._last = (at, frames, meter)
        if self._first is None:
            self._first = self._last
        told = {**_named("power", meter.watts, "w"), **_named("temperature", meter.celsius, "c")}
        for name, value in told.items():
            self._sums.setdefault(name, []).append(value)

    def is_stale(self, at: float) -> bool:
        return at - self._looked_at > LONGEST_S or at - self._frame_at > LONGEST_S

    @property
    def seconds(self) -> float:
        if self._first is None or self._last is None:
            return 0.0
        return self._last[0] - self._first[0]

    def block(self, number: int, arm: Arm, took_ms: Sequence[float]) -> Block:
        assert self._first is not None
        assert self._last is not None
        seconds, frames = self.seconds, self._last[1] - self._first[1]
        looks = len(took_ms)
        capacity = 1e3 * looks / max(math.fsum(took_ms), 1e-6)
        values = {
            "latency_p50_ms": median_low(took_ms),
            "latency_p99_ms": p99(took_ms),
            "capacity_fps": capacity,
        }
        if frames > 0:
            values["headroom"] = capacity * seconds / frames
            values["looks_share"] = looks / frames
        values.update((name, math.fsum(each) / len(each)) for name, each in self._sums.items())
        before, after = self._first[2].joules, self._last[2].joules
        used = {name: (after[name] - before[name]) / seconds for name in before if name in after}
        values.update(_named("power", used, "w"))
        return Block(number, arm, self._began_utc, seconds, frames, looks, values)


def _named(what: str, values: Mapping[str, float], unit: str) -> dict[str, float]:
    return {f"{what}_{source}_{unit}": value for source, value in values.items()}


# --------------------------------------------------------------------------- what they show


@dataclass(frozen=True)
class Compared:
    """One quantity: the middle of each arm's blocks, how many they are, and the difference.

    None where it was not measured.
    """

    quantity: str
    unit: str
    incumbent: float | None
    candidate: float | None
    blocks: tuple[int, int]
    difference: Difference | None


def compared(rollout: str, blocks: Sequence[Block]) -> tuple[Compared, ...]:
    """All quantities of these blocks, whether they were measured or not."""
    names = dict.fromkeys(QUANTITIES)
    names.update(dict.fromkeys(sorted({name for block in blocks for name in block.values})))
    return tuple(_compared(rollout, blocks, name) for name in names)


def _compared(rollout: str, blocks: Sequence[Block], name: str) -> Compared:
    values = [block.values.get(name) for block in blocks]
    by_arm: dict[Arm, list[float]] = {arm: [] for arm in Arm}
    for block, value in zip(blocks, values, strict=True):
        if value is not None:
            by_arm[block.arm].append(value)
    incumbent, candidate = by_arm[Arm.INCUMBENT], by_arm[Arm.CANDIDATE]
    return Compared(
        name,
        unit_of(name),
        median(incumbent) if incumbent else None,
        median(candidate) if candidate else None,
        (len(incumbent), len(candidate)),
        difference(paired(rollout, values)),
    )


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
