"""Reports on kept pictures: which could not be kept, and which were deleted for space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from edge_daemon.app.status import PicturesLost
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Instant
from edge_daemon.frames.collector import Collector, PictureCounts
from edge_daemon.host.metrics import Metrics

_log = structlog.get_logger(__name__)

MISSED_AGAIN_S = 60.0
"""Between two events that pictures were not kept, and how long health names it."""
REMOVED_AGAIN_S = 3600.0
"""Between two events about pictures that the quota removed: this is expected, so rarely."""


@dataclass(frozen=True)
class Wording:
    """The words for one folder of pictures, and its counter."""

    what: str
    went: str
    missed: EventName
    removed: EventName
    count: Callable[[Metrics, str, int], None]


NG_IMAGES = Wording(
    "Pictures of rejected parts",
    "The quota of results.ng_images is full: the {} oldest pictures went.",
    EventName.NG_IMAGES_MISSED,
    EventName.NG_IMAGES_REMOVED,
    Metrics.ng_images,
)
PICTURES = Wording(
    "Pictures of parts",
    "By quota_mb or days of results.pictures the {} oldest pictures went.",
    EventName.PICTURES_MISSED,
    EventName.PICTURES_REMOVED,
    Metrics.pictures,
)
DISPUTED = Wording(
    "Pictures of parts on which a candidate disagrees",
    "The quota of rollouts.keep.pictures_mb is full: the {} oldest pictures went.",
    EventName.PICTURES_MISSED,
    EventName.PICTURES_REMOVED,
    Metrics.disputed,
)

COLLECTED = Wording(
    "Pictures for training",
    "By quota_mb or days of collect the {} oldest pictures went.",
    EventName.COLLECT_MISSED,
    EventName.COLLECT_REMOVED,
    Metrics.collect_lost,
)


class PictureLosses:
    """Looks once a second; the first loss is reported at once, then a count now and then."""

    def __init__(
        self,
        collector: Collector,
        put: Callable[[Noticed], None],
        metrics: Metrics,
        wording: Wording = NG_IMAGES,
    ) -> None:
        self._collector = collector
        self._put = put
        self._metrics = metrics
        self._wording = wording
        self._seen = self._told = PictureCounts()
        self._lost_at = self._lost_told_at = self._removed_told_at = float("-inf")

    def look(self, now: Instant) -> None:
        tally, seen = self._collector.tally, self._seen
        self._seen = tally
        for outcome, count in vars(tally).items():
            self._wording.count(self._metrics, outcome, count - vars(seen)[outcome])
        if tally.missed + tally.failed > seen.missed + seen.failed:
            self._lost_at = now.at
        self._tell_lost(tally, now.at)
        self._tell_removed(tally, now.at)

    @property
    def lost(self) -> PicturesLost:
        """What was not kept; any thread."""
        what = self._wording.what
        return PicturesLost(self._collector.fault, self._lost_at, what[0].lower() + what[1:])

    def _tell_lost(self, tally: PictureCounts, at: float) -> None:
        missed, failed = tally.missed - self._told.missed, tally.failed - self._told.failed
        if not missed + failed or at - self._lost_told_at < MISSED_AGAIN_S:
            return
        why = []
        if missed:
            why.append(f"{missed} came faster than they can be written")
        if failed:
            fault = self._collector.fault
            why.append(f"{failed} were not taken by the disk" + (f" ({fault})" if fault else ""))
        message = f"{self._wording.what} were not kept: {', '.join(why)}."
        _log.error(str(self._wording.missed), missed=missed, failed=failed)
        self._put(Noticed(self._wording.missed, message))
        self._lost_told_at = at
        self._told = replace(self._told, missed=tally.missed, failed=tally.failed)

    def _tell_removed(self, tally: PictureCounts, at: float) -> None:
        removed = tally.removed - self._told.removed
        if not removed or at - self._removed_told_at < REMOVED_AGAIN_S:
            return
        message = self._wording.went.format(removed)
        _log.info(str(self._wording.removed), pictures=removed)
        self._put(Noticed(self._wording.removed, message))
        self._removed_told_at = at
        self._told = replace(self._told, removed=tally.removed)
