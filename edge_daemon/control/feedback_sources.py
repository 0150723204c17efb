"""Feedback that others publish for everybody: read, matched with the parts, put on record.

Nobody is answered. What cannot be read is told once and then counted; parts that this station never
told of are counted, for a tester at the end of a line speaks of other lines too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog

from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.feedback_handler import FeedbackHandler, Label
from edge_daemon.control.refusals import RefusalReport, Refusals
from edge_daemon.core.event_names import EventName
from edge_daemon.errors import SenderError, StateError
from edge_daemon.host.clock import Clock
from edge_daemon.messaging.feedback_sources import FeedbackReader
from edge_daemon.messaging.messages import Incoming

_log = structlog.get_logger(__name__)


class FeedbackSources:
    """Called on the evaluator's thread, but for `problems`.

    Args:
        readers: in the order of the settings.
        put: takes an event for `model/event`.
    """

    def __init__(
        self,
        readers: Sequence[FeedbackReader],
        handler: FeedbackHandler,
        put: Callable[[Noticed], None],
        clock: Clock,
    ) -> None:
        self._readers = readers
        self._handler = handler
        self._put = put
        self._clock = clock
        self._refusals = Refusals("feedback")
        self._unknown, self._unknown_told = 0, 1

    def problems(self) -> tuple[str, ...]:
        """Which topics cannot be read, in a sentence; any thread."""
        return self._refusals.problems(self._clock.now())

    def tick(self) -> None:
        """Report once a minute how many more could not be read."""
        self._tell(self._refusals.tick(self._clock.now()))

    def arrived(self, source: int, incoming: Incoming, label: Label) -> None:
        """One message; `label` is told what is durable of it.

        One that the broker only had in keeping is old news: somebody may have said more since.
        """
        if incoming.stored:
            incoming.done()
            return
        try:
            said, refused = self._readers[source].read(incoming.payload, incoming.topic)
        except SenderError as error:
            said, refused = (), [error]
        for each in refused:
            self._tell(self._refusals.refused(incoming.topic, each, self._clock.now()))
        try:
            unknown = self._handler.heard(said, incoming.topic, label) if said else 0
        except StateError as error:  # not acknowledged: it comes again with the next connection
            _log.error("feedback_not_noted", topic=incoming.topic, error=error.message)
            return
        self._count_unknown(incoming.topic, unknown)
        incoming.done()

    def _count_unknown(self, topic: str, parts: int) -> None:
        """Logged at the 1st, 10th, 100th …"""
        self._unknown += parts
        if parts and self._unknown >= self._unknown_told:
            while self._unknown >= self._unknown_told:
                self._unknown_told *= 10
            _log.warning("feedback_of_unknown_parts", topic=topic, parts=self._unknown)

    def _tell(self, refusals: Iterable[RefusalReport]) -> None:
        for told in refusals:
            _log.warning("feedback_refused", topic=told.topic, count=told.count, error=told.error)
            message = told.error if told.count else f"{told.topic}: {told.error}"
            self._put(Noticed(EventName.FEEDBACK_REFUSED, message))
