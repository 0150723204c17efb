"""Next steps that messages name: each command can be typed, and each setting can be set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from edge_daemon import config
from edge_daemon.cli.main import COMMANDS, loaded

ROOT = Path(__file__).parents[1] / "edge_daemon"
ADVICE = {"hint", "remedy"}
COMMAND = re.compile(
    r"(?:^|(?<=[:|] )|(?<=[`']))edge-daemon ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?((?: --[a-z-]+)*)",
    re.MULTILINE,
)
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


def _messages() -> Iterator[tuple[str, str]]:
    """Each message with its next step, by its place."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ADVICE & {each.arg for each in node.keywords}:
                parts = [*node.args, *(each.value for each in node.keywords)]
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield place, "\n".join(map(_text, parts))


MESSAGES = dict(_messages())


@cache
def _command(name: str) -> tuple[set[str], set[str]]:
    """The commands below this one, none where it is no group; the options of all of them."""
    command: Any = loaded(name)
    below: set[str] = set()
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        below = set(command.list_commands(context))
        commands = [command.get_command(context, word) for word in below]
    else:
        commands = [command]
    parameters = [parameter for each in commands for parameter in each.params]
    return below, {name for each in parameters for name in (*each.opts, *each.secondary_opts)}


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
    """With the command below it and its options."""
    for name, word, options in COMMAND.findall(MESSAGES[place]):
        assert name in COMMANDS, name
        below, known = _command(name)
        assert set(options.split()) <= known, (name, options)
        assert not below or word in below, (name, word)


@pytest.mark.parametrize("place", [p for p, text in MESSAGES.items() if SETTING.search(text)])
def test_every_setting_of_a_message_exists(place: str) -> None:
    """By its full path in the settings file."""
    for path in SETTING.findall(MESSAGES[place]):
        if not FILES.search(path):
            assert _is_setting(path.rstrip(".")), path
