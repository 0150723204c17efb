"""Blocks of time: each has its arm, and an interrupted one counts nothing."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.blocks import (
    FEWEST_LOOKS,
    LONGEST_S,
    QUANTITIES,
    Block,
    Meter,
    Rotation,
    compared,
    read_block,
)
from edge_daemon.core.rollout.compare import arm_of
from edge_daemon.core.rollout.values import Arm, Mode, Stage

STAGE = Stage(Mode.COMPARE, rotate_s=4.0, burn_in_s=1.0, pairs=2)
LOOKS = [10.0] * FEWEST_LOOKS


class Walk:
    """A rotation whose clock the test sets; frames come at 30 a second."""

    def __init__(self, stage: Stage = STAGE, rollout: str = "r-1") -> None:
        self.stage, self.rollout = stage, rollout
        self.rotation = Rotation(rollout, stage)
        self.at = 100.0
        self.joules = 0.0

    def meter(self) -> Meter:
        return Meter({"package_0": self.joules}, {"gpu": 30.0}, {"zone_0": 50.0})

    def step(self, seconds: float = 0.5) -> None:
        self.at += seconds
        self.joules += 12.0 * seconds
        frames = int(30 * self.at)
        self.rotation.turn(self.at, self.at, frames, self.meter())

    def block(self, took_ms: list[float] | None = None) -> bool:
        self.step(0.0)
        while not self.rotation.ended(self.at):
            self.step()
        return self.rotation.keep(LOOKS if took_ms is None else took_ms, 200 << 20)

    def restart(self) -> None:
        """What a new process reads from the journal."""
        plain = json.loads(json.dumps([block.as_list() for block in self.rotation.done]))
        self.rotation = Rotation(self.rollout, self.stage, [read_block(each) for each in plain])


def test_a_block_tells_what_was_measured_after_its_burn_in() -> None:
    walk = Walk()
    assert walk.block([float(ms) for ms in range(1, 101)])
    [block] = walk.rotation.done
    assert (block.seconds, block.frames, block.looks) == (3.0, 90, 100)
    assert block.values["latency_p50_ms"] == 50.0
    assert block.values["latency_p99_ms"] == 99.0
    assert block.values["capacity_fps"] == pytest.approx(1e3 / 50.5)
    assert block.values["headroom"] == pytest.approx(1e3 / 50.5 / 30)
    assert block.values["looks_share"] == pytest.approx(100 / 90)
    assert block.values["memory_mb"] == 200.0
    assert block.values["power_package_0_w"] == pytest.approx(12.0)
    assert (block.values["power_gpu_w"], block.values["temperature_zone_0_c"]) == (30.0, 50.0)


def test_the_burn_in_is_told_so_that_no_look_of_it_counts() -> None:
    walk = Walk()
    told = []
    for _ in range(8):
        turn = walk.rotation.turn(walk.at, walk.at, int(30 * walk.at), Meter())
        assert turn is not None
        told.append(turn.counts)
        walk.at += 0.5
    assert told == [False, False, True, True, True, True, True, True]


def test_when_all_pairs_are_whole_nobody_has_a_turn() -> None:
    walk = Walk()
    for _ in range(4):
        assert walk.block()
    assert walk.rotation.pairs == 2
    assert walk.rotation.turn(walk.at, walk.at, 0, Meter()) is None
    assert [block.arm for block in walk.rotation.done] == [arm_of("r-1", n) for n in range(4)]


@pytest.mark.parametrize("stop", ["clock", "frames"])
def test_a_block_on_a_line_that_stands_or_a_box_that_slept_is_no_block(stop: str) -> None:
    walk = Walk(replace(STAGE, rotate_s=60.0))
    walk.step()
    frames = int(30 * walk.at)
    assert not walk.rotation.is_stale(walk.at)
    if stop == "frames":
        for _ in range(int(LONGEST_S / 0.5)):
            walk.at += 0.5
            walk.rotation.turn(walk.at, walk.at, frames, Meter())
            assert not walk.rotation.is_stale(walk.at)
    else:
        walk.at += LONGEST_S
    assert walk.rotation.is_stale(walk.at + 0.5)


def test_too_few_looks_are_no_block() -> None:
    walk = Walk()
    assert not walk.block([10.0] * (FEWEST_LOOKS - 1))
    assert walk.rotation.done == []
    assert walk.block()
    assert walk.rotation.done[0].number == 0


def test_whatever_happens_in_whatever_block_the_order_that_was_drawn_is_measured() -> None:
    """Every story of five blocks: each is kept, interrupted, restarted in, or too short."""
    for story in itertools.product(("keep", "order", "restart", "few"), repeat=5):
        walk = Walk(replace(STAGE, pairs=8, rotate_s=1.0, burn_in_s=0.0))
        kept = 0
        for what in story:
            walk.step()
            if what == "order":
                assert walk.rotation.interrupt()
                assert not walk.rotation.keep(LOOKS, None), "an interrupted block counts nothing"
            elif what == "restart":
                walk.restart()
            else:
                kept += walk.block([] if what == "few" else LOOKS)
            numbers = [block.number for block in walk.rotation.done]
            assert numbers == list(range(kept))
            assert walk.rotation.pairs == kept // 2
        assert kept == story.count("keep")
        assert [block.arm for block in walk.rotation.done] == [
            arm_of("r-1", number) for number in range(kept)
        ]


names = st.sampled_from([*QUANTITIES, "power_gpu_w", "temperature_zone_0_c"])
blocks = st.builds(
    Block,
    st.integers(0, 199),
    st.sampled_from(Arm),
    st.floats(0, 4e9),
    st.floats(0.1, 1e5),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.dictionaries(names, st.floats(-1e6, 1e6)),
)


@given(blocks)
def test_a_block_is_read_as_it_was_written(block: Block) -> None:
    """To six digits, and the second time exactly."""
    plain = json.loads(json.dumps(block.as_list()))
    again = read_block(plain)
    assert again.as_list() == plain
    assert (again.number, again.arm, again.looks) == (block.number, block.arm, block.looks)
    for name, value in block.values.items():
        assert math.isclose(again.values[name], value, rel_tol=1e-5, abs_tol=1e-300)


@pytest.mark.parametrize(
    "plain",
    [
        [0, "candidate", 0.0, 1.0, 1, 1],
        [0, "both", 0.0, 1.0, 1, 1, {}],
        [0, "candidate", 0.0, 1.0, 1, 1, {"headroom": math.nan}],
        [0, "candidate", 0.0, 1.0, 1, 1, []],
    ],
)
def test_what_is_no_block_is_refused(plain: list[object]) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        read_block(plain)


def made(values: list[float | None], quantity: str = "latency_p50_ms") -> list[Block]:
    return [
        Block(n, arm_of("r-1", n), 0.0, 1.0, 30, 30, {} if value is None else {quantity: value})
        for n, value in enumerate(values)
    ]


def test_what_was_not_measured_is_none_and_never_a_guess() -> None:
    found = compared("r-1", made([None] * 8))
    assert [each.quantity for each in found] == list(QUANTITIES)
    assert {(each.incumbent, each.candidate, each.difference) for each in found} == {
        (None, None, None)
    }
    assert compared("r-1", []) == found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(1.0, 100.0)), max_size=30), st.floats(-5.0, 5.0))
def test_each_pair_counts_once_and_a_half_one_not_at_all(
    values: list[float | None], more: float
) -> None:
    """The line's own time is in both blocks of a pair and leaves the difference as it is."""
    line = [None if value is None else value for value in values]
    blocks = made(
        [
            None if value is None else value + (more if arm_of("r-1", n) is Arm.CANDIDATE else 0.0)
            for n, value in enumerate(line)
        ]
    )
    found = compared("r-1", blocks)[0]
    whole = [n for n in range(0, len(values) - 1, 2) if None not in (values[n], values[n + 1])]
    assert found.blocks == tuple(
        sum(b.arm is arm and bool(b.values) for b in blocks)
        for arm in (Arm.INCUMBENT, Arm.CANDIDATE)
    )
    if not whole:
        assert found.difference is None
        return
    assert found.difference is not None
    assert found.difference.pairs == len(whole)
    base = compared("r-1", made(values))[0].difference
    assert base is not None
    assert math.isclose(found.difference.value, base.value + more, abs_tol=1e-9)
