"""The driver's stories: what is asked by ops and orders, from the request to the frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, SlotLost
from edge_daemon.messaging.times import iso_utc
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

B1, B2, CAN = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"
NO_TRIAL_END = TrialLimits(10**6, 0.0)

Start = Callable[..., Station]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Stations that run; each is stopped at the end, and must not have lost a frame."""
    made: list[Station] = []

    def begin(**plan: Any) -> Station:
        made.append(Station(tmp_path, Plan(**plan)).run())
        return made[-1]

    yield begin
    for station in made:
        station.stop()
        assert station.ledger.first_violation is None


def refused(outcome: dict[str, Any]) -> str:
    assert outcome["status"] == "rejected", outcome
    assert outcome["error"]["message"]
    return str(outcome["error"]["code"])


def first_frame(station: Station, model: str) -> int:
    return next(r.frame for r in station.results if str(r.model) == model)


# --------------------------------------------------------------------------- swap and rollback


def test_a_swap_is_told_from_accepted_to_its_receipt(start: Start) -> None:
    """Accepted, each stage, succeeded at the cutover; the receipt names the first new frame."""
    station = start()
    request = station.send("swap", model=B2, by="kim", reason="better")
    receipt = station.outcome(request)["receipt"]
    answers = station.answers(request)
    stages = [a["stage"] for a in answers if a["status"] == "progress"]
    assert [a["status"] for a in answers] == ["accepted", *["progress"] * 4, "succeeded"]
    assert stages == ["verify", "load", "warm", "gate"]
    station.until_active(B2)
    assert receipt["cutover_frame"] == first_frame(station, B2)
    assert (receipt["from"], receipt["to"], receipt["by"], receipt["reason"]) == (
        B1,
        B2,
        "kim",
        "better",
    )
    assert all(check["passed"] for check in receipt["checks"])
    frames = receipt["frames"]
    assert frames["captured"] == frames["inspected"] + frames["uninspected"] + frames["dropped"]
    assert station.models() == [B1, B2]
    assert station.has_lost_nothing


def test_a_prepared_bundle_is_cut_over_to_without_another_load(start: Start) -> None:
    """`prepare` does the work; `swap` after it is one cutover, and its receipt says so."""
    station = start()
    assert station.ask("prepare", model=B2)["status"] == "succeeded"
    assert station.models() == [B1]
    station.until(lambda: bool(station.model_state["prepared"]))
    assert station.model_state["prepared"]["model"] == B2
    receipt = station.ask("swap", model=B2)["receipt"]
    assert len(station.script.called("load")) == 2
    assert set(receipt["stages_ms"].values()) == {None}, "no stage was needed"
    station.until_active(B2)


def test_a_dry_run_proves_the_bundle_and_changes_nothing(start: Start) -> None:
    """The receipt holds the checks; the pointer, the selection and the slots stay."""
    station = start()
    receipt = station.ask("swap", model=B2, dry_run=True)["receipt"]
    assert receipt["cutover_frame"] is None
    assert receipt["checks"]
    station.until_frames(5)
    assert station.models() == [B1]
    assert station.model_state["selected"] == {"bottle": "1.0.0"}
    assert station.model_state["prepared"] is None


def test_a_rollback_is_a_pointer_and_quarantines_what_it_leaves(start: Start) -> None:
    """Back to what was confirmed before, without a load; the version left may not come back."""
    station = start()
    station.ask("swap", model=B2)
    station.until_event("confirmed", model=B2)
    loads = len(station.script.called("load"))
    receipt = station.ask("rollback", by="kim", reason="dents")["receipt"]
    assert (receipt["from"], receipt["to"]) == (B2, B1)
    station.until_active(B1)
    assert receipt["cutover_frame"] > first_frame(station, B2)
    assert len(station.script.called("load")) == loads
    station.until(lambda: station.model_state["selected"] == {"bottle": "1.0.0"})
    assert refused(station.ask("swap", model=B2)) == "quarantined"
    assert station.until_event("rolled_back")["receipt"]["to"] == B1


def test_a_request_for_what_is_active_already_succeeds(start: Start) -> None:
    """Nothing to do is done, and answered."""
    station = start()
    assert station.ask("swap", model=B1)["status"] == "succeeded"
    assert station.models() == [B1]


@pytest.mark.parametrize(
    ("verb", "document", "code"),
    [
        ("swap", {"model": "bottle@9.0.0"}, "unknown_model"),
        ("swap", {"model": "jar"}, "unknown_model"),
        ("prepare", {"model": "jar@1.0.0"}, "unknown_model"),
        ("swap", {"model": B2, "expect": "bottle@0.9.0"}, "precondition_failed"),
        ("swap", {"model": B2, "at": {"frame": 0}}, "precondition_failed"),
        ("swap", {"model": B2, "expires": "2020-01-01T00:00:00Z"}, "expired"),
        ("swap", {"model": "../etc"}, "malformed"),
        ("swap", {}, "malformed"),
        ("rollback", {}, "nothing_to_roll_back"),
        ("rollback", {"model": "can@1.0.0"}, "precondition_failed"),
        ("confirm", {}, "precondition_failed"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    start: Start, verb: str, document: dict[str, Any], code: str
) -> None:
    """One answer, `rejected`, with the contract's code; nothing is loaded for it."""
    station = start()
    request = station.send(verb, **document)
    assert refused(station.outcome(request)) == code
    assert len(station.answers(request)) == 1
    assert len(station.script.called("load")) == 1


def test_an_expected_version_that_is_active_is_no_obstacle(start: Start) -> None:
    """`expect` compares with what judges at this moment."""
    station = start()
    assert station.ask("swap", model=B2, expect=B1)["status"] == "succeeded"


def test_a_bundle_that_came_a_moment_ago_is_found(start: Start, tmp_path: Path) -> None:
    """By version or as the newest of its name, though no watch has noticed it yet."""
    station = start()
    make_bundle(tmp_path / "store", "bottle@3.0.0", golden=1)
    assert station.ask("swap", model="bottle")["receipt"]["to"] == "bottle@3.0.0"
    make_bundle(tmp_path / "store", "bottle@3.1.0", golden=1)
    assert station.ask("swap", model="bottle@3.1.0")["receipt"]["to"] == "bottle@3.1.0"


def test_a_bundle_that_lies_in_the_store_broken_is_refused_by_its_own_fault(
    start: Start, tmp_path: Path
) -> None:
    """Not `unknown_model`: whoever copied it is told what is wrong with it."""
    station = start()
    cut = make_bundle(tmp_path / "store", "bottle@4.0.0", golden=1)
    os.truncate(cut / "weights.pt", 100)
    stray = make_bundle(tmp_path / "store", "bottle@4.1.0", golden=1)
    (stray / "sitecustomize.py").write_text("import os")
    assert refused(station.ask("swap", model="bottle@4.0.0")) == "digest_mismatch"
    assert refused(station.ask("swap", model="bottle@4.1.0")) == "invalid_bundle"
    assert station.models() == [B1]


def test_a_broken_bundle_does_not_cost_the_version_to_roll_back_to(
    start: Start, tmp_path: Path
) -> None:
    """It is checked on disk before a slot is freed for it: the rollback still needs no load."""
    station = start()
    station.ask("swap", model=B2)
    station.until_event("confirmed", model=B2)
    damaged = make_bundle(tmp_path / "store", "bottle@3.0.0", golden=1) / "weights.pt"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert refused(station.ask("swap", model="bottle@3.0.0")) == "digest_mismatch"
    loads = len(station.script.called("load"))
    assert station.ask("rollback")["receipt"]["to"] == B1
    assert len(station.script.called("load")) == loads


# ------------------------------------------------------------- one takes another's place


def test_a_newer_request_takes_the_place_of_one_that_prepares(start: Start) -> None:
    """The older is `superseded`, its load is ended, and its model never judges."""
    station = start()
    station.script.hold_loads()
    first = station.send("swap", model=B2)
    station.until_answer(first, stage="load")
    second = station.send("swap", model=CAN)
    assert station.outcome(first)["status"] == "superseded"
    station.script.open_loads()
    assert station.outcome(second)["status"] == "succeeded"
    station.until_active(CAN)
    assert station.models() == [B1, CAN]


def test_a_newer_request_takes_the_place_of_one_that_waits(start: Start) -> None:
    """A swap that waits for its order or its frame gives way, and changes nothing."""
    station = start()
    for at in ("next_order", {"frame": 10**9}):
        waiting = station.send("swap", model=B2, at=at)
        station.until_event("prepared", model=B2) if at == "next_order" else None
        newer = station.send("swap", model=B1)
        assert station.outcome(waiting)["status"] == "superseded"
        assert station.outcome(newer)["status"] == "succeeded"
    assert station.models() == [B1]


def test_a_request_may_expire_while_it_prepares(start: Start) -> None:
    """Past `expires` it is `expired`, its load is ended, and nothing changes."""
    station = start()
    station.script.hold_loads()
    expires = iso_utc(station.clock.now().utc + 60)
    request = station.send("swap", model=B2, expires=expires)
    station.until_answer(request, stage="load")
    station.clock.advance(61)
    assert station.outcome(request)["status"] == "expired"
    assert station.answers(request)[0]["status"] == "accepted"
    station.script.open_loads()
    assert station.ask("swap", model=CAN)["status"] == "succeeded"


def test_a_request_may_expire_while_it_waits_for_its_frame(start: Start) -> None:
    """The cutover is taken back before its frame comes."""
    station = start()
    expires = iso_utc(station.clock.now().utc + 60)
    request = station.send("swap", model=B2, at={"frame": 10**9}, expires=expires)
    station.until_event("prepared", model=B2)
    station.clock.advance(61)
    assert station.outcome(request)["status"] == "expired"
    assert station.models() == [B1]


# --------------------------------------------------------------------------- when


def test_at_a_frame_means_that_frame(start: Start) -> None:
    """Frame N is the first of the new model, N-1 the last of the old one."""
    station = start()
    station.ask("prepare", model=B2)
    goal = station.line.next_frame + 100
    receipt = station.ask("swap", model=B2, at={"frame": goal})["receipt"]
    station.until_active(B2)
    assert receipt["cutover_frame"] == goal == first_frame(station, B2)


def test_at_a_time_means_not_before(start: Start) -> None:
    """It is prepared at once and cut over when the time has come."""
    station = start()
    at = iso_utc(station.clock.now().utc + 300)
    request = station.send("swap", model=B2, at=at)
    station.until_event("prepared", model=B2)
    station.until_frames(5)
    assert station.models() == [B1]
    station.clock.advance(301)
    assert station.outcome(request)["status"] == "succeeded"


def test_at_the_next_order_means_its_first_frame(start: Start) -> None:
    """The order of the bundle's product makes it active; the order's frames are all its own."""
    station = start()
    request = station.send("swap", model=B2, at="next_order")
    station.until_event("prepared", model=B2)
    station.order("CAN", order="WO-1")
    station.until_active(CAN)
    assert not [a for a in station.answers(request) if a["status"] == "succeeded"]
    station.order("BTL", order="WO-2")
    assert station.outcome(request)["status"] == "succeeded"
    station.until_active(B2)
    judged = {str(r.model) for r in station.results if r.assignment.job_order == "WO-2" and r.model}
    assert judged == {B2}


# --------------------------------------------------------------------------- orders


def test_a_running_order_changes_the_model_at_its_first_frame(start: Start) -> None:
    """No frame of a product is judged by another product's model; none is lost meanwhile."""
    station = start()
    station.order("CAN", order="WO-7")
    station.until_active(CAN)
    cans = [r for r in station.results if r.assignment.product == "CAN"]
    assert {str(r.model) for r in cans} == {CAN}
    assert {r.assignment.job_order for r in cans} == {"WO-7"}
    station.until(lambda: station.model_state["product"] == "CAN")
    assert station.until_event("swapped", model=CAN)["receipt"]["verb"] == "order"
    station.until_frames(3)
    assert station.has_lost_nothing


def test_an_order_holds_from_the_moment_of_its_arrival(start: Start) -> None:
    """Not a frame that was captured after it is judged as of the order before."""
    station = start()
    station.ask("prepare", model=CAN)
    for number in range(10):
        product = ("CAN", "BTL")[number % 2]
        station.order(product, order=f"WO-{number}")
        arrived_at = station.clock.now().at
        station.until_event("order_running", message=f"WO-{number}")
        station.until_frames(5)
        later = [r for r in tuple(station.results) if r.captured_at >= arrived_at]
        assert {r.assignment.product for r in later} == {product}, f"order {number}"


def test_an_announced_order_is_prepared_early(start: Start) -> None:
    """When it runs, nothing is left to load."""
    station = start()
    station.order("CAN", "dispatched")
    station.until_event("prepared", model=CAN)
    assert station.models() == [B1]
    loads = len(station.script.called("load"))
    station.order("CAN", "running")
    station.until_active(CAN)
    assert len(station.script.called("load")) == loads


def test_a_completed_order_keeps_its_model(start: Start) -> None:
    """The line goes on with it until the next order or command."""
    station = start()
    station.order("CAN", "running")
    station.until_active(CAN)
    station.order("CAN", "completed")
    station.until_event("order_completed")
    station.until_frames(5)
    assert station.models()[-1] == CAN
    assert station.ask("swap", model=B2)["status"] == "succeeded", "no order forbids it any more"


def test_a_running_order_forbids_another_products_model(start: Start) -> None:
    """`wrong_product`; a version of the right one is welcome."""
    station = start()
    station.order("BTL")
    station.until_event("order_running")
    assert refused(station.ask("swap", model=CAN)) == "wrong_product"
    assert station.ask("swap", model=B2)["status"] == "succeeded"


def test_a_product_without_a_link_is_not_judged(start: Start) -> None:
    """Its frames are uninspected with the reason, an event says so; the next order is judged."""
    station = start()
    station.order("JAR", order="WO-1")
    assert station.until_event("unknown_product")["code"] == "unknown_product"
    station.until(lambda: station.models()[-1] == "unknown_product")
    station.order("BTL", order="WO-2")
    station.until(lambda: station.models()[-1] == B1)


def test_hold_keeps_orders_and_release_applies_the_last(start: Start) -> None:
    """Nothing changes by itself while held; a command still works."""
    station = start(bundles=(B1, B2, CAN, "jar@1.0.0"), links=(("CAN", "can"), ("JAR", "jar")))
    assert station.ask("hold")["status"] == "succeeded"
    station.order("CAN", order="WO-1")
    station.order("JAR", order="WO-2")
    station.until_frames(10)
    assert station.models() == [B1]
    station.until(lambda: station.model_state["held"] is True)
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    assert station.ask("release")["status"] == "succeeded"
    station.until_active("jar@1.0.0")
    assert CAN not in station.models()


def test_a_swap_that_is_taken_back_leaves_the_line_as_it_was(start: Start) -> None:
    """For another product, at a frame far ahead: withdrawn, the old order's product goes on."""
    station = start()
    station.order("BTL", order="WO-1")
    station.order("BTL", "completed", order="WO-1")
    station.until_event("order_completed")
    waiting = station.send("swap", model=CAN, at={"frame": 10**9})
    station.until_event("prepared", model=CAN)
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    assert station.outcome(waiting)["status"] == "superseded"
    station.until(lambda: station.results[-1].assignment.job_order == "WO-1")
    station.until(lambda: station.model_state["job_order"] == "WO-1")
    assert station.ask("swap", model=CAN)["status"] == "succeeded"
    station.until_active(CAN)
    assert station.models() == [B1, B2, CAN]


# --------------------------------------------------------------------------- trial and losses


def test_a_trial_that_passes_confirms(start: Start) -> None:
    """After its frames the version is confirmed, and the event carries the completed receipt."""
    station = start()
    station.ask("swap", model=B2)
    receipt = station.until_event("confirmed", model=B2)["receipt"]
    assert receipt["trial"] == "confirmed"
    assert receipt["latency_ms"]["after_p99"] is not None
    station.until(lambda: station.model_state["active"]["trial"] is False)


def test_confirm_ends_the_trial_at_once(start: Start) -> None:
    """An operator's word replaces the rest of the probation."""
    station = start(trial=NO_TRIAL_END)
    station.ask("swap", model=B2)
    station.until(lambda: station.model_state["active"]["trial"] is True)
    assert station.ask("confirm", by="kim")["status"] == "succeeded"
    station.until(lambda: station.model_state["active"]["trial"] is False)


def test_a_trial_that_fails_reverts_and_quarantines(start: Start) -> None:
    """The first failed inference ends it; the confirmed version judges again by itself."""
    station = start(trial=NO_TRIAL_END)
    station.script.fail_infer(
        BundleRef.parse(B2), BundleError("size mismatch"), after=80, times=10**6
    )
    station.ask("swap", model=B2)
    failed = station.until_event("trial_failed", model=B2)
    assert "failed on trial" in failed["message"]
    station.until(lambda: station.models()[-1] == B1)
    station.until(lambda: station.model_state["selected"] == {"bottle": "1.0.0"})
    assert refused(station.ask("swap", model=B2)) == "quarantined"
    reasons = {r.reason.value for r in station.results if r.reason}
    assert reasons <= {"inference_failed"}


def test_a_lost_worker_costs_no_frame(start: Start) -> None:
    """The bundle is loaded again in its slot, and the frame in hand is judged again."""
    station = start()
    ref = BundleRef.parse(B1)
    station.until_frames(5)
    station.script.fail_infer(ref, SlotLost("The worker was killed."))
    station.until_event("slot_lost", model=B1)
    station.script.infer_faults.clear()
    station.until_event("restored", model=B1)
    station.until_frames(5)
    assert station.models() == [B1]
    assert station.has_lost_nothing


# --------------------------------------------------------------------------- one slot


def test_one_slot_is_replaced_while_frames_wait(start: Start) -> None:
    """Verify, unload, load: every frame meanwhile waits for the new model."""
    station = start(slots=1)
    receipt = station.ask("swap", model=B2)["receipt"]
    station.until_active(B2)
    assert station.models() == [B1, B2]
    assert receipt["cutover_frame"] == first_frame(station, B2)
    assert station.has_lost_nothing


def test_one_slot_goes_back_to_the_old_bundle_when_the_new_one_fails(start: Start) -> None:
    """The request is rejected, and the version that judged before judges again."""
    station = start(slots=1)
    station.script.fail_load(BundleRef.parse(B2), BundleError("torn file"))
    outcome = station.ask("swap", model=B2)
    assert outcome["status"] == "rejected"
    station.until_active(B1)
    station.until_frames(5)
    assert station.models() == [B1]
    assert station.has_lost_nothing


@pytest.mark.parametrize("when", ["frame", "time"])
def test_one_slot_may_be_replaced_later(start: Start, when: str) -> None:
    """At a frame or at a time: it is replaced then, once, and not taken back again."""
    station = start(slots=1)
    at: object = {"frame": station.line.next_frame + 50}
    if when == "time":
        at = iso_utc(station.clock.now().utc + 300)
    request = station.send("swap", model=B2, at=at)
    station.until_answer(request, stage="verify")
    station.until_frames(20)
    station.clock.advance(301)
    assert station.outcome(request)["status"] == "succeeded"
    station.until_active(B2)
    assert station.models() == [B1, B2]


def test_one_slot_cannot_prepare_beside_the_active_bundle(start: Start) -> None:
    """`prepare` is refused with the way out."""
    station = start(slots=1)
    assert refused(station.ask("prepare", model=B2)) == "precondition_failed"
