"""An operator adjusts what a recipe lets him: from a frame on, until it is set back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.recipe import digest
from edge_daemon.core.values import Detection, Verdict
from tests.sim.bundles import make_bundle
from tests.sim.station import Station

B1, B2, CAN = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"
FAINT = (Detection("scratch", 0.42, (8.0, 8.0, 24.0, 24.0)),)
SIGNED, TUNED = 0.4, 0.5


def adjustable(manifest: dict[str, Any]) -> None:
    scratch = {"id": "scratch", "class": "scratch", "confidence": SIGNED, "count": {"max": 0}}
    manifest["recipe"] = {
        "rules": [scratch],
        "adjustable": {"scratch.confidence": [0.3, 0.6]},
    }


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """It sees a faint scratch on every frame."""
    for ref in (B1, B2):
        make_bundle(tmp_path / "store", ref, golden=0, edit=adjustable)
    made = Station(tmp_path)
    made.script.detect = lambda *_: FAINT
    yield made.run()
    made.stop()


def tune(station: Station, **more: Any) -> dict[str, Any]:
    return station.ask("tune", **{"model": "bottle", "by": "kim", "reason": "faint", **more})


def verdict_is(station: Station, verdict: Verdict) -> None:
    station.until(lambda: bool(station.results) and station.results[-1].verdict is verdict)


def test_a_tune_counts_from_a_frame_on_and_is_on_record(station: Station) -> None:
    """The frames say which recipe judged; event and trail say who moved what, and why."""
    verdict_is(station, Verdict.NG)
    assert tune(station, set={"scratch.confidence": TUNED})["status"] == "succeeded"
    verdict_is(station, Verdict.OK)
    turns = [frame.verdict for frame in station.results if frame.model is not None]
    assert turns == sorted(turns, key=[Verdict.NG, Verdict.OK].index), "there and back"
    recipes = {digest(frame.recipe): frame.verdict for frame in station.results if frame.recipe}
    assert list(recipes.values()) == [Verdict.NG, Verdict.OK]
    station.until(lambda: "tuned" in station.model_state["active"])
    shown = station.model_state["active"]["tuned"]
    assert (shown["set"], shown["by"]) == ({"scratch.confidence": TUNED}, "kim")
    event = station.until_event("tuned", model=B1)
    assert event["message"] == "scratch.confidence from 0.4 to 0.5 by kim: faint"
    trail = [json.loads(link.row.body) for link in station.journal.audit_rows()]
    assert any(row.get("set") == {"scratch.confidence": TUNED} for row in trail)
    assert any(row.get("event") == "tuned" for row in trail)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"set": {"scratch.confidence": 0.7}}, "scratch.confidence may be 0.3 to 0.6, not 0.7."),
        ({"set": {"scratch.count.max": 1}}, "scratch.count.max is not adjustable"),
        ({"set": {"dent.confidence": 0.4}}, "dent.confidence is not adjustable"),
        ({"model": B2, "set": {"scratch.confidence": 0.5}}, f"{B1} is active, not {B2}."),
        ({"model": "can", "reset": True}, f"{B1} is active, not can."),
    ],
)
def test_what_the_recipe_does_not_allow_changes_nothing(
    station: Station, more: dict[str, Any], said: str
) -> None:
    """Refused in a sentence, with the next step."""
    answer = tune(station, **more)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "precondition_failed")
    assert answer["error"]["message"].startswith(said)
    assert answer["error"]["hint"]
    assert "tuned" not in station.model_state["active"]
    assert station.driver.state.durable.tunings == ()


def test_it_is_set_back_by_a_reset(station: Station) -> None:
    """And by the signed value itself: then nothing is tuned."""
    for back in ({"reset": True}, {"set": {"scratch.confidence": SIGNED}}):
        tune(station, set={"scratch.confidence": TUNED})
        verdict_is(station, Verdict.OK)
        assert tune(station, **back)["status"] == "succeeded"
        verdict_is(station, Verdict.NG)
        station.until(lambda: "tuned" not in station.model_state["active"])
    assert tune(station, reset=True)["status"] == "succeeded"
    station.until(lambda: len(station.events("tuned")) == 4)


def test_it_is_kept_over_a_restart_and_left_with_the_version(station: Station) -> None:
    """Another version begins with its signed values, and so does the old one when it is back."""
    tune(station, set={"scratch.confidence": TUNED})
    verdict_is(station, Verdict.OK)
    again = station.restarted(abruptly=True)
    again.script.detect = lambda *_: FAINT
    again.run()
    with again:
        verdict_is(again, Verdict.OK)
        again.ask("swap", model=B2, accept=["golden.escape"], reason="a test")
        again.until_active(B2)
        verdict_is(again, Verdict.NG)
        again.ask("rollback")
        again.until_active(B1)
        verdict_is(again, Verdict.NG)
        assert again.driver.state.durable.tunings == ()
