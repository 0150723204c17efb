"""A compare stage on a real journal: turns, whole blocks, and what interrupts one.

The test takes the evaluator's turns and tells how long each look took.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_daemon.control.block_scheduler import AWAY, FEW, STILL
from edge_daemon.core.events import Decision, RolloutDecided
from edge_daemon.core.rollout.blocks import FEWEST_LOOKS, LONGEST_S, Meter, compared, read_block
from edge_daemon.core.rollout.compare import arm_of
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.progress import read_progress
from edge_daemon.core.rollout.values import Arm
from tests.sim.station import Station

B2 = "bottle@2.0.0"
STAGES = [
    {"compare": {"rotate_s": 10, "burn_in_s": 2, "pairs": 2}, "until": {"parts": 9}},
    {"shadow": 1.0, "until": {"parts": 10}},
]
TOOK_MS = {Arm.INCUMBENT: 8.0, Arm.CANDIDATE: 6.0}


class Bench:
    """A station with a rollout in its compare stage, and its evaluator."""

    def __init__(self, station: Station, rollout: str | None = None) -> None:
        self.station = station
        if rollout is None:
            station.send("rollout", model=B2, plan={"stages": STAGES})
        station.until(lambda: station.driver.state.split is not None)
        found = station.driver.state.durable.rollout
        assert found is not None
        self.rollout = found
        self.joules = 0.0

    @property
    def turns(self) -> Any:
        return self.station.active_slot.turns

    def turn(self, seconds: float = 1.0, *, looks: int = FEWEST_LOOKS) -> None:
        """So much time passes on a running line; the model whose turn it is looks so often."""
        with self.station.busy():  # the driver's steps so far are told
            pass
        self.station.until_frames(1)
        now = self.turns.now
        for _ in range(looks if now is not None else 0):
            self.turns.note(now, TOOK_MS[now.arm])
        self.station.clock.advance(seconds)
        self.joules += 10.0 * seconds
        self.station.meter = Meter({"package_0": self.joules})
        self.station.evaluate()

    def block(self, **how: Any) -> None:
        """Until the block under way is over."""
        for _ in range(11):
            self.turn(**how)

    @property
    def kept(self) -> dict[str, Any]:
        """What the journal has of it."""
        row = self.station.journal.rollouts.find(self.rollout.id)
        assert row is not None
        read: dict[str, Any] = json.loads(row.progress)
        return read

    @property
    def numbers(self) -> list[int]:
        return [block[0] for block in self.kept["blocks"].get("0", [])]

    @property
    def state(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.station.rollout_states[-1])
        return read

    def decisions(self) -> list[RolloutDecided]:
        return [each for each in self.station.evaluator_puts if isinstance(each, RolloutDecided)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Station(tmp_path) as station:
        yield Bench(station.run())


def test_two_pairs_of_blocks_are_measured_in_the_order_that_was_drawn(bench: Bench) -> None:
    """Then the stage is over; that it looks at no part itself is no obstacle to its `until`."""
    split = bench.station.driver.state.split
    assert split is not None
    assert (split.share, split.coverage) == (0.0, 0.0)
    turns = []
    for _ in range(50):
        bench.turn()
        if bench.turns.now is not None:
            turns.append((bench.turns.now.block, bench.turns.now.arm))
    expected = [(number, arm_of(bench.rollout.id, number)) for number in range(4)]
    assert list(dict.fromkeys(turns)) == expected
    assert bench.turns.now is None
    blocks = [read_block(each) for each in bench.kept["blocks"]["0"]]
    found = {each.quantity: each for each in compared(bench.rollout.id, blocks)}
    latency = found["latency_p50_ms"]
    assert (latency.incumbent, latency.candidate, latency.blocks) == (8.0, 6.0, (2, 2))
    assert latency.difference is not None
    assert (latency.difference.value, latency.difference.pairs) == (-2.0, 2)
    assert found["power_package_0_w"].incumbent == pytest.approx(10.0, rel=0.05)
    assert found["memory_mb"].incumbent is None
    assert bench.decisions()[-1].decision is Decision.ADVANCE
    assert bench.decisions()[-1].why == "2 pairs of blocks were measured."


def test_an_order_in_the_middle_of_a_block_discards_that_block_only(bench: Bench) -> None:
    bench.block()
    assert bench.numbers == [0]
    for _ in range(5):
        bench.turn()
    second = bench.turns.now
    bench.station.order("CAN")
    bench.station.until_active("can@1.0.0")
    bench.turn()
    assert bench.turns.now is None, "nobody looks while another product runs"
    assert bench.kept["discarded"] == {AWAY: 1}
    bench.turn()
    assert bench.kept["discarded"] == {AWAY: 1}, "it is one block"
    bench.station.order("BTL")
    bench.station.until(lambda: bench.station.driver.state.split is not None)
    bench.turn()
    again = bench.turns.now
    assert (again.block, again.arm) == (second.block, second.arm) == (1, second.arm)
    assert again.began_at > second.began_at
    bench.block()
    assert bench.numbers == [0, 1]
    assert "1 of 2 pairs" in bench.state["why"]
    assert AWAY in bench.state["why"]


def test_looks_of_the_discarded_block_are_not_those_of_the_one_that_is_measured_again(
    bench: Bench,
) -> None:
    for _ in range(5):
        bench.turn()
    stale = bench.turns.now
    bench.turn(LONGEST_S + 1.0)
    assert bench.kept["discarded"] == {STILL: 1}
    bench.turn()
    for _ in range(20):
        bench.turns.note(stale, 500.0)
    bench.block()
    [block] = [read_block(each) for each in bench.kept["blocks"]["0"]]
    assert block.values["latency_p99_ms"] == TOOK_MS[block.arm]


def test_a_line_without_gaps_measures_nothing_and_says_so(bench: Bench) -> None:
    bench.block(looks=0)
    bench.block(looks=0)
    assert bench.numbers == []
    assert bench.kept["discarded"][FEW] >= 1
    assert FEW in bench.state["why"]
    assert Decision.ADVANCE not in {each.decision for each in bench.decisions()}


def test_the_next_life_goes_on_with_the_blocks_of_the_journal(tmp_path: Path) -> None:
    """The block under way is lost with the process; those before it count."""
    first = Station(tmp_path).run()
    bench = Bench(first)
    for _ in range(3):
        bench.block()
    for _ in range(4):
        bench.turn()
    assert bench.numbers == [0, 1, 2]
    with first.restarted(abruptly=True) as second:
        again = Bench(second.run(), bench.rollout.id)
        assert again.rollout.id == bench.rollout.id
        again.turn()
        now = again.turns.now
        assert (now.block, now.arm) == (3, arm_of(bench.rollout.id, 3))
        again.block()
        assert again.numbers == [0, 1, 2, 3]
        assert again.decisions()[-1].decision is Decision.ADVANCE


@pytest.mark.parametrize("seed", range(2))
def test_wherever_lives_end_each_block_is_measured_once_and_whole(
    tmp_path: Path, seed: int
) -> None:
    """Burn-in, middle or end of a block: what was kept stays as it was, and nothing is kept of a
    block that a death cut short, so that its looks are all of one life and after its burn-in."""
    moments = Random(seed)
    station = Station(tmp_path).run()
    bench, kept, deaths = Bench(station), [], 0
    rollout = bench.rollout.id
    try:
        while len(kept) < 4:
            for _ in range(moments.randrange(1, 16)):
                bench.turn()
            found = bench.kept.get("blocks", {}).get("0", [])
            assert found[: len(kept)] == kept
            kept, deaths = found, deaths + 1
            station = station.restarted(abruptly=True).run()
            bench = Bench(station, rollout)
        bench.turn()
        blocks = [read_block(each) for each in bench.kept["blocks"]["0"]]
        assert bench.numbers == [0, 1, 2, 3]
        assert all(block.looks <= 8 * FEWEST_LOOKS for block in blocks), "without the burn-in"
        assert [block.arm for block in blocks] == [arm_of(rollout, number) for number in range(4)]
        assert deaths > 2
    finally:
        station.__exit__(None, None, None)


def test_blocks_are_written_when_they_are_over_and_not_each_turn(bench: Bench) -> None:
    """A stage of an hour is no load for the disk."""
    bench.turn()
    rows = set()
    for _ in range(8):
        bench.turn()
        rows.add(json.dumps(bench.kept))
    assert len(rows) == 1


def test_progress_of_before_blocks_is_read(bench: Bench) -> None:
    """What an older version wrote has none."""
    bench.turn()
    plain = bench.kept
    del plain["blocks"], plain["discarded"]
    found = read_progress(read_plan({"stages": STAGES}), 0.0, plain)
    assert (found.blocks, found.discarded) == ({}, {})
