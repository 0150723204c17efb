"""CVAT for images 1.1: `annotations.xml`; boxes say which model found them, tags the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from edge_daemon.collecting.formats.dataset import (
    MARKER,
    MOST_LABEL_BYTES,
    Boxed,
    Dataset,
    Item,
    Label,
    Labels,
    reading,
)
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Verdict
from edge_daemon.documents import read_text

_VERDICTS = {"ok", "ng"}


def write(data: Dataset, folder: Path) -> None:
    """Below a folder that is there; the pictures lie in `images/`."""
    root = ET.Element("annotations")
    _text(root, "version", "1.1")
    meta = ET.SubElement(root, "meta")
    _text(meta, "source", MARKER)
    labels = ET.SubElement(ET.SubElement(meta, "task"), "labels")
    for name in data.classes:
        label = ET.SubElement(labels, "label")
        _text(label, "name", name)
        _text(label, "type", "rectangle")
        attributes = ET.SubElement(label, "attributes")
        for attribute in ("model", "confidence"):
            _attribute(attributes, attribute)
    for verdict in sorted(_VERDICTS):
        label = ET.SubElement(labels, "label")
        _text(label, "name", verdict)
        _text(label, "type", "tag")
        ET.SubElement(label, "attributes")
    for number, item in enumerate(data.items):
        _image(root, number, item)
    ET.indent(root)
    ET.ElementTree(root).write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)


def _attribute(parent: ET.Element, name: str) -> None:
    attribute = ET.SubElement(parent, "attribute")
    _text(attribute, "name", name)
    _text(attribute, "mutable", "False")
    _text(attribute, "input_type", "text")
    _text(attribute, "default_value", "")
    _text(attribute, "values", "")


def _image(root: ET.Element, number: int, item: Item) -> None:
    width, height = item.record.size
    image = ET.SubElement(
        root,
        "image",
        id=str(number),
        name=item.name,
        width=str(width),
        height=str(height),
    )
    if item.truth is not None:
        for each in item.truth:
            _box(image, each, "manual", "")
    else:
        for opinion in item.opinions:
            for each in opinion.boxes:
                _box(image, each, "auto", opinion.model)
    if item.verdict is not None:
        ET.SubElement(image, "tag", label=item.verdict, source="manual")


def _box(image: ET.Element, boxed: Boxed, source: str, model: str) -> None:
    x1, y1, x2, y2 = (f"{value:.2f}" for value in boxed.box)
    box = ET.SubElement(
        image,
        "box",
        label=boxed.label,
        source=source,
        occluded="0",
        xtl=x1,
        ytl=y1,
        xbr=x2,
        ybr=y2,
        z_order="0",
    )
    for name, value in (
        ("model", model),
        ("confidence", "" if boxed.confidence is None else f"{boxed.confidence:.4f}"),
    ):
        _text(box, "attribute", value).set("name", name)


def _text(parent: ET.Element, tag: str, text: str) -> ET.Element:
    made = ET.SubElement(parent, tag)
    made.text = text
    return made


def read(file: Path) -> Labels:
    """A task's export. Raises SenderError.

    Boxes of several models on one picture are the first one's where nobody has chosen: what a
    person leaves of them is what counts.
    """
    with reading(file, "CVAT for images"):
        text = read_text(file, MOST_LABEL_BYTES)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("it defines entities")
        root = ET.fromstring(text)  # noqa: S314 - entities are refused above
        labels = list(_labels(root))
    return Labels(labels, is_ours=root.findtext("meta/source") == MARKER)


def _labels(root: ET.Element) -> Iterator[Label]:
    if root.tag != "annotations":
        raise ValueError("it holds no annotations")
    for image in root.iter("image"):
        boxes = []
        for each in image.iter("box"):
            numbers = [float(each.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
            if not all(map(math.isfinite, numbers)):
                raise ValueError("a box is no number")
            x1, y1, x2, y2 = numbers
            boxes.append(ExpectedBox(each.attrib["label"], (x1, y1, x2, y2)))
        tags = [each.attrib["label"] for each in image.iter("tag")]
        verdict = next((Verdict(tag) for tag in tags if tag in _VERDICTS), None)
        yield Label(Path(image.attrib["name"]).name, tuple(boxes), verdict)
