"""`model.yaml` from strangers: what it may hold, then read key by key with exact error messages.

Anchors and aliases are refused outright, because nine lines of them make a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from edge_daemon.documents import (
    Document,
    DocumentError,
    KeyPath,
    Limits,
    decode,
    dotted,
    dump,
    parse,
)
from edge_daemon.errors import BundleError

MAX_BYTES = 1 << 20
MAX_TEXT = 256  # characters of one text value

LIMITS = Limits(bytes=MAX_BYTES, depth=12, aliases=False)

T = TypeVar("T")


def parse_document(content: bytes, name: str) -> Table:
    """The mapping that a YAML file holds; `name` is the file's, for the messages.

    Raises BundleError(invalid_bundle) for anything else, whatever the bytes are.
    """
    try:
        document = parse(decode(content), LIMITS)
    except DocumentError as error:
        raise BundleError(
            f"{name}:{error.line}: {error.message}.", hint=error.hint or "Correct it."
        ) from error
    if not isinstance(document.value, dict):
        raise BundleError(f"{name} is not a mapping of keys.", hint="Begin it with 'schema: 1'.")
    return Table(document.value, name, document)


def plain_document(content: bytes, name: str) -> dict[str, Any]:
    """The mapping as plain values, for a document that is made from it; raises as above."""
    return dict(parse_document(content, name)._values)


def written_document(values: dict[str, Any]) -> bytes:
    """A mapping as the bytes of a YAML file, its keys in their order."""
    return dump(values, width=100).encode()


class Table:
    """One mapping of the file, read key by key; every complaint names the line and the full key.

    A key that is absent or null gives the default where there is one, else a BundleError.
    """

    def __init__(
        self, values: dict[str, Any], name: str, document: Document, place: KeyPath = ()
    ) -> None:
        self._values = values
        self._name = name
        self._document = document
        self._place = place

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def unknown(self, *known: str) -> tuple[str, ...]:
        """Keys that are not among the known ones, sorted."""
        return tuple(sorted(key[:64] for key in self._values if key not in known))

    def refuse_unknown(self, *known: str) -> None:
        for key in self.unknown(*known):
            raise self.wrong(key, f"is not known here; known are {', '.join(known)}")

    def wrong(self, key: str, what: str, index: int | None = None) -> BundleError:
        """The error for one key, or one entry of its list, to be raised."""
        inner: KeyPath = (key,) if index is None else (key, index)
        place: KeyPath = (*self._place, *inner)
        line = self._document.line(place)
        return BundleError(
            f"{self._name}:{line}: {dotted(place)} {what}.",
            hint="Correct the bundle and add it anew.",
        )

    def text(self, key: str, default: str | None = None) -> str:
        return _text(self._wrong_at(key), self._value(key, default))

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number in low..high; true and false are no numbers."""
        return _number(self._wrong_at(key), self._value(key, default), low, high)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}")
        return value

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        """A list of texts, each at most once; () when absent."""
        found = tuple(
            _text(self._wrong_at(key, index), value)
            for index, value in enumerate(self.items(key, most))
        )
        for text in found:
            if found.count(text) > 1:
                raise self.wrong(key, f"has {text!r} twice; each may stand once")
        return found

    def items(self, key: str, most: int) -> list[Any]:
        """A list of anything; [] when absent."""
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list")
        if len(value) > most:
            raise self.wrong(key, f"has {len(value)} entries; at most {most} are allowed")
        return value

    def numbers(self, key: str, count: int, low: float, high: float) -> tuple[float, ...]:
        """A list of exactly `count` finite numbers, each in low..high."""
        values = self.items(key, count)
        if len(values) != count:
            raise self.wrong(key, f"must be a list of {count} numbers")
        return tuple(
            _number(self._wrong_at(key, index), value, low, high)
            for index, value in enumerate(values)
        )

    def pairs(
        self, key: str, most: int, low: float, high: float
    ) -> tuple[tuple[float, float], ...]:
        """A list of lists of two finite numbers, each in low..high."""
        found = []
        for index, value in enumerate(self.items(key, most)):
            wrong = self._wrong_at(key, index)
            if not isinstance(value, list) or len(value) != 2:
                raise wrong("must be a list of two numbers")
            found.append((_number(wrong, value[0], low, high), _number(wrong, value[1], low, high)))
        return tuple(found)

    def table(self, key: str) -> Table:
        """A mapping; an empty one when absent."""
        value = self._values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a mapping of keys")
        return Table(value, self._name, self._document, (*self._place, key))

    def tables(self, key: str, most: int) -> Iterator[Table]:
        """A list of mappings; nothing when absent."""
        for index, value in enumerate(self.items(key, most)):
            if not isinstance(value, dict):
                raise self.wrong(key, "must be a mapping of keys", index)
            yield Table(value, self._name, self._document, (*self._place, key, index))

    def plain(self, key: str) -> dict[str, Any]:
        """A mapping that is only shown to people; {} when absent."""
        return dict(self.table(key)._values)

    def keys(self) -> tuple[str, ...]:
        """The keys in the order of the file; one that is no printable text is refused."""
        return tuple(_text(self._wrong_at(key), key) for key in self._values)

    def is_list(self, key: str) -> bool:
        return isinstance(self._values.get(key), list)

    def _value(self, key: str, default: T | None) -> Any:
        value = self._values.get(key)
        if value is not None:
            return value
        if default is None:
            raise self.wrong(key, "is missing")
        return default

    def _wrong_at(self, key: str, index: int | None = None) -> Callable[[str], BundleError]:
        return lambda what: self.wrong(key, what, index)


def _text(wrong: Callable[[str], BundleError], value: Any) -> str:
    if not isinstance(value, str):
        # YAML reads 1.10 as the number 1.1, and true as no text.
        raise wrong("must be text; write it in quotes")
    if not value or len(value) > MAX_TEXT or not value.isprintable():
        raise wrong(f"must be 1 to {MAX_TEXT} printable characters")
    return value


def _number(wrong: Callable[[str], BundleError], value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # NaN is in no range
        raise wrong(f"must be a number from {low:g} to {high:g}")
    return float(value)
