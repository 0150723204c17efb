"""When the daemon is healthy, and when it is ready: rules over a few signs, without a clock.

Unhealthy means that a restart may help: a model is active, frames come in that it may judge, and
no inference completes; or no frame comes, and the model does not answer a probe either. A missing
camera, broker or model is not unhealthy: a restart would not bring it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.values import Reason

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


LIMIT_S = 10.0
"""Without a completed inference that was due, for so long, the daemon is unhealthy."""

NO_MODEL = "no model is active"
BROKER_AWAY = "the broker is away"


@dataclass(frozen=True)
class Signs:
    """What was last seen; `_at` in monotonic seconds, None: never."""

    started_at: float
    frame_at: float | None = None
    inference_at: float | None = None
    excused_at: float | None = None  # no inference was due: no model, or none for these frames
    changing_over: bool = False  # frames wait for their model; loading has its own limit
    has_active: bool = False
    camera_fault: str | None = "the camera is away"  # a sentence; None: frames can come
    mqtt_connected: bool = False
    answered_at: float | None = None  # the last probe that the model answered


@dataclass(frozen=True)
class Health:
    """The answer with its reasons, for people. A good answer may have a remark."""

    good: bool
    reasons: tuple[str, ...] = ()

    @property
    def in_brief(self) -> Health:
        """The reasons without details, which may name addresses: what anybody may read."""
        return Health(self.good, tuple(each.partition(": ")[0] for each in self.reasons))


def healthy(signs: Signs, at: float) -> Health:
    """Whether inference continues whenever there is something to infer (`/healthz`)."""
    if not signs.has_active:
        return Health(True, (NO_MODEL,))
    if signs.changing_over:
        return Health(good=True)
    last = max(signs.started_at, signs.inference_at or 0.0, signs.excused_at or 0.0)
    what = "frames come in, but no inference completed"
    if signs.frame_at is None or at - signs.frame_at > LIMIT_S:
        last = max(last, signs.frame_at or 0.0, signs.answered_at or 0.0)
        what = "no frame comes, and the model gave no answer"
    if at - last <= LIMIT_S:
        return Health(good=True)
    return Health(False, (f"{what} for {at - last:.0f} s",))


def ready(signs: Signs, at: float) -> Health:
    """Whether the station does all of its work now (`/readyz`)."""
    reasons = list(healthy(signs, at).reasons)
    if signs.camera_fault is not None:
        reasons.append(signs.camera_fault)
    if not signs.mqtt_connected:
        reasons.append(BROKER_AWAY)
    return Health(not reasons, tuple(reasons))
