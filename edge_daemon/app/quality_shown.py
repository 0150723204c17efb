"""Quality in production as the status page shows it: each figure with its interval, or what it
would need.
"""

from __future__ import annotations

import structlog

from edge_daemon.app.resources import Resources
from edge_daemon.core.rollout import quality
from edge_daemon.core.rollout.intervals import Interval
from edge_daemon.errors import StateError
from edge_daemon.web.state import QualityLine, ShareLine

FRESH_S = 5.0
"""The figures are of so long ago at most: to count them takes all feedback."""

NO_LABEL = (
    "Precision: nobody said of a rejected part what it really is. Label parts here, by "
    "request/feedback, or with 'edge-daemon feedback PART ok|ng'."
)
NO_AUDIT = (
    "Recall: what the model misses is only found among parts that it passed, and none of them was "
    "drawn for an audit."
)

_log = structlog.get_logger(__name__)


class QualityShown:
    """Asked by the page's thread; counts at most once in a few seconds."""

    def __init__(self, resources: Resources) -> None:
        self._kept = resources.journal.rollouts
        self._clock = resources.clock
        self._counted: QualityLine | None = None
        self._counted_at = float("-inf")

    def line(self, *, always: bool) -> QualityLine | None:
        """The figures; None where nothing was ever said, unless they are shown `always`."""
        now = self._clock.now().at
        if now - self._counted_at >= FRESH_S:
            self._counted_at = now
            try:
                self._counted = self._count()
            except StateError as error:
                _log.warning("quality_not_read", error=error.message)
        counted = self._counted
        is_known = counted is not None and (counted.precision or counted.recall)
        return counted if always or is_known else None

    def _count(self) -> QualityLine:
        confirmed, verified = self._kept.precision()
        precision = quality.precision(confirmed, verified)
        how = f"{confirmed} of {verified} rejected parts that were looked at are truly bad"
        return QualityLine(
            precision=_share(precision, how),
            missing=tuple(
                sentence
                for sentence, figure in ((NO_LABEL, precision), (NO_AUDIT, None))
                if figure is None
            ),
        )


def _share(found: Interval | None, how: str) -> ShareLine | None:
    if found is None:
        return None
    low, high = round(found.low, 5), round(found.high, 5)
    return ShareLine(value=round(found.value, 5), low=low, high=high, n=found.n, how=how)
