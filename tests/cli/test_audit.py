"""`edge-daemon audit verify --head`: a head kept elsewhere, typed or in a saved message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.audit import MOST_HEADS, read_heads
from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.main import app
from edge_daemon.host.audit import Anchor, AuditRow
from edge_daemon.host.journal import Entry, Journal
from tests.sim.settings_file import settings_file

HASH = "ab" * 32


class Stopped:
    """A station that does not run, with a trail of ten rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = settings_file(folder)
        self.heads = [self._commit(5), self._commit(5)]

    def _commit(self, rows: int) -> Anchor:
        journal = Journal.open(self.folder / "state" / "cam1")
        journal.commit(Entry(audit=tuple(AuditRow(float(n), "order") for n in range(rows))))
        head = journal.audit_head()
        journal.close()
        return head

    def run(self, *arguments: str) -> tuple[int, str]:
        words = ["audit", *arguments, "--config", str(self.config)]
        result = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
        return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def station(tmp_path: Path) -> Stopped:
    return Stopped(tmp_path)


def test_the_head_is_shown_as_it_is_typed(station: Stopped) -> None:
    """What `audit verify` shows can be given back later."""
    head = station.heads[1]
    typed = f"{head.seq}:{head.hash}"
    assert "The head is row 10" in station.run()[1]
    code, output = station.run("verify")
    assert (code, typed in output, "kept elsewhere" in output) == (0, True, True)
    code, output = station.run("verify", "--head", typed)
    assert (code, "It contains the head given." in output) == (0, True)


def test_a_head_that_the_trail_does_not_contain_is_a_failure(station: Stopped) -> None:
    """Another hash, and a row beyond the trail's end: each says so and ends with 1."""
    code, output = station.run("verify", "--head", f"5:{HASH}")
    assert (code, "Row 5 is not what it was" in output) == (1, True)
    code, output = station.run("verify", "--head", f"11:{HASH}")
    assert (code, "the trail ends at row 10" in output) == (1, True)


def test_saved_messages_are_read(station: Stopped) -> None:
    """A health message, an answer with a receipt, lines of a log with others between them."""
    old, new = ({"seq": head.seq, "hash": head.hash} for head in station.heads)
    saved = station.folder / "saved"
    saved.write_text(json.dumps({"state": "good", "audit": new}, indent=2))
    assert station.run("verify", "--head", str(saved))[0] == 0
    answer = {"id": "1", "status": "succeeded", "receipt": {"to": "bottle@1.0.0", "audit": old}}
    log = {"event": "audit_head", "level": "info", **new}
    saved.write_text(f"{json.dumps(answer)}\n\nnot JSON\n[[[\n{json.dumps(log)}\n")
    code, output = station.run("verify", "--head", str(saved))
    assert (code, "It contains all 2 heads given." in output) == (0, True)
    saved.write_text(json.dumps({"receipt": {"audit": {**old, "hash": HASH}}}))
    assert station.run("verify", "--head", str(saved))[0] == 1


@pytest.mark.parametrize(
    "given", ["12", f"0:{HASH}", f"5:{HASH[1:]}", f"5:{HASH}0", "/", "/nowhere", ""]
)
def test_what_is_no_head_is_wrong_usage(station: Stopped, given: str) -> None:
    """One sentence, and nothing is read or verified: no evidence is never a pass."""
    assert station.run("verify", "--head", given)[0] == 2


def test_a_file_without_a_head_is_wrong_usage(tmp_path: Path) -> None:
    """Also one with more heads than a question may carry, and one that nests for ever."""
    saved = tmp_path / "saved"
    many = "\n".join(json.dumps({"seq": n, "hash": HASH}) for n in range(1, MOST_HEADS + 2))
    for text in ("{}", "", '{"audit":{"seq":0,"hash":"0"}}', "[" * 100_000, many):
        saved.write_text(text)
        with pytest.raises(WrongUsage):
            read_heads(str(saved))


def test_a_head_is_given_to_verify_only(station: Stopped) -> None:
    """Without `verify` nothing would be held against it."""
    assert station.run("--head", f"5:{HASH}")[0] == 2


def test_the_clock_is_trusted_again_on_record(station: Stopped) -> None:
    """Also while the daemon is stopped."""
    assert station.run("trust-clock")[0] == 0
    assert "trust-clock" in station.run()[1]
    assert station.run("verify")[0] == 0


def test_what_a_row_holds_is_told_in_words(station: Stopped) -> None:
    """Tables within it and lists too: no braces, no quotes, and digests are short."""
    body = {
        "model": "bottle@1.1.0",
        "lineage": {"parent": "1.0.0", "datasets": [{"name": "line3", "sha256": HASH}]},
        "checks": [{"name": "blind", "passed": True}, {"name": "recipe.weaker", "passed": False}],
        "products": ["BTL-500", "BTL-330"],
    }
    journal = Journal.open(station.folder / "state" / "cam1")
    journal.commit(Entry(audit=(AuditRow(11.0, "bundle", json.dumps(body).encode()),)))
    journal.close()
    said = station.run("--limit", "1")[1]
    assert (
        "model bottle@1.1.0, lineage (parent 1.0.0, datasets (name line3, sha256 abababababab…)), "
        "checks 1 of 2 passed, products BTL-500 BTL-330" in said
    )
