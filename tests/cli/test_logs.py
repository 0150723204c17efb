"""`logs` shows the daemon's lines to people: filtered, whole, never tripping over foreign text."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.logs import pretty
from edge_daemon.cli.main import app

LINES = [
    {"timestamp": "2026-11-22T10:00:00.250Z", "level": "info", "event": "started", "device": "c"},
    {"timestamp": "2026-11-22T10:00:01Z", "level": "info", "event": "swapped", "swap_id": "s1"},
    {"timestamp": "2026-11-22T10:00:02Z", "level": "warning", "event": "camera_lost", "retry_s": 2},
    {"level": "error", "event": "bundle_refused", "swap_id": "s2", "exception": "Trace\nback"},
]
LOG = "\n".join(
    ["<4>" + json.dumps(LINES[2]), *map(json.dumps, LINES), "plain text", "{broken", ""]
)


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["logs", *arguments], input=LOG)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_line_is_shown_with_its_fields() -> None:
    """Events by name, fields behind them, foreign text as it is."""
    output = shown("--file", "-")
    assert "camera_lost" in output
    assert "retry_s=2" in output
    assert "plain text" in output
    assert "{broken" in output
    assert "back" in output


def test_the_last_lines_only(tmp_path: Path) -> None:
    """Of a file, of stdin, and of fewer lines than are wanted."""
    file = tmp_path / "run.log"
    file.write_text(LOG)
    whole = shown("--file", "-").splitlines()
    for source in ("-", str(file)):
        assert shown("--file", source, "-n", "1").splitlines() == whole[-1:]
        assert shown("--file", source, "-n", "1000").splitlines() == whole


def test_one_swap_is_followed_by_its_id() -> None:
    """--swap leaves exactly the lines that carry the id."""
    output = shown("--file", "-", "--swap", "s1").strip()
    assert "swapped" in output
    assert "\n" not in output


def test_a_level_hides_what_is_less_severe() -> None:
    """--level warning: warnings and errors."""
    output = shown("--file", "-", "--level", "warning")
    assert "camera_lost" in output
    assert "bundle_refused" in output
    assert "swapped" not in output
    assert "plain text" not in output


def test_an_unknown_level_is_wrong_usage() -> None:
    """Exit 2, with the levels there are."""
    result = CliRunner().invoke(app, ["logs", "--file", "-", "--level", "loud"], input=LOG)
    assert result.exit_code == 2


def test_the_journal_is_asked_for_this_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """journalctl gets the unit of the configured device; what it writes is shown."""
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\necho \"$@\"\necho '{json.dumps(LINES[1])}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "line3.yaml"
    config.write_text(
        "device: line3\ncamera: {source: 'conveyor:'}\nmodels: {trust: {required: false}}\n"
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    output = shown("--config", str(config), "-n", "50")
    assert "-u edge-daemon@line3 -o cat -n 50" in output
    assert "swapped" in output


def test_without_a_journal_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container has no journalctl: exit 1, and --file is named."""
    config = tmp_path / "line3.yaml"
    config.write_text(
        "device: line3\ncamera: {source: 'conveyor:'}\nmodels: {trust: {required: false}}\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["logs", "--config", str(config)])
    assert result.exit_code == 1
    assert "--file" in result.output


@pytest.mark.parametrize(
    "line", ['{"event": null}', '{"event": ["a"], "timestamp": 3}', '{"a":' * 9999], ids=len
)
def test_lines_that_no_daemon_writes_end_nothing(line: str) -> None:
    """Other programs write to the journal too."""
    assert pretty(line) is not None
