"""The manual page and shell completion know every command, as they are defined."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.cli.main import COMMANDS

PROGRAM = Path(sys.executable).parent / "edge-daemon"


@pytest.fixture(scope="module")
def page() -> str:
    done = subprocess.run([PROGRAM, "man"], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_manual_names_every_command(page: str) -> None:
    """Commands of groups too, their options, exit codes and files; nothing roff stumbles over."""
    said = page.replace("\\-", "-")
    for name in COMMANDS:
        assert re.search(rf"^\.SS {name}\b", said, re.MULTILINE), name
    for words in ("models quarantine REF", "--expect", "EDGE_DAEMON_CONFIG", ".B 69"):
        assert words in said, words
    assert page.isascii()
    assert not re.search(r"^'|^\.(?!TH|SH|SS|TP|PP|BR?|RI?|I )", page, re.MULTILINE)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_manual_is_set_without_warnings(page: str) -> None:
    """What `man` uses to set it has nothing to say about it."""
    set_ = ["groff", "-ww", "-man", "-Tutf8", "-z"]
    done = subprocess.run(set_, input=page, capture_output=True, text=True, check=True)
    assert done.stderr == ""


SHELLS = {
    "bash": """
        eval "$(_EDGE_DAEMON_COMPLETE=source_bash edge-daemon)"
        COMP_WORDS=(edge-daemon models q); COMP_CWORD=2
        _edge_daemon_completion edge-daemon q models; echo "${COMPREPLY[@]}"
    """,
    "fish": """
        _EDGE_DAEMON_COMPLETE=source_fish edge-daemon | source
        complete -C "edge-daemon models q"
    """,
    "zsh": """
        eval "$(_EDGE_DAEMON_COMPLETE=source_zsh edge-daemon | sed 's/^compdef.*//')"
        _arguments() { print -r -- "$@" }
        words=(edge-daemon models q); CURRENT=3
        _edge_daemon_completion
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_finds_the_commands_of_a_group(shell: str) -> None:
    """The shell itself, given the script that we print for it, completes `models q`."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    path = f"{PROGRAM.parent}:/usr/bin:/bin"
    done = subprocess.run(
        [shell, "-c", SHELLS[shell]],
        env={"PATH": path, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "quarantine" in done.stdout, done.stderr
