"""JSON of strangers: bounded before it is read and after, and refused with the place."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, read_json, text_of


def refusal(payload: bytes) -> str:
    with pytest.raises(SenderError) as caught:
        read_json(payload, "The request")
    assert caught.value.hint
    return caught.value.message


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_json_can_say_is_read_as_it_was_said(value: Any) -> None:
    """Also with characters of any script."""
    assert read_json(json.dumps(value).encode(), "The request") == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode(), "The request") == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    """What is read is what the standard library reads in the same text; the rest is refused."""
    with suppress(SenderError):
        value = read_json(payload, "The request")
        assert value == json.loads(text_of(payload))


@pytest.mark.parametrize(
    "payload", [b'\xef\xbb\xbf{"a":1}', b'{"a":1}\n', b'{"a":1}\0', b'{"a":1}\0\0 \r\n\0']
)
def test_what_programs_put_round_a_document_is_no_fault(payload: bytes) -> None:
    """A byte order mark, a line's end, the NUL of a C string, the rest of its buffer."""
    assert read_json(payload, "The request") == {"a": 1}


def test_a_nul_within_is_one() -> None:
    """Only what pads it behind is taken away."""
    assert text_of(b'{"a":\0 1}\0') == b'{"a":\0 1}'
    assert "not JSON" in refusal(b'{"a":\0 1}')


def test_a_payload_that_is_too_long_is_not_parsed() -> None:
    """Its size says enough."""
    assert f"{MAX_BYTES} are allowed" in refusal(b" " * MAX_BYTES + b"{}")


def test_depth_has_a_limit_that_is_far_from_the_stack_s() -> None:
    """At the limit it is read; past it, and far past it, refused."""
    assert read_json(b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1), "The request")
    for depth in (MAX_DEPTH + 1, 100_000):
        assert "nested deeper" in refusal(b"[" * depth + b"]" * depth)


def test_a_key_that_stands_twice_is_refused_by_its_name() -> None:
    """Two readers would see two different requests."""
    assert "'model' twice" in refusal(b'{"model":"a@1","model":"b@1"}')
    assert "'x' twice" in refusal(b'{"in":{"x":1,"y":2,"x":3}}')


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_python_alone_takes_for_numbers_are_refused(word: str) -> None:
    """They are no JSON, and compare with nothing."""
    assert word in refusal(f'{{"n":{word}}}'.encode())


def test_numbers_have_an_end() -> None:
    """A million digits would take minutes to read."""
    assert read_json(b"9" * MAX_DIGITS, "The request") == int("9" * MAX_DIGITS)
    assert "digits" in refusal(b"9" * (MAX_DIGITS + 1))
    assert "out of range" in refusal(b"1e999")
    assert "out of range" in refusal(b"0." + b"1" * 1000)


def test_half_a_character_is_refused_wherever_it_stands() -> None:
    """As a key, too: it could not be sent on."""
    assert "surrogate" in refusal(b'["\\ud800"]')
    assert "surrogate" in refusal(b'{"\\udfff": 1}')
    assert read_json(b'"\\ud83d\\ude00"', "The request") == "😀"


def test_the_place_of_a_fault_is_named() -> None:
    """Line and column, or the byte."""
    assert "line 2, column 3" in refusal(b'{"a": 1,\n  b: 2}')
    assert "byte 2" in refusal(b'["\xff"]')
