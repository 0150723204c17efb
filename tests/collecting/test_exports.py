"""Each format is read back by the tool that it is made for, with equal counts and boxes."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from edge_daemon.collecting.exports import FORMATS, dataset, export
from edge_daemon.collecting.formats import coco, cvat, label_studio, yolo
from edge_daemon.collecting.formats.dataset import Dataset, Labels
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Box
from edge_daemon.errors import SenderError
from tests.collecting.album import CLASSES, SIZE, album
from tests.sim import labelling_tools

NEAR_PX = 0.5

Boxes = dict[str, list[tuple[str, Box]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """30 pictures of 30 parts, 10 of them labelled."""
    catalogue = album(tmp_path_factory.mktemp("kept"), 30, labelled=10)
    return dataset(list(catalogue), CLASSES)


@pytest.fixture
def made(data: Dataset, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / "set"
    export(data, request.param, folder)
    yield folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"], "a rest was left"


def shown(data: Dataset) -> Boxes:
    return {
        item.record.name: [(each.label, each.box) for each in item.boxes] for item in data.items
    }


def assert_equal(found: Boxes, data: Dataset) -> None:
    """The same pictures, and in each the same boxes of the same classes, to half a pixel."""
    wanted = shown(data)
    assert found.keys() == wanted.keys()
    for name, boxes in wanted.items():
        assert Counter(label for label, _ in found[name]) == Counter(label for label, _ in boxes)
        for (label, box), (other, read) in zip(sorted(boxes), sorted(found[name]), strict=True):
            assert label == other
            assert all(abs(a - b) <= NEAR_PX for a, b in zip(box, read, strict=True)), name


def read_back(labels: Labels) -> Boxes:
    return {
        Path(each.name).stem: [(box.label, box.box or (0, 0, 0, 0)) for box in each.boxes or ()]
        for each in labels.labels
    }


coco_made = pytest.mark.parametrize("made", ["coco"], indirect=True)
yolo_made = pytest.mark.parametrize("made", ["yolo"], indirect=True)
studio_made = pytest.mark.parametrize("made", ["label-studio"], indirect=True)
cvat_made = pytest.mark.parametrize("made", ["cvat"], indirect=True)


@coco_made
def test_pycocotools_reads_the_coco(made: Path, data: Dataset) -> None:
    """All splits together are all pictures; the models' own boxes load as results."""
    pycoco: Any = pytest.importorskip("pycocotools.coco")
    found: Boxes = {}
    for file in sorted((made / "annotations").glob("*.json")):
        with contextlib.redirect_stdout(io.StringIO()):
            tool = pycoco.COCO(str(file))
        names = {each["id"]: each["name"] for each in tool.loadCats(tool.getCatIds())}
        assert list(names.values()) == list(CLASSES)
        for image in tool.loadImgs(tool.getImgIds()):
            assert (made / "images" / image["file_name"]).is_file()
            boxes = []
            for each in tool.loadAnns(tool.getAnnIds(imgIds=[image["id"]])):
                x, y, w, h = each["bbox"]
                boxes.append((names[each["category_id"]], (x, y, x + w, y + h)))
            found[Path(image["file_name"]).stem] = boxes
        known = set(tool.getImgIds())
        results = json.loads((made / "predictions.json").read_text())
        ours = [each for each in results if each["image_id"] in known]
        with contextlib.redirect_stdout(io.StringIO()):
            assert len(tool.loadRes(ours).getAnnIds()) == len(ours)
    assert_equal(found, data)
    assert len(results) == sum(len(o.boxes) for item in data.items for o in item.opinions)


@yolo_made
def test_ultralytics_reads_the_yolo(made: Path, data: Dataset) -> None:
    """Its own check of a data set, and its own reading of each label file."""
    utils: Any = pytest.importorskip("ultralytics.data.utils")
    checked = utils.check_det_dataset(str(made / "dataset.yaml"), autodownload=False)
    assert list(checked["names"].values()) == list(CLASSES)
    found: Boxes = {}
    for split in ("train", "val", "test"):
        for picture in sorted(Path(checked[split]).iterdir()):
            label = utils.img2label_paths([str(picture)])[0]
            _, rows, _, _, _, missing, _, _, corrupt, message = utils.verify_image_label(
                (str(picture), label, "", False, len(CLASSES), 0, 0, False)
            )
            assert not missing + corrupt, message
            width, height = SIZE
            found[picture.stem] = [
                (
                    CLASSES[int(number)],
                    (
                        (x - w / 2) * width,
                        (y - h / 2) * height,
                        (x + w / 2) * width,
                        (y + h / 2) * height,
                    ),
                )
                for number, x, y, w, h in rows.tolist()
            ]
    assert_equal(found, data)
    beside = list((made / "predictions").rglob("*.txt"))
    assert {path.parent.name for path in beside} == {"bottle@1.4.0", "bottle@1.5.0"}
    assert len(beside) == 2 * len(data.items)


TASKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data", "annotations", "predictions"],
        "properties": {
            "data": {"type": "object", "required": ["image"]},
            "annotations": {"type": "array", "items": {"$ref": "#/$defs/results"}},
            "predictions": {
                "type": "array",
                "items": {
                    "allOf": [{"$ref": "#/$defs/results"}],
                    "required": ["model_version", "score"],
                    "properties": {"model_version": {"type": "string"}},
                },
            },
        },
    },
    "$defs": {
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "results": {
            "type": "object",
            "required": ["result"],
            "properties": {"result": {"type": "array", "items": {"$ref": "#/$defs/result"}}},
        },
        "result": {
            "type": "object",
            "required": ["id", "type", "from_name", "to_name", "value"],
            "oneOf": [
                {
                    "properties": {
                        "type": {"const": "rectanglelabels"},
                        "from_name": {"const": "label"},
                        "to_name": {"const": "image"},
                        "original_width": {"type": "integer"},
                        "original_height": {"type": "integer"},
                        "value": {
                            "type": "object",
                            "required": ["x", "y", "width", "height", "rectanglelabels"],
                            "properties": {
                                **{
                                    key: {"$ref": "#/$defs/percent"}
                                    for key in ("x", "y", "width", "height")
                                },
                                "rectanglelabels": {
                                    "type": "array",
                                    "items": {"enum": list(CLASSES)},
                                    "minItems": 1,
                                },
                            },
                        },
                    }
                },
                {
                    "properties": {
                        "type": {"const": "choices"},
                        "from_name": {"const": "verdict"},
                        "value": {
                            "type": "object",
                            "properties": {
                                "choices": {"type": "array", "items": {"enum": ["ok", "ng"]}}
                            },
                        },
                    }
                },
            ],
        },
    },
}
"""Label Studio's JSON of tasks (labelstud.io/guide/task_format, /predictions)."""


@studio_made
def test_label_studio_s_schema_holds_for_the_tasks(made: Path, data: Dataset) -> None:
    """Every model's boxes as a prediction of its version; people's as annotations."""
    tasks = json.loads((made / "tasks.json").read_text())
    jsonschema.validate(tasks, TASKS)
    assert len(tasks) == len(data.items)
    config = ET.fromstring((made / "config.xml").read_text())
    names = {each.attrib["name"]: each.tag for each in config if "toName" in each.attrib}
    assert names == {"label": "RectangleLabels", "verdict": "Choices"}
    used = {
        (each["from_name"], each["type"].lower())
        for task in tasks
        for said in (*task["annotations"], *task["predictions"])
        for each in said["result"]
    }
    assert used == {(name, tag.lower()) for name, tag in names.items()}
    for task in tasks:
        place = task["data"]["image"].partition("?d=")[2]
        assert (made / place).is_file()
        assert [each["model_version"] for each in task["predictions"]] == [
            "bottle@1.4.0",
            "bottle@1.5.0",
        ]
    found: Boxes = {}
    for task in tasks:
        said = (task["annotations"] or task["predictions"])[0]
        boxes = []
        for each in said["result"]:
            if each["type"] == "rectanglelabels":
                v = each["value"]
                x, y = v["x"] * SIZE[0] / 100, v["y"] * SIZE[1] / 100
                w, h = v["width"] * SIZE[0] / 100, v["height"] * SIZE[1] / 100
                boxes.append((v["rectanglelabels"][0], (x, y, x + w, y + h)))
        found[task["data"]["name"]] = boxes
    assert_equal(found, data)
    assert sum(bool(task["annotations"]) for task in tasks) == 10


@cvat_made
def test_cvat_s_elements_are_all_there(made: Path, data: Dataset) -> None:
    """CVAT for images 1.1: labels before use, boxes within their picture, attributes declared."""
    root = ET.parse(made / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    labels = {each.findtext("name"): each for each in root.iterfind("meta/task/labels/label")}
    assert list(labels) == [*CLASSES, "ng", "ok"]
    declared = {each.findtext("name") for each in labels["scratch"].iter("attribute")}
    images = root.findall("image")
    assert [each.attrib["id"] for each in images] == [str(n) for n in range(len(data.items))]
    for image in images:
        assert (made / "images" / image.attrib["name"]).is_file()
        width, height = int(image.attrib["width"]), int(image.attrib["height"])
        for box in image.iter("box"):
            assert box.attrib["label"] in labels
            assert {each.attrib["name"] for each in box.iter("attribute")} == declared
            left, top = float(box.attrib["xtl"]), float(box.attrib["ytl"])
            right, bottom = float(box.attrib["xbr"]), float(box.attrib["ybr"])
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
    models = Counter(
        each.text for each in root.iter("attribute") if each.attrib.get("name") == "model"
    )
    assert models["bottle@1.4.0"] > models["bottle@1.5.0"] > 0
    assert sum(1 for _ in root.iter("tag")) == 10


needs_tools = pytest.mark.skipif(not labelling_tools.is_installed(), reason=labelling_tools.MISSING)


@needs_tools
@pytest.mark.parametrize(
    ("made", "kind"), [("coco", "coco"), ("cvat", "cvat"), ("yolo", "yolo")], indirect=["made"]
)
def test_datumaro_reads_it(made: Path, kind: str, data: Dataset) -> None:
    """Where people have not looked yet, CVAT shows each model's boxes, with the model's name."""
    if kind == "yolo":
        shutil.copyfile(made / "dataset.yaml", made / "data.yaml")  # it looks for this name
    found = labelling_tools.read("datumaro", kind, str(made))
    shown_by = {item.record.name: item.by.replace("person", "") for item in data.items}
    boxes: Boxes = {
        name: [
            (label, tuple(box))
            for label, box, model in each
            if kind != "cvat" or model == shown_by[name]
        ]
        for name, each in found.items()
    }
    assert_equal(boxes, data)


@needs_tools
@studio_made
def test_label_studio_s_own_parser_and_converter_take_it(made: Path, data: Dataset) -> None:
    """It finds nothing wrong; submitted as they are, the boxes are ours."""
    found = labelling_tools.read("label-studio", str(made))
    assert found.pop("faults") == []
    boxes: Boxes = {
        name: [(label, tuple(box)) for label, box, _ in each] for name, each in found.items()
    }
    assert_equal(boxes, data)


# ------------------------------------------------------------------ read back by ourselves


@coco_made
def test_our_own_coco_reader(made: Path, data: Dataset) -> None:
    found: Boxes = {}
    for file in (made / "annotations").glob("*.json"):
        labels = coco.read(file)
        assert labels.is_ours
        found.update(read_back(labels))
    assert_equal(found, data)


@yolo_made
def test_our_own_yolo_reader(made: Path, data: Dataset) -> None:
    sizes = {item.record.name: item.record.size for item in data.items}
    labels = yolo.read(made / "dataset.yaml", sizes)
    assert labels.is_ours
    assert_equal(read_back(labels), data)


@studio_made
def test_our_own_label_studio_reader_takes_what_people_submitted(made: Path) -> None:
    labels = label_studio.read(made / "tasks.json")
    assert len(labels.labels) == 10
    assert all(each.verdict is not None for each in labels.labels)


@cvat_made
def test_our_own_cvat_reader(made: Path) -> None:
    labels = cvat.read(made / "annotations.xml")
    assert labels.is_ours
    assert len(labels.labels) == 30
    assert sum(each.verdict is not None for each in labels.labels) == 10


@pytest.mark.parametrize("read", [coco.read, label_studio.read, cvat.read])
@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]x",
        "<a/>",
        "nonsense",
        "[[]]",
        '<!DOCTYPE x [<!ENTITY a "b">]><annotations/>',
        '{"images": [{"id": 1}]}',
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [], "annotations":'
        ' [{"bbox": [1, 2, 3], "image_id": 1, "category_id": 1}]}',
        '<annotations><image name="a"><box label="x" xtl="nan" ytl="0" xbr="1" ybr="1"/></image>'
        "</annotations>",
    ],
)
def test_what_is_no_labels_is_refused_in_a_sentence(
    read: Any, content: str, tmp_path: Path
) -> None:
    file = tmp_path / "labels"
    file.write_text(content)
    with pytest.raises(SenderError, match="holds no labels that can be read as"):
        read(file)


@pytest.mark.parametrize("line", ["9 0.5 0.5 0.1 0.1", "0 0.5", "0 nan 0 1 1", "x", "0 1 2 3 4 5"])
def test_a_yolo_label_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(line)
    (tmp_path / "dataset.yaml").write_text("names: [x]\n")
    with pytest.raises(SenderError, match=r"a\.txt:1"):
        yolo.read(tmp_path / "dataset.yaml", {"a": (10, 10)})


# ------------------------------------------------------------------ all or nothing


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_to_export_writes_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SenderError, match="no picture to export"):
        export(dataset([]), kind, tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty_stays_as_it_is(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SenderError, match="is not empty"):
        export(data, "coco", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(SenderError, match="is no folder"):
        export(data, "coco", tmp_path / "mine.txt")


def test_an_empty_folder_is_filled(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    done = export(data, "coco", tmp_path / "set")
    assert done.pictures == 30
    assert sum(done.splits.values()) == 30
    assert done.boxes == sum(len(boxes) for boxes in shown(data).values())


@pytest.mark.parametrize("kind", FORMATS)
def test_what_goes_meanwhile_is_left_out(tmp_path: Path, kind: str) -> None:
    """A full quota takes the oldest away while it is copied: the others are a whole set."""
    found = dataset(list(album(tmp_path / "kept", 6)), CLASSES)
    for item in found.items[:2]:
        item.path.unlink()
    done = export(found, kind, tmp_path / "set")
    assert (done.pictures, done.gone, sum(done.splits.values())) == (4, 2, 4)
    assert len(list((tmp_path / "set/images").rglob("*.jpg"))) == 4
    text = "".join(path.read_text() for path in (tmp_path / "set").rglob("*.[jxt]*[!g]"))
    names = {path.stem for path in (tmp_path / "set").rglob("*") if path.is_file()}
    for item in found.items[:2]:
        assert item.record.name not in text
        assert item.record.name not in names


def test_where_all_went_nothing_is_left(tmp_path: Path) -> None:
    found = dataset(list(album(tmp_path / "kept", 2)), CLASSES)
    for item in found.items:
        item.path.unlink()
    with pytest.raises(SenderError, match="no picture to export"):
        export(found, "yolo", tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_box_beyond_the_picture_is_cut(tmp_path: Path) -> None:
    """People drag boxes over the edge; tools refuse labels that lie outside."""
    catalogue = album(tmp_path, 1, labelled=1)
    (each,) = catalogue
    assert each.truth is not None
    boxes = (ExpectedBox("dent", (-5.0, -5.0, 400.0, 50.0)), ExpectedBox("dent", (500, 0, 600, 9)))
    (item,) = dataset([replace(each, truth=replace(each.truth, boxes=boxes))]).items
    assert [each.box for each in item.boxes] == [(0.0, 0.0, 160.0, 50.0)]
