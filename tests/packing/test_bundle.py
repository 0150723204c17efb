"""A packed bundle is one that a station takes: written whole, or not at all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.errors import BundleError, SenderError
from edge_daemon.models.bundle import verified_copy
from edge_daemon.models.trust import Trust, generate_keypair
from edge_daemon.packing.bundle import Packed, Wanted, pack
from edge_daemon.packing.labels import Labelled, read_labelled
from edge_daemon.slots.slot import Loaded
from tests.sim.bundles import grey_png, noise

FACTS = Loaded(("bottle", "scratch", "dent"), "detect", 1.0, imgsz=320)
REF = BundleRef("bottle", "1.0.0")
SCRATCH = (ExpectedBox("scratch", (1.0, 2.0, 30.0, 40.0)),)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    path.write_bytes(noise("bottle@1.0.0"))
    return path


def pictures(folder: Path, *kinds: tuple[str, bool]) -> tuple[Labelled, ...]:
    """One picture a kind: its slice, and whether it shows a scratch."""
    found = []
    for number, (part, bad) in enumerate(kinds):
        path = folder / f"{number:03}.PNG"
        path.write_bytes(grey_png(64, 48, number % 256))
        found.append(Labelled(path, part, SCRATCH if bad else ()))
    return tuple(found)


def packed(weights: Path, found: tuple[Labelled, ...], **wanted: object) -> Packed:
    asked = Wanted(REF, weights, ("scratch", "dent"), **wanted)  # type: ignore[arg-type]
    return pack(asked, FACTS, found, weights.parent / "out")


def test_what_was_packed_passes_the_stations_own_door(weights: Path, tmp_path: Path) -> None:
    """Classes, task and input come from the weights; every byte has its digest, and a signature."""
    key, public = generate_keypair(tmp_path)
    made = packed(weights, pictures(tmp_path, ("all", True), ("dim", False)), key=key)
    verified = verified_copy(
        made.manifest, made.folder, tmp_path / "copy", Trust((public,), required=True)
    )
    assert verified.signer is not None
    manifest = verified.manifest
    assert (manifest.ref, manifest.task, manifest.imgsz) == (REF, "detect", 320)
    assert manifest.classes == FACTS.classes
    assert manifest.recipe.reject == {"scratch", "dent"}
    expected = [(image.expectation.slice, image.expectation.boxes) for image in manifest.golden]
    assert expected == [("all", SCRATCH), ("dim", ())]


def test_a_verdict_that_a_person_gave_stays_one(weights: Path, tmp_path: Path) -> None:
    """Pictures that were only sorted prove verdicts, no boxes."""
    (picture,) = pictures(tmp_path, ("all", False))
    made = packed(weights, (Labelled(picture.path, "all", None, Verdict.NG),))
    assert made.manifest.golden[0].expectation.verdict is Verdict.NG


def test_of_too_many_pictures_every_slice_and_kind_keeps_some(
    weights: Path, tmp_path: Path
) -> None:
    """Two rare defects among two hundred good parts in the dark are not left out."""
    kinds = [("bright", False)] * 200 + [("dark", False)] * 50 + [("dark", True)] * 2
    made = packed(weights, pictures(tmp_path, *kinds), most=30)
    shown = Counter(
        (image.expectation.slice, bool(image.expectation.boxes)) for image in made.manifest.golden
    )
    assert shown == {("bright", False): 14, ("dark", False): 14, ("dark", True): 2}
    assert made.left_out == 222


def test_a_refusal_leaves_nothing_behind(weights: Path, tmp_path: Path) -> None:
    """A class that is not there, a task that gives no boxes, a place that is taken."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SenderError, match="no class 'lid' to reject"):
        pack(Wanted(REF, weights, ("lid",)), FACTS, (), tmp_path / "out")
    with pytest.raises(BundleError, match="'depth', which is not supported"):
        pack(Wanted(REF, weights, ()), Loaded(("a",), "depth", 1.0), (), tmp_path / "out")
    odd = Loaded(FACTS.classes, FACTS.task, 1.0, imgsz=321)
    with pytest.raises(BundleError, match="multiple of 32"):
        pack(Wanted(REF, weights, ()), odd, (), tmp_path / "out")
    with pytest.raises(SenderError, match="is there already"):
        pack(Wanted(REF, weights, ()), FACTS, (), tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_sorted_by_class_prove_a_classifier(weights: Path, tmp_path: Path) -> None:
    """The folder's name is the class, of the test pictures where there are some; the bundle that
    is made of them says it in its golden images."""
    for place in ("train/dent", "test/dent", "test/scratch", "test/dark/bottle"):
        folder = tmp_path / "data" / place
        folder.mkdir(parents=True)
        (folder / "one.png").write_bytes(grey_png(64, 48, len(place)))
    found = read_labelled(tmp_path / "data", FACTS.classes, "classify")
    facts = Loaded(FACTS.classes, "classify", 1.0, imgsz=64)
    made = pack(Wanted(REF, weights, ("dent",)), facts, found, tmp_path / "made")
    assert made.manifest.task == "classify"
    said = {(each.expectation.slice, each.expectation.boxes) for each in made.manifest.golden}
    assert said == {
        ("dark", (ExpectedBox("bottle", None),)),
        ("all", (ExpectedBox("dent", None),)),
        ("all", (ExpectedBox("scratch", None),)),
    }
