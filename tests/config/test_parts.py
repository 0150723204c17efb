"""What the settings say of parts is what the ledger counts by."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon.config.parts import PartsSettings
from edge_daemon.core.parts.values import By, Fold, PartRules
from edge_daemon.core.values import Verdict


def test_by_default_each_frame_is_a_part() -> None:
    """Without a deadline."""
    assert PartsSettings().rules == PartRules()


def test_everything_that_is_said_counts() -> None:
    """Milliseconds become seconds."""
    said = PartsSettings.model_validate(
        {
            "by": "trigger",
            "deadline_ms": 400,
            "late": "uninspected",
            "frames": {"min": 2, "max": 5},
            "verdict": {"ng": 2},
            "window_ms": [10, 150],
            "zone": [[0.1, 0], [0.9, 0], [0.9, 1], [0.1, 1]],
        }
    )
    assert said.rules == PartRules(By.TRIGGER, 0.4, Verdict.UNINSPECTED, 2, 5, 2, (0.01, 0.15))
    assert said.polygon is not None
    assert said.zone_name is None
    named = PartsSettings.model_validate({"zone": "body", "verdict": "majority"})
    assert (named.polygon, named.zone_name) == (None, "body")
    assert named.rules.verdict is Fold.MAJORITY


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "hand"},
        {"deadline_ms": 0},
        {"deadline_ms": float("nan")},
        {"late": "ok"},
        {"frames": {"min": 3, "max": 2}},
        {"frames": {"max": 0}},
        {"verdict": {"ng": 0}},
        {"verdict": "best"},
        {"window_ms": [200, 100]},
        {"window_ms": [-1, 100]},
        {"zone": [[0, 0], [1, 1]]},
        {"zone": [[0, 0], [1, 1], [1, 0], [0, 1]]},
        {"zone": [[0, 0], [640, 0], [640, 480]]},
        {"zones": None},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Before anything is counted by it."""
    with pytest.raises(ValidationError):
        PartsSettings.model_validate(wrong)
