"""Foreign text that people read: no character of it may control a terminal or a page."""

from __future__ import annotations

import re

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and line feed, those that turn the direction of text, and halves of
a character (surrogates), which no encoding has."""


def is_line(text: str) -> bool:
    """Whether it is one line without control characters."""
    return not STEERING.search(text) and "\n" not in text and "\t" not in text


def number_of(count: int, thing: str) -> str:
    """Such as `1 station`, `0 stations`, `12 stations`; for things with a plural in s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
