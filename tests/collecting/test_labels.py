"""Labels come back by the pictures' names, become truth beside them, and words on their parts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.collecting import labels
from edge_daemon.collecting.catalogue import Catalogue, Truth, sampled
from edge_daemon.collecting.exports import dataset, export
from edge_daemon.collecting.formats.dataset import Label, Labels
from edge_daemon.collecting.labels import PartLabel
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Recipe, Verdict
from edge_daemon.errors import SenderError
from tests.collecting.album import CLASSES, TRUE_BOX, album

RECIPE = Recipe.rejecting(0.4, "scratch", "dent")
FILES = {
    "coco": "annotations/instances_train.json",
    "yolo": "dataset.yaml",
    "label-studio": "tasks.json",
    "cvat": "annotations.xml",
}


def recipe_of(model: str) -> Recipe | None:
    return RECIPE if model == "bottle@1.4.0" else None


@pytest.mark.parametrize("kind", FILES)
def test_what_goes_out_comes_back(tmp_path: Path, kind: str) -> None:
    """Labelled on one station, exported, and read on another that has the same pictures."""
    here, there = album(tmp_path / "here", 8, labelled=8), album(tmp_path / "there", 8)
    export(dataset(list(here), CLASSES), kind, tmp_path / "set")
    joined = labels.join(
        labels.read(tmp_path / "set" / FILES[kind], there), there, recipe_of, "kim", 5.0
    )
    assert not joined.unknown
    assert not joined.undecided
    assert len(joined.known) >= 6, "at least those that train"
    before = {each.record.name: each.truth for each in here}
    for picture, truth in joined.known:
        there.note(picture, truth)
        expected = before[picture.record.name]
        assert expected is not None
        assert truth.verdict is expected.verdict
        assert [box.label for box in truth.boxes or ()] == [b.label for b in expected.boxes or ()]
        for found, wanted in zip(truth.boxes or (), expected.boxes or (), strict=True):
            assert found.box == pytest.approx(wanted.box, abs=0.5)
    noted = [each for each in there if each.truth is not None]
    assert len(noted) == len(joined.known)
    assert {each.truth.by for each in noted if each.truth} == {"kim"}


def test_a_picture_that_goes_before_its_label_is_written(tmp_path: Path) -> None:
    """The quota took it: no label lies there alone, and it is named with the unknown ones."""
    catalogue = album(tmp_path, 3)
    told = Labels([Label(each.record.name, (), Verdict.OK) for each in catalogue])
    joined = labels.join(told, catalogue, recipe_of, "kim", 5.0)
    (first, _), (second, _), (third, _) = joined.known
    catalogue.remove(first)
    second.path.unlink()
    joined = labels.noted(joined, catalogue)
    assert [picture.record.name for picture, _ in joined.known] == [third.record.name]
    assert joined.unknown == [first.record.name, second.record.name]
    assert len(list(tmp_path.rglob("*.truth.json"))) == 1


def test_a_label_becomes_a_word_on_its_part(tmp_path: Path) -> None:
    """By boot and number of the part that the picture shows."""
    catalogue = album(tmp_path, 4)
    names = [each.record.name for each in catalogue]
    said = Labels(
        [
            Label(f"{names[0]}.jpg", (ExpectedBox("scratch", TRUE_BOX),)),
            Label(f"upload/7f3a/{names[1]}.png", ()),
            Label(names[2], None, Verdict.NG),
            Label("20261118T110640000Z-000000099-b1.jpg", ()),
            Label("holiday.jpg", ()),
        ]
    )
    joined = labels.join(said, catalogue, recipe_of, "kim", 5.0)
    assert labels.words(joined) == [
        PartLabel("b1", 0, Verdict.NG),
        PartLabel("b1", 1, Verdict.OK),
        PartLabel("b1", 2, Verdict.NG),
    ]
    assert list(joined.unknown) == ["20261118T110640000Z-000000099-b1.jpg", "holiday.jpg"]


def test_boxes_alone_say_nothing_without_the_recipe(tmp_path: Path) -> None:
    catalogue = album(tmp_path, 1)
    (picture,) = catalogue
    said = Labels([Label(picture.record.name, ())])
    joined = labels.join(said, catalogue, lambda _: None, "kim", 5.0)
    assert list(joined.undecided) == [picture.record.name]
    assert not joined.known


@pytest.mark.parametrize(
    "name", ["labels.txt", "gone.json", "gone.xml", "gone.yaml", "folder.json"]
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    with pytest.raises(SenderError):
        labels.read(tmp_path / name, Catalogue(tmp_path))


HUGE = "1" + "0" * 400
"""A whole number of JSON that no float can hold."""
BOXED = '{"type": "rectanglelabels", "original_width": %s, "original_height": 10, "value": %s}'
VALUE = '{"x": 1, "y": 1, "width": 1, "height": 1, "rectanglelabels": ["can"]}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", '{"images": [], "categories": []}'),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "c"}'
            f'], "annotations": [{{"image_id": 1, "category_id": 1, "bbox": [{HUGE}, 1, 1, 1]}}]}}',
        ),
        (
            "a.json",
            '[{"data": {"name": "a"}, "annotations": [{"result": [{"type": "choices", '
            '"value": {"choices": []}}]}]}]',
        ),
        (
            "a.json",
            f'[{{"data": {{"name": "a"}}, "annotations": [{{"result": ['
            f"{BOXED % (HUGE, VALUE)}]}}]}}]",
        ),
        (
            "a.json",
            f'[{{"data": {{"name": "a"}}, "annotations": [{{"result": ['
            f"{BOXED % (10, VALUE.replace('1,', 'null,', 1))}]}}]}}]",
        ),
        ("a.xml", "<annotations><image"),
        ("a.xml", "<annotations><image name='a'><box label='can' xtl='1'/></image></annotations>"),
        ("a.yaml", "names: 5"),
        ("a.yaml", "names: [can]"),
    ],
    ids=[
        "deep",
        "no-annotations",
        "coco-huge",
        "no-choice",
        "huge",
        "null",
        "cut",
        "no-corner",
        "no-names",
        "no-folder",
    ],
)
def test_a_malformed_file_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str
) -> None:
    """Whatever is wrong with it: no traceback, and the file is named."""
    (tmp_path / name).write_text(content)
    with pytest.raises(SenderError, match=name):
        labels.read(tmp_path / name, Catalogue(tmp_path))


def test_a_truth_that_is_broken_is_none(tmp_path: Path) -> None:
    """Whatever somebody wrote into the folder, the pictures stay."""
    catalogue = album(tmp_path, 1, labelled=1)
    (picture,) = catalogue
    assert picture.truth is not None
    for content in ("", "[]", '{"verdict": "maybe", "boxes": null, "by": "", "utc": 0}'):
        picture.path.with_suffix(".truth.json").write_text(content)
        (again,) = catalogue
        assert again.truth is None


def test_labels_are_samples_of_all_parts(tmp_path: Path) -> None:
    """With the probability of each, and the verdict that its part was told with."""
    catalogue = album(tmp_path, 6, labelled=6)
    found = [sampled(each) for each in catalogue]
    assert [each.is_rejected for each in found if each] == [True, False, False] * 2
    assert [each.probability for each in found if each] == [1.0, 0.02, 0.02] * 2
    assert [each.is_bad for each in found if each] == [False, True] * 3


def test_golden_images_are_those_that_did_not_train(tmp_path: Path) -> None:
    """A slice for each reason; boxes where they say what the person said, else the verdict."""
    catalogue = album(tmp_path, 40, labelled=40)
    found = labels.golden(catalogue, CLASSES, ("scratch", "dent"))
    training = {
        item.record.name for item in dataset(list(catalogue)).items if item.split == "train"
    }
    assert found
    assert not training & {each.path.stem for each in found}
    assert {each.slice for each in found} <= {"audit", "disagreement"}
    assert all(each.boxes is not None and each.verdict is None for each in found)


def test_a_golden_image_says_what_the_person_said(tmp_path: Path) -> None:
    """A bad part without a box, and a class that the next model does not have."""
    catalogue = album(tmp_path, 1)
    (picture,) = catalogue
    catalogue.note(picture, Truth(Verdict.NG, ()))
    (only,) = labels.golden(catalogue, CLASSES, ("scratch",))
    assert (only.boxes, only.verdict) == (None, Verdict.NG)
    catalogue.note(picture, Truth(Verdict.NG, (ExpectedBox("crack", TRUE_BOX),)))
    assert labels.golden(catalogue, CLASSES, ("scratch",)) == ()


def test_a_second_label_takes_the_place_of_the_first(tmp_path: Path) -> None:
    catalogue = album(tmp_path, 1, labelled=1)
    (picture,) = catalogue
    catalogue.note(picture, replace(picture.truth or Truth(Verdict.OK), verdict=Verdict.NG))
    (again,) = catalogue
    assert again.truth is not None
    assert again.truth.verdict is Verdict.NG
    assert json.loads(again.path.with_suffix(".truth.json").read_text())["by"] == "kim"
