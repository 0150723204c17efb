"""A YAML file as plain values, with the line of every key.

Narrower than YAML where YAML surprises: `off`, `no` and `12:30` are text, a mapping's keys are
always text exactly as written (`0500` is a product, not 320), a key stands once, nothing is built
from tags, and size, depth and the growth through aliases are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 24

KeyPath = tuple[str | int, ...]


class DocumentError(Exception):
    """The text is no usable YAML; `line` counts from 1."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


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


class _Loader(yaml.SafeLoader):
    """Scalars as YAML 1.2's core schema reads them."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class's own shape


_SCALARS = (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
)
for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _first)


def parse(text: str) -> Document:
    """Read one YAML document; raises DocumentError."""
    if len(text.encode()) > MAX_BYTES:
        raise DocumentError(1, f"is larger than {MAX_BYTES // 1024} KiB", "Is it the right file?")
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(mark.line + 1 if mark else 1, *_sentence(error)) from None
    except yaml.YAMLError as error:
        raise DocumentError(1, f"is not YAML: {error}".splitlines()[0]) from None
    except RecursionError:
        raise DocumentError(1, "is nested too deeply") from None
    finally:
        loader.dispose()
    if root is None:
        return Document(None)
    reader = _Reader()
    return Document(reader.read(root, ()), reader.lines)


def dump(value: Any) -> str:
    """Plain values as YAML, in their own order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _sentence(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    problem = error.problem or "it cannot be understood"
    if "\\t" in problem:
        return "has a tab where YAML wants spaces", ""
    hint = "Put text that holds a colon in quotes." if "mapping values" in problem else ""
    return f"is not YAML: {problem}" + (f" {error.context}" if error.context else ""), hint


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._values = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise DocumentError(line, "grows too large", "Use fewer aliases (*name).")
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        raise DocumentError(line, f"has a tag that means nothing here: {node.tag}")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise DocumentError(line, "has a key that is not a word")
            key: str = key_node.value
            if key in values:
                raise DocumentError(line, f"has the key {key!r} twice", "Keep one of them.")
            inner: KeyPath = (*path, key)
            self.lines[inner] = line
            values[key] = self.read(value_node, inner)
        return values


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    if kind != "str":
        line = node.start_mark.line + 1
        raise DocumentError(line, f"has a tag that means nothing here: {node.tag}")
    return text
