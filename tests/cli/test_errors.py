"""What goes wrong is one sentence on stderr, and JSON on stdout for a program that asked for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.device import Device

READING = (
    ("status", "--json"),
    ("config", "show", "--json"),
    ("models", "list", "--json"),
    ("models", "show", "bottle@9.9.9", "--json"),
    ("models", "verify", "bottle@9.9.9", "--json"),
    ("models", "history", "--json"),
    ("audit", "--json"),
    ("swap", "bottle@1.0.0", "--json"),
    ("check", "--output", "json"),
)


def run(words: tuple[str, ...], config: Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_errors_are_json_where_json_was_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    """Bad settings: 78, each fault by line, and stdout is a document all the same."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("device: 3 4\ncamera: {sauce: x}\n")
    code, stdout, _ = run(words, bad)
    assert code == 78
    assert "bad.yaml:2" in json.dumps(json.loads(stdout))


@pytest.mark.parametrize("words", [w for w in READING if w[0] != "check"], ids=" ".join)
def test_a_station_that_never_ran_is_told_in_one_sentence(words: tuple[str, ...]) -> None:
    """No broker, no daemon, no journal, no such bundle: an exit code of the contract, and why."""
    code, stdout, stderr = run(words, Device("bottle@1.0.0").config)
    assert code in {0, 1, 69}
    read = json.loads(stdout)
    if code:
        assert read["exit"] == code
        assert read["error"]["message"] in stderr
        assert read["error"]["hint"] in stderr


def test_a_drill_without_a_broker_says_what_it_needs() -> None:
    """No option leads round the broker here, so none is named."""
    code, _, stderr = run(("drill",), Device("bottle@1.0.0").config)
    assert code == 69
    assert "--local" not in stderr
    assert "A drill counts results at the broker: start it." in stderr


def test_a_store_that_this_user_may_not_read_is_not_called_empty() -> None:
    """No rights are no evidence: neither an empty list nor engines that are all right."""
    device = Device("bottle@1.0.0")
    asked = (
        "import os, sys\n"
        "from typer.testing import CliRunner\n"
        "from edge_daemon.cli.main import app, loaded\n"
        "loaded('models')\n"
        "b'x'.decode('utf-8-sig')\n"  # nobody may not be allowed to read the interpreter's library
        "os.setgid(65534), os.setuid(65534)\n"
        "done = CliRunner().invoke(app, sys.argv[1:])\n"
        "print(done.exit_code, done.stderr)\n"
    )
    if os.getuid() != 0:
        pytest.skip("only root can become nobody")
    device.folder.chmod(0o755)
    device.store.chmod(0o700)
    for words in (("models", "list"), ("models", "optimize")):
        command = [sys.executable, "-c", asked, *words, "--config", str(device.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("1 ")
        assert "cannot be read by this user" in done.stdout
