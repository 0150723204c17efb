"""`model.yaml` from strangers, key by key: the value, or a complaint with its line and full key."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.document import (
    MAX_TEXT,
    Table,
    parse_document,
    plain_document,
    written_document,
)

TEXT = b"""\
name: bottle
version: 1.10
weights: {file: weights.pt, size: 12}
classes: [bottle, scratch, bottle]
golden:
  - {image: a.png, box: [1, 2, 3, 4]}
  - b.png
nothing:
points: [[0, 1], [2]]
share: .nan
flag: true
"""


@pytest.fixture
def table() -> Table:
    return parse_document(TEXT, "model.yaml")


def complaint(read: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as caught:
        read()
    assert caught.value.code is Code.INVALID_BUNDLE
    assert caught.value.hint
    return caught.value.message


def test_values_come_as_they_stand(table: Table) -> None:
    """Text, numbers, and what lies deeper."""
    assert table.text("name") == "bottle"
    assert table.table("weights").whole("size", 0, 100) == 12
    assert next(table.tables("golden", 5)).numbers("box", 4, 0, 10) == (1.0, 2.0, 3.0, 4.0)


def test_a_key_that_is_absent_or_null_has_its_default(table: Table) -> None:
    """And is missing where there is none."""
    for key in ("absent", "nothing"):
        assert table.text(key, "usual") == "usual"
        assert table.items(key, 5) == []
        assert table.table(key).keys() == ()
        assert "is missing" in complaint(lambda key=key: table.text(key))


@pytest.mark.parametrize(
    ("read", "line", "said"),
    [
        (lambda t: t.text("version"), 2, "version must be text; write it in quotes"),
        (lambda t: t.text("flag"), 11, "flag must be text"),
        (lambda t: t.number("flag", 0, 1), 11, "flag must be a number"),
        (lambda t: t.number("share", 0, 1), 10, "share must be a number from 0 to 1"),
        (lambda t: t.whole("version", 0, 9), 2, "version must be a whole number"),
        (lambda t: t.table("name"), 1, "name must be a mapping of keys"),
        (lambda t: t.items("name", 5), 1, "name must be a list"),
        (lambda t: t.items("classes", 2), 4, "classes has 3 entries; at most 2"),
        (lambda t: t.texts("classes", 5), 4, "classes has 'bottle' twice"),
        (lambda t: list(t.tables("golden", 5)), 7, "golden[1] must be a mapping"),
        (lambda t: t.pairs("points", 5, 0, 9), 9, "points[1] must be a list of two numbers"),
        (lambda t: t.numbers("points", 3, 0, 9), 9, "points must be a list of 3 numbers"),
        (lambda t: t.table("weights").whole("size", 0, 9), 3, "weights.size must be a whole"),
        (lambda t: t.table("weights").text("sha256"), 3, "weights.sha256 is missing"),
        (lambda t: t.refuse_unknown("name", "version"), 4, "classes is not known here"),
    ],
)
def test_a_complaint_names_line_and_key(
    table: Table, read: Callable[[Table], Any], line: int, said: str
) -> None:
    """As an editor counts, and as a person would say it."""
    message = complaint(lambda: read(table))
    assert message.startswith(f"model.yaml:{line}: "), message
    assert said in message


@pytest.mark.parametrize("text", ["", "x" * (MAX_TEXT + 1), "a\x1bb", "a\nb"])
def test_text_is_short_and_can_be_shown(text: str) -> None:
    """It goes to terminals and pages."""
    table = parse_document(json.dumps({"name": text}).encode(), "model.yaml")
    assert "printable" in complaint(lambda: table.text("name"))


def test_unknown_keys_are_told_in_order(table: Table) -> None:
    """With a bound on what a stranger may have written."""
    known = ("name", "version", "weights", "classes", "golden", "points")
    assert table.unknown(*known) == ("flag", "nothing", "share")


@pytest.mark.parametrize(
    "content", [b"", b"- a\n", b"text", b"a: &x 1\nb: *x\n", b"\xff", b"a: 1\na: 2\n", b"{" * 50]
)
def test_what_is_no_mapping_is_one_sentence(content: bytes) -> None:
    """Whatever the bytes are: anchors, doubled keys, another encoding, depth."""
    assert "model.yaml" in complaint(lambda: parse_document(content, "model.yaml"))


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """What is read can be written and is then read as the same."""
    with suppress(BundleError):
        document = plain_document(content, "model.yaml")
        assert plain_document(written_document(document), "model.yaml") == document


def test_what_is_written_is_read_again() -> None:
    """A manifest that is made from another keeps its keys in their order."""
    values = {"schema": 1, "name": "bottle", "version": "1.10", "classes": ["a", "b"]}
    content = written_document(values)
    assert plain_document(content, "model.yaml") == values
    assert parse_document(content, "model.yaml").keys() == tuple(values)
