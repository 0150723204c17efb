"""Triggers: the line reports that a part is there, and is answered with the part's number.

They are read where they arrive and passed on at once: a trigger waits for no decision. Nothing here
is durable: a part that was open at a power cut gets no result, and `boot` shows why.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from edge_daemon.core.parts.values import Opened, Triggered
from edge_daemon.core.values import Assignment, AtNow, AtTime, Instant, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code, SenderError
from edge_daemon.messaging import part_payloads
from edge_daemon.messaging.answer import Answer, refused
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.messages import Carrier, Incoming

MAX_BYTES = 4096

TakeTrigger = Callable[[Triggered, Callable[[Opened], None]], bool]
"""Hands a trigger to the parts, which call back with its number; False where they have no room."""


class TriggerDesk:
    """Called on the carrier's network thread; answers from the thread that has the number."""

    def __init__(
        self,
        carrier: Carrier,
        take: TakeTrigger,
        making: Callable[[], Assignment],
    ) -> None:
        self._carrier = carrier
        self._take = take
        self._making = making

    def arrived(self, incoming: Incoming) -> None:
        """One trigger; it is acknowledged once it is passed on or refused."""
        if incoming.retained and not incoming.payload:  # somebody clears a retained one
            incoming.done()
            return
        request_id = fresh_id = uuid.uuid4().hex
        try:
            _refuse_large(incoming)
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
        serial = request.serial or None
        triggered = Triggered(given, at, incoming.received.at, self._making(), serial)

        def answer(opened: Opened) -> None:
            payload = part_payloads.trigger_answer(request.id, opened)
            self._answer(incoming, Answer(request.id, payload))

        if not self._take(triggered, answer):
            raise SenderError(
                "Too many triggers came at once.",
                hint="Send one for each part, at the pace of the line.",
                code=Code.PRECONDITION_FAILED,
            )

    def _answer(self, incoming: Incoming, answer: Answer) -> None:
        self._carrier.respond(Verb.TRIGGER.value, answer.body, incoming.reply_to)
        incoming.reply(answer)


def _refuse_large(incoming: Incoming) -> None:
    """It is read on the network thread."""
    if len(incoming.payload) > MAX_BYTES:
        raise SenderError(
            f"The trigger has {len(incoming.payload)} bytes.", hint=f"Send at most {MAX_BYTES}."
        )


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
