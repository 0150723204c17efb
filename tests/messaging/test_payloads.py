"""The wire: each message has exactly the contract's names and forms."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.counts import Counts, OrderTally, PartTotals
from edge_daemon.core.recipe import digest
from edge_daemon.core.rollout.draw import assign, draw
from edge_daemon.core.rollout.values import Opinion
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Check,
    Detection,
    Reason,
    Recipe,
    Refusal,
    Status,
    Verdict,
)
from edge_daemon.errors import Code
from edge_daemon.messaging import part_payloads, payloads, result_payloads
from edge_daemon.messaging.answer import accepted, outcome, progress
from edge_daemon.messaging.times import iso_utc

TEN = 1_795_341_600.0


SCRATCH = Recipe.rejecting(0.35, "scratch")


def test_a_result_says_what_the_contract_says() -> None:
    """Names, order, rounding and the time of capture."""
    judged = Judged(
        frame=18234,
        captured_utc=TEN + 0.25,
        captured_at=3.0,
        assignment=Assignment(3, "BTL-500", "WO-17", "bottle"),
        verdict=Verdict.NG,
        model=BundleRef("bottle", "1.4.0"),
        sha256="9f",
        detections=(Detection("scratch", 0.912345, (1.04, 2.06, 30.111, 40.0)),),
        queue_ms=1.2345,
        inference_ms=11.8,
        causes=("scratch",),
        recipe=SCRATCH,
    )
    assert json.loads(result_payloads.result("b7", judged)) == {
        "boot": "b7",
        "frame": 18234,
        "time": "2026-11-22T10:00:00.250Z",
        "model": "bottle@1.4.0",
        "sha256": "9f",
        "product": "BTL-500",
        "job_order": "WO-17",
        "verdict": "ng",
        "detections": [{"class": "scratch", "confidence": 0.9123, "box": [1.0, 2.1, 30.1, 40.0]}],
        "causes": ["scratch"],
        "latency_ms": {"queue": 1.23, "inference": 11.8},
        "recipe": digest(SCRATCH),
    }


def test_an_uninspected_frame_has_a_reason_and_no_model() -> None:
    """Null, not absent: a reader sees that there was no model."""
    judged = Judged(1, TEN, 0.0, Assignment(), Verdict.UNINSPECTED, Reason.DROPPED_OVERFLOW)
    read = json.loads(result_payloads.result("b7", judged))
    assert read["verdict"] == "uninspected"
    assert read["reason"] == "dropped_overflow"
    assert read["model"] is None
    assert read["recipe"] is None
    assert read["sha256"] is None


def test_the_answers_of_a_request() -> None:
    """accepted, progress, an outcome with its error and the gate's checks."""
    assert json.loads(accepted("7").body) == {"id": "7", "status": "accepted"}
    assert json.loads(progress("7", "loading", 412.9).body) == {
        "id": "7",
        "status": "progress",
        "stage": "loading",
        "elapsed_ms": 412,
    }
    refusal = Refusal(Code.GATE_FAILED, "It misses.", "Train.", (Check("recall", False, 0.5, 0.9),))
    assert json.loads(outcome("7", Status.REJECTED, refusal=refusal).body) == {
        "id": "7",
        "status": "rejected",
        "error": {
            "code": "gate_failed",
            "message": "It misses.",
            "hint": "Train.",
            "checks": [{"name": "recall", "passed": False, "measured": 0.5, "limit": 0.9}],
        },
    }


def test_a_receipt_has_every_field_of_the_contract() -> None:
    """Also those without a figure: a proof with holes says where they are."""
    receipt = payloads.Receipt(
        swap_id="s1",
        request_id="7",
        verb="swap",
        boot="b7",
        from_="bottle@1.3.0",
        to="bottle@1.4.0",
        sha256="9f",
        requested_at=iso_utc(TEN),
        checks=payloads.check_lines((Check("latency", True, 1.1, 1.5),)),
    )
    read = json.loads(outcome("7", Status.SUCCEEDED, receipt=receipt).body)["receipt"]
    assert set(read) == set(
        "swap_id request_id verb boot from to sha256 by reason requested_at cutover_frame"  # noqa: SIM905
        " cutover_at pause_ms stages_ms frames latency_ms checks accepted audit proof".split()
    )
    assert set(read["stages_ms"]) == {"verify", "load", "warm", "gate"}
    assert set(read["frames"]) == {"captured", "inspected", "dropped", "uninspected"}
    assert set(read["latency_ms"]) == {"before_p99", "during_p99", "after_p99"}
    assert read["checks"] == [{"name": "latency", "passed": True, "measured": 1.1, "limit": 1.5}]
    assert read["from"] == "bottle@1.3.0"


def test_the_retained_state_names_everything() -> None:
    """`model/state` has all its keys at all times, null where there is nothing."""
    read = json.loads(payloads.encode(payloads.ModelState(selected={"bottle": "1.4.0"})))
    assert read == {
        "active": None,
        "prepared": None,
        "previous": None,
        "selected": {"bottle": "1.4.0"},
        "product": None,
        "job_order": None,
        "held": False,
        "swap_id": None,
    }
    active = payloads.ActiveModel("bottle@1.4.0", "9f", "A", iso_utc(TEN), True)
    assert json.loads(payloads.encode(payloads.ModelState(active=active)))["active"] == {
        "model": "bottle@1.4.0",
        "sha256": "9f",
        "slot": "A",
        "since": "2026-11-22T10:00:00.000Z",
        "trial": True,
    }


@pytest.mark.parametrize("body", [None, b"", b"{", b"[]", b'{"order":{"job_order":"\xff"}}'])
def test_counts_that_cannot_be_read_are_none(body: bytes | None) -> None:
    """Counting begins anew; a damaged journal stops no line."""
    assert part_payloads.kept_counts(body) is None
    counts = Counts(OrderTally("WO-1", "BTL-500", PartTotals(TEN)))
    assert part_payloads.kept_counts(part_payloads.keep_counts(counts)) == counts


def test_an_event_says_only_what_it_knows() -> None:
    """type, time and boot always; the rest where it applies."""
    event = payloads.Event(type="activated", time=iso_utc(TEN), boot="b7", from_="a@1")
    assert json.loads(payloads.encode(event)) == {
        "type": "activated",
        "time": "2026-11-22T10:00:00.000Z",
        "boot": "b7",
        "from": "a@1",
    }


def test_the_last_will_knows_no_time() -> None:
    """It was written when the connection began, and is told when it ends."""
    assert json.loads(payloads.status("offline", None)) == {"state": "offline", "since": None}


def test_a_result_names_its_arm_and_what_the_other_model_says() -> None:
    """So that whoever reads it computes the arm again; without a rollout neither is there."""
    judged = Judged(
        5, TEN, 3.0, Assignment(), Verdict.NG, model=BundleRef("bottle", "2"), sha256="ab" * 32
    )
    assert not {"rollout", "shadow"} & set(json.loads(result_payloads.result("boot", judged)))
    assigned = assign("r-1", "boot", 5, 1.0)
    shadow = Opinion(BundleRef("bottle", "1"), "cd" * 32, Verdict.OK, (), (), SCRATCH, 4.2)
    told = json.loads(
        result_payloads.result("boot", replace(judged, assigned=assigned, shadow=shadow))
    )
    assert told["rollout"] == {
        "id": "r-1",
        "arm": "candidate",
        "share": 1.0,
        "draw": draw("r-1", "boot", 5),
        "unit": "5",
    }
    assert told["shadow"] == {
        "model": "bottle@1",
        "sha256": "cd" * 32,
        "verdict": "ok",
        "causes": [],
        "recipe": digest(SCRATCH),
        "inference_ms": 4.2,
        "detections": [],
    }
