"""A proof is remembered: the same bundle under the same conditions is proven by a part of it."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.values import Detection
from edge_daemon.host.memory import Pixels
from edge_daemon.slots.slot import LoadOrder
from tests.sim.bundles import make_bundle
from tests.sim.slot import one_box
from tests.sim.station import Plan, Station, sees_golden

B1, B2, CAN, JAR = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0", "jar@1.0.0"
IMAGES = 6
FRAME_GREY = 7

Begin = Callable[..., Station]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts the station, anew each time, on what it knows already."""
    made: list[Station] = []
    make_bundle(tmp_path / "store", JAR, golden=IMAGES, edit=alike)

    def start(**plan: Any) -> Station:
        for before in made:
            before.stop()
        made.append(Station(tmp_path, Plan(**plan)))
        return made[-1].run(B1)

    yield start
    for station in made:
        station.stop()
        assert station.ledger.first_violation is None


def alike(manifest: dict[str, Any]) -> None:
    """All golden images show the same, in one slice."""
    for image in manifest["golden"]:
        image |= {"slice": "normal", "expect": deepcopy(manifest["golden"][0]["expect"])}


def proven(station: Station, model: str = JAR) -> dict[str, Any]:
    """The receipt of the model, loaded now."""
    outcome = station.ask("prepare", model=model)
    assert outcome["status"] == "succeeded", outcome
    receipt: dict[str, Any] = outcome["receipt"]
    return receipt


def looked_at(station: Station, version: str = "jar/1.0.0") -> int:
    """How many looks at golden images there were since the station began."""
    digests = {path.name for path in (station.folder / "store" / version / "golden").iterdir()}
    seen = station.script.called("infer_file")
    return sum(1 for _, path in seen if isinstance(path, Path) and path.name in digests)


def edit_record(folder: Path, edit: Callable[[dict[str, Any]], None], *, sealed: bool) -> None:
    """Change every proof on the disk; `sealed`: and its digest with it."""
    with closing(sqlite3.connect(folder / "state" / "journal.db")) as raw:
        for seq, body, sha256 in raw.execute("SELECT seq, body, sha256 FROM proofs").fetchall():
            proof = json.loads(body)
            edit(proof)
            content = json.dumps(proof).encode()
            digest = hashlib.sha256(content).hexdigest() if sealed else sha256
            raw.execute("UPDATE proofs SET body=?, sha256=? WHERE seq=?", (content, digest, seq))
        raw.commit()


def nothing_in_the_dark(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
    """A part on frames of the line, which are grey, and none on made-up pictures."""
    return one_box(order, pixels) if pixels.max() == FRAME_GREY else ()


def part_and_defect(order: LoadOrder, path: Path) -> tuple[Detection, ...]:
    return (Detection(order.classes[0], 0.9, (0.0, 0.0, 60.0, 40.0)), *sees_golden(order, path))


def other_frames(record: dict[str, Any]) -> None:
    for picture in record["nothing"]:
        picture["size"] = [1920, 1080]


def names(receipt: dict[str, Any]) -> list[str]:
    return [check["name"] for check in receipt["checks"]]


# --------------------------------------------------------------------------- the short way


def test_a_bundle_that_was_proven_here_needs_a_spot_proof(begin: Begin) -> None:
    """The receipt says which it was, when the gate ran, and what that measured."""
    first = proven(begin())
    again = proven(begin())
    assert (first["proof"], again["proof"]) == ("gate", "spot")
    assert "gate" not in first
    assert again["gate"]["checks"] == first["checks"]
    assert again["gate"]["at"] <= again["requested_at"]
    assert "spot" in names(again)
    assert "spot" not in names(first)


def test_a_spot_proof_looks_at_a_part_of_the_golden_images(begin: Begin) -> None:
    """One slice, one expected verdict: one image. All of them are judged."""
    station = begin()
    proven(station)
    whole = looked_at(station)
    station = begin()
    receipt = proven(station)
    assert whole >= IMAGES
    assert looked_at(station) < IMAGES
    escape = next(check for check in receipt["checks"] if check["name"] == "golden.escape")
    assert escape["note"] == f"slice normal 0 of {IMAGES}"


def test_the_first_model_of_a_start_is_proven_so_too(begin: Begin) -> None:
    """What is judged with at once is the bundle that was proven, with a proof in this boot."""
    begin()
    station = begin()
    (gate_proof,) = [each for each in station.loader.proofs.values() if str(each.known.ref) == B1]
    assert gate_proof.proof == "spot"
    assert gate_proof.checks


def test_bytes_are_compared_all_the_same(begin: Begin) -> None:
    """Integrity, signature, load, warm-up and memory are checked in each proof."""
    proven(begin())
    checks = names(proven(begin()))
    assert {"integrity", "signature", "compatibility.requires", "load", "warm_up"} <= set(checks)
    assert "memory.host" in checks


def test_what_depends_on_the_version_before_is_judged_anew(begin: Begin) -> None:
    """Recent frames, its golden images and its recipe, each on what is active now."""
    assert proven(begin(), B2)["proof"] == "gate"
    again = proven(begin(), B2)
    assert again["proof"] == "spot"
    assert {"recipe.weaker", "golden.drop", "recent.agreement", "recent.missed"} <= set(
        names(again)
    )
    assert "latency.median" in names(again)


def test_the_active_model_is_asked_about_no_more_images_than_are_looked_at(
    begin: Begin, tmp_path: Path
) -> None:
    """It would cost the line the time that the spot proof saves."""
    ref = "bottle@5.0.0"
    make_bundle(tmp_path / "store", ref, golden=IMAGES, edit=alike)
    opened = []
    for _ in range(2):
        station = begin()
        receipt = proven(station, ref)
        opened.append((receipt["proof"], len(station.script.called("decode"))))
        assert "golden.drop" in names(receipt)
    (whole, of_all), (spot, of_some) = opened
    assert (whole, spot) == ("gate", "spot")
    assert of_some <= 1 < of_all


def test_a_recipe_that_is_weaker_than_the_active_one_is_refused_though_proven(
    begin: Begin, tmp_path: Path
) -> None:
    """It was proven when there was none before it; by now a stricter one judges."""

    def lax(manifest: dict[str, Any]) -> None:
        manifest["recipe"]["reject"] = manifest["classes"][-1:]

    make_bundle(tmp_path / "store", B1, golden=1, edit=lax)
    station = begin()
    assert station.ask("swap", model=B2)["status"] == "succeeded"
    station.until_event("confirmed", model=B2)
    station.stop()
    station = Station(tmp_path).run(B2)
    try:
        refused = station.ask("prepare", model=B1)
        failed = [c["name"] for c in refused["error"]["checks"] if not c["passed"]]
        assert failed == ["recipe.weaker"]
        assert "spot" in names(refused["error"]), "it was given a second chance by the gate"
        accepted = station.ask(
            "prepare", model=B1, accept=["recipe.weaker"], reason="as agreed", by="kim"
        )
        assert accepted["receipt"]["proof"] == "spot"
        assert accepted["receipt"]["accepted"] == ["recipe.weaker"]
    finally:
        station.stop()


def test_what_was_accepted_once_is_no_proof(begin: Begin, tmp_path: Path) -> None:
    """Somebody answered for it, the gate did not."""

    def lax(manifest: dict[str, Any]) -> None:
        manifest["recipe"]["reject"] = manifest["classes"][-1:]

    make_bundle(tmp_path / "store", "bottle@3.0.0", golden=1, edit=lax)
    words = {"accept": ["recipe.weaker"], "reason": "as agreed", "by": "kim"}
    found = [begin().ask("prepare", model="bottle@3.0.0", **words) for _ in range(2)]
    assert [each["receipt"]["proof"] for each in found] == ["gate", "gate"]


def test_a_picture_of_nothing_is_shown_anew_where_the_camera_has_another_size(
    begin: Begin, tmp_path: Path
) -> None:
    """Its size is that of the frames; what was seen on one of another size says nothing."""

    def with_a_part(manifest: dict[str, Any]) -> None:
        alike(manifest)
        manifest["recipe"]["part"] = "bottle"

    make_bundle(tmp_path / "store", "box@1.0.0", golden=2, edit=with_a_part)
    first = begin()
    first.script.detect, first.script.detect_file = nothing_in_the_dark, part_and_defect
    assert proven(first, "box@1.0.0")["proof"] == "gate"
    first.stop()
    edit_record(tmp_path, other_frames, sealed=True)
    station = begin()
    looks: list[int] = []

    def seeing(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
        if order.ref.name == "box" and pixels.max() in {0, 255}:
            looks.append(int(pixels.max()))
        return nothing_in_the_dark(order, pixels)

    station.script.detect, station.script.detect_file = seeing, part_and_defect
    assert proven(station, "box@1.0.0")["proof"] == "spot"
    assert looks == [0, 255, 255]


# --------------------------------------------------------------------------- what undoes it


@pytest.mark.parametrize(
    "plan",
    [
        {"box": {"device": "cpu", "torch": "2.11.0"}},
        {"box": {"device": "cuda:0", "torch": "2.10.0"}},
        {"box": {"device": "cpu", "torch": "2.10.0", "driver": "580"}},
        {"box": {"device": "cpu"}},
        {"gate": {"warm_up_inferences": 3}},
        {"gate": {"latency_ratio": 1.2}},
        {"gate": {"spot_proof": False}},
    ],
    ids=["library", "device", "driver", "lost", "warm-up", "latency", "off"],
)
def test_other_conditions_mean_the_whole_gate(begin: Begin, plan: dict[str, Any]) -> None:
    """Another library, device, driver or setting of the gate; or the switch."""
    proven(begin())
    station = begin(**plan)
    receipt = proven(station)
    assert receipt["proof"] == "gate"
    assert looked_at(station) >= IMAGES
    assert proven(begin(**plan))["proof"] == ("gate" if "spot_proof" in str(plan) else "spot")


@pytest.mark.parametrize("file", ["weights.pt", "golden/0001.png"])
def test_a_byte_that_changed_since_is_refused(begin: Begin, tmp_path: Path, file: str) -> None:
    """The proof is of other bytes."""
    proven(begin())
    path = tmp_path / "store" / "jar" / "1.0.0" / file
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    outcome = begin().ask("prepare", model=JAR)
    assert outcome["error"]["code"] == "digest_mismatch"


def test_a_byte_of_the_manifest_that_changed_since_is_refused(begin: Begin, tmp_path: Path) -> None:
    """It holds the recipe and the limits: another bundle stands under this version now."""
    proven(begin())
    path = tmp_path / "store" / "jar" / "1.0.0" / "model.yaml"
    before = path.read_bytes()
    after = re.sub(rb"(min_recall: 0\.)\d", rb"\g<1>7", before)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    path.write_bytes(after)
    outcome = begin().ask("prepare", model=JAR)
    assert outcome["error"]["code"] == "digest_mismatch"
    assert "first seen under this version" in outcome["error"]["message"]


def no_proof(record: dict[str, Any]) -> None:
    record["golden"] = "none"


def no_images(record: dict[str, Any]) -> None:
    record["golden"] = []


def later_schema(record: dict[str, Any]) -> None:
    record["schema"] = 99


def other_rules(record: dict[str, Any]) -> None:
    record["conditions"]["rules"] = "0"


def other_bundle(record: dict[str, Any]) -> None:
    record["bundle"] = "0" * 64


def other_device(record: dict[str, Any]) -> None:
    record["conditions"]["device"] = "cuda:0"


def moved(record: dict[str, Any]) -> None:
    for found in record["golden"]:
        found[0]["box"][0] += 3.0


def other_label(record: dict[str, Any]) -> None:
    for found in record["golden"]:
        found[0]["label"] = "scratch"


def another_seen(record: dict[str, Any]) -> None:
    for found in record["golden"]:
        found.append(found[0])


@pytest.mark.parametrize(
    "edit",
    [
        *(no_proof, no_images, later_schema, other_rules, other_bundle, other_device),
        *(moved, other_label, another_seen),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_record_that_was_altered_means_the_whole_gate(
    begin: Begin, tmp_path: Path, edit: Callable[[dict[str, Any]], None], *, sealed: bool
) -> None:
    """Damaged, of another daemon or bundle, or with other detections; then it is mended."""
    first = begin()
    proven(first)
    first.stop()
    edit_record(tmp_path, edit, sealed=sealed)
    station = begin()
    assert proven(station)["proof"] == "gate"
    assert looked_at(station) >= IMAGES
    assert proven(begin())["proof"] == "spot"


def test_a_model_that_sees_otherwise_now_must_pass_the_whole_gate(begin: Begin) -> None:
    """Good enough for the gate, and not what it saw then: the gate decides, and is remembered."""
    proven(begin())
    station = begin()
    station.script.detect_file = lambda order, path: (
        Detection(order.classes[-1], 0.9, (9.5, 8.0, 25.5, 24.0)),
    )
    assert proven(station)["proof"] == "gate"
    assert looked_at(station) >= IMAGES


def test_a_model_that_sees_nothing_any_more_is_refused(begin: Begin) -> None:
    """No proof of the past makes it judge a frame."""
    proven(begin())
    station = begin()
    seen = station.script.detect_file

    def blind(order: LoadOrder, path: Path) -> tuple[Detection, ...]:
        return () if order.ref.name == "jar" else seen(order, path)

    station.script.detect_file = blind
    outcome = station.ask("prepare", model=JAR)
    assert outcome["error"]["code"] == "gate_failed"
    assert "golden.recall" in [c["name"] for c in outcome["error"]["checks"] if not c["passed"]]


def test_without_golden_images_there_is_nothing_to_remember(begin: Begin, tmp_path: Path) -> None:
    """No picture, no spot proof."""
    make_bundle(tmp_path / "store", "box@1.0.0", golden=0)
    assert [proven(begin(), "box@1.0.0")["proof"] for _ in range(2)] == ["gate", "gate"]


def test_a_full_disk_costs_the_short_way_only(begin: Begin) -> None:
    """The bundle is proven, and proven anew by the gate the next time."""
    station = begin()
    station.journal.keeps_proofs = False
    assert proven(station)["proof"] == "gate"
    assert proven(begin())["proof"] == "gate"
