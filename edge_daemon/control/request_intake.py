"""Incoming requests: read, checked, and matched with earlier answers."""

from __future__ import annotations

import uuid
from dataclasses import replace

import structlog

from edge_daemon.control.recorder import Recorder
from edge_daemon.control.repeats import is_repeat, scoped_id, used_id
from edge_daemon.core.values import Request, Status
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import StateError
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_rows import RequestRow
from edge_daemon.host.metrics import Metrics
from edge_daemon.messaging.answer import accepted, kept, refused
from edge_daemon.messaging.inbox import RefusedRequest, has_own_id, read_request
from edge_daemon.messaging.messages import Carrier, Incoming, respond

_log = structlog.get_logger(__name__)


class RequestIntake:
    """Only the driver's thread calls it."""

    def __init__(
        self, journal: Journal, recorder: Recorder, carrier: Carrier, metrics: Metrics
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._carrier = carrier
        self._metrics = metrics

    def read(self, verb: str, incoming: Incoming) -> Request | None:
        """The request, or None if it was answered here: refused, or a repeat."""
        if incoming.retained and not incoming.payload:  # somebody clears a retained request
            incoming.done()
            return None
        try:
            request = read_request(verb, incoming, uuid.uuid4().hex, self._journal.newest_utc)
        except RefusedRequest as error:
            self._refuse(verb, incoming, error)
            return None
        try:
            row = self._journal.find_request(request.id)
            return request if row is None else self._known(row, request, incoming)
        except StateError as error:
            self._fail(request.verb.value, request.id, incoming, error)
            return None

    def cannot_accept(self, row: RequestRow, incoming: Incoming, error: StateError) -> None:
        """Refuse what cannot be journalled; the broker does not keep it either."""
        self._recorder.forget(row.id)
        self._fail(row.verb, row.id, incoming, error)

    def _fail(self, verb: str, request_id: str, incoming: Incoming, error: StateError) -> None:
        respond(self._carrier, verb, refused(request_id, error), incoming.ways_back)
        incoming.done()

    def _known(self, row: RequestRow, request: Request, incoming: Incoming) -> Request | None:
        """Answer a repeat with the first outcome and return None; other requests go on."""
        if not is_repeat(row, request, incoming):
            if not has_own_id(incoming):
                return self._under_another_id(request, incoming)
            self._refuse(request.verb.value, incoming, used_id(request))
            return None
        begun = (row.swap_id or "") if row.verb == Verb.ROLLOUT.value else ""
        answer = kept(request.id, row.outcome) if row.outcome else accepted(request.id, begun)
        _log.info("request_repeated", request_id=request.id, verb=row.verb)
        respond(self._carrier, row.verb, answer, incoming.ways_back)
        self._recorder.wait_too(request.id, incoming.reply)
        incoming.done()
        return None

    def _under_another_id(self, request: Request, incoming: Incoming) -> Request | None:
        """Somebody else used the same Correlation Data, or the same sender long ago."""
        scoped = replace(request, id=scoped_id(request, incoming))
        if scoped.id == request.id:
            return replace(request, id=uuid.uuid4().hex)
        row = self._journal.find_request(scoped.id)
        return scoped if row is None else self._known(row, scoped, incoming)

    def _refuse(self, verb: str, incoming: Incoming, error: RefusedRequest) -> None:
        _log.warning(
            "request_refused",
            verb=verb,
            request_id=error.request_id,
            error_code=error.code.value,
            error=error.message,
        )
        self._metrics.swap(Status.REJECTED.value, error.code.value)
        respond(self._carrier, verb, refused(error.request_id, error), incoming.ways_back)
        incoming.done()
