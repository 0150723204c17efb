"""Every command, found in the table of commands: help, wrong words, bad settings, nobody there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import COMMANDS, app, loaded
from edge_daemon.core.verbs import Verb
from tests.sim.device import Device

Words = tuple[str, ...]

VALUES = {
    "model": "bottle@2.0.0",
    "ref": "bottle@2.0.0",
    "part": "7-1",
    "verdict": "ok",
    "wanted": "bottle@2.0.0",
    "name": "SN-1",
    "id": "campaign-1",
    "--id": "campaign-1",
    "--serial": "1",
    "--reason": "a test",
    "--format": "coco",
    "--name": "bottle",
    "--version": "2.0.0",
    "--topic": "mes/orders",
    "role": "stations",
    "old": "0" * 64,
    "bundle": "bottle@2.0.0",
}
"""What is typed where a command needs a word; anything else is a file that is not there."""

ALSO: dict[Words, Words] = {
    ("tune",): ("scratch.confidence=0.45",),
    ("collect", "purge"): ("--all",),
    ("models", "lineage"): ("bottle@2.0.0",),
    ("fleet", "timestamp"): ("--serial", "3"),
}
"""What has to be said besides, in one of several ways."""

READ_OTHER_FILES_FIRST = {
    ("models", "add"),
    ("models", "judge"),
    ("models", "pack"),
    ("models", "sign"),
    ("fleet", "publish"),
    ("fleet", "start"),
    ("fleet", "timestamp"),
    ("fleet", "verify"),
}
"""Commands that look at what they are given before they look at the settings."""

CAN_DO_WITHOUT = {
    ("init",): "it writes the file",
    ("api",): "the document is the same without a station's own topics",
    ("support-bundle",): "it is for a station that does not work",
}
"""Commands that take a settings file and are useful without a good one."""


def found(words: Words, command: Any) -> Iterator[tuple[Words, Any]]:
    """The commands below this one, or itself."""
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    for name, each in below.items():
        yield from found((*words, name), each)


@cache
def every() -> dict[Words, Any]:
    """Each command that does something, by the words that call it."""
    return {words: command for name in COMMANDS for words, command in found((name,), loaded(name))}


def options(words: Words) -> set[str]:
    return {name for param in every()[words].params for name in param.opts}


def needed(words: Words, folder: Path) -> list[str]:
    """What has to be typed after these words."""
    typed = []
    for param in every()[words].params:
        name = param.opts[0]
        if param.required:
            value = VALUES.get(name, str(folder / "missing"))
            typed += [value] if param.param_type_name == "argument" else [name, value]
    return [*typed, *ALSO.get(words, ())]


def run(*words: str) -> tuple[int, str]:
    """How a command ends, and all that it says, without the frames and breaks of a terminal."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert "fault of edge-daemon" not in result.output
    return result.exit_code, re.sub(r"[│╭╮╰╯─\s]+", " ", result.output)


ALL = sorted(every())
WITH_SETTINGS = [words for words in ALL if "--config" in options(words)]
PICKY = [w for w in WITH_SETTINGS if w not in CAN_DO_WITHOUT and w not in READ_OTHER_FILES_FIRST]
VERBS = [(verb.value,) for verb in Verb]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_explains_the_command_and_each_of_its_words(words: Words) -> None:
    """A person who types --help needs no manual: each option says what it is for."""
    code, said = run(*words, "--help")
    assert code == 0
    command = every()[words]
    assert command.help
    assert " ".join(command.help.split())[:40] in said
    silent = [p.opts[0] for p in command.params if not p.help and p.opts[0] != "--help"]
    assert silent == []


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_the_help_of_each_word_can_be_read_by_itself(words: Words) -> None:
    """A sentence or a phrase with its noun, not the rest of one that begins with the option."""
    for param in every()[words].params:
        told = param.help or ""
        assert re.match(r"[A-Z/`]|[\w.@]+[,:] ", told), told
        assert not re.match(r"(Of|Else|From which|For|Without it) ", told), told
        assert len(told.split()) > 1, told


@pytest.mark.parametrize("name", ["--by", "--json", "--config", "--inventory", "--local"])
def test_an_option_of_many_commands_means_the_same_in_all(name: str) -> None:
    """Who has read one help has read them all."""
    own = {("init",), ("api",), ("snapshot",), ("collect", "import")}
    told = {
        param.help
        for words, command in every().items()
        if words not in own
        for param in command.params
        if name in param.opts
    }
    assert len(told) == 1


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(words: Words, tmp_path: Path) -> None:
    """2, and the option is named; nothing is read, so the missing files do not matter."""
    code, said = run(*words, *needed(words, tmp_path), "--no-such-option")
    assert code == 2
    assert "--no-such-option" in said
    assert str(tmp_path) not in said


@pytest.mark.parametrize(
    "words", [w for w in ALL if any(p.required for p in every()[w].params)], ids=" ".join
)
def test_a_missing_word_is_asked_for_by_its_name(words: Words) -> None:
    code, said = run(*words)
    assert code == 2
    first = next(p for p in every()[words].params if p.required)
    is_word = first.param_type_name == "argument"
    assert f"Missing {'argument' if is_word else 'option'} '" in said
    assert is_word or first.opts[0] in said


@pytest.mark.parametrize("words", PICKY, ids=" ".join)
def test_a_settings_file_that_is_not_there_is_a_bad_configuration(
    words: Words, tmp_path: Path
) -> None:
    """78, with the path as it was typed."""
    gone = tmp_path / "gone.yaml"
    code, said = run(*words, *needed(words, tmp_path), "--config", str(gone))
    assert (code, "gone.yaml" in said) == (78, True), said


@pytest.mark.parametrize("words", PICKY, ids=" ".join)
def test_settings_with_a_fault_are_told_with_their_line(words: Words, tmp_path: Path) -> None:
    """78, and where in the file to look."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("device: line-3\ncamera: {sauce: file:x.mp4}\n")
    code, said = run(*words, *needed(words, tmp_path), "--config", str(bad))
    assert (code, "bad.yaml:2" in said) == (78, True), said


@pytest.mark.parametrize("words", sorted(READ_OTHER_FILES_FIRST), ids=" ".join)
def test_a_file_that_is_not_there_is_named_before_anything_is_done(
    words: Words, tmp_path: Path
) -> None:
    """Usage or a bad file, never a success: nothing was added, signed or published."""
    before = sorted(tmp_path.rglob("*"))
    code, said = run(*words, *needed(words, tmp_path), "--config", str(tmp_path / "gone.yaml"))
    assert code in {2, 78}, said
    assert len(said) > 20
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def nobody_there() -> Path:
    """The settings of a station that never ran, with a broker that nobody started."""
    return Device("bottle@1.0.0").config


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
@pytest.mark.parametrize("local", [False, True], ids=["broker", "socket"])
def test_a_request_that_reaches_nobody_says_so(
    words: Words, local: bool, nobody_there: Path, tmp_path: Path
) -> None:
    """69 by either way, with the next step; a program reads the same in JSON."""
    way = ["--local"] if local else []
    if local and "--local" not in options(words):
        pytest.skip("goes through the broker alone")
    as_json = ["--json"] if "--json" in options(words) else []
    typed = [*words, *needed(words, tmp_path), *way, *as_json]
    result = CliRunner().invoke(app, [*typed, "--config", str(nobody_there)])
    assert result.exit_code == 69, result.output
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) <= 2
    if as_json:
        error = json.loads(result.stdout)["error"]
        assert error["message"] in result.stderr
        assert error["hint"]


def test_completion_is_installed_for_the_program_and_not_for_a_group() -> None:
    """It is an option of `edge-daemon` alone: one shell, one program."""
    options = {each for name in COMMANDS for given in loaded(name).params for each in given.opts}
    assert "--config" in options
    assert "--install-completion" not in options
