"""What is told of copies of pictures: a place that does not take them, and those given up."""

from __future__ import annotations

from collections.abc import Callable

from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Instant
from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.frames.picture_copies import CopyTally, PictureCopies
from edge_daemon.host.metrics import Metrics

TOLD_AGAIN_S = 60.0
"""Between two events of one kind: a place that comes and goes is told once a minute."""


class CopiedPictures:
    """Looks once a second. The quota of `pictures` may take a picture that still waits."""

    def __init__(
        self,
        copies: PictureCopies,
        pictures: PartPictures,
        put: Callable[[Noticed], None],
        metrics: Metrics,
    ) -> None:
        self._copies, self._pictures = copies, pictures
        self._put, self._metrics = put, metrics
        self._seen = CopyTally()
        self._given_up = self._given_up_told = 0
        self._failing_told = False
        self._failing_told_at = self._given_up_told_at = float("-inf")

    def look(self, now: Instant) -> None:
        tally, gone = self._copies.tally, self._pictures.never_copied
        seen, self._seen = self._seen, tally
        given_up = tally.given_up + gone
        self._metrics.picture_copies("copied", tally.copied - seen.copied)
        self._metrics.picture_copies("failed", tally.failed - seen.failed)
        self._metrics.picture_copies("given_up", given_up - self._given_up)
        self._metrics.copies_waiting(self._copies.waiting)
        self._given_up = given_up
        self._tell_failing(now.at)
        self._tell_given_up(now.at)

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread."""
        trouble, told = self._copies.trouble, []
        if trouble is not None:
            told.append(f"pictures are not copied ({self._copies.waiting} wait): {trouble}")
        if self._given_up:
            told.append(f"{self._given_up} pictures were never copied and are given up")
        return tuple(told)

    def _tell_failing(self, at: float) -> None:
        trouble = self._copies.trouble
        if trouble is None and self._failing_told:
            self._put(Noticed(EventName.PICTURES_COPIED_AGAIN, "Pictures are copied again."))
            self._failing_told = False
        if trouble is None or self._failing_told or at - self._failing_told_at < TOLD_AGAIN_S:
            return
        message = f"Pictures are not copied ({self._copies.waiting} wait): {trouble}."
        self._put(Noticed(EventName.PICTURES_NOT_COPIED, message))
        self._failing_told, self._failing_told_at = True, at

    def _tell_given_up(self, at: float) -> None:
        new = self._given_up - self._given_up_told
        if not new or at - self._given_up_told_at < TOLD_AGAIN_S:
            return
        message = (
            f"{new} pictures were never copied and are given up: the other place refused them, or"
            " the quota of results.pictures took them first."
        )
        self._put(Noticed(EventName.PICTURES_GIVEN_UP, message))
        self._given_up_told, self._given_up_told_at = self._given_up, at
