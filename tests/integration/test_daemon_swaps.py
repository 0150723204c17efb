"""Hundreds of swaps under load, proved by a subscriber that trusts no count of the daemon's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.line import MARKS, RunningDaemon
from tests.sim.mosquitto import new_mosquitto

pytestmark = pytest.mark.broker

SWAPS = 200
B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


def test_two_hundred_swaps_lose_no_frame(tmp_path: Path) -> None:
    """0 lost, doubled, reordered or misjudged; every cutover is exactly where its receipt says."""
    with new_mosquitto() as broker, RunningDaemon(tmp_path, broker) as mill:
        mill.start()
        receipts = []
        for number in range(SWAPS):
            outcome = mill.ask("swap", model=(B2, B1)[number % 2])
            assert outcome["status"] == "succeeded", outcome
            receipts.append(outcome["receipt"])
        last = receipts[-1]["cutover_frame"]
        mill.ear.until(lambda: mill.ear.results[-1]["frame"] >= last)
        mill.stop()
        mill.until_settled()
        mill.check_books()
        tally = mill.ear.books.tally()
        assert tally.cutovers == SWAPS
        assert tally.frames == tally.inspected
        assert_cut_exactly(mill, receipts)


def assert_cut_exactly(mill: RunningDaemon, receipts: list[dict[str, object]]) -> None:
    """Frame by frame: the weights that looked at it are those of the last receipt before it."""
    in_force = {receipt["cutover_frame"]: receipt["to"] for receipt in receipts}
    model = B1
    for result in mill.ear.results:
        model = str(in_force.get(result["frame"], model))
        assert result["model"] == model, f"frame {result['frame']}"
        assert {d["confidence"] for d in result["detections"]} == {MARKS[model]}
