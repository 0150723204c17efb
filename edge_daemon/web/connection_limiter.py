"""Bounds on connections: requests must arrive whole in time, and health checks have a place.

A connection without a complete request has a deadline, and only a number of them are kept: when
one more comes, the address that has the most gives up its oldest. So silent callers keep nobody
else out, and one address needs no limit of its own: a whole proxy may stand behind it. Complete
requests have a limit too; health and metrics are exempt from it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import h11
import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

VITAL_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines that restart the service or call a person when there is no answer."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds for a request's head, from the connection or its first byte on, and for its body.

    `waiting` connections without a complete request are kept, `busy` requests are answered at a
    time; what was refused is told every `tell_s`.
    """

    head_s: float = 5.0
    body_s: float = 10.0
    waiting: int = 128
    busy: int = 96
    tell_s: float = 60.0


class ConnectionLimiter:
    """All connections; used on the event loop's thread only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: dict[PatientProtocol, None] = {}  # in the order in which they began to
        self._busy = 0
        self._refused: Counter[str] = Counter()
        self._telling: asyncio.TimerHandle | None = None

    def waits(self, connection: PatientProtocol) -> None:
        """The connection has no complete request."""
        self._waiting.setdefault(connection)
        if len(self._waiting) > self.limits.waiting:
            most = Counter(each.address for each in self._waiting).most_common(1)[0][0]
            oldest = next(each for each in self._waiting if each.address == most)
            self.goes_on(oldest)
            self.refused("gave_way")
            oldest.transport.abort()

    def goes_on(self, connection: PatientProtocol) -> None:
        """Its request is complete, or the connection has ended."""
        self._waiting.pop(connection, None)

    def limited(self, app: ASGIApp) -> ASGIApp:
        """The application, for a limited number of requests at a time; health checks are exempt."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("path") in VITAL_PATHS:
                await app(scope, receive, send)
            elif self._busy >= self.limits.busy:
                self.refused("busy")
                sentence = "Too many ask at once; ask again in a second.\n"
                refusal = PlainTextResponse(sentence, 503, {"retry-after": "1"})
                await refusal(scope, receive, send)
            else:
                self._busy += 1
                try:
                    await app(scope, receive, send)
                finally:
                    self._busy -= 1

        return answer

    # ------------------------------------------------------------------ the log

    def refused(self, why: str) -> None:
        """A caller was refused: `late`, `gave_way` or `busy`."""
        self._refused[why] += 1
        if self._telling is None:
            self._tell()

    def _tell(self) -> None:
        """Log it at once, and then the count of a minute."""
        self._telling = None
        if not self._refused:
            return
        # Browsers open spare connections; one that stays silent is not worth a log line.
        level = "info" if set(self._refused) == {"late"} else "warning"
        getattr(_log, level)("connections_refused", **self._refused)
        self._refused.clear()
        loop = asyncio.get_running_loop()
        self._telling = loop.call_later(self.limits.tell_s, self._tell)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a deadline while a request is not complete."""

    def __init__(self, limiter: ConnectionLimiter, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limiter = limiter
        self._awaited: tuple[float, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._await(None)
        self._limiter.goes_on(self)

    def _look(self) -> None:
        """What the client owes: a head, the rest of a body, or nothing."""
        limits, owes = self._limiter.limits, self.conn.their_state
        if self.transport.is_closing():
            return
        if owes is h11.SEND_BODY:
            self._await((limits.body_s, self.cycle))
        elif owes is h11.IDLE and (self.cycle is None or self.conn.trailing_data[0]):
            self._await((limits.head_s, self.cycle))
        else:
            self._await(None)  # between two requests uvicorn's own timer runs
        if owes in (h11.SEND_BODY, h11.IDLE):
            self._limiter.waits(self)
        else:
            self._limiter.goes_on(self)

    def _await(self, awaited: tuple[float, object] | None) -> None:
        """A running deadline is not extended by bytes that trickle in."""
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = awaited and self.loop.call_later(awaited[0], self._part)

    def _part(self) -> None:
        self._limiter.refused("late")
        self.transport.abort()
