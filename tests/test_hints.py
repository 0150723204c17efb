"""Next steps that messages name: each command can be typed, and each setting can be set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from edge_daemon import config
from edge_daemon.cli.main import COMMANDS, loaded

ROOT = Path(__file__).parents[1] / "edge_daemon"
ADVICE = {"hint", "remedy"}
SAYING = {"tell", "error", "warning", "skipped"}
COMMAND = re.compile(r"(?:^|(?<=[:|] )|(?<=[`']))edge-daemon (.+)", re.MULTILINE)
STEP = re.compile(r": (edge-daemon [a-z].+)")
END_OF_COMMAND = re.compile(r"[`';]|, |\. | \(|\.?$")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS = re.compile(r"`(?!edge-daemon)[^`]+`|\b(?:systemctl|journalctl|pip) [^.;]+")
"""Commands of other programs."""
GROUPS = sorted(config.schema()["properties"])
SETTING = re.compile(rf"(?<![\w./-])(?:{'|'.join(GROUPS)})(?:\.[a-z_]+)+(?![\w/(-])")
FILES = re.compile(r"\.(?:yaml|yml|json|sig|py|pub|key)$")
INSERTED = "…"
"""What a message inserts: no name can be told across it."""


def _text(node: ast.expr) -> str:
    """All constant text of an expression; what is inserted in between is left out."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            INSERTED if isinstance(part, ast.FormattedValue) else _text(part)
            for part in node.values
        )
    return " ".join(
        _text(each) for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)
    )


def _is_said(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    return bool(ADVICE & {each.arg for each in call.keywords}) or name in SAYING


def _said_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each message with its next step, by its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_said(node):
            parts = [*node.args, *(each.value for each in node.keywords)]
            yield node.lineno, "\n".join(map(_text, parts))


def _messages() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        for line, text in _said_in(ast.parse(path.read_text())):
            yield f"{path.relative_to(ROOT)}:{line}", text


MESSAGES = dict(_messages())


def _typed(text: str) -> Iterator[list[str]]:
    """The words of each command of ours in a message."""
    for rest in COMMAND.findall(text):
        if not rest.startswith(INSERTED):  # the program's name and its version
            yield END_OF_COMMAND.split(rest)[0].split()


@cache
def _command(*words: str) -> tuple[Any, tuple[str, ...]]:
    """The command that these words begin with, and the words after it."""
    command: Any = loaded(words[0])
    rest = words[1:]
    while hasattr(command, "list_commands"):
        assert rest, f"{' '.join(words)} is a group"
        context = typer.Context(command)
        assert rest[0] in command.list_commands(context), words
        command, rest = command.get_command(context, rest[0]), rest[1:]
    return command, rest


def _options(command: Any) -> set[str]:
    names = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return {"--help", *(name for name in names if name.startswith("--"))}


def _arguments(command: Any, words: Sequence[str]) -> int:
    """How many of the words are no options, and no options' values."""
    valued = {
        name
        for each in command.params
        if each.param_type_name == "option" and not each.is_flag
        for name in each.opts
    }
    pairs = zip(("", *words), words, strict=False)
    return sum(not word.startswith("-") and before not in valued for before, word in pairs)


def _is_setting(path: str) -> bool:
    """Whether the schema has this path; lists and unions are looked into."""
    schema = config.schema()
    definitions = schema.get("$defs", {})

    def alternatives(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in node:
            yield from alternatives(definitions[node["$ref"].rsplit("/", 1)[-1]])
        for key in ("anyOf", "oneOf", "allOf"):
            for each in node.get(key, ()):
                yield from alternatives(each)
        if "items" in node:
            yield from alternatives(node["items"])
        yield node

    nodes = [schema]
    for key in path.split("."):
        nodes = [
            node["properties"][key] if key in node.get("properties", {}) else extra
            for each in nodes
            for node in alternatives(each)
            if key in node.get("properties", {})
            or isinstance(extra := node.get("additionalProperties"), dict)
        ]
    return bool(nodes)


def test_most_messages_are_looked_at() -> None:
    """The search itself finds something: errors, findings and lines of the log."""
    assert len(MESSAGES) > 200
    assert sum("edge-daemon" in text for text in MESSAGES.values()) > 20
    assert sum(bool(SETTING.search(text)) for text in MESSAGES.values()) > 20


@pytest.mark.parametrize("place", [p for p, text in MESSAGES.items() if COMMAND.search(text)])
def test_every_command_of_a_hint_can_be_typed(place: str) -> None:
    """With the command below it, and its options."""
    for words in _typed(MESSAGES[place]):
        assert words[0] in COMMANDS, words
        command, rest = _command(*words)
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= _options(command), words


@pytest.mark.parametrize("place", [p for p, text in MESSAGES.items() if STEP.search(text)])
def test_a_command_that_is_the_next_step_has_all_that_it_needs(place: str) -> None:
    """After a colon it is there to be typed; within a sentence its name is enough."""
    for step in STEP.findall(MESSAGES[place]):
        for words in _typed(step):
            command, rest = _command(*words)
            for each in command.params:
                is_option = each.param_type_name == "option"
                assert not (each.required and is_option) or set(each.opts) & set(rest), words
            needed = [e for e in command.params if e.param_type_name == "argument" and e.required]
            assert _arguments(command, rest) >= len(needed), words


@pytest.mark.parametrize("place", [p for p, text in MESSAGES.items() if SETTING.search(text)])
def test_every_setting_of_a_message_exists(place: str) -> None:
    """By its full path in the settings file."""
    for path in SETTING.findall(MESSAGES[place]):
        if not FILES.search(path):
            assert _is_setting(path.rstrip(".")), path


# --------------------------------------------------------------------------- options by themselves


class Calls:
    """Which functions of the commands' modules mention which, by their names."""

    def __init__(self) -> None:
        self.of: dict[str, set[str]] = {}
        self.nodes: dict[str, ast.AST] = {}
        for path in sorted((ROOT / "cli").rglob("*.py")):
            words = path.relative_to(ROOT.parent).with_suffix("").parts
            self._read(".".join(words), ast.parse(path.read_text()))

    def _read(self, module: str, tree: ast.Module) -> None:
        known = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                here = {each.asname or each.name: each.name for each in node.names}
                known.update({name: f"{node.module}.{real}" for name, real in here.items()})
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                known[node.name] = f"{module}.{node.name}"
                self.nodes[known[node.name]] = node
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                self.of[known[node.name]] = {known[name] for name in names & known.keys()}

    def from_(self, name: str) -> set[str]:
        found, left = set(), [name]
        while left:
            each = left.pop()
            if each not in found:
                found.add(each)
                left += self.of.get(each, ())
        return found


def _every_command(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    context = typer.Context(command)
    for word in command.list_commands(context):
        yield from _every_command(command.get_command(context, word), f"{name} {word}")


def _alone(text: str) -> set[str]:
    """Options that a message names without a command."""
    bare = OTHERS.sub("", text)
    for rest in COMMAND.findall(bare):
        bare = bare.replace(END_OF_COMMAND.split(rest)[0], "")
    return set(OPTION.findall(bare))


def test_every_option_of_a_message_is_one_of_the_command_that_says_it() -> None:
    """Whoever reads it adds the option to what they typed."""
    calls, looked_at = Calls(), 0
    for first in COMMANDS:
        for name, command in _every_command(loaded(first), first):
            begin = f"{command.callback.__module__}.{command.callback.__qualname__}"
            for function in calls.from_(begin) & calls.nodes.keys():
                for line, text in _said_in(calls.nodes[function]):
                    looked_at += len(_alone(text))
                    unknown = _alone(text) - _options(command)
                    assert not unknown, f"{name}: {function}:{line} names {sorted(unknown)}"
    assert looked_at > 40


def test_no_message_below_the_commands_names_an_option_alone() -> None:
    """There nobody knows what was typed; bundles are packed by one command."""
    packs, _ = _command("models", "pack")
    for place, text in MESSAGES.items():
        if not place.startswith(("cli/", "demo/")):
            known = _options(packs) if place.startswith("packing/") else set()
            assert _alone(text) <= known, place
