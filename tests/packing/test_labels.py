"""Labelled pictures are read as the tools that label them write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Verdict
from edge_daemon.errors import SenderError
from edge_daemon.packing.labels import Labelled, read_labelled
from tests.sim.bundles import grey_png
from tests.sim.photographs import photograph

CLASSES = ("bottle", "scratch", "dent")
WIDTH, HEIGHT = 200, 100


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(grey_png(WIDTH, HEIGHT, 90))
    return path


def label(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def read(source: Path) -> dict[str, Labelled]:
    return {each.path.stem: each for each in read_labelled(source, CLASSES)}


def test_yolo_labels_beside_the_pictures(tmp_path: Path) -> None:
    """Shares of the picture become pixels; a picture without a label file shows nothing."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "dim/b.png")
    label(tmp_path / "a.txt", "1 0.5 0.5 0.25 0.5", "", "0 0.1 0.5 0.2 1.0")
    found = read(tmp_path)
    assert found["a"].boxes == (
        ExpectedBox("scratch", (75.0, 25.0, 125.0, 75.0)),
        ExpectedBox("bottle", (0.0, 0.0, 40.0, 100.0)),
    )
    assert (found["a"].slice, found["b"].slice) == ("all", "dim")
    assert found["b"].boxes == ()


def test_labels_of_a_photograph_are_of_the_upright_one(tmp_path: Path) -> None:
    """People label what they see, and so does the model judge it: EXIF turns the picture."""
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    (tmp_path / "a.jpg").write_bytes(photograph(upright, 6))
    label(tmp_path / "a.txt", "1 0.5 0.5 0.25 0.5")
    assert read(tmp_path)["a"].boxes == (ExpectedBox("scratch", (75.0, 25.0, 125.0, 75.0)),)


def test_a_polygon_is_the_box_round_it(tmp_path: Path) -> None:
    """Labels for segmentation prove boxes, too."""
    picture(tmp_path / "a.png")
    label(tmp_path / "a.txt", "2 0.1 0.2 0.5 0.1 0.3 0.8")
    assert read(tmp_path)["a"].boxes == (ExpectedBox("dent", (20.0, 10.0, 100.0, 80.0)),)


def test_a_data_set_names_its_classes_in_its_own_order(tmp_path: Path) -> None:
    """The test pictures where there are any, else val; labels lie in labels/; slices by folder."""
    for part, name in (("train", "t"), ("val", "v")):
        picture(tmp_path / f"images/{part}/low_light/{name}.png")
        label(tmp_path / f"labels/{part}/low_light/{name}.txt", "0 0.5 0.5 0.5 0.5")
    names = {0: "dent", 1: "bottle"}
    text = f"path: .\ntrain: images/train\nval: images/val\nnames: {json.dumps(names)}\n"
    (tmp_path / "data.yaml").write_text(text.replace('"0"', "0").replace('"1"', "1"))
    found = read(tmp_path / "data.yaml")
    assert list(found) == ["v"]
    assert found["v"].slice == "low_light"
    assert [box.label for box in found["v"].boxes or ()] == ["dent"]


def test_a_list_of_pictures_is_read_as_one(tmp_path: Path) -> None:
    """`val: list.txt`, with paths as seen from it."""
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    label(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "list.txt").write_text("images/a.png\n")
    (tmp_path / "data.yml").write_text("val: list.txt\nnames: [bottle]\n")
    assert list(read(tmp_path / "data.yml")) == ["a"]


def test_coco_annotations(tmp_path: Path) -> None:
    """In pixels from the upper left corner; a crowd is no object."""
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    annotations = [
        {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 200, 100], "iscrowd": 1},
    ]
    images = [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances.json").write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 3, "name": "scratch"}],
            }
        )
    )
    found = read(tmp_path)
    assert found["a"].boxes == (ExpectedBox("scratch", (10.0, 20.0, 40.0, 60.0)),)
    assert found["b"].boxes == ()


def test_folders_named_ok_and_ng_give_the_verdict_alone(tmp_path: Path) -> None:
    """As people sort pictures who draw no boxes; other names of folders are slices."""
    for path in ("ok/a", "NG/b", "night/good/c", "bad/night/d"):
        picture(tmp_path / f"{path}.png")
    found = read(tmp_path)
    assert {name: (each.verdict, each.slice) for name, each in found.items()} == {
        "a": (Verdict.OK, "all"),
        "b": (Verdict.NG, "all"),
        "c": (Verdict.OK, "night"),
        "d": (Verdict.NG, "night"),
    }
    assert all(each.boxes is None for each in found.values())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("9 0.5 0.5 0.1 0.1", "a.txt:1: is no label of one of these classes"),
        ("0 0.5 0.5 0.1", "is no label"),
        ("0 0.5 0.5 nan 0.1", "is no label"),
        ("-1 0.5 0.5 0.1 0.1", "does not have"),
        ("0 0.9 0.5 0.5 0.1", "lies outside its picture"),
        ("0 0.5 0.5 0 0.1", "lies outside its picture"),
        ("scratch 0.5 0.5 0.1 0.1", "is no label"),
    ],
)
def test_a_wrong_label_is_named_with_its_line(line: str, words: str, tmp_path: Path) -> None:
    """A label that means nothing would prove nothing."""
    picture(tmp_path / "a.png")
    label(tmp_path / "a.txt", line)
    with pytest.raises(SenderError, match=words):
        read(tmp_path)


COCO = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "categories": [{"id": 3, "name": "scratch"}],
    "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 900, 5]}],
}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"c.json": json.dumps(COCO)}, "a box of a.png lies outside the picture"),
        ({"c.json": "[" * 100_000}, "holds no COCO annotations"),
        ({"c.json": "{}", "annotations/d.json": "{}"}, "several annotation files: .*c.json"),
    ],
    ids=["outside", "nested", "two files"],
)
def test_annotations_that_prove_nothing_are_refused(
    files: dict[str, str], words: str, tmp_path: Path
) -> None:
    """Each in a sentence, however they are damaged."""
    picture(tmp_path / "a.png")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(SenderError, match=words):
        read(tmp_path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("val:", "names no pictures"),
        ("val: nowhere", "nowhere is not there; .*data.yaml names it under val"),
        ("val: list.txt", r"list\.txt:1: has the byte 0xFC, which is not UTF-8"),
    ],
)
def test_a_data_set_without_its_pictures_is_refused(lines: str, words: str, tmp_path: Path) -> None:
    """With the file and the key that names what is lacking."""
    (tmp_path / "list.txt").write_bytes(b"r\xfcck.png\n")
    (tmp_path / "data.yaml").write_text(f"names: [scratch]\n{lines}\n")
    with pytest.raises(SenderError, match=words):
        read_labelled(tmp_path / "data.yaml", ("scratch",))


def test_what_says_nothing_is_refused_with_the_next_step(tmp_path: Path) -> None:
    """No pictures, no labels, a class that the model lacks, two contradicting folders."""
    with pytest.raises(SenderError, match="holds no pictures"):
        read(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(SenderError, match="Nothing says what"):
        read(tmp_path)
    label(tmp_path / "a.txt", "0 0.5 0.5 0.1 0.1")
    (tmp_path / "classes.txt").write_text("lid\n")
    with pytest.raises(SenderError, match="names 'lid', which the model does not have"):
        read(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"r\xfcck\n")
    with pytest.raises(SenderError, match=r"classes\.txt:1: has the byte 0xFC, which is not UTF-8"):
        read(tmp_path)
    both = tmp_path / "both"
    picture(both / "ok/ng/a.png")
    with pytest.raises(SenderError, match="say both"):
        read(both)
    (both / "wrong.json").write_text("{}")
    with pytest.raises(SenderError, match="no COCO annotations"):
        read(both)
