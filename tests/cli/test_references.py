"""Models as people type them: what is meant is taken, what is not is told by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.references import model_choice, model_ref, ref_or_folder, two_models


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to type commands in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("given", ["bottle", "bottle@1.4.0", "bottle_v2@2026.11.1", "a-b@1.0-rc1"])
def test_names_and_versions_are_taken_as_they_are(given: str) -> None:
    """Nothing is connected for it, and no file is read."""
    assert model_choice(given) == given


def test_a_name_that_no_file_can_have_is_no_model() -> None:
    """It is told like any other word that is none."""
    for check in (model_ref, ref_or_folder):
        with pytest.raises(WrongUsage, match="is no model"):
            check("x" * 300)


def test_nothing_given_is_nothing_chosen() -> None:
    """An argument that may be left out."""
    assert model_choice(None) is None
    assert model_ref(None) is None
    assert two_models(None) is None


def test_a_version_is_asked_for_where_one_is_needed() -> None:
    """With an example of what to write."""
    assert model_ref("bottle@1.4.0") == "bottle@1.4.0"
    with pytest.raises(WrongUsage, match=r"bottle names no version.*bottle@1\.4\.0"):
        model_ref("bottle")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("best.pt", "is a file"),
        ("runs/detect/best.pt", "is a file"),
        ("model.yaml", "is a file"),
        ("models/bottle", "is a path"),
        ("", "is no model"),
        ("bottle@", "is no model"),
        ("@1.0.0", "is no model"),
        ("bottle@1@2", "is no model"),
        ("bottle 1.0.0", "is no model"),
        ("\x1b[31mred", "is no model"),
    ],
)
def test_what_is_no_model_is_told_by_what_it_is(given: str, said: str) -> None:
    """The next step is the same: what the store has, and how something comes into it."""
    with pytest.raises(WrongUsage) as caught:
        model_choice(given)
    assert said in caught.value.message
    assert "models list" in caught.value.hint
    assert "models add" in caught.value.hint


def test_what_steers_a_terminal_is_not_said_back() -> None:
    """It is shown as its codes."""
    with pytest.raises(WrongUsage) as caught:
        model_choice("\x1b[31mred")
    assert "\x1b" not in caught.value.message


def test_a_folder_is_told_as_one(somewhere: Path) -> None:
    """Where a model of the store is wanted."""
    (somewhere / "bundles" / "bottle").mkdir(parents=True)
    with pytest.raises(WrongUsage, match="is a folder"):
        model_choice("bundles/bottle")


def test_a_folder_of_a_model_s_name_does_not_hide_the_model(somewhere: Path) -> None:
    """People stand in the store when they type."""
    (somewhere / "bottle").mkdir()
    assert model_choice("bottle") == "bottle"


def test_a_bundle_may_be_given_by_its_folder_where_that_is_meant(somewhere: Path) -> None:
    """To verify or sign it before it is added."""
    (somewhere / "draft").mkdir()
    assert ref_or_folder("draft") == "draft"
    assert ref_or_folder("bottle@1.4.0") == "bottle@1.4.0"
    with pytest.raises(WrongUsage):
        ref_or_folder("bottle")


def test_a_drill_goes_from_one_model_to_another() -> None:
    """Twice the same would swap nothing."""
    pair = ("bottle@1.0.0", "bottle@2.0.0")
    assert two_models(pair) == pair
    with pytest.raises(WrongUsage, match="given twice"):
        two_models(("bottle@1.0.0", "bottle@1.0.0"))
    with pytest.raises(WrongUsage, match="names no version"):
        two_models(("bottle@1.0.0", "can"))
