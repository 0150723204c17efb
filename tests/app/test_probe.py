"""While no frame comes the model is asked, and only its answer counts as a sign of life."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from edge_daemon.app.probe import EVERY_S, Probe
from edge_daemon.core.values import BundleRef, StoredBundle
from edge_daemon.errors import SlotLost
from edge_daemon.host.memory import FrameMemory
from edge_daemon.slots.active import ActiveSlot, Pointer
from edge_daemon.slots.slot import LoadOrder
from tests.sim.clock import SimClock
from tests.sim.device import Device, wait_until
from tests.sim.slot import Script, SimSlot

B1 = "bottle@1.0.0"
REF = BundleRef.parse(B1)


class Harness:
    """A slot that judges, and no frame."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.script = Script()
        slot = SimSlot("A", script=self.script)
        slot.load(LoadOrder(REF, "ab", Path(), Path(), "detect", ("x",), 32, 0.2), 1.0)
        self.active_slot = ActiveSlot({"A": slot}, lambda: None)
        self.active_slot.pointer = Pointer(slot, StoredBundle(REF, "ab"))
        self.probe = Probe(self.active_slot, self.clock)

    def wait(self, seconds: float) -> bool:
        """Whether the lane found something to ask, which it does."""
        self.probe.look(self.clock.advance(seconds), None)
        idle_task = self.active_slot.take_idle_task()
        if idle_task is not None:
            idle_task(self.active_slot.pointer)
        return idle_task is not None


@pytest.fixture
def bench() -> Harness:
    return Harness()


def test_it_asks_after_a_silence_and_not_before(bench: Harness) -> None:
    """Once every two seconds, and never while verdicts come."""
    assert not bench.wait(EVERY_S / 2)
    assert bench.wait(EVERY_S)
    assert not bench.wait(EVERY_S / 2)
    now = bench.clock.advance(EVERY_S)
    bench.probe.look(now, now.at)
    assert bench.active_slot.take_idle_task() is None
    bench.probe.close()


def test_only_an_answer_counts(bench: Harness) -> None:
    """A worker that is lost over it gave none."""
    bench.wait(EVERY_S)
    answered_at = bench.probe.answered_at
    assert answered_at == bench.clock.now().at
    bench.script.fail_infer(REF, SlotLost("It hangs."))
    assert bench.wait(EVERY_S)
    assert bench.probe.answered_at == answered_at
    bench.probe.close()


def test_a_probe_without_memory_does_not_end_the_lane(
    bench: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no answer either; with memory again the model is asked."""

    def no_memory(*_: object) -> NoReturn:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as short:
        short.setattr(FrameMemory, "allocate", no_memory)
        assert bench.wait(EVERY_S)
    assert bench.probe.answered_at is None
    assert bench.wait(EVERY_S)
    assert bench.probe.answered_at == bench.clock.now().at
    bench.probe.close()


def test_a_gate_that_waits_goes_first(bench: Harness) -> None:
    """What compares two models is not pushed aside by it."""
    asked: list[Pointer] = []
    bench.active_slot.send(asked.append)
    bench.wait(EVERY_S)
    assert asked == [bench.active_slot.pointer]


def test_a_station_without_its_camera_knows_that_its_model_answers() -> None:
    """The whole daemon: no frame, a model, and an answer now and then."""
    with Device(B1, settings={"camera": {"source": "/nowhere/at/all.mp4"}}) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        wait_until(lambda: daemon.probe.answered_at is not None, "an answer")
        assert daemon.frames.ledger.counts().captured == 0
        assert daemon.monitor.health().good
