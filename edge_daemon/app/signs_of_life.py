"""Signs of life, derived from two consecutive looks at the line."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.app.status import LineStatus
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import State
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import Latency, Verdict
from edge_daemon.host.health import EXCUSED, Signs
from edge_daemon.web.history import Second


def signs_of_life(signs: Signs, before: LineStatus, after: LineStatus) -> Signs:
    """The signs at `before`, updated by what happened until `after`."""
    at = after.now.at
    counts = after.totals.counts - before.totals.counts
    is_excused = _excused(after.totals) > _excused(before.totals) or after.state.active is None
    return replace(
        signs,
        frame_at=at if counts.captured else signs.frame_at,
        inference_at=at if counts.inspected else signs.inference_at,
        excused_at=at if is_excused else signs.excused_at,
        changing_over=_is_changing_over(after.state),
        has_active=after.state.active is not None,
        camera_fault=_camera_fault(after),
        mqtt_connected=after.broker_online,
        answered_at=after.answered_at,
    )


def second(before: LineStatus, after: LineStatus, latency: Latency) -> Second:
    """What the line did between two looks, for the plots."""
    counts = after.totals.counts - before.totals.counts
    ng, empty = (
        judged(after.totals, verdict) - judged(before.totals, verdict)
        for verdict in (Verdict.NG, Verdict.EMPTY)
    )
    return Second(
        at=int(after.now.utc),
        ok=max(0, counts.inspected - ng - empty),
        ng=ng,
        empty=empty,
        uninspected=counts.uninspected,
        dropped=counts.dropped,
        p50=rounded(latency.p50),
        p99=rounded(latency.p99),
    )


def judged(totals: Totals, verdict: Verdict) -> int:
    """The number of frames with this verdict."""
    return sum(model.verdicts.get(verdict, 0) for model in totals.models.values())


def rounded(value: float | None) -> float | None:
    """To hundredths, for people."""
    return None if value is None else round(value, 2)


def _excused(totals: Totals) -> int:
    return sum(totals.reasons.get(reason, 0) for reason in EXCUSED)


def _camera_fault(line: LineStatus) -> str | None:
    """Why no frame can come; None if one can."""
    if line.camera_online:
        return None
    return f"the camera is {line.camera.state}: {line.camera.error or 'no frame yet'}"


def _is_changing_over(state: State) -> bool:
    """Frames wait for a model that is being loaded; its load has a time limit of its own."""
    active = state.active_bundle
    if state.active is not None and state.slot(state.active).phase is Phase.RESTORING:
        return True
    if state.op is None:
        return False
    requires = state.line.requires
    return active is None or (requires is not None and active.ref.name != requires)
