"""Pairs for the tests, without frames."""

from __future__ import annotations

from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.values import Opinion, Outcome, Pair
from edge_daemon.core.values import BundleRef, Verdict

OLD = BundleRef("bottle", "1.0.0")
NEW = BundleRef("bottle", "2.0.0")


def verdict(is_ng: bool) -> Verdict:
    return Verdict.NG if is_ng else Verdict.OK


def pair(outcome: Outcome, part: int, *slices: str, share: float = 0.1) -> Pair:
    incumbent = outcome in (Outcome.BOTH, Outcome.ONLY_INCUMBENT)
    candidate = outcome in (Outcome.BOTH, Outcome.ONLY_CANDIDATE)
    return Pair(
        rollout="r-1",
        boot="boot",
        part=part,
        id=None,
        assigned=assign("r-1", "boot", part, share),
        incumbent=Opinion(OLD, "0" * 64, verdict(incumbent)),
        candidate=Opinion(NEW, "1" * 64, verdict(candidate)),
        frames=(part,),
        captured_utc=float(part),
        slices=slices,
    )
