"""Quality in production, from labels: of a model, and of the people who give the labels.

Every figure has its interval and its n, and is None where nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_daemon.core.rollout.intervals import Interval, share, weighted
from edge_daemon.core.values import Verdict


def precision(confirmed: int, verified: int) -> Interval | None:
    """Of the rejected parts that were verified, those that are truly bad."""
    return share(confirmed, verified)


@dataclass(frozen=True)
class Audited:
    """One part that the model passed and that was looked at all the same.

    `probability`: with which it was chosen, as recorded then.
    """

    probability: float
    is_bad: bool


def recall(
    confirmed: int, verified: int, rejected: int, audits: Sequence[Audited]
) -> Interval | None:
    """Of the truly bad parts those that the model rejects, by inverse probability.

    Found: the rejected parts times the share of the verified ones that are bad. Missed: each bad
    part of the audit stands for 1/probability parts that were passed. The interval is that of the
    missed ones, which are few; None without audits, since then nothing is known of what is missed.
    """
    if not audits or not verified or not confirmed:
        return None
    found = rejected * confirmed / verified
    missed = weighted(
        [1.0 / audit.probability for audit in audits if audit.is_bad],
        max(1.0 / audit.probability for audit in audits),
    )
    return Interval(
        found / (found + missed.value),
        found / (found + missed.high),
        found / (found + missed.low),
        len(audits),
    )


@dataclass(frozen=True)
class Appraiser:
    """A person in the terms of an attribute study (AIAG).

    Acceptable there: effectiveness 0.9 or more, miss 0.02 or less, false alarm 0.05 or less.
    """

    effectiveness: Interval | None
    miss: Interval | None
    false_alarm: Interval | None


def appraiser(labels: Sequence[tuple[Verdict, Verdict]]) -> Appraiser:
    """What one person's labels of challenge parts are worth; `labels`: the true verdict, theirs."""
    of_bad = [said for truth, said in labels if truth is Verdict.NG]
    of_good = [said for truth, said in labels if truth is Verdict.OK]
    return Appraiser(
        effectiveness=share(sum(truth is said for truth, said in labels), len(labels)),
        miss=share(of_bad.count(Verdict.OK), len(of_bad)),
        false_alarm=share(of_good.count(Verdict.NG), len(of_good)),
    )


def appraisers(said: Iterable[tuple[str, str, str]]) -> dict[str, Appraiser]:
    """Of each person, in order of their first label; `said`: who, the true verdict, theirs."""
    labels: dict[str, list[tuple[Verdict, Verdict]]] = {}
    for who, truth, verdict in said:
        labels.setdefault(who, []).append((Verdict(truth), Verdict(verdict)))
    return {who: appraiser(theirs) for who, theirs in labels.items()}
