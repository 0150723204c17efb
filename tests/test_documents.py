"""The pages that people read first: links lead somewhere, and what can be typed exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edge_daemon import config
from edge_daemon.cli.main import loaded
from edge_daemon.core.event_names import EventName
from edge_daemon.core.rollout.plan import as_mapping, read_plan
from edge_daemon.errors import Code
from edge_daemon.host.metrics import Metrics
from edge_daemon.models.manifest import parse_manifest

ROOT = Path(__file__).parents[1]
PAGES = ("README", "MANUAL", "BENCHMARKS", "SECURITY", "ARCHITECTURE", "CHANGELOG")
MANUAL = (ROOT / "MANUAL.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The names of its headings, as the platforms that show it make them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _typed() -> Iterator[str]:
    """Each command line of edge-daemon that the manual shows, in blocks and in sentences."""
    for kind, text in BLOCK.findall(MANUAL):
        if kind == "sh":
            yield from re.findall(r"^(?:\S*bin/)?edge-daemon (.+)$", text, re.MULTILINE)
    yield from re.findall(r"`edge-daemon ([a-z][^`]*)`", BLOCK.sub("", MANUAL))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file of this repository, and to a heading that is there."""
    page = ROOT / f"{name}.md"
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = ROOT / file if file else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    """Tests, scripts and the product's own modules: a reader may want to look."""
    for path in re.findall(
        r"`((?:tests|scripts|edge_daemon)/[\w./-]+)", (ROOT / f"{name}.md").read_text()
    ):
        assert (ROOT / path).exists(), path


def test_the_front_page_has_two_commands() -> None:
    """A stranger types one to see it, and one to trust it."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    lines = [line.split("#")[0].strip() for _, text in blocks for line in text.splitlines()]
    assert lines == ["scripts/demo", "scripts/test"]


@pytest.mark.parametrize("line", sorted(set(_typed())))
def test_every_command_of_the_manual_exists(line: str) -> None:
    """With the options that stand beside it."""
    words = shlex.split(line, comments=True)
    command: Any = loaded(words.pop(0))
    while words and not words[0].startswith("-") and hasattr(command, "get_command"):
        command = command.get_command(typer.Context(command), words.pop(0))
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert asked <= known | {"--help", "-h"}, line


def test_the_examples_of_the_manual_are_read() -> None:
    """Settings as settings, a bundle as a bundle, a plan as a plan; parts within a whole one."""
    least = {"device": "d", "camera": {"source": "conveyor:"}, "models": {}}
    bundle: dict[str, object] = {}
    for text in (text for kind, text in BLOCK.findall(MANUAL) if kind == "yaml"):
        shown = re.sub(r"sha256: …", f"sha256: {'cd' * 32}", text.replace("9f…", "ab" * 32))
        plain = config.parse(shown.replace("[x1, y1, x2, y2]", "[1, 2, 3, 4]")).value
        if "schema" in plain:
            bundle = plain
        if set(plain) == {"rollout"}:
            keys = {*as_mapping(read_plan(plain))}
            assert set(plain["rollout"]) == keys, "the block shows every key of a plan"
        elif "recipe" in plain:
            # The recipe with rules knows one class more.
            rules = {**bundle, **plain, "classes": ["bottle", "scratch", "dent", "cap"]}
            assert parse_manifest(config.dump(rules).encode()).recipe.rules
        else:
            config.Settings.model_validate(least | plain)


def test_every_code_of_an_error_is_explained() -> None:
    """Whoever is refused finds what it means and what to do."""
    table = MANUAL.partition("### Error codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) >= {str(code) for code in Code}


def test_every_event_is_explained() -> None:
    """And no event that does not exist."""
    table = MANUAL.partition("\n### Events\n")[2].partition("\n\n`picture_bad`")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`([a-z_]+)`", " ".join(rows))) == sorted(map(str, EventName))


def test_every_metric_is_listed() -> None:
    """By the name that a dashboard asks for, with its labels."""
    listed = set(re.findall(r"`(edge_[a-z0-9_]+)[`{]", MANUAL))
    told = re.findall(r"^# TYPE (edge_\w+) ", Metrics().render().decode(), re.MULTILINE)
    assert listed == set(told)


def test_the_table_of_contents_of_the_manual_names_every_chapter() -> None:
    """A reader looks there first, and believes that what is not in it is not there."""
    contents, _, text = MANUAL.partition("\n## ")
    headings = re.findall(r"^##+ (.+)$", BLOCK.sub("", f"\n## {text}"), re.MULTILINE)
    assert len(re.findall(r"\]\(#", contents)) == len(headings)
