"""YAML from anybody becomes plain values or one sentence, at a bounded cost."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_daemon.documents import DocumentError, Limits, dump, parse

STRICT = Limits(bytes=1 << 20, depth=12, aliases=False)

TOO_MUCH = {
    "nested lists": "[" * 1_000_000,
    "nested mappings": "{" * 1_000_000,
    "nested block lists": "- " * 500_000,
    "nested keys": "? " * 500_000,
    "20,001 keys": "".join(f"k{number}: 1\n" for number in range(20_001)),
    "half a million entries": "[" + "a," * 500_000 + "]",
    "60,000 directives": "".join(f"%TAG !a{number}! x\n" for number in range(55_000)) + "--- a",
    "a long text": "a: " + "x" * 1_000_000,
    "a long folded text": "a: >\n" + " x\n\n" * 200_000,
    "a long key": "x" * 1_000_000 + ": a",
    "a number in base 60": "a: 1" + ":0" * 500_000,
    "anchors": "".join(f"k{number}: &a{number} 1\n" for number in range(20_000)),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_much_is_refused_before_it_is_built(text: str) -> None:
    """A mebibyte of it costs a moment: counted as it is parsed, refused at the first excess."""
    with pytest.raises(DocumentError):
        parse(text, STRICT)


def test_as_much_as_is_allowed_is_read() -> None:
    """20,000 values, and a number of thousands of digits that stays a text."""
    text = "".join(f"k{number}: {number}\n" for number in range(9_999))
    assert parse(text, STRICT).value["k9998"] == 9998
    assert parse("a: " + "9" * 4301, STRICT).value == {"a": "9" * 4301}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:0:0", "1:0:0"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0640", 640),
        ("1_000", "1_000"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("=", "="),
        ("<<", "<<"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("1e-3", 0.001),
        ("!!str 1.10", "1.10"),
        ("! 7", "7"),
        ("!!float 3", 3.0),
        ("!!null ''", None),
        ("'1'", "1"),
    ],
)
def test_a_scalar_is_a_number_a_truth_or_text(text: str, value: object) -> None:
    """YAML 1.2's core schema, decimal only: no base 60, no octal, no dates."""
    assert parse(text).value == value
    assert type(parse(text).value) is type(value)


@pytest.mark.parametrize(
    "text", ["!!binary aGVsbG8=", "!!set {a}", "!!timestamp 2026-11-22", "!!int x", "!x y", "*a"]
)
def test_what_yaml_could_build_besides_is_refused(text: str) -> None:
    """Nothing is made from tags, and no alias leads nowhere."""
    with pytest.raises(DocumentError):
        parse(text)


def test_aliases_repeat_values_where_they_are_allowed() -> None:
    """Settings may use them; what strangers send may not."""
    assert parse("a: &x [1]\nb: *x\n").value == {"a": [1], "b": [1]}
    with pytest.raises(DocumentError, match="aliases"):
        parse("a: &x [1]\n", STRICT)


@given(st.text(max_size=80) | st.text("[]{}:,-?&*!%#|>'\" \n\tab0~", max_size=80))
@example("a: b\n %TAG")
@example('"\\ud800"')
@settings(max_examples=300, deadline=None)
def test_no_text_whatever_raises_anything_else(text: str) -> None:
    """What comes out is plain, finite and can be written again."""
    with suppress(DocumentError):
        value = parse(text).value
        if isinstance(value, float):
            assert math.isfinite(value)
        assert parse(dump(value)).value == value
