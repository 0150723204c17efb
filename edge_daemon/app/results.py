"""Publishes the verdicts that `results.publish` asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from edge_daemon.control.inquiries import MOST_PREVIEWED
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.messaging import result_payloads
from edge_daemon.messaging.messages import Carrier
from edge_daemon.messaging.topics import Topics


class Results:
    """Called with each verdict on the publisher's thread.

    `publish` is the setting: all, ng or none; any thread may set it.
    """

    def __init__(self, carrier: Carrier, topics: Topics, boot: str, publish: str) -> None:
        self._carrier = carrier
        self._topic = topics.result
        self._boot = boot
        self.publish = publish
        self.parts_of: Callable[[int], tuple[int, ...] | None] | None = None
        """Where parts are counted: those of a frame; None where it is not known in time."""
        self.on_judged: Callable[[Judged], None] | None = None
        """Told each verdict, too; set before the first one."""
        self.last: Judged | None = None
        """The newest frame that has its outcome."""
        self._inspected: deque[Judged] = deque(maxlen=MOST_PREVIEWED)

    def inspected(self, model: BundleRef, limit: int) -> tuple[Judged, ...]:
        """The newest frames that this version judged, oldest first."""
        held = [each for each in tuple(self._inspected) if each.model == model]
        return tuple(held[-limit:])

    def judged(self, judged: Judged) -> None:
        self.last = judged
        if judged.model is not None:
            self._inspected.append(judged)
        if self.on_judged is not None:
            self.on_judged(judged)
        is_good = judged.verdict in (Verdict.OK, Verdict.EMPTY)
        if self.publish == "none" or (self.publish == "ng" and is_good):
            return
        parts = None if self.parts_of is None else self.parts_of(judged.frame)
        self._carrier.publish(self._topic, result_payloads.result(self._boot, judged, parts))
