"""Quality in production as the status page shows it: each figure with its interval, or what it
would need; the passed parts that a person is to look at; and what the labels themselves are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from edge_daemon.app.resources import Resources
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.rollout import quality
from edge_daemon.core.rollout.intervals import Interval
from edge_daemon.errors import StateError
from edge_daemon.host.journal_rollouts import AuditRow
from edge_daemon.messaging.times import iso_utc
from edge_daemon.web.state import AuditLine, PersonLine, QualityLine, ShareLine

FRESH_S = 10.0
"""The figures are of so long ago at most: to count them takes all feedback."""
MOST_ASKED = 6
"""Drawn parts that are asked for at a time."""

NO_LABEL = (
    "Precision: nobody said of a rejected part what it really is. Label parts here, by "
    "request/feedback, or with 'edge-daemon feedback PART ok|ng'."
)
NO_AUDIT = (
    "Recall: what the model misses is only found among parts that it passed, and none of them was "
    "looked at. Set parts.audit to the share that a person is to look at."
)
NO_LOOK = (
    "Recall: what the model misses is only found among parts that it passed, and nobody has said "
    "yet what the drawn ones are."
)
NO_VERIFIED = "Recall: nobody confirmed a rejected part of the time in which passed ones are drawn."

_log = structlog.get_logger(__name__)


class QualityView:
    """Asked by the page's thread; counts at most once in a few seconds.

    Args:
        audited: passed parts that were drawn, newest first.
    """

    def __init__(
        self, resources: Resources, audited: Callable[[], Sequence[PartOutcome]] = tuple
    ) -> None:
        self._kept = resources.journal.rollouts
        self._clock = resources.clock
        self._boot = resources.boot
        self._share = resources.settings.audit_share
        self._audited = audited
        self._counted: QualityLine | None = None
        self._counted_at = float("-inf")

    def line(self, *, always: bool) -> QualityLine | None:
        """The figures; None where nothing was ever said, unless they are shown `always`."""
        now = self._clock.now().at
        try:
            if now - self._counted_at >= FRESH_S:
                self._counted_at = now
                self._counted = self._count()
            audits = self._asked()
        except StateError as error:
            _log.warning("quality_not_read", error=error.message)
            return None
        counted = self._counted
        if counted is None or not (always or audits or counted.precision or counted.people):
            return None
        return QualityLine(
            precision=counted.precision,
            recall=counted.recall,
            missing=counted.missing,
            people=counted.people,
            audits=audits,
        )

    def _count(self) -> QualityLine:
        confirmed, verified = self._kept.precision()
        precision = quality.precision(confirmed, verified)
        how = f"{confirmed} of {verified} rejected parts that were looked at are truly bad"
        rows = self._kept.audits()
        recall = recalled(rows)
        looked_at, missed = sum(row.looked_at for row in rows), sum(row.missed for row in rows)
        missing = [] if precision else [NO_LABEL]
        if recall is None:
            missing.append(NO_VERIFIED if looked_at else NO_LOOK if self._share else NO_AUDIT)
        return QualityLine(
            precision=_share(precision, how),
            recall=_share(
                recall,
                f"{missed} of {looked_at} passed parts that were drawn and looked at are truly bad,"
                f" of {sum(row.passed for row in rows)} passed in that time",
            ),
            missing=tuple(missing),
            people=people(self._kept.appraisals()),
        )

    def _asked(self) -> tuple[AuditLine, ...]:
        """Drawn parts of which no operator has spoken."""
        asked: list[AuditLine] = []
        for told in self._audited():
            if len(asked) == MOST_ASKED:
                break
            said = self._kept.feedback_of(self._boot, told.part)
            if not any(word.source == "operator" for word in said):
                asked.append(self._audit(told))
        return tuple(asked)

    def _audit(self, told: PartOutcome) -> AuditLine:
        came = told.triggered or told.captured
        return AuditLine(
            boot=self._boot,
            part=told.part,
            id=told.id,
            serial=told.serial,
            time=iso_utc(came.utc) if came is not None else None,
            share=self._share,
        )


def recalled(rows: Sequence[AuditRow]) -> Interval | None:
    """Recall over these boots by inverse probability; None without audits.

    Of the drawn parts not all may have been looked at yet; so a part stands for as many of its boot
    as were passed for each one that was looked at.
    """
    known = [row for row in rows if row.looked_at and row.passed]
    audits = [
        quality.Audited(min(1.0, row.looked_at / row.passed), is_bad=number < row.missed)
        for row in known
        for number in range(row.looked_at)
    ]
    return quality.recall(
        sum(row.confirmed for row in known),
        sum(row.verified for row in known),
        sum(row.rejected for row in known),
        audits,
    )


def people(appraisals: Sequence[tuple[str, str, str]]) -> tuple[PersonLine, ...]:
    """What each person's labels of challenge parts are worth; `appraisals`: who, truth, said."""
    lines = []
    for name, found in quality.appraisers(appraisals).items():
        assert found.effectiveness is not None
        lines.append(
            PersonLine(
                name=name,
                effectiveness=found.effectiveness.value,
                miss=found.miss.value if found.miss else None,
                false_alarm=found.false_alarm.value if found.false_alarm else None,
                n=found.effectiveness.n,
            )
        )
    return tuple(lines)


def _share(found: Interval | None, how: str) -> ShareLine | None:
    if found is None:
        return None
    low, high = round(found.low, 5), round(found.high, 5)
    return ShareLine(value=round(found.value, 5), low=low, high=high, n=found.n, how=how)
