"""Triggers: the line says that a part is there, and is answered with the part's number.

Read where they arrive and handed on at once: a trigger waits for no decision. Nothing here is
durable: a part that was open at a power cut is told by nobody, and `boot` says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from edge_daemon.core.parts.values import Opened, Triggered
from edge_daemon.core.values import Assignment, Instant
from edge_daemon.errors import Code, SenderError
from edge_daemon.messaging import part_payloads
from edge_daemon.messaging.answer import Answer, refused
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.inbox import parse_iso, request_id_of
from edge_daemon.messaging.messages import Carrier, Incoming

VERB = "trigger"
MAX_BYTES = 4096
MAX_SERIAL = 128

TakeTrigger = Callable[[Triggered, Callable[[Opened], None]], bool]
"""Hands a trigger to the parts, which call back with its number; False where they have no room."""


class TriggerDesk:
    """Called on the carrier's network thread; answers from whichever thread has the number."""

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
        """One trigger as it came; it is acknowledged once it is handed on or refused."""
        request_id = uuid.uuid4().hex
        try:
            document = _document(incoming)
            given = request_id_of(document, incoming)
            request_id = given or request_id
            serial = _serial(document)
            at = _instant(document.get("at"), incoming.received)
            triggered = Triggered(given, at, incoming.received.at, self._making(), serial)

            def answer(opened: Opened) -> None:
                payload = part_payloads.trigger_answer(request_id, opened)
                self._answer(incoming, Answer(request_id, payload))

            if not self._take(triggered, answer):
                raise SenderError(
                    "More triggers came than can be heard.",
                    hint="Send one for each part, at the pace of the line.",
                    code=Code.PRECONDITION_FAILED,
                )
        except SenderError as error:
            self._answer(incoming, refused(request_id, error))
        finally:
            incoming.done()

    def _answer(self, incoming: Incoming, answer: Answer) -> None:
        self._carrier.respond(VERB, answer.body, incoming.reply_to)
        incoming.reply(answer)


def _document(incoming: Incoming) -> Mapping[str, Any]:
    if incoming.retained:
        raise SenderError(
            "A retained trigger would open a part at every start.",
            hint="Publish it without the retain flag, and clear the retained message.",
            code=Code.RETAINED,
        )
    if len(incoming.payload) > MAX_BYTES:
        raise SenderError(
            f"The trigger has {len(incoming.payload)} bytes.", hint=f"Send at most {MAX_BYTES}."
        )
    document = (
        read_json(incoming.payload, "The trigger")
        if incoming.payload.strip()
        else incoming.content or {}
    )
    if not isinstance(document, dict):
        raise SenderError("The trigger is not an object.", hint='Send {"id": "SN-1234"}.')
    return document


def _serial(document: Mapping[str, Any]) -> str | None:
    given = document.get("serial")
    if given is None:
        return None
    if isinstance(given, str) and 1 <= len(given) <= MAX_SERIAL and given.isprintable():
        return given
    raise SenderError(
        "`serial` is no text that can be read.",
        hint=f"Use 1 to {MAX_SERIAL} printable characters, or leave it out.",
    )


def _instant(given: object, received: Instant) -> Instant:
    """When the part was there, by the sender's clock; as it arrived where nothing is said."""
    if given is None:
        return received
    utc = parse_iso(given) if isinstance(given, str) else None
    if utc is None:
        raise SenderError(
            "`at` is no time with a zone.",
            hint="Write 2026-11-22T10:00:00.250Z, or leave it out for the moment of arrival.",
        )
    return Instant(received.at - (received.utc - utc), utc)
