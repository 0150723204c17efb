"""Text of strangers that people read: nothing in it steers a terminal or a page."""

from __future__ import annotations

import pytest

from edge_daemon.core.text import STEERING, is_line, number_of


@pytest.mark.parametrize(
    "text", ["", "BTL-500", "Flasche 0,5 l", "刮痕检测", "قارورة", "naïve “quoted”", "👷🏽"]
)
def test_what_people_write_is_a_line(text: str) -> None:
    """In any script, also one that is written from right to left."""
    assert is_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",  # clears a terminal
        "a\rb",  # writes over what stands there
        "\x07",
        "a\x00b",
        "\x9b31m",  # the same as ESC [, in one character
        "invoice\u202egpj.exe",  # turns the rest round
        "\u2066a\u2069",
        "a\u2028b",  # a line's end for some
        "\ud800",  # half a character: no encoding has it
    ],
)
def test_what_steers_is_none(text: str) -> None:
    """It would act on whoever reads the log."""
    assert STEERING.search(text)
    assert not is_line(text)


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab"])
def test_text_of_several_lines_steers_nothing_and_is_no_line(text: str) -> None:
    """A reason may have them, a name may not."""
    assert not STEERING.search(text)
    assert not is_line(text)


def test_one_thing_is_not_called_by_its_plural() -> None:
    assert [number_of(count, "station") for count in (0, 1, 2)] == [
        "0 stations",
        "1 station",
        "2 stations",
    ]
