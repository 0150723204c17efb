"""A derived bundle: its number, its manifest, and when it must be made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import BoxError, BundleError
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.versions import order_of
from edge_daemon.optimize import derived
from edge_daemon.optimize.derived import Box, built_for, current, next_version, write_bundle

PARENT = Path("edge_daemon/demo/bundles/bottle/1.1.0")
BOX = Box("a processor", "none", {"openvino": "2026.1"})
NEWER = Box("a processor", "none", {"openvino": "2026.2"})


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "bottle" / "1.1.0+openvino"
    weights = folder / "weights_openvino_model"
    weights.mkdir(parents=True)
    (weights / "weights.xml").write_text("<net/>")
    write_bundle(PARENT, folder, weights.name, folder.name, "openvino", BOX)
    return folder


def test_it_is_a_bundle_with_its_parents_recipe_and_golden_images(made: Path) -> None:
    """The gate treats it like any other: nothing that it checks is lost on the way."""
    parent, child = read_manifest(PARENT), read_manifest(made)
    assert (child.recipe, child.limits, child.golden) == (
        parent.recipe,
        parent.limits,
        parent.golden,
    )
    assert (child.classes, child.products, child.imgsz) == (
        parent.classes,
        parent.products,
        parent.imgsz,
    )
    assert child.lineage["parent"] == "1.1.0"
    assert child.lineage["parent_sha256"] == parent.weights.sha256
    assert child.lineage["parent_manifest_sha256"] == parent.sha256
    assert child.lineage["dataset"] == parent.lineage["dataset"]


def test_it_is_made_anew_when_the_box_has_changed(made: Path) -> None:
    """Device, driver and libraries are its key: on another box it is another engine."""
    parent, child = read_manifest(PARENT), read_manifest(made)
    assert built_for(child) == ("openvino", BOX.plain())
    assert current([child], "openvino", BOX) is child
    assert current([child], "openvino", NEWER) is None
    assert current([child], "onnx", BOX) is None
    assert current([], "openvino", BOX) is None
    assert built_for(parent) is None


def test_an_engine_of_an_engine_is_not_made() -> None:
    """Its number would be that of no release."""
    with pytest.raises(BundleError, match="has a local part already"):
        next_version("1.1.0+openvino", "onnx", ())


def test_its_number_lies_between_its_parent_and_the_next_release() -> None:
    """The newest version of a name is the engine of the newest release."""
    first = next_version("1.4.0", "openvino", [])
    second = next_version("1.4.0", "openvino", [first])
    third = next_version("1.4.0", "openvino", [first, second])
    assert (first, second, third) == (
        "1.4.0+openvino",
        "1.4.0+openvino.2",
        "1.4.0+openvino.3",
    )
    ordered = ["1.4.0", first, second, third, "1.4.1"]
    assert sorted([first, third, ordered[-1], second, ordered[0]], key=order_of) == ordered


def test_an_engine_of_an_engine_is_refused() -> None:
    """Errors add up from one to the next: each is made from the weights that were trained."""
    with pytest.raises(BundleError, match="local part"):
        next_version("1.4.0+openvino", "onnx", [])


def test_tensorrt_runs_under_the_version_that_built_it_only(tmp_path: Path) -> None:
    """Its engines are native code; elsewhere they are refused before they are loaded."""
    folder = tmp_path / "bottle" / "1.1.0+tensorrt"
    folder.mkdir(parents=True)
    (folder / "weights.engine").write_bytes(b"engine")
    box = Box("Orin 8.7", "540.4", {"tensorrt": "10.3.0"})
    write_bundle(PARENT, folder, "weights.engine", folder.name, "tensorrt", box)
    assert read_manifest(folder).requires == {"ultralytics": ">=8.3,<9", "tensorrt": "==10.3.0"}


def test_a_box_without_the_library_says_what_to_install() -> None:
    """The optional dependency is named as one types it."""
    with pytest.raises(BoxError) as raised:
        derived.this_box("tensorrt", None)
    assert "edge-daemon[tensorrt]" in raised.value.hint
