"""Receipts: opened once, complete at the cutover, completed once more by the trial."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from edge_daemon.control.loader import GateProof
from edge_daemon.control.receipts import KEPT, Receipts
from edge_daemon.core.golden import Expectation, ExpectedBox, Golden
from edge_daemon.core.proof import Proof
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.trial import Window
from edge_daemon.core.values import Check, Counts, Detection, Instant, Latency, Recipe, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.messaging.payloads import FoundObjects
from edge_daemon.slots.active import Crossed
from tests.sim.planner_world import B1, B2, C1

BEGAN = Instant(10.0, 1000.0)
REQUEST = Request("r1", Verb.SWAP, reason="better")


@dataclass
class CountingLine:
    """Frames that a test counts up; each takes 5 ms."""

    frames: int = 0

    def mark(self) -> object:
        return self.frames

    def since(self, mark: object) -> Window:
        assert isinstance(mark, int)
        count = self.frames - mark
        times = Latency(count, 5.0, 5.0, 5.0) if count else Latency()
        return Window(Counts(count, count), times, times)


class Harness:
    def __init__(self) -> None:
        self.line = CountingLine()
        self.gate_proof = GateProof(B2, Recipe(), (Check("warm_up", True),), {"load": 80.0}, "s-1")
        self.receipts = Receipts("boot", self.line, lambda known: self.gate_proof)  # type: ignore[arg-type]
        self.op = Operation(Kind.SWAP, "s-1", B2, REQUEST)

    def open(self) -> None:
        self.receipts.open(self.op, BEGAN, "kim", B1)

    def cross(self) -> None:
        self.line.frames += 10
        self.receipts.crossed("s-1", Crossed(3, 40, 12.0, 1002.0, 0.25))


@pytest.fixture
def bench() -> Harness:
    return Harness()


def test_a_receipt_spans_from_accepted_to_the_cutover(bench: Harness) -> None:
    """Who, why, what, where it cut, what was measured; frames of that span alone."""
    bench.line.frames = 100
    bench.open()
    bench.cross()
    bench.line.frames += 50
    receipt = bench.receipts.finished("s-1")
    assert receipt is not None
    assert (receipt.from_, receipt.to, receipt.by, receipt.reason) == (
        "b@1",
        "b@2",
        "kim",
        "better",
    )
    assert (receipt.cutover_frame, receipt.pause_ms) == (40, 0.25)
    assert (receipt.frames.captured, receipt.frames.inspected) == (10, 10)
    assert (receipt.latency_ms.before_p99, receipt.latency_ms.during_p99) == (5.0, 5.0)
    assert receipt.stages_ms.load == 80.0
    assert receipt.checks[0].name == "warm_up"


def test_stages_of_an_earlier_operation_are_not_claimed(bench: Harness) -> None:
    """The bundle was resident: this swap needed none of them, and still shows the proof."""
    bench.gate_proof = replace(bench.gate_proof, swap_id="s-0")
    bench.open()
    bench.cross()
    receipt = bench.receipts.get("s-1")
    assert receipt is not None
    assert receipt.stages_ms.load is None
    assert receipt.checks


def test_a_receipt_says_whether_the_whole_gate_was_run(bench: Harness) -> None:
    """Beside a spot proof stands the gate of before: when it was, and what it measured."""
    bench.open()
    bench.cross()
    whole = bench.receipts.get("s-1")
    assert whole is not None
    assert (whole.proof, whole.gate) == ("gate", msgspec.UNSET)
    gate = Proof("a" * 64, {}, 1000.0, (), (), (Check("golden.recall", True, 1.0, 0.9),))
    bench.gate_proof = replace(bench.gate_proof, checks=(Check("spot", True),), relied_on=gate)
    bench.receipts.crossed("s-1", Crossed(3, 40, 12.0, 1002.0, 0.25))
    spot = bench.receipts.get("s-1")
    assert spot is not None
    assert spot.proof == "spot"
    assert [check.name for check in spot.checks] == ["spot"]
    assert msgspec.to_builtins(spot.gate) == {
        "at": "1970-01-01T00:16:40.000Z",
        "checks": ({"name": "golden.recall", "passed": True, "measured": 1.0, "limit": 0.9},),
    }


def test_there_is_no_receipt_before_the_cutover(bench: Harness) -> None:
    """`get` says None; a prepare that ends well has one without a cutover."""
    bench.open()
    assert bench.receipts.get("s-1") is None
    proof = bench.receipts.finished("s-1")
    assert proof is not None
    assert proof.cutover_frame is None


def test_opening_twice_changes_nothing(bench: Harness) -> None:
    """The first moment counts."""
    bench.open()
    bench.receipts.open(bench.op, Instant(99.0, 9999.0), "lee", C1)
    assert bench.receipts.elapsed_ms("s-1", Instant(11.0, 1001.0)) == 1000.0
    bench.cross()
    receipt = bench.receipts.get("s-1")
    assert receipt is not None
    assert receipt.by == "kim"


def test_a_trial_completes_the_receipt(bench: Harness) -> None:
    """Its frames and its p99 from the cutover on, and how it ended."""
    bench.open()
    bench.cross()
    bench.line.frames += 300
    receipt = bench.receipts.trial_ended("s-1", "confirmed")
    assert receipt is not None
    assert receipt.trial == "confirmed"
    assert receipt.latency_ms.after_p99 == 5.0
    assert receipt.frames.captured == 310


def test_a_trial_compares_versions_of_one_name_only(bench: Harness) -> None:
    """A can is no measure for a bottle."""
    bench.line.frames = 20
    bench.open()
    bench.cross()
    _, before, elapsed_s = bench.receipts.trial_windows("s-1", Instant(15.0, 1005.0))
    assert before is not None
    assert elapsed_s == 3.0
    other = Harness()
    other.receipts.open(other.op, BEGAN, "", C1)
    other.cross()
    assert other.receipts.trial_windows("s-1", BEGAN)[1] is None


def test_only_so_many_are_kept(bench: Harness) -> None:
    """The oldest go; they are in the journal."""
    for number in range(KEPT + 5):
        bench.receipts.open(replace(bench.op, swap_id=f"s-{number}"), BEGAN, "", B1)
    assert bench.receipts.finished("s-0") is None
    assert bench.receipts.finished(f"s-{KEPT + 4}") is not None


def test_a_receipt_tells_what_both_found_on_golden_images(bench: Harness) -> None:
    """By slice, so that many stations can be added up; left out where nobody was compared."""
    seen = (Detection("scratch", 0.9, (1.0, 1.0, 9.0, 9.0)),)
    wanted = Expectation("low_light", (ExpectedBox("scratch", (1.0, 1.0, 9.0, 9.0)),))
    bench.gate_proof = replace(
        bench.gate_proof, golden=(Golden(wanted, seen, seen), Golden(wanted, (), seen))
    )
    bench.open()
    bench.cross()
    receipt = bench.receipts.finished("s-1")
    assert receipt is not None
    assert receipt.golden == {"low_light": FoundObjects(2, 2, 1)}
    bench.gate_proof = replace(bench.gate_proof, golden=(Golden(wanted, seen),))
    bench.receipts.discard(["s-1"])
    bench.open()
    bench.cross()
    alone = bench.receipts.finished("s-1")
    assert alone is not None
    assert alone.golden is msgspec.UNSET
