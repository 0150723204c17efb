"""What commands write, where a terminal has few characters, a disk is full, or a reader leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.cli.output import console, harmless, tell, tell_json
from tests.sim.device import Device

B1, B2 = "bottle@1.0.0", "bottle@1.1.0"
PROGRAM = [sys.executable, "-m", "edge_daemon"]
ENCODINGS = ("iso-8859-1", "gbk", "euc-jp", "ascii")
ORDER = '{"workOrder": "Ä→7", "productCode": "BTL", "status": "running"}'
LINE = '{"level": "info", "event": "swapped", "model": "bottle@1.1.0", "note": "besser → gut √"}\n'

READING = (
    ("status",),
    ("status", "--local"),
    ("check", "--section", "configuration", "--section", "broker", "--section", "models"),
    ("orders", "test", "{folder}/order.json", "--topic", "mes/orders"),
    ("orders", "test", "{folder}/none.json", "--topic", "mes/orders"),
    ("models", "list"),
    ("models", "show", B2),
    ("models", "verify", B2),
    ("models", "history"),
    ("models", "history", "--refused"),
    ("audit",),
    ("audit", "verify"),
    ("config", "show"),
    ("config", "schema"),
    ("api",),
    ("man",),
    ("logs", "--file", "{folder}/log"),
    ("snapshot", "--local"),
    ("nonsense",),
    ("swap", "--help"),
)
ALONE = {"config schema", "man", "nonsense", "swap --help"}
"""Commands that take no settings."""


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device(B1, B2) as device:
        device.await_active(B1)
        (device.folder / "order.json").write_text(ORDER, encoding="utf-8")
        (device.folder / "log").write_text(LINE, encoding="utf-8")
        (device.store / "Käse" / "1.0.0").mkdir(parents=True)
        run(device, "utf-8", "swap", B2, "--local", "--by", "jürgen", "--reason", "→ √")
        run(device, "utf-8", "swap", "bottle@9.9.9", "--local")
        run(device, "utf-8", "swap", B1, "--local")
        yield device


def run(device: Device, encoding: str, *words: str) -> tuple[int, list[str]]:
    words = tuple(word.format(folder=device.folder) for word in words)
    more = () if " ".join(words) in ALONE else ("--config", str(device.config))
    result = CliRunner(charset=encoding).invoke(app, [*words, *more])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "fault of edge-daemon" not in result.output
    return result.exit_code, result.stdout.splitlines()


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_terminal_with_few_characters_sees_as_many_lines(
    device: Device, words: tuple[str, ...]
) -> None:
    """What it cannot show costs that character: neither a line nor another exit code."""
    code, lines = run(device, "utf-8", *words)
    for encoding in ENCODINGS:
        there, shown = run(device, encoding, *words)
        assert (there, len(shown)) == (code, len(lines)), f"{encoding}: {shown}"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_swap_that_succeeded_exits_0_in_every_encoding(device: Device, encoding: str) -> None:
    """The arrow of its receipt is spelled out where there is none."""
    for model in (B2, B1):
        code, lines = run(device, encoding, "swap", model, "--local")
        assert code == 0
        device.await_active(model)
        assert any(f" {sign} {model} from frame" in lines[0] for sign in ("→", "->")), lines


def test_a_document_loses_nothing_in_any_encoding(device: Device) -> None:
    """What an encoding lacks is escaped, as JSON may: a program reads the same."""
    said = run(device, "utf-8", "models", "list", "--json")[1]
    assert "Käse" in "".join(said)
    for encoding in ENCODINGS:
        read = json.loads("".join(run(device, encoding, "models", "list", "--json")[1]))
        assert read == json.loads("".join(said))


def test_nothing_that_was_read_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, carriage returns and marks that turn the text round are shown as signs."""
    attack = "\x1b]0;owned\x07 \x1b[31mred\r \x9b2J \u202etxt.exe\x7f"
    tell(attack)
    tell(attack, err=True)
    console().print(attack)
    tell_json({"by": attack})
    out, err = capsys.readouterr()
    for character in "\x1b\x07\r\x9b\u202e\x7f":
        assert character not in out + err
    assert json.loads(out.splitlines()[-1]) == {"by": attack}
    assert harmless("two\nlines\tand a tab") == "two\nlines\tand a tab"


# --------------------------------------------------------------------------- as a shell sees it


@pytest.mark.parametrize("words", ["--version", "--help", "config schema", "man", "models --help"])
def test_a_full_disk_is_one_sentence(words: str) -> None:
    """Exit 1 for what was to be read and was not written."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "edge-daemon: cannot write: No space left on device\n"
    assert done.returncode == 1


def test_a_swap_counts_by_its_outcome_even_where_nobody_can_read_it(device: Device) -> None:
    """A full disk is told, a reader that left is not, and both exit with 0."""
    swap = [*PROGRAM, "swap", "--local", "--config", str(device.config)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*swap, B2], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    device.await_active(B2)
    assert "cannot write: No space left on device" in done.stderr
    done = into_a_closed_pipe([*swap, B1])
    assert done.returncode == 0, done.stderr
    device.await_active(B1)
    assert "write" not in done.stderr


@pytest.mark.parametrize("words", ["--version", "--help", "config schema", "man"])
def test_a_reader_that_left_ends_the_command_quietly(words: str) -> None:
    """With what a shell says of any program that writes into a closed pipe."""
    done = into_a_closed_pipe([*PROGRAM, *words.split()])
    assert (done.returncode, done.stderr) == (141, "")


def test_a_log_that_is_followed_ends_with_its_reader(device: Device) -> None:
    """`logs --follow | head` comes back to the prompt."""
    follow = ["logs", "--follow", "--file", str(device.folder / "log")]
    done = into_a_closed_pipe([*PROGRAM, *follow])
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_stderr_changes_no_outcome(tmp_path: Path) -> None:
    """The sentence is lost, its exit code is not."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "config", "validate", str(tmp_path / "none.yaml")],
            stdout=subprocess.DEVNULL,
            stderr=full,
            check=False,
        )
    assert done.returncode == 78


def into_a_closed_pipe(command: list[str]) -> subprocess.CompletedProcess[str]:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        return subprocess.run(
            command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(theirs)
