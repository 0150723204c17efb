"""Bytes from outside -> a JSON document, bounded before and after it is read.

Anything bad that a stranger sends becomes a `SenderError`: what is too long or too deep, what is
not UTF-8 or not JSON, NaN, infinite numbers, doubled keys (two readers would see two different
requests) and lone surrogates (they cannot be sent on).
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from edge_daemon.errors import SenderError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 64

_BEHIND = b" \t\r\n\v\f\0"


def text_of(payload: bytes) -> bytes:
    """The text of a payload: without a byte order mark before it, and what pads it behind.

    A C program often sends the NUL that ends its string, or the whole of its buffer.
    """
    return payload.removeprefix(codecs.BOM_UTF8).rstrip(_BEHIND)


def read_json(payload: bytes, what: str) -> Any:
    """Parse one JSON document; `what` names it in the message, such as "The request".

    Raises:
        SenderError: with a sentence that says what is wrong and, where known, at which place.
    """
    if len(payload) > MAX_BYTES:
        raise SenderError(
            f"{what} has {len(payload)} bytes, and {MAX_BYTES} are allowed.",
            hint="Send only the fields that are needed.",
        )
    text = text_of(payload)
    if not text:
        raise SenderError(f"{what} is empty.", hint="Send one JSON document.")
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_not_a_number,
            parse_int=_integer,
            parse_float=_real,
        )
    except UnicodeDecodeError as error:
        raise SenderError(
            f"{what} is not UTF-8 text (byte {error.start}).", hint="Send JSON as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        fault = error.msg.removesuffix(" at")  # some of them end with it
        raise SenderError(
            f"{what} is not JSON: {fault} at line {error.lineno}, column {error.colno}.",
            hint="Send one JSON document, with double quotes and without a comma at an end.",
        ) from error
    except RecursionError as error:
        raise _too_deep(what) from error
    except _UnfitError as error:
        hint = "Correct the payload and send it again."
        raise SenderError(f"{what} {error}.", hint=hint) from error
    if _may_be_unfit(text):
        _check(document, what)
    return document


def _may_be_unfit(text: bytes) -> bool:
    """Whether its values must be looked at: thousands of reports a second need it not.

    Only an escape can make half of a surrogate pair, and each level needs a bracket.
    """
    return b"\\u" in text or text.count(b"{") + text.count(b"[") >= MAX_DEPTH


class _UnfitError(ValueError):
    """A part of the document that JSON's grammar allows and we do not."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _UnfitError(f"has the key {twice[:80]!r} twice")
    return read


def _not_a_number(word: str) -> NoReturn:
    raise _UnfitError(f"has {word}, which is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _UnfitError(f"has a number of {len(digits)} digits, and {MAX_DIGITS} are allowed")
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits) if len(digits) <= 4 * MAX_DIGITS else math.inf
    if math.isinf(number):
        raise _UnfitError(f"has the number {digits[:40]}, which is out of range")
    return number


def _too_deep(what: str) -> SenderError:
    return SenderError(
        f"{what} is nested deeper than {MAX_DEPTH} levels.", hint="Send a flatter document."
    )


def _check(document: Any, what: str) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node)
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
            elif isinstance(node, str) and not node.isascii():
                _check_text(node, what)
        if not below:
            return
        level = below
    raise _too_deep(what)


def _check_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SenderError(
            f"{what} has half of a surrogate pair, which is no character.",
            hint="Write characters as UTF-8, or both halves of the pair.",
        ) from error


# --------------------------------------------------------------------------- words

_KINDS: Mapping[type, str] = {
    type(None): "null",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


def kind_of(value: object) -> str:
    """What a stranger's value is, in words."""
    return _KINDS.get(type(value), "something else")


def shown(value: object) -> str:
    """A stranger's value, shortened for a sentence."""
    if isinstance(value, (dict, list)):
        return kind_of(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = repr(value)
    if len(text) <= 80:
        return text
    return f"{text[:77]}…{text[-1]}" if isinstance(value, str) else f"{text[:77]}…"
