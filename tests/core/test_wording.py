"""What leaves the box in words: bounded, printable, and without the folders of the box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.wording import LABEL, MESSAGE, listed, public, shortened


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/var/lib/edge/models/bottle/1.0.0/weights.pt is broken.", "weights.pt is broken."),
        ("cannot open '/tmp/x/y.onnx'", "cannot open 'y.onnx'"),
        ("see http://example.org/a/b.html", "see http:b.html"),
        ("3/4 of the images", "3/4 of the images"),
        ("and/or", "and/or"),
        ("27 °C", "27 °C"),
        ("two\n  lines\tof text", "two lines of text"),
    ],
)
def test_of_a_path_only_its_last_part_is_left(text: str, said: str) -> None:
    """Where a station keeps its things is nobody's business; what is no path stays."""
    assert public(text) == said


def test_a_folder_that_is_named_is_taken_out_first() -> None:
    """Whatever stands in its name: spaces end a path for everybody else."""
    text = "/srv/line 3/scratch/A-7/weights.pt is broken."
    assert public(text, ["/srv/line 3/scratch"]) == "weights.pt is broken."


@pytest.mark.parametrize("sign", ["\x1b", "\x00", "\u202e", "✓", "😀", "\u2028"])
def test_signs_that_are_no_writing_are_taken_out(sign: str) -> None:
    """A library's progress bar, a colour, and what turns the direction of text."""
    assert public(f"a{sign}b") == "a b"


def test_writing_of_any_kind_stays() -> None:
    """A label may be in any language."""
    assert public("刮痕 · царапина · Kratzer · خدش") == "刮痕 · царапина · Kratzer · خدش"


@given(st.text(max_size=2000))
def test_any_text_is_one_bounded_line(text: str) -> None:
    """Whatever a library says in its errors."""
    said = public(text)
    assert len(said) <= MESSAGE
    assert "\n" not in said
    assert all(sign.isprintable() for sign in said)
    assert public(said) == said


def test_what_is_cut_shows_that_it_was() -> None:
    """At the length that was asked for, dots included."""
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert shortened("abcd efg", 6) == "abcd…"


def test_a_few_names_are_listed_and_the_others_counted() -> None:
    """A model may have thousands of classes."""
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(10)]) == "0, 1, 2, 3 … and 6 more"
    assert listed(["x" * 100]) == "x" * (LABEL - 1) + "…"
    assert listed([]) == ""
