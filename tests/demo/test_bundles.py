"""The shipped demo models are what the demo says of them, and their golden images can prove it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import Evidence, WarmUp, assess
from edge_daemon.core.golden import Golden
from edge_daemon.core.recipe import judge
from edge_daemon.core.values import Detection, Verdict
from edge_daemon.core.verdicts import Picture, Reference, expected_verdict
from edge_daemon.demo.barrier import STATION
from edge_daemon.demo.conveyor import Conveyor, Light
from edge_daemon.demo.stage import BELT, BUNDLES
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.decoding import decode_image
from edge_daemon.models.engine import Pixels, UltralyticsEngine
from edge_daemon.models.manifest import Manifest

INCUMBENT, BETTER, BLIND, GOOD = (f"bottle/1.{minor}.0" for minor in (0, 1, 5, 6))
SHIPPED = (INCUMBENT, BETTER, BLIND, GOOD, "can/1.0.0")
SIZE = (640, 480)
MOST_BYTES = 10_000_000
ENOUGH = 3  # parts of one kind
_NOISE = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
NOTHING = {"black": np.zeros_like(_NOISE), "white": np.full_like(_NOISE, 255), "noise": _NOISE}


def manifest(name: str) -> Manifest:
    return read_manifest(BUNDLES / name)


def expected(read: Manifest, light: str) -> list[Verdict | None]:
    """What its golden images in this light must come out as."""
    return [
        expected_verdict(image.expectation, read.recipe, SIZE)
        for image in read.golden
        if image.expectation.slice == light
    ]


def test_every_version_is_tested_here_and_all_weights_are_small() -> None:
    """Ten megabytes in all: they are installed with the daemon."""
    found = {str(path.parent.relative_to(BUNDLES)) for path in BUNDLES.glob("*/*/model.yaml")}
    assert found == set(SHIPPED)
    assert sum(path.stat().st_size for path in BUNDLES.glob("*/*/weights.pt")) <= MOST_BYTES


@pytest.mark.parametrize("name", SHIPPED)
def test_its_files_are_the_ones_of_its_manifest(name: str) -> None:
    """Weights and golden images have the digests that are declared, and there are no others."""
    read, folder = manifest(name), BUNDLES / name
    declared = {read.weights.file: read.weights.sha256}
    declared |= {image.image: image.sha256 or "" for image in read.golden}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "model.yaml"]
    assert {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    } == declared
    assert read.notes == ()


@pytest.mark.parametrize("name", SHIPPED)
def test_its_golden_images_show_good_and_flawed_parts(name: str) -> None:
    """A gate has evidence of escapes and of false rejects, in both lights; but for the candidate
    whose golden images are too few: it shows no flawed part in low light."""
    read = manifest(name)
    normal, low = expected(read, "normal"), expected(read, "low_light")
    assert normal.count(Verdict.NG) >= 6
    assert normal.count(Verdict.OK) >= 4
    assert low.count(Verdict.OK) >= 3
    assert low.count(Verdict.NG) == 0 if name == BLIND else low.count(Verdict.NG) >= 4


# --------------------------------------------------------------------------- the networks


@dataclass(frozen=True)
class Order:
    weights: Path
    confidence: float
    task: str = "detect"
    imgsz: int = 320
    device: str = "cpu"
    half: bool = False


Look = Callable[[str, Pixels], tuple[Detection, ...]]
models = pytest.mark.filterwarnings("default")  # torch warns of its own affairs when imported


@pytest.fixture(scope="module")
def look() -> Look:
    """What a shipped model finds on a picture."""
    engines: dict[str, UltralyticsEngine] = {}

    def find(name: str, picture: Pixels) -> tuple[Detection, ...]:
        if name not in engines:
            engines[name] = UltralyticsEngine(threads=1)
            read = manifest(name)
            engines[name].load(Order(BUNDLES / name / read.weights.file, read.recipe.confidence))
        return engines[name].infer(picture).detections

    return find


def found_of(look: Look, name: str, kind: str, light: Light) -> tuple[int, int]:
    """(parts of this kind that come out ng, such parts): the first ones of the demo's line."""
    line, recipe = Conveyor(belt=BELT), manifest(name).recipe
    found = there = 0
    for place in range(2000):
        index = round(line.reaches(place, STATION)) + 1
        if kind in line.flaws(place, "bottle") and line.light(index, "bottle") == light:
            picture = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
            line.draw(index, "bottle", picture)
            there += 1
            found += judge(look(name, picture), recipe, SIZE) is Verdict.NG
            if there == ENOUGH:
                break
    return found, there


@pytest.mark.model
@models
def test_the_better_version_finds_what_the_first_one_misses(look: Look) -> None:
    """Curved scratches are let pass by the first version; dents and straight ones by none."""
    assert found_of(look, INCUMBENT, "scratch_curved", "normal") == (0, ENOUGH)
    assert found_of(look, BETTER, "scratch_curved", "normal") == (ENOUGH, ENOUGH)
    for name in (INCUMBENT, BETTER):
        for kind in ("scratch_straight", "dent"):
            assert found_of(look, name, kind, "normal") == (ENOUGH, ENOUGH)


@pytest.mark.model
@models
def test_one_candidate_is_blind_in_low_light_alone(look: Look) -> None:
    """It is as good as the others in normal light, and lets all pass where the light is low."""
    for kind in ("scratch_straight", "scratch_curved", "dent"):
        assert found_of(look, BLIND, kind, "normal") == (ENOUGH, ENOUGH)
        assert found_of(look, BLIND, kind, "low_light") == (0, ENOUGH)
        assert found_of(look, BETTER, kind, "low_light") == (ENOUGH, ENOUGH)
        assert found_of(look, GOOD, kind, "low_light") == (ENOUGH, ENOUGH)


def golden(look: Look, name: str, incumbent: str | None) -> tuple[Golden, ...]:
    read, made = manifest(name), []
    for image in read.golden:
        picture = decode_image(BUNDLES / name / image.image)
        old = look(incumbent, picture) if incumbent else None
        made.append(
            Golden(image.expectation, look(name, picture), old, image.sha256, SIZE),
        )
    return tuple(made)


@pytest.mark.model
@models
@pytest.mark.parametrize(
    ("name", "incumbent"),
    [(INCUMBENT, None), (BETTER, INCUMBENT), (BLIND, BETTER), (GOOD, BETTER), ("can/1.0.0", None)],
)
def test_its_golden_images_let_it_through_the_gate(
    look: Look, name: str, incumbent: str | None
) -> None:
    """No image is judged wrongly, and none better by the version before, and pictures of nothing
    show no part. The blind candidate's images show nothing of what it cannot see: only the line
    itself can tell."""
    read = manifest(name)
    reference = None
    if incumbent is not None:
        old = manifest(incumbent)
        shown = tuple((image.sha256, image.expectation) for image in old.golden)
        reference = Reference(str(old.ref), old.recipe, golden=shown)
    images = golden(look, name, incumbent)
    facts = Compatibility("detect", "detect", read.classes, read.classes)
    evidence = Evidence(
        facts,
        warm_ups=(WarmUp(*SIZE, images[0].candidate, finite=True),),
        recipe=read.recipe,
        reference=reference,
        nothing=tuple(Picture(word, look(name, shown), SIZE) for word, shown in NOTHING.items()),
        golden=images,
    )
    report = assess(evidence, read.limits)
    assert report.passed, report.message
    measured = {check.name: check.measured for check in report.checks}
    assert measured["golden.escape"] == measured["golden.false_reject"] == 0.0
    assert measured["blind"] == 0
