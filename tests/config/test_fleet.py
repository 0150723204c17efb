"""What the settings may say of a station among many."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon.config.fleet import FleetSettings


def test_a_place_and_a_window() -> None:
    """All is optional; by default it may change at any time."""
    said = FleetSettings.model_validate(
        {"site": "hall-2", "group": "line3", "window": ["22:00-05:00", "between_orders"]}
    )
    assert said.window == ("22:00-05:00", "between_orders")
    assert FleetSettings().roots == ("edge/+",)
    assert (FleetSettings().window, FleetSettings().report_every_s) == ((), 60)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", "hall 2"),
        ("group", ""),
        ("window", ["22:00"]),
        ("window", ["24:00-05:00"]),
        ("window", ["05:00-05:00"]),
        ("window", ["22:00-05:00\n"]),
        ("window", ["22:00-05:00"] * 17),
        ("report_every_s", 1),
        ("roots", []),
        ("roots", ["edge/#"]),
        ("roots", ["edge//+"]),
        ("sites", "hall-2"),
    ],
)
def test_what_cannot_be_meant_is_refused(key: str, value: Any) -> None:
    """At the field, with a sentence."""
    with pytest.raises(ValidationError):
        FleetSettings.model_validate({key: value})
