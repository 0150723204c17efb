"""What lies in the store where no bundle does: each is named, and none is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.models.misplaced import misplaced, place_of, visible_folders
from tests.sim.bundles import make_bundle


def found(root: Path) -> dict[str, str]:
    return {place: error.message for place, error in misplaced(root)}


def test_a_store_as_it_should_be_has_none(tmp_path: Path) -> None:
    """NAME/VERSION, and whatever a bundle holds."""
    make_bundle(tmp_path, "bottle@1.0.0")
    make_bundle(tmp_path, "can@2.0.0")
    assert found(tmp_path) == {}


def test_a_file_among_the_names_is_named(tmp_path: Path) -> None:
    """Weights that somebody copied without their folder."""
    (tmp_path / "best.pt").write_bytes(b"x")
    assert found(tmp_path) == {"best.pt": "best.pt is no folder of a bundle."}


def test_a_file_among_the_versions_is_named_with_its_model(tmp_path: Path) -> None:
    """Where to look for it."""
    make_bundle(tmp_path, "bottle@1.0.0")
    (tmp_path / "bottle" / "notes.txt").write_text("x")
    assert list(found(tmp_path)) == ["bottle/notes.txt"]


def test_a_bundle_without_its_version_is_told_where_it_belongs(tmp_path: Path) -> None:
    """The commonest mistake when it is copied by hand."""
    bundle = make_bundle(tmp_path, "bottle@1.0.0")
    bundle.rename(tmp_path / "can")
    ((place, error),) = misplaced(tmp_path)
    assert place == "can"
    assert error.hint == "Move the bundle to can/VERSION."


@pytest.mark.parametrize("name", [".incoming", "lost+found"])
def test_what_is_not_meant_for_us_is_passed_over(tmp_path: Path, name: str) -> None:
    """A file system's own folder, and what is on its way in."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "x").write_text("x")
    assert found(tmp_path) == {}


def test_a_store_that_is_not_there_has_none(tmp_path: Path) -> None:
    """It is made at the first start."""
    assert found(tmp_path / "nowhere") == {}
    assert visible_folders(tmp_path / "nowhere") == ()


def test_folders_are_listed_in_order(tmp_path: Path) -> None:
    """Without what begins with a dot, and without files."""
    for name in ("b", "a", ".c"):
        (tmp_path / name).mkdir()
    (tmp_path / "d").write_text("x")
    assert [each.name for each in visible_folders(tmp_path)] == ["a", "b"]


def test_a_place_is_named_within_the_store(tmp_path: Path) -> None:
    """The path of the box is nobody's business."""
    assert place_of(tmp_path / "bottle" / "1.0.0") == "bottle/1.0.0"
