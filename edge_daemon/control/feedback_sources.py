"""Feedback that others publish for everybody: read, matched with the parts, put on record.

Nobody is answered. What cannot be read is told once and then counted; parts that this station never
told of are counted, for a tester at the end of a line speaks of other lines too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.feedback_handler import FeedbackHandler, Label
from edge_daemon.control.refusals import LogThrottle, RefusalReport, Refusals
from edge_daemon.core.event_names import EventName
from edge_daemon.core.rollout.values import Feedback
from edge_daemon.errors import SenderError, StateError
from edge_daemon.host.clock import Clock
from edge_daemon.messaging.feedback_sources import FeedbackReader
from edge_daemon.messaging.messages import Incoming

_log = structlog.get_logger(__name__)

MOST_UNSAVED = 32
"""Messages that wait for a full disk, unacknowledged; beyond it the oldest is lost. A broker sends
no more than `RECEIVE_MAXIMUM` of them, and requests and orders come by the same connection."""


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
        self._throttle = LogThrottle()
        self._unsaved: deque[tuple[Sequence[Feedback], Incoming, Label]] = deque()
        self._unknown, self._unknown_told = 0, 1

    def problems(self) -> tuple[str, ...]:
        return self._refusals.problems(self._clock.now())

    def tick(self) -> None:
        """Note what the journal could not take; count once a minute what could not be read."""
        while self._unsaved and self._is_noted(*self._unsaved[0]):
            self._unsaved.popleft()
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
        heard = (said, incoming, label)
        if self._unsaved or not self._is_noted(*heard):
            self._unsaved.append(heard)
            if len(self._unsaved) > MOST_UNSAVED:
                self._unsaved.popleft()[1].done()

    def _is_noted(self, said: Sequence[Feedback], incoming: Incoming, label: Label) -> bool:
        """False where the journal did not take it."""
        try:
            unknown = self._handler.heard(said, incoming.topic, label) if said else 0
        except StateError as error:
            count = self._throttle.comes(self._clock.now().at)
            if count is not None:
                topic = incoming.topic
                _log.error("feedback_not_noted", topic=topic, error=error.message, count=count)
            return False
        self._count_unknown(incoming.topic, unknown)
        incoming.done()
        return True

    def _count_unknown(self, topic: str, parts: int) -> None:
        """Logged at the 1st, 10th, 100th …"""
        self._unknown += parts
        if self._unknown >= self._unknown_told:
            self._unknown_told = 10 ** len(str(self._unknown))
            _log.warning("feedback_of_unknown_parts", topic=topic, parts=self._unknown)

    def _tell(self, refusals: Iterable[RefusalReport]) -> None:
        for told in refusals:
            _log.warning("feedback_refused", topic=told.topic, count=told.count, error=told.error)
            self._put(Noticed(EventName.FEEDBACK_REFUSED, told.message))
