"""`edge-daemon rollout`: what a person reads of its answers."""

from __future__ import annotations

import pytest

from edge_daemon.cli.requests import show_answers


def test_a_dry_run_says_how_long_it_would_take(capsys: pytest.CaptureFixture[str]) -> None:
    """Not that the candidate is active: nothing was begun."""
    lines = ["In the last 7 days 100 parts came.", "all parts, 72 bad parts an hour: …"]
    forecast = {"lines": lines, "hours": 2.0, "parts_h": 50.0, "defects_h": {"all": 72.0}}
    answers = [
        {"id": "r1", "status": "accepted"},
        {"id": "r1", "status": "succeeded", "forecast": forecast},
    ]
    assert show_answers(answers, "rollout")["status"] == "succeeded"
    assert capsys.readouterr().out.splitlines() == ["It could begin.", *lines]
