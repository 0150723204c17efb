"""Triggers: the line reports that a part is there, and is answered with the part's number.

Read where they arrive and handed on at once: a trigger waits for no decision. One that waited at
the broker and brings no time opens a part without frames: nobody knows when it was there. Nothing
here is durable: a part that was open at a power cut is told by nobody, and `boot` says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from edge_daemon.core.parts.values import Opened, Triggered
from edge_daemon.core.values import Assignment, AtNow, AtTime, Instant, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import SenderError
from edge_daemon.messaging import part_payloads
from edge_daemon.messaging.answer import Answer, refused
from edge_daemon.messaging.inbox import RefusedRequest, read_request, refuse_large
from edge_daemon.messaging.messages import Carrier, Incoming, respond

MAX_BYTES = 4096
"""A trigger is read on the network thread."""

AGAIN_S = 3600.0
"""So long the broker may deliver a trigger again that was heard; later its id is a new part's."""

TakeTrigger = Callable[[Triggered, Callable[[Opened], None]], None]
"""Hands a trigger to the parts, which call back with its number; SenderError: they cannot hear."""


class TriggerHandler:
    """Called on the carrier's network thread; answers from the thread that has the number."""

    def __init__(
        self,
        carrier: Carrier,
        take: TakeTrigger,
        making: Callable[[float], Assignment],
        told: Callable[[str, float], int | None],
    ) -> None:
        """`making`: what was being made at this monotonic second.

        `told`: the part of this trigger id that has a result since this moment (UTC), whichever
        start of the daemon told it.
        """
        self._carrier = carrier
        self._take = take
        self._making = making
        self._told = told

    def arrived(self, incoming: Incoming) -> None:
        """One trigger; it is acknowledged once it is passed on or refused."""
        if incoming.retained and not incoming.payload:  # a retained one is cleared
            incoming.done()
            return
        request_id = fresh_id = uuid.uuid4().hex
        try:
            refuse_large(incoming, "trigger", MAX_BYTES)
            request = read_request(Verb.TRIGGER.value, incoming, fresh_id)
            request_id = request.id
            self._open(request, incoming, None if request_id == fresh_id else request_id)
        except SenderError as error:
            named = error.request_id if isinstance(error, RefusedRequest) else request_id
            self._answer(incoming, refused(named, error))
        finally:
            incoming.done()

    def _open(self, request: Request, incoming: Incoming, given: str | None) -> None:
        """Pass it on; raises SenderError."""
        at = _instant(request, incoming.received)

        def answer(opened: Opened) -> None:
            payload = part_payloads.trigger_answer(request.id, opened)
            self._answer(incoming, Answer(request.id, payload))

        if incoming.waited and given is not None:
            # Its acknowledgement may have got lost with the connection, and its part been told.
            known = self._told(given, incoming.received.utc - AGAIN_S)
            if known is not None:
                answer(Opened(known, given, again=True))
                return
        # The frames of now may show another part than the one that was there.
        has_waited = incoming.waited and isinstance(request.at, AtNow)
        now, making, serial = incoming.received.at, self._making(at.at), request.serial or None
        self._take(Triggered(given, at, now, making, serial, has_waited=has_waited), answer)

    def _answer(self, incoming: Incoming, answer: Answer) -> None:
        respond(self._carrier, Verb.TRIGGER.value, answer, incoming.ways_back)


def _instant(request: Request, received: Instant) -> Instant:
    """When the part was there, by the sender's clock; the time of arrival if none is given."""
    if isinstance(request.at, AtTime):
        return Instant(received.at - (received.utc - request.at.utc), request.at.utc)
    if isinstance(request.at, AtNow):
        return received
    raise SenderError(
        "`at` is not a time with a zone.",
        hint="Write 2026-11-22T10:00:00.250Z, or leave it out for the moment of arrival.",
    )
