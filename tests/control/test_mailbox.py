"""Arrivals keep their order; an order of the MES waits for no row of requests."""

from __future__ import annotations

from edge_daemon.control.arrivals import OrderArrived, RequestArrived
from edge_daemon.control.mailbox import TOGETHER, Mailbox
from edge_daemon.core.events import TimePassed
from edge_daemon.core.values import Instant
from edge_daemon.messaging.messages import Incoming


def incoming(name: str) -> Incoming:
    return Incoming(name, b"", Instant(0.0, 0.0))


def order(name: str) -> OrderArrived:
    return OrderArrived(0, incoming(name))


def request(name: str) -> RequestArrived:
    return RequestArrived("swap", incoming(name))


def taken(room: Mailbox) -> list[str]:
    """What is taken, turn by turn: names, those that are taken together with a plus."""
    turns = []
    while (arrival := room.take(0.0)) is not None:
        if isinstance(arrival, tuple):
            turns.append("+".join(each.incoming.topic for each in arrival))
        elif isinstance(arrival, (RequestArrived, OrderArrived)):
            turns.append(arrival.incoming.topic)
        else:
            turns.append(type(arrival).__name__)
    return turns


def test_one_after_the_other_in_the_order_in_which_they_came() -> None:
    """A request before an order, and one after it."""
    room = Mailbox()
    for arrival in (request("hold"), order("o1"), request("release"), TimePassed()):
        room.put(arrival)
    assert taken(room) == ["hold", "o1", "release", "TimePassed"]


def test_an_order_overtakes_all_but_one() -> None:
    """Frames wait for it, whoever floods the station with requests."""
    room = Mailbox()
    for number in range(300):
        room.put(request(f"r{number}"))
    room.put(order("o1"))
    room.put(order("o2"))
    turns = taken(room)
    assert turns[:3] == ["r0", "o1+o2", "r1"]
    assert len(turns) == 301


def test_a_flood_of_orders_starves_nobody() -> None:
    """So many are taken together; between two turns goes one of the others that waited longer."""
    room = Mailbox()
    room.put(request("r0"))
    room.put(request("r1"))
    for number in range(3 * TOGETHER):
        room.put(order(f"o{number}"))
    turns = taken(room)
    assert [turn.count("+") + 1 for turn in turns] == [1, TOGETHER, 1, TOGETHER, TOGETHER]
    assert (turns[0], turns[2]) == ("r0", "r1")


def test_nothing_comes() -> None:
    """None after the timeout."""
    assert Mailbox().take(0.0) is None
