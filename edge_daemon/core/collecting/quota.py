"""Whose oldest picture goes when the quota is full: no reason takes the place of a rarer one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from edge_daemon.core.collecting.reasons import RARE, Why


def shares(reasons: Iterable[Why], reserve: float) -> dict[Why, float]:
    """The share of the quota that is each reason's own; together 1.

    `reserve` is for the rare reasons together, from 0 to 1; where only one kind is collected, all
    of the quota is its own.
    """
    asked = set(reasons)
    rare, usual = asked & RARE, asked - RARE
    kept = 1.0 if not usual else 0.0 if not rare else reserve
    return {
        **{why: kept / len(rare) for why in rare},
        **{why: (1.0 - kept) / len(usual) for why in usual},
    }


def goes_first(
    kept_bytes: Mapping[Why, int], own: Mapping[Why, float], quota_bytes: int
) -> Why | None:
    """The reason whose oldest picture goes; None where nothing is kept.

    The one that is furthest above its own share. One that keeps within its share loses nothing
    while all together are above the quota, since another one is above its own then.
    """

    def above(why: Why) -> tuple[float, int]:
        share_bytes = own.get(why, 0.0) * quota_bytes
        return kept_bytes[why] / share_bytes if share_bytes > 0.0 else math.inf, why.rank

    return max((why for why, size in kept_bytes.items() if size > 0), key=above, default=None)
