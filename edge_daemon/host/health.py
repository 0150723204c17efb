"""When the daemon is healthy, and when it is ready: rules over a few signs, without a clock.

Unhealthy means that a restart may help: frames come in, some model may judge them, and no
inference completes; or no frame comes, and the model does not answer a probe either. A camera or
broker that is away is none of this: no restart brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.values import Judged, Reason

EXCUSED = frozenset(
    {
        Reason.UNKNOWN_PRODUCT,
        Reason.CHANGEOVER,
        Reason.SUPERSEDED,
        Reason.BAD_PICTURE,
        Reason.DAMAGED_PICTURE,
    }
)
"""Frames that rightly saw no inference: no model may judge them, theirs is still loading, or they
show nothing; no restart lights a scene."""


@dataclass(frozen=True)
class Signs:
    """What was last seen; `_at` in monotonic seconds, None: never."""

    started_at: float
    frame_at: float | None = None
    inference_at: float | None = None
    excused_at: float | None = None
    changing_over: bool = False  # frames wait for their model; loading has its own limit
    has_active: bool = False
    camera_up: bool = False
    mqtt_connected: bool = False
    is_probed: bool = False  # while no frame comes, the model is asked by a probe
    answered_at: float | None = None  # the last probe that the model answered


@dataclass(frozen=True)
class Health:
    """The answer, and why; reasons are for people."""

    good: bool
    reasons: tuple[str, ...] = ()


def is_excused(judged: Judged) -> bool:
    """Whether this frame's missing inference is nobody's fault."""
    return judged.reason in EXCUSED


def healthy(signs: Signs, at: float, limit_s: float = 10.0) -> Health:
    """Whether inference goes on wherever there is something to infer (`/healthz`)."""
    frames_come = signs.frame_at is not None and at - signs.frame_at <= limit_s
    if signs.changing_over:
        return Health(good=True)
    if not frames_come:
        return _answers(signs, at, limit_s)
    last = max(signs.started_at, signs.inference_at or 0.0, signs.excused_at or 0.0)
    if at - last <= limit_s:
        return Health(good=True)
    return Health(False, (f"frames come in, but no inference completed for {at - last:.0f} s",))


def _answers(signs: Signs, at: float, limit_s: float) -> Health:
    """No frame comes: whether the active model would judge one, by what it said to a probe."""
    if not signs.is_probed or not signs.has_active:
        return Health(good=True)
    known = (signs.started_at, signs.frame_at, signs.inference_at, signs.answered_at)
    last = max(moment for moment in known if moment is not None)
    if at - last <= limit_s:
        return Health(good=True)
    return Health(False, (f"no frame comes, and the model gave no answer for {at - last:.0f} s",))


def ready(signs: Signs, at: float, limit_s: float = 10.0) -> Health:
    """Whether the station does all of its work now (`/readyz`)."""
    reasons = list(healthy(signs, at, limit_s).reasons)
    if not signs.has_active:
        reasons.append("no model is active")
    if not signs.camera_up:
        reasons.append("the camera is away")
    if not signs.mqtt_connected:
        reasons.append("the broker is away")
    return Health(not reasons, tuple(reasons))
