"""The loader: a bundle is proven in its slot, or refused with the right word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.config import GateSettings
from edge_daemon.control.gate_runner import TIMED_FRAMES
from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.errors import BoxError, BundleError, Code, SlotLost
from edge_daemon.host.memory import Pixels
from edge_daemon.slots.slot import LoadOrder
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
REF2 = BundleRef.parse(B2)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path) as made:
        yield made.run()
        made.until_frames(3)
        assert made.models() == [B1], "a refused bundle has judged, or the line has noticed it"
        assert made.has_lost_nothing


SLOW_FOR = GateSettings().warm_up_inferences + TIMED_FRAMES


def refused(station: Station, code: str, *, status: str = "rejected") -> dict[str, Any]:
    outcome = station.ask("swap", model=B2)
    assert (outcome["status"], outcome["error"]["code"]) == (status, code), outcome
    assert outcome["error"]["message"].endswith(".")
    station.until(lambda: "B" not in station.loader.proofs)
    assert list((station.folder / "scratch").glob("B-*")) == [], "a copy was left behind"
    return outcome


def flip(station: Station) -> None:
    weights = station.folder / "store" / "bottle" / "2.0.0" / "weights.pt"
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)


def test_a_flipped_bit_is_found_before_anything_is_loaded(station: Station) -> None:
    """The bytes in the store are not those of the manifest."""
    flip(station)
    outcome = refused(station, "digest_mismatch")
    assert [(c["name"], c["passed"]) for c in outcome["error"]["checks"]] == [("integrity", False)]
    assert len(station.script.called("load")) == 1


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BundleError("cannot be read.", code=Code.LOAD_FAILED), "load_failed", "rejected"),
        (BundleError("a segmenter.", code=Code.INCOMPATIBLE), "incompatible", "rejected"),
        (BoxError("The GPU is full.", code=Code.NO_MEMORY), "no_memory", "failed"),
        (SlotLost("The worker died.", code=Code.LOAD_FAILED), "load_failed", "failed"),
    ],
)
def test_a_load_that_fails_is_answered_with_its_reason(
    station: Station, error: Exception, code: str, status: str
) -> None:
    """The bundle's fault is `rejected`, this box's fault is `failed`; what passed is told too."""
    station.script.load_errors[REF2] = error  # type: ignore[assignment]
    checks = refused(station, code, status=status)["error"]["checks"]
    assert [(c["name"], c["passed"]) for c in checks] == [
        ("integrity", True),
        ("signature", True),
        ("compatibility.requires", True),
        ("load", False),
    ]


def test_a_fault_of_the_daemon_itself_is_answered_too(station: Station) -> None:
    """Whatever is raised in a job becomes its answer."""
    station.script.load_errors[REF2] = ZeroDivisionError("oops")  # type: ignore[assignment]
    refused(station, "load_failed", status="failed")


def test_what_was_tried_and_failed_is_quarantined(station: Station) -> None:
    """The bundle's own failure is remembered; the box's is not held against it."""
    station.script.fail_load(REF2, BundleError("torn.", code=Code.LOAD_FAILED))
    refused(station, "load_failed")
    assert station.ask("swap", model=B2)["error"]["code"] == "quarantined"


def test_a_fault_of_the_box_is_forgiven(station: Station) -> None:
    """The same request succeeds later."""
    station.script.fail_load(REF2, BoxError("full.", code=Code.NO_MEMORY))
    refused(station, "no_memory", status="failed")
    station.script.load_errors.clear()
    assert station.ask("prepare", model=B2)["status"] == "succeeded"


def test_a_model_cannot_read_what_it_is_examined_for(station: Station) -> None:
    """Beside the weights there are the images, and neither the answers nor the signature."""
    assert station.ask("prepare", model=B2)["status"] == "succeeded"
    (copy,) = (station.folder / "scratch").glob("B-*")
    store = station.folder / "store" / "bottle" / "2.0.0"
    names = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    whole = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert whole - names == {"model.yaml"}
    assert any(name.startswith("golden/") for name in names)


def test_golden_images_that_are_missed_fail_the_gate(station: Station) -> None:
    """The answer lists the checks with what was measured."""
    seen = station.script.detect_file
    station.script.detect_file = lambda order, path: () if order.ref == REF2 else seen(order, path)
    outcome = refused(station, "gate_failed")
    failed = [c["name"] for c in outcome["error"]["checks"] if not c["passed"]]
    assert "golden.recall" in failed


def test_the_report_on_what_an_order_brought_is_on_record(station: Station) -> None:
    """Nobody waits for an answer: the trail holds every check all the same."""
    can = BundleRef.parse("can@1.0.0")
    seen = station.script.detect_file
    station.script.detect_file = lambda order, path: () if order.ref == can else seen(order, path)
    station.order("CAN", "dispatched")
    station.until_event("rejected", model=str(can))
    rows = [json.loads(link.row.body) for link in station.journal.audit_rows(100)]
    (ended,) = [row for row in rows if row.get("event") == "rejected"]
    assert [c["name"] for c in ended["checks"] if not c["passed"]] == [
        "golden.recall",
        "golden.escape",
    ]
    assert len(ended["checks"]) > 5


def test_numbers_that_are_none_fail_the_gate(station: Station) -> None:
    """NaN at the first inference."""
    station.script.not_finite.add(REF2)
    refused(station, "gate_failed")


def test_a_model_that_was_slow_for_a_moment_is_looked_at_again(station: Station) -> None:
    """Twice the active one's time on its first frames, as on a busy box; then as fast."""
    looked, detect = [0], station.script.detect

    def busy_at_first(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
        if order.ref == REF2:
            looked[0] += 1
            station.script.infer_ms[REF2] = 10.0 if looked[0] <= SLOW_FOR else 5.0
        return detect(order, pixels)

    station.script.detect = busy_at_first
    assert station.ask("prepare", model=B2)["status"] == "succeeded"
    assert looked[0] > SLOW_FOR + TIMED_FRAMES


def test_a_slow_model_fails_the_gate(station: Station) -> None:
    """Its median against that of the active one, on the same frames."""
    station.script.infer_ms[REF2] = 50.0
    outcome = refused(station, "gate_failed")
    assert "latency.median" in [c["name"] for c in outcome["error"]["checks"] if not c["passed"]]


def test_other_classes_than_announced_are_incompatible(station: Station) -> None:
    """The weights say what they are; the manifest must agree."""
    station.script.loaded_as[REF2] = ("cat", "dog")
    refused(station, "incompatible")


def test_a_requirement_that_is_not_met_is_incompatible(station: Station) -> None:
    """Refused before anything is loaded."""

    def ask_for_more(manifest: dict[str, Any]) -> None:
        manifest["requires"] = {"torch": ">=99"}

    make_bundle(station.folder / "store", "bottle@4.0.0", golden=1, edit=ask_for_more)
    outcome = station.ask("swap", model="bottle@4.0.0")
    assert outcome["error"]["code"] == "incompatible"
    failed = [c["note"] for c in outcome["error"]["checks"] if not c["passed"]]
    assert len(failed) == 1
    assert failed[0].startswith("torch >=99 is required, here is ")
    assert len(station.script.called("load")) == 1


@pytest.mark.parametrize(("gpu", "status"), [(None, "rejected"), ("8.7", "succeeded")])
def test_a_gpu_that_a_bundle_needs_is_looked_for(
    tmp_path: Path, gpu: str | None, status: str
) -> None:
    """Its compute capability decides; a box without one has none."""

    def ask_for_a_gpu(manifest: dict[str, Any]) -> None:
        manifest["requires"] = {"gpu": ">=8"}

    with Station(tmp_path, Plan(gpu=gpu)) as station:
        station.run()
        make_bundle(tmp_path / "store", "bottle@4.0.0", golden=1, edit=ask_for_a_gpu)
        assert station.ask("prepare", model="bottle@4.0.0")["status"] == status


def test_a_load_that_hangs_is_ended(tmp_path: Path) -> None:
    """Past its limit it is `load_timeout`, and the slot can be used again."""
    with Station(tmp_path, Plan(load_timeout_s=0.2)) as station:
        station.run()
        station.script.hold_loads()
        outcome = station.ask("swap", model=B2)
        assert outcome["error"]["code"] == "load_timeout"
        station.script.open_loads()
        assert station.ask("swap", model="can@1.0.0")["status"] == "succeeded"


def test_a_load_that_hangs_blocks_nothing_else(station: Station) -> None:
    """The lane judges, and another request is answered at once."""
    station.script.hold_loads()
    request = station.send("prepare", model=B2)
    station.until_answer(request, stage="load")
    station.until_frames(10)
    assert station.ask("hold")["status"] == "succeeded"
    station.script.open_loads()
    assert station.outcome(request)["status"] == "succeeded"


def test_a_worker_that_cannot_come_back_is_tried_again(tmp_path: Path) -> None:
    """Restores are repeated; the frames that waited are judged by the same bundle."""
    with Station(tmp_path) as station:
        station.run()
        ref = BundleRef.parse(B1)
        station.script.fail_load(ref, BoxError("full.", code=Code.NO_MEMORY))
        station.script.fail_infer(ref, SlotLost("The worker was killed."))
        station.until_event("slot_lost", model=B1)
        station.script.wait_for("load", count=3)
        station.script.infer_faults.clear()
        station.script.load_errors.clear()
        station.until_event("restored", model=B1)
        station.until_frames(3)
        assert station.models()[-1] == B1


def test_a_worker_comes_back_though_the_store_is_gone(tmp_path: Path) -> None:
    """It is loaded from the private copy that was verified when it was loaded first; once."""
    with Station(tmp_path) as station:
        station.run()
        ref = BundleRef.parse(B1)
        shutil.rmtree(station.folder / "store")
        station.script.fail_infer(ref, SlotLost("The worker was killed."))
        station.until_event("slot_lost", model=B1)
        station.script.infer_faults.clear()
        station.until_event("restored", model=B1)
        station.until_frames(3)
        assert station.models()[-1] == B1


def test_only_where_nothing_judges_a_load_has_the_priority_of_live_frames(tmp_path: Path) -> None:
    """At the start there is nothing to disturb; later the line goes first."""
    with Station(tmp_path) as station:
        station.run()
        assert station.ask("prepare", model=B2)["status"] == "succeeded"
        urgent = {name: slot.order.urgent for name, slot in station.active_slot.slots.items()}  # type: ignore[attr-defined]
        assert urgent == {"A": True, "B": False}


def test_every_load_is_told_down_to_where_a_model_reports(tmp_path: Path) -> None:
    """Prepared, and restored after its worker was lost; the recipe's confidence stays."""
    with Station(tmp_path, Plan(floor=0.05)) as station:
        station.run()
        assert station.ask("prepare", model=B2)["status"] == "succeeded"
        orders = [slot.order for slot in station.active_slot.slots.values()]  # type: ignore[attr-defined]
        assert [order.floor for order in orders] == [0.05, 0.05]
        assert all(order.confidence > 0.05 for order in orders)
        station.script.fail_infer(BundleRef.parse(B1), SlotLost("The worker died."))
        station.script.wait_for("load", count=3)
        station.script.infer_faults.clear()
        station.until_event("restored", model=B1)
        assert station.active_slot.slots["A"].order.floor == 0.05  # type: ignore[attr-defined]


@pytest.mark.parametrize(("announced", "urgent"), [(False, True), (True, False)])
def test_a_model_that_frames_wait_for_is_loaded_with_their_priority(
    tmp_path: Path, *, announced: bool, urgent: bool
) -> None:
    """After an order that nobody announced no other model may judge; before one, the line does."""
    with Station(tmp_path) as station:
        station.run()
        station.order("CAN", "dispatched" if announced else "running")
        station.until_event("prepared", model="can@1.0.0")
        assert station.active_slot.slots["B"].order.urgent is urgent  # type: ignore[attr-defined]


def test_three_slots_keep_what_is_worth_most(tmp_path: Path) -> None:
    """With room for three, the confirmed version before stays when another is prepared."""
    with Station(tmp_path, Plan(slots=3)) as station:
        station.run()
        station.ask("swap", model=B2)
        station.until_event("confirmed", model=B2)
        make_bundle(tmp_path / "store", "jar@1.0.0", golden=1)
        station.ask("prepare", model="can@1.0.0")
        station.ask("prepare", model="jar@1.0.0")
        resident = {str(s.bundle.ref) for s in station.driver.state.slots if s.bundle}
        assert resident == {B1, B2, "jar@1.0.0"}
