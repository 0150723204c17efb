"""A mapping from strangers, read key by key: each complaint begins with the full key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_daemon.core.text import is_line
from edge_daemon.core.wording import LABEL, shortened
from edge_daemon.errors import PlanError

MAX_TEXT = 256


class Table:
    """One mapping and the key that led to it; a key that is absent or null gives the default."""

    def __init__(self, values: Any, place: str) -> None:
        self.place = place
        if not isinstance(values, Mapping):
            raise complaint(place, "must be a mapping of keys")
        self._values = values

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def at(self, key: object) -> str:
        """The full key."""
        return f"{self.place}.{shortened(_printable(key), LABEL)}"

    def wrong(self, key: str, what: str) -> PlanError:
        return complaint(self.at(key), what)

    def refuse_unknown(self, *known: str) -> None:
        for key in self._values:
            if key not in known:
                raise complaint(self.at(key), f"is not known here; known are {', '.join(known)}")

    def names(self) -> Iterator[str]:
        for key in self._values:
            if not isinstance(key, str):
                raise complaint(self.at(key), "must be a name; write it in quotes")
            yield key

    def value(self, key: str) -> Any:
        return self._values.get(key)

    def number(self, key: str, low: float, high: float, default: float) -> float:
        """A finite number in low..high."""
        return default if key not in self else _number(self.value(key), self.at(key), low, high)

    def maybe(self, key: str, low: float, high: float) -> float | None:
        """A finite number in low..high, or None when absent."""
        return None if key not in self else self.number(key, low, high, low)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        if key not in self:
            return default
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def word(self, key: str, words: Sequence[str], default: str) -> str:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in words:
            raise self.wrong(key, f"must be one of {', '.join(words)}")
        return value

    def text(self, key: str) -> str | None:
        """One printable line, or None when absent."""
        value = self.value(key)
        return None if value is None else _text(value, self.at(key))

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        found = tuple(_text(value, place) for value, place in self.items(key, most))
        for text in found:
            if found.count(text) > 1:
                raise self.wrong(key, f"has {shortened(text, LABEL)!r} twice; each may stand once")
        return found

    def items(self, key: str, most: int) -> list[tuple[Any, str]]:
        """The entries of a list and the full key of each; [] when absent."""
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise self.wrong(key, "must be a list")
        if len(value) > most:
            raise self.wrong(key, f"has {len(value)} entries; at most {most} are allowed")
        return [(entry, f"{self.at(key)}[{index}]") for index, entry in enumerate(value)]

    def table(self, key: str) -> Table:
        """A mapping; an empty one when absent."""
        value = self.value(key)
        return Table({} if value is None else value, self.at(key))


def complaint(place: str, what: str) -> PlanError:
    """The error to be raised: the full key, and what is wrong with its value."""
    return PlanError(f"{place} {what}.", hint="Correct the plan and ask again.")


def _number(value: Any, place: str, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # NaN is in no range
        raise complaint(place, f"must be a number from {low:g} to {high:g}")
    return float(value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise complaint(place, "must be text; write it in quotes")
    if not value or len(value) > MAX_TEXT or not is_line(value):
        raise complaint(place, f"must be one line of 1 to {MAX_TEXT} characters")
    return value


def _printable(key: object) -> str:
    text = key if isinstance(key, str) else type(key).__name__
    return text if text and text.isprintable() else ascii(text)
