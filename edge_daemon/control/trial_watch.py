"""Watches the version that just became active until its trial is decided."""

from __future__ import annotations

from dataclasses import astuple

import structlog

from edge_daemon.control.receipts import Receipts
from edge_daemon.core.effects import StartTrial
from edge_daemon.core.events import TrialJudged
from edge_daemon.core.trial import Doubt, TrialLimits, judge, with_verdicts
from edge_daemon.core.values import Instant
from edge_daemon.slots.frame_control import FrameControl

_log = structlog.get_logger(__name__)


class TrialWatch:
    """At most one trial at a time; the driver's thread alone calls it."""

    def __init__(self, limits: TrialLimits, line: FrameControl, receipts: Receipts) -> None:
        self.limits = limits
        self._line = line
        self._receipts = receipts
        self._swap_id: str | None = None
        self._doubted: object | None = None  # the line's mark at a doubt

    def start(self, action: StartTrial) -> None:
        """Measure from here on; an earlier watch ends."""
        self._swap_id = action.swap_id
        self._doubted = None
        self._line.begin_record(action.target.ref)

    def stop(self) -> None:
        self._swap_id = None

    def look(self, now: Instant) -> TrialJudged | None:
        """The judgement, once there is enough evidence; the trial ends with it."""
        if self._swap_id is None:
            return None
        during, before, elapsed_s = self._receipts.trial_windows(self._swap_id, now)
        again = self._line.since(self._doubted) if self._doubted is not None else None
        judgement = judge(self.limits, during, before, elapsed_s, again)
        if isinstance(judgement, Doubt):
            self._doubted = self._line.mark()
            _log.warning("trial_extended", swap_id=self._swap_id, why=judgement.reason)
            return None
        if judgement is None:
            return None
        if judgement.passed:
            watch = self.limits.verdicts
            shift = self._receipts.trial_shift(self._swap_id, watch.alpha)
            judgement = with_verdicts(judgement, watch, shift)
        swap_id, self._swap_id = self._swap_id, None
        return TrialJudged(swap_id, *astuple(judgement))
