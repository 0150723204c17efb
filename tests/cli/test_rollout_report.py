"""`rollouts report`: as text, JSON and a page, on the audit trail, and verified later."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge_daemon.cli.main import app
from edge_daemon.cli.report_page import page
from edge_daemon.config import load
from edge_daemon.control.rollout_rows import pair_row
from edge_daemon.core.rollout.evidence import Place
from edge_daemon.core.rollout.report import digest
from edge_daemon.core.rollout.values import Outcome
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import REPORT_KIND, RolloutsEntry
from tests.sim import browser
from tests.sim.rollout_pairs import pair
from tests.sim.rollout_record import ROLLOUT, keep, progress, row
from tests.sim.settings_file import settings_file


class Stopped:
    """A station that is stopped, with one rollout on record."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        rollouts = {"costs": {"missed": 12.0, "false_reject": 0.8, "currency": "EUR"}}
        self.config = settings_file(folder, **{"rollouts": rollouts, **more})
        self.state = load(self.config).state_folder

    def ask(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["rollouts", "report", *words, "--config", str(self.config)])

    def page(self) -> Path:
        path = self.folder / "report.html"
        assert self.ask(ROLLOUT, "--html", str(path)).exit_code == 0
        return path


@pytest.fixture
def station(tmp_path: Path) -> Stopped:
    made = Stopped(tmp_path)
    keep(made.state, progress())
    return made


def test_the_text_tells_what_to_do_and_what_was_not_measured(station: Stopped) -> None:
    told = station.ask(ROLLOUT).stdout
    assert "bottle@2.0.0 beside bottle@1.0.0" in told
    assert "8 of 8 pairs of blocks were measured" in told
    assert "memory: not measured" in told
    assert "temperature: not measured" in told


def test_show_lists_the_parts_that_want_a_label_and_not_what_was_said(tmp_path: Path) -> None:
    """Of the two models' words nothing is told; whose label is missing is named by id or number."""
    station = Stopped(tmp_path)
    made = progress()
    keep(station.state, made)
    pairs = [pair(Outcome.ONLY_INCUMBENT, 8), pair(Outcome.NEITHER, 9), pair(Outcome.BOTH, 10)]
    rows = [pair_row(each, Place(each.outcome, ())) for each in pairs]
    journal = Journal.open(station.state)
    try:
        kept = tuple(replace(each, rollout=ROLLOUT, boot="b", id=None) for each in rows)
        named = replace(kept[1], id="SN-9")
        labelled = replace(kept[0], part=7, truth="ng")
        entry = RolloutsEntry(row(made), (kept[0], named, kept[2], labelled))
        journal.commit(Entry(rollouts=entry))
    finally:
        journal.close()
    words = ["rollouts", "show", ROLLOUT, "--config", str(station.config)]
    told = CliRunner().invoke(app, words).stdout.splitlines()
    begins = next(n for n, each in enumerate(told) if "want a label" in each)
    names = [each.split("  ")[2] for each in told[begins + 1 : begins + 3]]
    assert names == ["SN-9", "8 --boot b"], "the incumbent's word stands for what both reject"
    assert not {"only_incumbent", "neither"} & set(" ".join(told).split())
    assert "parts that one of both rejects: 3" in " ".join(told)


def test_each_report_is_on_the_audit_trail_with_its_digest(station: Stopped) -> None:
    """As a receipt: the report names the head before it, and the next row holds its digest."""
    made = json.loads(station.ask("--json").stdout)
    journal = Journal.open(station.state)
    try:
        rows = [link for link in journal.audit_rows() if link.row.kind == REPORT_KIND]
        assert [json.loads(link.row.body)["sha256"] for link in rows] == [made["sha256"]]
        assert (rows[0].seq, rows[0].prev_hash) == (made["audit"]["seq"] + 1, made["audit"]["hash"])
        assert journal.audit_faults() == []
    finally:
        journal.close()
    assert made["cost_per_1000_parts"]["currency"] == "EUR"


@pytest.mark.parametrize("kind", ["json", "html"])
def test_a_report_that_was_kept_is_verified(station: Stopped, kind: str) -> None:
    path = station.page()
    if kind == "json":
        path = station.folder / "report.json"
        path.write_text(station.ask("--json").stdout)
    told = station.ask("--verify", str(path))
    assert told.exit_code == 0, told.output
    assert f"{path} is the report of {ROLLOUT} in row" in told.stdout.replace("\n", "")


def sentence(told: Result) -> str:
    """What was complained of, on one line."""
    assert told.exit_code != 0
    assert "Traceback" not in told.output
    return " ".join((told.stderr or str(told.exception)).split())


def changed_data(path: Path) -> None:
    text = path.read_text()
    assert '"parts": 469' in text
    path.write_text(text.replace('"parts": 469', '"parts": 9469', 1))


def changed_words(path: Path) -> None:
    text = path.read_text()
    assert "<td" in text
    path.write_text(text.replace("469 parts were judged", "9469 parts were judged", 1))


def forged(path: Path) -> None:
    """With a digest of its own, but on no trail."""
    text = path.read_text()
    data = text.split('id="report">')[1].split("</script>")[0]
    report = json.loads(data)
    report["recommendation"] = {"do": "advance", "why": "It is good."}
    report["sha256"] = digest(report)
    path.write_text(page(report))


def incomplete(path: Path) -> None:
    """A page with a digest of its own, and hardly any data."""
    data = path.read_text().split('id="report">')[1].split("</script>")[0]
    report = {key: json.loads(data)[key] for key in ("report", "audit")}
    report["sha256"] = digest(report)
    path.write_text(f'<script type="application/json" id="report">{json.dumps(report)}</script>')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (incomplete, "what it shows is not its data"),
        (changed_data, "its figures are not those of its digest"),
        (changed_words, "what it shows is not its data"),
        (forged, "no report of this digest is on this station's audit trail"),
        (lambda path: path.write_text("{}"), "is no report of a rollout"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is UTF-16 text, not UTF-8"),
        (Path.unlink, "cannot be read"),
    ],
    ids=["hardly any data", "data", "words", "forged", "no report", "no text", "no file"],
)
def test_a_report_that_was_changed_is_found_out(station: Stopped, change: Any, words: str) -> None:
    path = station.page()
    change(path)
    assert words in sentence(station.ask("--verify", str(path)))


def test_an_unknown_rollout_is_one_sentence_and_leaves_no_row(station: Stopped) -> None:
    assert "No rollout r-9 is on record." in sentence(station.ask("r-9"))
    journal = Journal.open(station.state)
    try:
        assert REPORT_KIND not in {link.row.kind for link in journal.audit_rows()}
    finally:
        journal.close()


def test_a_rollout_without_evidence_is_reported_as_such(tmp_path: Path) -> None:
    station = Stopped(tmp_path, rollouts={})
    keep(station.state, progress((), 0))
    told = station.ask()
    assert told.exit_code == 0
    assert "Nothing was measured yet" in told.stdout
    text = station.page().read_text()
    assert "names no" in text or "name no rollouts.costs" in text


def test_evidence_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    station = Stopped(tmp_path)
    of = progress()
    of.blocks[2] = []
    keep(station.state, of, blocks="x")
    assert "cannot be read" in sentence(station.ask(ROLLOUT))


def test_verify_goes_alone_and_a_page_needs_a_folder(station: Stopped) -> None:
    assert "goes alone" in sentence(station.ask(ROLLOUT, "--verify", str(station.config)))
    assert "cannot be written" in sentence(station.ask("--html", str(station.folder / "no" / "f")))


@pytest.mark.browser
@pytest.mark.skipif(browser.program() is None, reason="no browser")
def test_the_page_is_read_in_a_browser_without_a_network(station: Stopped) -> None:
    path = station.page()
    text = path.read_text()
    assert "http://" not in text
    assert "https://" not in text
    with browser.Browser() as window:
        window.open(path.as_uri())
        window.wait_text("What would change it")
        read = window.text()
        assert "stage 1" in read
        assert "stage 0" not in read, "people count from 1, as rollouts show does"
        assert "not measured" in read
        assert "W (+" in read or "W (" in read
        assert "candidate less incumbent, 95 % interval" in read.lower().replace("\t", " ")
        for width in (1180, 390):
            window.resize(width, 800)
            over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert window.run(over) <= 0
        window.dark(True)
        window.picture(station.folder / "report.png", whole=True)
        assert window.errors == []


@pytest.mark.parametrize("words", [["show"], ["report"], ["audit"], ["replay"]], ids=str)
def test_where_nothing_was_rolled_out_the_way_to_begin_is_told(
    tmp_path: Path, words: list[str]
) -> None:
    made = Stopped(tmp_path)
    Journal.open(made.state).close()
    result = CliRunner().invoke(app, ["rollouts", *words, "--config", str(made.config)])
    assert result.exit_code == 1
    assert result.stderr.startswith("No rollout is on record. Begin one: edge-daemon rollout")
