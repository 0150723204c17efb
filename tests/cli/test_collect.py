"""`collect`: what is kept, out to be labelled and back, also while the station is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge_daemon.cli.checks.finding import Level
from edge_daemon.cli.checks.machine import disks
from edge_daemon.cli.checks.pictures import check_pictures
from edge_daemon.cli.collected import catalogue_of
from edge_daemon.cli.main import app
from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.config import CollectSettings, load
from edge_daemon.errors import SenderError
from tests.collecting.album import album
from tests.sim.folders import lent_folder, nobody
from tests.sim.settings_file import settings_file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a station that is stopped, with 12 pictures, 4 of them labelled."""
    album(tmp_path / "kept", 12, labelled=4)
    return settings_file(tmp_path, collect={"folder": str(tmp_path / "kept")})


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["collect", *words, "--config", str(config)])


def answer(config: Path, *words: str) -> Any:
    done = run(config, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_status_counts_by_reason_and_says_what_is_known(config: Path) -> None:
    told = answer(config, "status")
    assert told["pictures"] == 12
    assert told["reasons"] == {"audit": 8, "disagreement": 4}
    assert told["labelled"] == 4
    assert told["recall"] is not None
    words = run(config, "status").stdout
    assert "12 pictures in" in words
    assert "precision:" in words


@pytest.mark.parametrize("mode", [0o000, 0o744])
def test_a_folder_that_may_not_be_read_is_not_empty(mode: int) -> None:
    kept = lent_folder("kept")
    album(kept, 2)
    kept.chmod(mode)
    with nobody(), pytest.raises(SenderError, match="may not be read by this user"):
        catalogue_of(CollectSettings(folder=kept))


@pytest.mark.parametrize("wanted", ["coco", "yolo", "label-studio", "cvat"])
def test_export_writes_a_folder(config: Path, tmp_path: Path, wanted: str) -> None:
    told = answer(config, "export", "--format", wanted, str(tmp_path / "set"))
    assert told["pictures"] == 12
    assert len(list((tmp_path / "set" / "images").rglob("*.jpg"))) == 12
    again = run(config, "export", "--format", wanted, str(tmp_path / "set"))
    assert again.exit_code == 1
    assert "is not empty" in again.stderr


def test_export_for_training_takes_what_people_labelled(config: Path, tmp_path: Path) -> None:
    told = answer(config, "export", "--format", "coco", str(tmp_path / "set"), "--labelled")
    assert told["pictures"] == 4


def test_an_unknown_format_or_reason_is_a_wrong_usage(config: Path, tmp_path: Path) -> None:
    done = run(config, "export", "--format", "voc", str(tmp_path / "set"))
    assert done.exit_code == 2
    assert "Use coco, yolo, label-studio, cvat." in done.stderr
    assert run(config, "purge", "--reason", "boredom").exit_code == 2
    assert not (tmp_path / "set").exists()


def test_export_of_nothing_is_one_sentence(config: Path, tmp_path: Path) -> None:
    done = run(config, "export", "--format", "coco", str(tmp_path / "set"), "--reason", "drift")
    assert done.exit_code == 1
    assert done.stderr.startswith("There is no picture to export.")
    assert not (tmp_path / "set").exists()


def test_purge_takes_only_what_it_is_told(config: Path, tmp_path: Path) -> None:
    assert run(config, "purge").exit_code == 2, "nothing says which"
    assert run(config, "purge", "--older-than-days", "1e300").exit_code == 2
    assert answer(config, "purge", "--older-than-days", "36500") == {"deleted": 0}
    assert answer(config, "purge", "--labelled") == {"deleted": 4}
    assert answer(config, "purge", "--reason", "disagreement") == {"deleted": 2}
    assert answer(config, "purge", "--all") == {"deleted": 6}
    assert list(Catalogue(tmp_path / "kept")) == []


def test_the_audit_is_what_the_audit_has_drawn(config: Path, tmp_path: Path) -> None:
    """Its reason holds for every part. A purge takes what the status counts by this reason."""
    for path in (tmp_path / "kept").rglob("*-b1.json"):
        plain = json.loads(path.read_text())
        plain["parts"][0]["audited"] = plain["reason"] == "audit"
        path.write_text(json.dumps(plain))
    told = answer(config, "export", "--format", "coco", str(tmp_path / "set"), "--reason", "audit")
    assert told["pictures"] == answer(config, "status")["reasons"]["audit"] == 8
    assert answer(config, "purge", "--reason", "audit") == {"deleted": 8}
    assert answer(config, "status")["reasons"] == {"disagreement": 4}


def test_where_nothing_is_collected_it_is_said(tmp_path: Path) -> None:
    done = run(settings_file(tmp_path), "status")
    assert done.exit_code == 1
    assert "No pictures are collected here." in done.stderr


def test_labels_come_back_though_the_station_is_stopped(config: Path, tmp_path: Path) -> None:
    """They lie beside the pictures; the station is told when it runs."""
    answer(config, "export", "--format", "label-studio", str(tmp_path / "set"))
    done = run(config, "import", str(tmp_path / "set" / "tasks.json"), "--by", "kim", "--local")
    assert done.exit_code == 0, done.output
    assert "Labelled: 4 pictures." in done.stdout
    assert "Import the file again when it runs." in done.stderr


def test_an_export_that_nobody_looked_through_is_no_truth(config: Path, tmp_path: Path) -> None:
    """Its boxes are the models' own."""
    answer(config, "export", "--format", "cvat", str(tmp_path / "set"))
    file = str(tmp_path / "set" / "annotations.xml")
    done = run(config, "import", file)
    assert done.exit_code == 1
    assert "add --reviewed" in done.stderr
    assert answer(config, "status")["labelled"] == 4
    told = answer(config, "import", file, "--reviewed", "--local")
    assert told["labelled"] == 4, "the others say no verdict, and the store has no recipe"
    assert len(told["undecided"]) == 8


def test_labels_of_other_pictures_are_a_failure(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [], "annotations": []}'
    )
    done = run(config, "import", str(file))
    assert done.exit_code == 1
    assert "a.jpg" in done.stderr


def test_push_sends_what_waits(config: Path, tmp_path: Path) -> None:
    """Once; where nothing is named to send them to, it says so."""
    assert "No place is named" in run(config, "push").stderr
    document = json.loads(config.read_text())
    document["collect"]["push"] = {"folder": str(tmp_path / "share"), "by_itself": False}
    config.write_text(json.dumps(document))
    away = run(config, "push")
    assert away.exit_code == 1
    assert "12 wait: the place to copy to is not there. Is it mounted" in away.stderr
    (tmp_path / "share").mkdir()
    assert answer(config, "push")["sent"] == 12
    assert answer(config, "push")["sent"] == 0


def test_check_looks_at_the_folder_and_at_the_place_to_send_to(
    config: Path, tmp_path: Path
) -> None:
    """A share that is not mounted is named before the first picture waits for it."""
    document = json.loads(config.read_text())
    document["collect"]["push"] = {"folder": str(tmp_path / "share")}
    config.write_text(json.dumps(document))
    (away,) = [each for each in check_pictures(load(config)) if each.name == "collect.push"]
    assert away.level is Level.ERROR
    (tmp_path / "share").mkdir()
    (there,) = [each for each in check_pictures(load(config)) if each.name == "collect.push"]
    assert there.level is Level.OK
    assert "collect.folder" in [each.name for each in disks(load(config))]


def test_a_folder_that_is_not_there_is_no_empty_one(config: Path, tmp_path: Path) -> None:
    """Its disk is not mounted, or a file lies in its place: nothing is counted, sent or made."""
    kept, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    kept.rename(tmp_path / "aside")
    document = json.loads(config.read_text())
    document["collect"]["push"] = {"folder": str(share)}
    config.write_text(json.dumps(document))
    labels = tmp_path / "labels.json"
    labels.write_text("[]")
    asked = (
        ("status",),
        ("purge", "--all"),
        ("export", "--format", "coco", str(tmp_path / "set")),
        ("import", str(labels)),
        ("push",),
    )
    for words in asked:
        done = run(config, *words)
        assert done.exit_code == 1, words
        assert done.stderr.startswith(f"{kept} is not there. Is its disk mounted?"), words
    assert not kept.exists()
    kept.write_text("a file")
    assert f"{kept} is no folder." in run(config, "status").stderr


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", "[1, 2]", "Label Studio: something in it is of another kind"),
        ("b.json", "{}", "COCO: 'images' is missing."),
        ("c.json", '{"images": 7}', "COCO: something in it is of another kind"),
        ("d.json", '[{"data": {}}]', "Label Studio: 'annotations' is missing."),
        ("e.json", "[]", "holds no labels. Label pictures in the tool"),
        ("f.xml", "<a>", "CVAT for images: no element found"),
        ("g.yaml", "names: 3", "YOLO: something in it is of another kind"),
        ("h.yaml", ": : :", "h.yaml is not YAML"),
        ("i.txt", "", "is in no known format"),
    ],
)
def test_a_file_that_holds_no_labels_is_said_in_words(
    config: Path, tmp_path: Path, name: str, content: str, why: str
) -> None:
    """Words of people, not of Python, and nothing is labelled by it."""
    file = tmp_path / name
    file.write_text(content)
    done = run(config, "import", str(file))
    assert done.exit_code == 1
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert answer(config, "status")["labelled"] == 4


def test_a_purge_that_the_disk_ends_says_how_far_it_came(config: Path, tmp_path: Path) -> None:
    """The third picture cannot be taken away: the two before it are gone, the others stay."""
    third = [each.path for each in Catalogue(tmp_path / "kept")][2]
    third.with_suffix(".truth.json").unlink()
    third.with_suffix(".truth.json").mkdir()
    done = run(config, "purge", "--all")
    assert done.exit_code == 1
    assert done.stdout == "Deleted: 2 pictures.\n"
    assert done.stderr.startswith("10 stay: Is a directory.")
    assert len(list(Catalogue(tmp_path / "kept"))) == 10


def test_labels_that_the_disk_does_not_take_are_imported_again(
    config: Path, tmp_path: Path
) -> None:
    run(config, "export", "--format", "label-studio", str(tmp_path / "set"))
    third = [each.path for each in Catalogue(tmp_path / "kept")][2]
    beside = third.with_suffix(".truth.json")
    beside.unlink()
    beside.mkdir()
    file = str(tmp_path / "set" / "tasks.json")
    done = run(config, "import", "--reviewed", file)
    assert done.exit_code == 1
    assert done.stderr.startswith("Not all labels could be written beside their pictures")
    assert "Then import the file again" in done.stderr
    assert answer(config, "status")["labelled"] == 3
    beside.rmdir()
    assert answer(config, "import", "--reviewed", file)["labelled"] == 4
    assert answer(config, "status")["labelled"] == 4
