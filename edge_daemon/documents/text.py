"""A YAML text as plain values, with the line of every key.

Narrower than YAML where YAML surprises: `off`, `no`, `12:30` and `2026-11-22` are text, a mapping's
keys are always text exactly as written (`0500` is a product, not 320), a key stands once, nothing
is built from tags, and size, depth, length of a text and the growth through aliases are bounded.

The bounds are counted on the parser's events, before any value is made: a mebibyte from a stranger
costs a moment, whatever stands in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from edge_daemon.documents.file import DocumentError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Limits:
    """How much one document may hold."""

    bytes: int = 256 * 1024
    values: int = 20_000
    depth: int = 24
    text: int = 65_536  # characters of one key or value
    aliases: bool = True


@dataclass(frozen=True)
class Document:
    """Plain values, and on which line each path of keys begins."""

    value: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of the path, or of the nearest part of it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_USUAL = Limits()
_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)
"""Useless without tags; for thousands of them the parser needs quadratic time."""


def parse(text: str, limits: Limits = _USUAL) -> Document:
    """Read one YAML document; raises DocumentError."""
    if len(text.encode("utf-8", "replace")) > limits.bytes:
        raise DocumentError(1, f"is larger than {limits.bytes >> 10} KiB", "Is it the right file?")
    if (found := _DIRECTIVE.search(text)) is not None:
        raise DocumentError(text.count("\n", 0, found.start()) + 1, "has a %TAG directive")
    try:
        root = _compose(yaml.parse(text, Loader=_LOADER), limits)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text) from None
    except yaml.YAMLError as error:
        raise DocumentError(1, f"is not YAML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:  # of the parser in Python, where there is none in C
        raise DocumentError(1, "is nested too deeply") from None
    if root is None:
        return Document(None)
    reader = _Reader(limits)
    return Document(reader.read(root, ()), reader.lines)


def dotted(path: KeyPath) -> str:
    """A path of keys as people write it: `orders[0].topic`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            is_word = part.isprintable() and part == part.strip() != ""
            name = part[:64] if is_word else repr(part[:64])
            text += f".{name}" if text else name
    return text


def dump(value: Any, width: int = 80) -> str:
    """Plain values as YAML, in their own order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=width)
    return text


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    line = min(mark.line, text.count("\n")) + 1 if mark else 1
    if mark and _stands_at(text, mark) == "\t":
        return DocumentError(line, "has a tab where YAML wants spaces")
    problem = error.problem or "it cannot be understood"
    hint = "Put text that holds a colon in quotes." if "mapping values" in problem else ""
    context = f" {error.context}" if error.context else ""
    return DocumentError(line, f"is not YAML: {problem}{context}", hint)


def _stands_at(text: str, mark: Any) -> str:
    line = "".join(text.splitlines()[mark.line : mark.line + 1])
    return line[mark.column : mark.column + 1]


# --------------------------------------------------------------------------- events -> nodes


@dataclass(eq=False)
class _Node:
    """One value as written: a scalar has a text; a mapping's children are key, value, key, ..."""

    line: int
    tag: str | None = None
    text: str | None = None
    is_plain: bool = False
    is_mapping: bool = False
    children: list[_Node] = field(default_factory=list)


def _compose(events: Iterator[Any], limits: Limits) -> _Node | None:
    """The tree of the only document, counted while it grows; None where there is none."""
    root: _Node | None = None
    above: list[_Node] = []
    anchors: dict[str, _Node] = {}
    count = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionEndEvent):
            above.pop()
        elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise DocumentError(line, "is not YAML: it holds a second document")
        if not isinstance(event, yaml.NodeEvent):
            continue
        count += 1
        if count > limits.values:
            raise DocumentError(line, f"holds more than {limits.values} values", "Shorten it.")
        node = _node(event, line, limits, anchors)
        if above:
            above[-1].children.append(node)
        else:
            root = node
        if isinstance(event, yaml.CollectionStartEvent):
            above.append(node)
        if len(above) > limits.depth:
            raise DocumentError(line, "is nested too deeply", "Flatten it.")
    return root


def _node(event: Any, line: int, limits: Limits, anchors: dict[str, _Node]) -> _Node:
    if event.anchor and not limits.aliases:
        raise DocumentError(line, "uses YAML anchors or aliases", "Write the values out.")
    if isinstance(event, yaml.AliasEvent):
        name = str(event.anchor)
        if name not in anchors:
            raise DocumentError(line, f"uses *{name[:64]}, but nothing is called so")
        return anchors[name]
    if isinstance(event, yaml.ScalarEvent):
        if len(event.value) > limits.text:
            raise DocumentError(line, f"has a text of more than {limits.text} characters")
        node = _Node(line, event.tag, event.value, is_plain=not event.style)
    else:
        node = _Node(line, event.tag, is_mapping=isinstance(event, yaml.MappingStartEvent))
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


# --------------------------------------------------------------------------- nodes -> values


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._limits = limits
        self._values = 0

    def read(self, node: _Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.line)
        self._values += 1
        if self._values > self._limits.values or len(path) > self._limits.depth:
            raise DocumentError(node.line, "grows too large", "Use fewer aliases (*name).")
        if node.text is not None:
            return _scalar(node, node.text)
        if node.tag not in (None, "!", _CORE + ("map" if node.is_mapping else "seq")):
            raise _strange(node)
        if node.is_mapping:
            return self._mapping(node, path)
        return [self.read(item, (*path, index)) for index, item in enumerate(node.children)]

    def _mapping(self, node: _Node, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in zip(node.children[::2], node.children[1::2], strict=True):
            key = key_node.text
            if key is None:
                raise DocumentError(key_node.line, "has a key that is not a word")
            if key in values:
                raise DocumentError(
                    key_node.line, f"has the key {key[:64]!r} twice", "Keep one of them."
                )
            inner: KeyPath = (*path, key)
            self.lines[inner] = key_node.line
            values[key] = self.read(value_node, inner)
        return values


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_WHOLE = re.compile(r"[-+]?[0-9]+")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS = 64


def _scalar(node: _Node, text: str) -> Any:
    """A scalar as YAML 1.2's core schema reads it; a tag of that schema must fit its text."""
    tag = node.tag
    if tag is None:
        return _plain(text) if node.is_plain else text
    if tag in ("!", f"{_CORE}str"):
        return text
    value = _plain(text)
    kind = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value))
    if tag == f"{_CORE}float" and kind == "int":
        return float(value)
    if kind is None or tag != f"{_CORE}{kind}":
        raise _strange(node)
    return value


def _plain(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= _MOST_DIGITS:
        if _WHOLE.fullmatch(text):
            return int(text)
        if _REAL.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text


def _strange(node: _Node) -> DocumentError:
    return DocumentError(node.line, f"has a tag that means nothing here: {str(node.tag)[:64]}")
