"""House rules that no linter checks: they are counted here, so that they hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

STANDARD_LIBRARY = {"_exit"}
"""Names of the standard library that begin with an underscore and are public all the same."""

ALLOWED = {
    ("integration/test_broker_clash.py", "_ended"),
    ("integration/test_broker_clash.py", "_network"),
}
"""A wait that returns too late cannot be had of a real network thread: it is planted there."""

BROAD = re.compile(r"except(:|.*\b(Base)?Exception\b)")
PRIVATE = re.compile(
    r"(?<!self)(?<!cls)\._[A-Za-z]|setattr|import .*\b_[A-Za-z]|^ +_[A-Za-z]\w*,$", re.MULTILINE
)
"""Files without these need not be parsed, which takes most of the time."""

MOST_BROAD_EXCEPTS = 0.5
"""A thousand lines of the product."""


@cache
def sources(folder: str) -> dict[str, str]:
    """The text of each file, by its path within the folder."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT / folder)): path.read_text() for path in paths}


@cache
def broad_handlers() -> tuple[tuple[str, ast.ExceptHandler], ...]:
    """Where the product catches everything; only files that have the words are parsed."""
    return tuple(
        (file, node)
        for file, text in sources("edge_daemon").items()
        if BROAD.search(text)
        for node in ast.walk(ast.parse(text, file))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    )


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in STANDARD_LIBRARY


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where another's private name is read, set, imported or patched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr == "__setattr__" or (
                is_private(node.attr) and owner not in {"self", "cls"}
            ):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, one.name) for one in node.names if is_private(one.name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if node.func.attr in {"setattr", "delattr"}:
                names = [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
                yield from ((node.lineno, name) for name in names if is_private(name))


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {each.id for each in caught if isinstance(each, ast.Name)}
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def test_no_test_reaches_into_another_class() -> None:
    """What a test needs to know, an operator or another room may need to know: it is public."""
    reached = [
        f"tests/{file}:{line} {name}"
        for file, text in sources("tests").items()
        if PRIVATE.search(text)
        for line, name in private_names(ast.parse(text, file))
        if (file, name) not in ALLOWED
    ]
    assert reached == []


def test_everything_is_caught_at_few_places() -> None:
    """At boundaries: to a library, to a model's code, and around a turn of a thread."""
    lines = sum(text.count("\n") for text in sources("edge_daemon").values())
    broad = [f"{file}:{handler.lineno}" for file, handler in broad_handlers()]
    assert broad
    assert len(broad) <= MOST_BROAD_EXCEPTS * lines / 1000, broad


def test_what_was_begun_is_undone_without_catching_everything() -> None:
    """An ExitStack or `finally` cleans up; a broad handler that only raises again is neither."""
    again = [
        f"edge_daemon/{file}:{handler.lineno}"
        for file, handler in broad_handlers()
        if isinstance(last := handler.body[-1], ast.Raise) and last.exc is None
    ]
    assert again == []
