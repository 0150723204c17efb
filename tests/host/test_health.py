"""Unhealthy is only what a restart may heal; ready says everything that is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.core.values import Reason
from edge_daemon.host.health import EXCUSED, Health, Signs, healthy, ready


@pytest.mark.parametrize(
    ("signs", "good"),
    [
        (Signs(0.0, frame_at=100.0, inference_at=99.5), True),
        (Signs(0.0, frame_at=100.0, inference_at=80.0), False),
        (Signs(0.0, frame_at=100.0), False),
        (Signs(95.0, frame_at=100.0), True),
        (Signs(0.0, frame_at=100.0, inference_at=80.0, excused_at=99.0), True),
        (Signs(0.0, frame_at=100.0, inference_at=80.0, changing_over=True), True),
        (Signs(0.0, frame_at=70.0, answered_at=98.0), True),
        (Signs(0.0, frame_at=70.0, answered_at=80.0), False),
        (Signs(0.0), False),
        (Signs(0.0, excused_at=99.0), True),
    ],
    ids=[
        "judging",
        "stuck",
        "never judged",
        "just started",
        "no model may judge these",
        "waiting for a load",
        "camera away, the probe is answered",
        "camera away, the probe is not answered any more",
        "camera never there, the probe never answered",
        "camera away, and the model came just now",
    ],
)
def test_healthy(signs: Signs, good: bool) -> None:
    """Only what could be judged and is not is a fault; no restart brings a model to a box."""
    health = healthy(replace(signs, has_active=True), at=100.0)
    assert health.good is good
    assert bool(health.reasons) is not good
    assert healthy(signs, at=100.0) == Health(True, ("no model is active",))


def test_ready_names_everything_that_is_missing() -> None:
    """A person reads what to look at, all at once."""
    health = ready(Signs(0.0), at=1.0)
    assert not health.good
    assert health.reasons == ("no model is active", "the camera is away", "the broker is away")
    full = Signs(0.0, 0.9, 0.9, has_active=True, camera_fault=None, mqtt_connected=True)
    assert ready(full, at=1.0) == Health(good=True)


def test_in_brief_no_reason_has_its_details() -> None:
    """What anybody may ask tells of no address."""
    reasons = ("the camera is lost: 10.0.0.5 does not answer", "the broker is away")
    assert Health(False, reasons).in_brief.reasons == ("the camera is lost", "the broker is away")


def test_a_missing_model_is_no_excuse() -> None:
    """Frames without any model are a fault; frames of an unknown product are not."""

    assert {
        Reason.UNKNOWN_PRODUCT,
        Reason.CHANGEOVER,
        Reason.SUPERSEDED,
        Reason.BAD_PICTURE,
        Reason.DAMAGED_PICTURE,
    } == EXCUSED
