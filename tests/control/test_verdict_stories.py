"""Stories of verdicts: a weaker recipe, its acceptance by name, and a trial that sees less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import BundleRef, Detection, Verdict
from edge_daemon.host.memory import Pixels
from edge_daemon.slots.slot import LoadOrder
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

B1, B2, B3, CAN = "bottle@1.0.0", "bottle@2.0.0", "bottle@3.0.0", "can@1.0.0"
BOX = (8.0, 8.0, 24.0, 24.0)

Start = Callable[..., Station]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Station] = []

    def begin(**plan: Any) -> Station:
        made.append(Station(tmp_path, Plan(**plan)))
        made[-1].script.detect = dented
        return made[-1].run()

    yield begin
    for station in made:
        station.stop()
        assert station.ledger.first_violation is None


def dented(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
    """Every part has a dent, which every good model sees."""
    return (
        Detection(order.classes[0], 0.9, BOX),
        Detection(order.classes[-1], 0.9, BOX),
    )


def weaker(tmp_path: Path, ref: str = B3, reject: tuple[str, ...] = ()) -> None:
    """A version whose recipe rejects less than the two before it."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["recipe"]["reject"] = list(reject)

    make_bundle(tmp_path / "store", ref, golden=1, edit=edit)


def failed(outcome: dict[str, Any]) -> list[str]:
    checks = outcome["error"]["checks"]
    return [each["name"] for each in checks if not each["passed"] and not each.get("accepted")]


def test_a_recipe_that_rejects_less_is_refused_and_told_how_it_could_be_taken(
    start: Start, tmp_path: Path
) -> None:
    """It is doubted, not proved bad: it is not quarantined, so that a person can decide."""
    weaker(tmp_path)
    station = start()
    outcome = station.ask("swap", model=B3)
    assert (outcome["status"], outcome["error"]["code"]) == ("rejected", "gate_failed")
    assert "recipe.weaker" in failed(outcome)
    assert '"recipe.weaker"' in outcome["error"]["hint"]
    assert station.models()[-1] == B1
    assert not station.driver.state.durable.quarantined


def test_what_a_person_accepts_by_name_is_taken_and_stays_on_record(
    start: Start, tmp_path: Path
) -> None:
    """In the receipt with who and why, in the event, and in the audit trail."""
    weaker(tmp_path)
    station = start()
    station.ask("swap", model=B3)
    asked = {"model": B3, "by": "kim", "reason": "seconds are packed on this line"}
    receipt = station.ask("swap", accept=["recipe.weaker"], **asked)["receipt"]
    assert receipt["accepted"] == ["recipe.weaker"]
    assert receipt["reason"] == "seconds are packed on this line"
    (check,) = [each for each in receipt["checks"] if each["name"] == "recipe.weaker"]
    assert (check["passed"], check["accepted"]) == (False, True)
    assert "kim" in check["note"]
    rows = [json.loads(link.row.body) for link in station.journal.audit_rows(100)]
    assert [row["accept"] for row in rows if "accept" in row] == [["recipe.weaker"]]
    confirmed = station.until_event("confirmed", model=B3)
    assert confirmed["receipt"]["accepted"] == ["recipe.weaker"]


def test_another_product_in_between_does_not_hide_what_is_weaker(
    start: Start, tmp_path: Path
) -> None:
    """The version that was confirmed last is the measure while no version of the name judges."""
    weaker(tmp_path)
    station = start()
    station.order("CAN")
    station.until_active(CAN)
    assert "recipe.weaker" in failed(station.ask("prepare", model=B3))


def test_the_way_back_to_a_confirmed_version_stays_open(start: Start, tmp_path: Path) -> None:
    """Also where it rejects less than the one that is left, and has to be loaded anew."""
    make_bundle(tmp_path / "store", B1, golden=1, edit=reject_nothing)
    station = start()
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    station.until_event("confirmed", model=B2)
    assert station.ask("prepare", model=CAN)["status"] == "succeeded"  # takes the place of 1.0.0
    assert station.ask("rollback")["status"] == "succeeded"
    station.until_active(B1)


def reject_nothing(manifest: dict[str, Any]) -> None:
    manifest["recipe"]["reject"] = []


def test_a_weaker_version_that_was_confirmed_once_is_still_asked_for_by_name(
    start: Start, tmp_path: Path
) -> None:
    """A swap is no way back: whoever asks for less says so."""
    make_bundle(tmp_path / "store", B1, golden=1, edit=reject_nothing)
    station = start()
    station.ask("swap", model=B2)
    station.until_event("confirmed", model=B2)
    station.ask("prepare", model=CAN)
    assert "recipe.weaker" in failed(station.ask("swap", model=B1))


def test_a_trial_that_rejects_far_less_goes_back_by_itself(start: Start) -> None:
    """Every proof was passed; on the line it calls good what the version before rejected."""
    station = start(trial=TrialLimits(300, 0.0))
    station.until(lambda: sum(r.verdict is Verdict.NG for r in station.results) > 400)
    ref2 = BundleRef.parse(B2)

    def blind_on_the_line(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
        found = dented(order, pixels)
        judging = station.active_slot.pointer.known
        is_blind = order.ref == ref2 and judging is not None and judging.ref == ref2
        return found[:1] if is_blind else found

    station.script.detect = blind_on_the_line
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    failed_event = station.until_event("trial_failed", model=B2)
    assert "verdicts shifted" in failed_event["message"]
    station.until_active(B1)
    assert station.driver.state.quarantine_reason(ref2)


def test_a_trial_that_rejects_more_warns_and_is_confirmed(start: Start) -> None:
    """It may be the better one: an event says so, and what it was before."""
    station = start(trial=TrialLimits(300, 0.0))
    ref1 = BundleRef.parse(B1)

    def stricter(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
        found = dented(order, pixels)
        return found[:1] if order.ref == ref1 else found

    station.script.detect = stricter
    station.until(lambda: len(station.results) > 800)
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    warned = station.until_event("verdicts_shifted", model=B2)
    assert "ng" in warned["message"]
    confirmed = station.until_event("confirmed", model=B2)
    assert "verdicts" in confirmed["message"]


def test_a_trial_without_a_record_says_that_nothing_was_compared(start: Start) -> None:
    """Inconclusive is neither good nor bad, and not silent."""
    station = start(trial=TrialLimits(5, 0.0))
    station.ask("swap", model=B2)
    assert "not compared" in station.until_event("confirmed", model=B2)["message"]
