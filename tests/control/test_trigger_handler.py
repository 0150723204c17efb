"""A trigger is read at the door, opens one part, and is answered with its number."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edge_daemon.control.trigger_handler import MAX_BYTES, TriggerHandler
from edge_daemon.core.parts.ledger import PartLedger
from edge_daemon.core.parts.values import By, Opened, PartRules, Triggered
from edge_daemon.core.values import Assignment, Instant
from edge_daemon.errors import Code, SenderError
from edge_daemon.messaging.messages import Incoming, ReplyTo

NOW = Instant(100.0, 1_780_000_000.0)
MAKING = Assignment(3, "BTL-500", "WO-17")


class Line:
    """A ledger behind the handler; what is answered is written down."""

    online = True

    def __init__(self) -> None:
        self.ledger = PartLedger(PartRules(By.TRIGGER))
        self.room = True
        self.opened: list[Triggered] = []
        self.answers: list[dict[str, Any]] = []
        self.done = 0
        self.handler = TriggerHandler(self, self._take, lambda _at: MAKING, self._told)

    def _take(self, triggered: Triggered, answer: Callable[[Opened], None]) -> None:
        if not self.room:
            raise SenderError(
                "More triggers came than can be heard.", code=Code.PRECONDITION_FAILED
            )
        self.opened.append(triggered)
        for told in self.ledger.take(triggered):
            if isinstance(told, Opened):
                answer(told)

    def _told(self, trigger_id: str, since_utc: float) -> int | None:
        known = {"known": (7, NOW.utc - 60.0), "old": (8, NOW.utc - 9_000.0)}
        part, utc = known.get(trigger_id, (None, 0.0))
        return part if utc >= since_utc else None

    def publish(self, *_: object, **__: object) -> None:
        raise AssertionError("a trigger is answered, and nothing else")

    def respond(self, verb: str, payload: bytes, reply_to: ReplyTo) -> None:
        assert verb == "trigger"
        self.answers.append(json.loads(payload))

    def come(self, payload: bytes, **how: Any) -> dict[str, Any]:
        def done() -> None:
            self.done += 1

        before = self.done
        self.handler.arrived(Incoming("r/request/trigger", payload, NOW, done=done, **how))
        assert self.done == before + 1
        return self.answers[-1]


def test_a_trigger_is_answered_with_the_number_of_its_part() -> None:
    """The same id with the same number; what is made is noted with it."""
    line = Line()
    first = line.come(b'{"id": "SN-1", "serial": "X9"}')
    assert first == {"id": "SN-1", "status": "succeeded", "part": 0, "again": False}
    assert line.come(b'{"id": "SN-2"}')["part"] == 1
    assert line.come(b'{"id": "SN-1"}') == first | {"again": True}
    assert line.opened[0].serial == "X9"
    assert line.opened[0].assignment == MAKING
    assert line.opened[0].triggered == NOW


def test_without_an_id_each_is_a_part_of_its_own() -> None:
    """An empty message will do; Correlation Data stands for an id."""
    line = Line()
    assert [line.come(b"")["part"] for _ in range(2)] == [0, 1]
    assert line.come(b"{}", correlation=b"c-1") == {
        "id": "c-1",
        "status": "succeeded",
        "part": 2,
        "again": False,
    }
    assert line.come(b"{}", correlation=b"c-1")["again"]


def test_the_time_of_the_trigger_is_the_senders_where_it_says_one() -> None:
    """Seconds before its arrival, by its own clock."""
    line = Line()
    line.come(b'{"at": "2026-05-28T20:26:39.750Z"}')
    assert line.opened[0].triggered == Instant(99.75, NOW.utc - 0.25)


def test_a_trigger_that_waited_at_the_broker_says_so_where_it_brings_no_time() -> None:
    """With a time of its own it is as good as any."""
    line = Line()
    line.come(b'{"id": "a"}', waited=True)
    line.come(b'{"id": "b", "at": "2026-05-28T20:26:39.750Z"}', waited=True)
    line.come(b'{"id": "c"}')
    assert [each.has_waited for each in line.opened] == [True, False, False]


def test_a_trigger_that_is_delivered_again_after_a_restart_opens_no_second_part() -> None:
    """Its acknowledgement was lost; an id that comes anew, or long after, is another part's."""
    line = Line()
    again = {"id": "known", "status": "succeeded", "part": 7, "again": True}
    assert line.come(b'{"id": "known"}', waited=True) == again
    assert line.opened == []
    assert line.come(b'{"id": "old"}', waited=True)["part"] == 0
    assert line.come(b'{"id": "known"}')["part"] == 1


@pytest.mark.parametrize(
    ("payload", "how", "code"),
    [
        (b"[]", {}, "malformed"),
        (b"{", {}, "malformed"),
        (b"\xff", {}, "malformed"),
        (b'{"id": ""}', {}, "malformed"),
        (b'{"id": "a", "at": "next_order"}', {}, "malformed"),
        (b'{"id": "a", "at": 5}', {}, "malformed"),
        (b'{"id": "a", "serial": 5}', {}, "malformed"),
        (b'{"id": "a", "serial": "\\u0000"}', {}, "malformed"),
        (b" " * (MAX_BYTES + 1), {}, "malformed"),
        (b'{"id": "a"}', {"retained": True}, "retained"),
    ],
)
def test_what_is_no_trigger_opens_no_part(payload: bytes, how: dict[str, Any], code: str) -> None:
    """It is answered all the same."""
    line = Line()
    answer = line.come(payload, **how)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", code)
    assert line.opened == []


def test_a_trigger_that_nobody_can_hear_is_refused_aloud() -> None:
    """Under the id that it has."""
    line = Line()
    line.room = False
    answer = line.come(b'{"id": "SN-1"}')
    assert (answer["id"], answer["error"]["code"]) == ("SN-1", "precondition_failed")
