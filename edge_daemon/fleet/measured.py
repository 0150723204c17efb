"""What a station's own records say of a campaign's bundle, for its report.

Parts that both models judged come from the station's rollouts, golden images and latencies from
the receipt of the swap, frames without a verdict from the ledger. Each is left out where there is
no such record: nothing is made up, and nothing of it is a pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edge_daemon.core.candidates import BACK
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.report import Measures, SliceCounts
from edge_daemon.core.rollout.evidence import read_evidence
from edge_daemon.core.rollout.plan import OVERALL, read_plan
from edge_daemon.core.rollout.reading import Reading, SliceReading, read
from edge_daemon.core.rollout.shadow_back import read_back
from edge_daemon.core.rollout.values import Outcome
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import PlanError
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_rollouts import RolloutRow
from edge_daemon.host.journal_rows import ReceiptRow
from edge_daemon.slots.frame_control import FrameControl

ROLLOUTS = 4
"""The newest ones: one of a bundle, and the look back after it."""
RECEIPTS = 16
"""The newest ones, with those of changeovers since the swap."""


class Measured:
    """Asked by the follower's thread alone; what it raises is that the journal cannot be read."""

    def __init__(self, journal: Journal, line: FrameControl) -> None:
        self._journal = journal
        self._line = line
        self._since: tuple[str, object] | None = None
        self._counted: tuple[Campaign, tuple[RolloutRow, ...], SliceCounts] | None = None

    def of(self, campaign: Campaign, judges: bool) -> Measures:
        """All that is known now. `judges`: whether the bundle is what judges."""
        frames, uninspected = self._frames(campaign.sha256, judges)
        receipt = _receipt_of(self._journal.history(RECEIPTS), campaign)
        around = receipt.get("latency_ms") or {}
        return Measures(
            self._counts(campaign),
            receipt.get("golden") or {},
            frames,
            uninspected,
            around.get("before_p99"),
            around.get("after_p99"),
        )

    def _frames(self, sha256: str, judges: bool) -> tuple[int, int]:
        """Frames since it judges, and those that got no verdict."""
        if not judges:
            self._since = None
            return 0, 0
        if self._since is None or self._since[0] != sha256:
            self._since = (sha256, self._line.mark())
        counts = self._line.since(self._since[1]).counts
        done = counts.inspected + counts.dropped + counts.uninspected
        return done, counts.dropped + counts.uninspected

    def _counts(self, campaign: Campaign) -> SliceCounts:
        """A turn without news costs no reading."""
        rows = self._journal.rollouts.newest(ROLLOUTS)
        if self._counted is None or self._counted[:2] != (campaign, rows):
            self._counted = (campaign, rows, counts_of(rows, campaign))
        return self._counted[2]


def _receipt_of(rows: Iterable[ReceiptRow], campaign: Campaign) -> Mapping[str, Any]:
    """Of the newest swap from another version of this name to the campaign's bundle, or nothing."""
    for row in rows:
        receipt: Mapping[str, Any] = json.loads(row.body)
        is_it = (receipt["to"], receipt["sha256"]) == (str(campaign.model), campaign.sha256)
        before = receipt["from"]
        if is_it and before and receipt["cutover_at"] and before != receipt["to"]:
            return receipt if BundleRef.parse(before).name == campaign.model.name else {}
    return {}


def counts_of(rows: Iterable[RolloutRow], campaign: Campaign) -> SliceCounts:
    """By slice: parts that the campaign's bundle and the one before both judged.

    Of the newest rollout of the bundle, which knows what earlier ones of it saw, and of the time
    after it in which the version before looks on. A rollout that cannot be read counts for nothing.
    """
    found: dict[str, dict[str, int]] = {}
    seen: set[bool] = set()
    for row in rows:
        is_back = row.id.endswith(BACK)
        reading = None if is_back in seen else _reading(row, campaign, is_back)
        if reading is None:
            continue
        seen.add(is_back)
        for one in reading.slices:
            if one.name != OVERALL:
                _add(found.setdefault(one.name, {}), _told(one))
    return {name: counts for name, counts in found.items() if any(counts.values())}


def _reading(row: RolloutRow, campaign: Campaign, is_back: bool) -> Reading | None:
    """None where the rollout is of other versions."""
    wanted = row.reference if is_back else row.candidate
    if wanted != str(campaign.model):
        return None
    try:
        told = json.loads(row.progress)
        if not is_back and told.get("candidate_sha256") != campaign.sha256:
            return None
        # The stage of a look back cannot be asked for, and nothing here depends on stages.
        plan = read_plan({**json.loads(row.plan)["plan"], "stages": None})
        evidence = read_evidence(told["evidence"])
    except (KeyError, TypeError, ValueError, PlanError):
        return None
    return read_back(evidence, plan) if is_back else read(evidence, plan, plan.margin)


def _told(one: SliceReading) -> dict[str, int]:
    """Bad parts that at least one of both found, as far as somebody said that they are bad.

    Parts that both reject count as bad where the plan takes the incumbent's word for that.
    """
    only_old, only_new = (
        one.unlabelled[kind] for kind in (Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE)
    )
    side = one.missed
    n = side.units - only_old
    return {
        "n": n,
        "old": n - side.minus,
        "new": n - side.plus,
        "only_old": only_old,
        "only_new": only_new,
    }


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number
