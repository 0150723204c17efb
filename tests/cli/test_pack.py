"""From weights to judged pictures with real ones: pack, verify, judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon.models.manifest import parse_manifest
from edge_daemon.models.picture_size import picture_size
from tests.collecting.album import album
from tests.sim.command import command

BUNDLE = Path("edge_daemon/demo/bundles/bottle/1.1.0")
NAMES = ("dent", "scratch", "bottle")


def run(*arguments: str) -> tuple[int, str]:
    return command("models", *arguments)


@pytest.fixture
def station(tmp_path: Path) -> Path:
    settings = {
        "device": "cam",
        "camera": {"source": "conveyor:"},
        "models": {"store": "models", "trust": {"required": False}},
        "state_dir": "state",
    }
    (tmp_path / "models").mkdir()
    file = tmp_path / "station.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """The demo's golden images with their boxes, as a YOLO data set with its own class order."""
    for image in parse_manifest((BUNDLE / "model.yaml").read_bytes()).golden:
        boxes = image.expectation.boxes
        if boxes is None:
            continue
        name = f"val/{image.expectation.slice}/{Path(image.image).name}"
        picture, label = (tmp_path / f"set/{kind}/{name}" for kind in ("images", "labels"))
        for path in (picture, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUNDLE / image.image, picture)
        width, height = picture_size(picture) or (1, 1)
        lines = []
        for box in boxes:
            x1, y1, x2, y2 = box.box
            centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
            side = ((x2 - x1) / width, (y2 - y1) / height)
            lines.append(" ".join(map(str, (NAMES.index(box.label), *centre, *side))))
        label.with_suffix(".txt").write_text("\n".join(lines))
    file = tmp_path / "set/data.yaml"
    file.write_text(f"val: images/val\nnames: {json.dumps(NAMES)}\n")
    return file


@pytest.mark.model
@pytest.mark.timeout(300)
def test_weights_become_a_bundle_whose_verdicts_are_right(
    station: Path, data_set: Path, tmp_path: Path
) -> None:
    """Two commands: what was packed is in the store, and judges its own pictures without a fault;
    a threshold that is far too high shows as escapes in the sweep, with a plot."""
    given = ("--reject", "scratch,dent", "--golden", str(data_set), "--config", str(station))
    code, output = run(
        *("pack", str(BUNDLE / "weights.pt"), "--name", "flask", "--version", "2.0.0"),
        *(*given, "--part", "bottle", "--add", "--json"),
        *("--dataset", "line3-2026-10", "--run", "r1", "--parent", "1.9.0"),
    )
    assert code == 0, output
    packed = _json(output)
    assert (packed["model"], packed["imgsz"], packed["task"]) == ("flask@2.0.0", 320, "detect")
    assert packed["golden"] == 21
    assert packed["recipe"]["part"] == "bottle"
    _, output = run("show", "flask@2.0.0", "--json", "--config", str(station))
    lineage = _json(output)["lineage"]
    assert (lineage["dataset"], lineage["run"]) == ("line3-2026-10", "r1")
    assert lineage["parent"] == "1.9.0"
    report = tmp_path / "report"
    code, output = run(
        *("judge", "flask@2.0.0", str(data_set), "--sweep", "--to", str(report)),
        *("--config", str(station), "--json"),
    )
    assert code == 0, output
    judged = _json(output)
    assert len(judged["pictures"]) == 21
    assert set(judged["slices"]) == {"normal", "low_light"}
    assert (judged["verdicts"]["escaped"], judged["verdicts"]["rejected"]) == (0, 0)
    assert judged["verdicts"]["ng"] >= 12
    (strictest,) = [p for p in judged["sweep"]["scratch"] if p["confidence"] == 0.95]
    assert strictest["escaped"] > 0
    assert (report / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((report / "report.json").read_text()) == judged


@pytest.mark.model
@pytest.mark.timeout(300)
def test_pictures_that_were_labelled_here_prove_the_next_bundle(
    station: Path, tmp_path: Path
) -> None:
    """Those that do not train, a slice for each reason; without labels the next step is named."""
    document = yaml.safe_load(station.read_text())
    station.write_text(yaml.safe_dump({**document, "collect": {"folder": "kept"}}))
    made = ("pack", str(BUNDLE / "weights.pt"), "--name", "flask", "--version", "2.0.0")
    given = ("--reject", "scratch,dent", "--golden", "collected:", "--config", str(station))
    code, output = run(*made, *given, "--to", str(tmp_path / "bundle"))
    assert code == 1
    assert "edge-daemon collect import" in output
    album(tmp_path / "kept", 40, labelled=40)
    code, output = run(*made, *given, "--to", str(tmp_path / "bundle"), "--json")
    assert code == 0, output
    assert _json(output)["golden"] == 8
    manifest = parse_manifest((tmp_path / "bundle" / "model.yaml").read_bytes())
    assert {image.expectation.slice for image in manifest.golden} == {"audit", "disagreement"}


@pytest.mark.model
@pytest.mark.timeout(300)
def test_what_came_out_wrong_is_drawn(station: Path, data_set: Path, tmp_path: Path) -> None:
    """A recipe that rejects bottles: every picture is wrong, and there to be looked at. One that
    cannot be read is named, and keeps no other from being judged."""
    place = tmp_path / "upside-down"
    code, output = run(
        *("pack", str(BUNDLE / "weights.pt"), "--name", "flask", "--version", "1"),
        *("--reject", "bottle", "--to", str(place)),
    )
    assert code == 0, output
    assert "nothing proves its verdicts" in output
    good = tmp_path / "sorted/ok"
    good.mkdir(parents=True)
    for picture in sorted(data_set.parent.rglob("*.jpg"))[:3]:
        shutil.copy(picture, good)
    (good / "broken.jpg").write_bytes(b"no picture")
    report = tmp_path / "report"
    code, output = run(
        *("judge", str(place), str(good.parent), "--to", str(report), "--config", str(station))
    )
    assert code == 1, "what could not be judged is no success"
    assert "broken.jpg was not judged: The image broken.jpg is not a picture" in output
    assert "ng (bottle), labelled ok" in output
    (unread,) = json.loads((report / "report.json").read_text())["unread"]
    assert unread["picture"].endswith("broken.jpg")
    assert len(list((report / "wrong").glob("*-ok-called-ng-*.jpg"))) == 3


def test_weights_that_are_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """In the caged worker, and nothing is left behind."""
    weights = tmp_path / "best.pt"
    weights.write_bytes(b"no weights at all")
    code, output = run(
        *("pack", str(weights), "--name", "a", "--version", "1", "--to", str(tmp_path / "out"))
    )
    assert code == 1
    assert "best.pt" in output
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--add", "--to", "out"), "--add and --to exclude each other."),
        (("--golden", "nowhere"), "There is no nowhere."),
    ],
)
def test_a_slip_is_told_before_the_weights_are_read(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    """Reading them takes long; these would be refused as well."""
    weights = tmp_path / "best.pt"
    weights.write_bytes(b"no weights at all")
    code, output = run("pack", str(weights), "--name", "a", "--version", "1", *options)
    assert code == 2
    assert says in output


def _json(output: str) -> Any:
    return json.loads(output[output.index("{\n") :])
