"""Orders at the door: frames are fenced first, and let go at once where none can be of another."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from edge_daemon.config import OrderSource
from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.order_intake import OrderIntake
from edge_daemon.core.values import Instant
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.orders import compile_source
from edge_daemon.slots.frame_control import FrameControl


class Fences:
    """A line that counts its fences; each has its own moment."""

    def __init__(self) -> None:
        self.moments = 0
        self.standing: list[float] = []

    def fence(self) -> Instant:
        self.moments += 1
        self.standing.append(float(self.moments))
        return Instant(float(self.moments), 0.0)

    def lift(self, *since_at: float) -> None:
        for each in since_at:
            self.standing.remove(each)


class Door:
    def __init__(self) -> None:
        source = OrderSource.model_validate({"topic": "mes/orders", "preset": "flat"})
        other = OrderSource.model_validate({"topic": "mes/other", "preset": "flat"})
        self.line = Fences()
        self.arrived: list[OrderArrived] = []
        readers = [compile_source(source), compile_source(other)]
        self.intake = OrderIntake(readers, cast("FrameControl", self.line), self.arrived.append)

    def comes(self, payload: Any, source: int = 0, **more: Any) -> bool:
        """Whether frames wait for it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.intake.came(source, Incoming("mes/orders", body, Instant(-1.0, 0.0), **more))
        is_fenced = bool(self.line.standing)
        assert self.arrived[-1].is_fenced is is_fenced
        self.line.standing.clear()
        return is_fenced


def order(status: str, number: str = "WO-1", product: str = "BTL-500") -> dict[str, str]:
    return {"workOrder": number, "productCode": product, "status": status}


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.mark.parametrize("status", ["running", "dispatched"])
def test_frames_wait_for_an_order_that_may_be_theirs(door: Door, status: str) -> None:
    """Until the driver has read it; none is judged by the model of the order before."""
    assert door.comes(order(status))


def test_no_fence_stands_after_a_fault(door: Door) -> None:
    """Frames would wait for ever; the message is asked for once more."""
    with pytest.raises(IndexError):
        door.intake.came(7, Incoming("mes/orders", b"{}", Instant(-1.0, 0.0)))
    assert (door.line.moments, door.line.standing, door.arrived) == (1, [], [])


@pytest.mark.parametrize(
    "payload", [order("completed"), order("paused"), b"", b"no json", b"[]", b'{"x": 1}', b"\xff"]
)
def test_frames_do_not_wait_for_what_changes_nothing(door: Door, payload: Any) -> None:
    """A word that means nothing, an order that is done, and what cannot be read."""
    assert not door.comes(payload)


def test_what_cannot_be_read_reaches_the_driver_all_the_same(door: Door) -> None:
    """It is told and logged there."""
    door.comes(b"no json")
    assert [each.incoming.payload for each in door.arrived] == [b"no json"]


def test_an_order_that_runs_already_is_not_waited_for(door: Door) -> None:
    """Some MES say it every second."""
    assert door.comes(order("running"))
    assert not door.comes(order("running"))
    assert not door.comes(order("running"))


def test_another_order_or_product_is_waited_for(door: Door) -> None:
    """And the first one again, when it comes back."""
    assert door.comes(order("running"))
    assert door.comes(order("running", number="WO-2"))
    assert door.comes(order("running", number="WO-2", product="CAN-330"))
    assert door.comes(order("running"))


def test_the_same_words_of_another_source_are_waited_for(door: Door) -> None:
    """Which of the two counts is the driver's to say."""
    assert door.comes(order("running"))
    assert door.comes(order("running"), source=1)


def test_an_order_between_two_that_are_alike_counts(door: Door) -> None:
    """What ran is not what runs."""
    assert door.comes(order("running"))
    assert door.comes(order("dispatched", number="WO-2"))
    assert door.comes(order("running"))


@pytest.mark.parametrize("kept", [{"retained": True}, {"stored": True}])
def test_what_the_broker_keeps_is_no_proof_of_what_runs(door: Door, kept: dict[str, bool]) -> None:
    """It may be old: the live one after it is waited for."""
    door.comes(order("running"), **kept)
    assert door.comes(order("running"))


def test_the_moment_of_the_fence_is_the_order_s(door: Door) -> None:
    """The boundary lies where frames were stopped, not where the network stamped the message."""
    door.comes(order("running"))
    door.comes(order("completed"))
    assert [each.incoming.received.at for each in door.arrived] == [1.0, 2.0]
