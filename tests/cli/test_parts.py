"""`parts`: what became of a part is found by its id or serial, also while the daemon is stopped."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.config import load
from edge_daemon.core.parts.counts import Counter
from edge_daemon.core.parts.values import By, PartOutcome
from edge_daemon.core.values import Assignment, BundleRef, Instant, Verdict
from edge_daemon.frames.part_pictures import PartPictures, RetentionLimits
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.messaging import part_payloads
from tests.frames.test_images import judged
from tests.sim.command import command
from tests.sim.device import Device
from tests.sim.settings_file import settings_file

MADE = Assignment(1, "BTL-500", "WO-17")


def told(number: int, verdict: Verdict, *causes: str, serial: str | None = None) -> PartOutcome:
    at = Instant(float(number), 1_780_000_000.0 + number)
    return PartOutcome(
        *(number, f"SN-{number}", By.TRIGGER, verdict, None, causes, (number,), at, at),
        *(BundleRef("bottle", "1.4.0"), "9f", None, MADE, serial, 38.2),
        late=False,
        trial=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a station that is stopped."""
    return settings_file(tmp_path)


@pytest.fixture
def counted(config: Path) -> Path:
    """It judged three parts before."""
    parts = [
        told(0, Verdict.OK, serial="=1+1"),
        told(1, Verdict.NG, "scratch", "dent"),
        told(2, Verdict.NG, "dent"),
    ]
    counter = Counter((), None, 1_780_000_000.0)
    for each in parts:
        counter.add(each, 1_780_000_000.0)
    rows = tuple(
        PartRow(
            *("b", each.part, 0.0, each.id, each.serial, each.verdict.value),
            part_payloads.part("b", each),
        )
        for each in parts
    )
    folder = load(config).state_folder
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.open(folder)
    counts = part_payloads.keep_counts(counter.counts)
    journal.commit(Entry(parts=PartsEntry(rows, counts, 100, -1.0)))
    journal.close()
    return config


def run(config: Path, *arguments: str) -> tuple[int, str]:
    return command("parts", *arguments, config=config)


def test_the_newest_parts_are_listed_first(counted: Path) -> None:
    """As a table, as JSON, as CSV; no cell is a formula to a spreadsheet."""
    code, output = run(counted, "list", "--json", "--limit", "2")
    assert code == 0
    assert [each["part"] for each in json.loads(output)] == [2, 1]
    _, table = run(counted, "list")
    assert table.index("SN-2") < table.index("SN-0")
    _, text = run(counted, "list", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["SN-2", "SN-1", "SN-0"]
    assert rows[1]["causes"] == "scratch dent"
    assert (rows[2]["serial"], rows[2]["picture"]) == ("'=1+1", "")


def test_a_part_is_found_by_id_or_serial(counted: Path) -> None:
    """What it was judged and by which model; none found is told in a sentence."""
    code, output = run(counted, "find", "SN-1")
    assert code == 0
    assert "verdict: ng" in output
    assert "causes: scratch dent" in output
    assert "model: bottle@1.4.0" in output
    assert json.loads(run(counted, "find", "=1+1", "--json")[1])[0]["part"] == 0
    code, output = run(counted, "find", "SN-9")
    assert code == 1
    assert "No part SN-9 is on record." in output


def test_counts_are_told_by_verdict_and_cause(counted: Path) -> None:
    """The most frequent cause first."""
    _, output = run(counted, "counts")
    assert "Order WO-17 of BTL-500" in output
    assert "3 parts, 1 ok, 2 ng" in output
    assert output.index("dent") < output.index("scratch")
    order = json.loads(run(counted, "counts", "--json")[1])["order"]
    assert (order["parts"], order["causes"]) == (3, {"scratch": 1, "dent": 2})
    assert "order,cause:dent,2" in run(counted, "counts", "--csv")[1]


def test_a_station_that_counts_no_parts_says_so(config: Path) -> None:
    """With the next step; two forms at once are none."""
    folder = load(config).state_folder
    folder.mkdir(parents=True)
    Journal.open(folder).close()
    code, output = run(config, "counts")
    assert code == 1
    assert "No part was counted here." in output
    assert run(config, "list")[0] == 0
    assert run(config, "list", "--json", "--csv")[0] == 2


def test_a_tune_is_previewed_by_the_running_daemon() -> None:
    """What is no tune is refused before anybody is asked; a preview changes nothing."""
    with Device("bottle@1.0.0") as device:
        device.await_active("bottle@1.0.0")

        def tune(*arguments: str) -> Result:
            given = ["tune", "bottle", *arguments, "--config", str(device.config)]
            return CliRunner().invoke(app, given)

        assert tune().exit_code == 2
        assert tune("scratch.confidence=high").exit_code == 2
        assert tune("scratch.confidence=0.5", "--reset").exit_code == 2
        said = tune("scratch.confidence=0.5", "--preview", "10")
        assert said.exit_code == 1
        assert "scratch.confidence is not adjustable" in said.output
        said = tune("scratch.confidence=0.5", "--local", "--reason", "r")
        assert said.exit_code == 1
        assert "(precondition_failed)" in said.output
        said = tune("--reset", "--local")
        # What the daemon of this process logs meanwhile goes to the command's stderr.
        assert (said.exit_code, said.stdout.strip()) == (0, "It counts from the next frame on.")


def test_a_part_is_found_with_its_pictures(counted: Path, tmp_path: Path) -> None:
    """By serial or id; the first one alone in a table, all of them for a program."""
    document = json.loads(counted.read_text())
    folder = tmp_path / "kept"
    counted.write_text(json.dumps({**document, "results": {"pictures": {"folder": str(folder)}}}))
    pictures = PartPictures(folder, RetentionLimits(10**7), "b", lambda: 0.0)
    for frame in (1, 2):
        pictures.write(judged(frame), b"jpeg")
    pictures.told([told(1, Verdict.NG, "scratch"), replace(told(2, Verdict.NG), frames=(1, 2))])
    pictures.close()
    said = CliRunner().invoke(app, ["parts", "find", "SN-2", "--config", str(counted), "--json"])
    assert said.exit_code == 0, said.output
    (part,) = json.loads(said.stdout)
    assert len(part["pictures"]) == 2
    assert part["picture"] == part["pictures"][0]
    assert all(Path(each).read_bytes() == b"jpeg" for each in part["pictures"])
    said = CliRunner().invoke(app, ["parts", "find", "SN-0", "--config", str(counted), "--json"])
    assert [part["pictures"] for part in json.loads(said.stdout)] == [[]]
