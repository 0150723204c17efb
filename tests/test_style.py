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

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50
MOST_PARAMETERS = 6

LONGER = {
    "app/data_plane.py:__init__": "wiring: one line for each part of the way of a frame",
    "frames/sftp_place.py:_in_words": "the table of a library's errors, each as a sentence",
}
"""Functions that may be longer than that, each with the reason."""

COMMANDS = ("cli/", "demo/")
"""A parameter of a command is an option that is typed: typer reads them from the signature."""


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


@cache
def functions() -> tuple[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef], ...]:
    """Every function of the product, with its file."""
    return tuple(
        (file, node)
        for file, text in sources("edge_daemon").items()
        for node in ast.walk(ast.parse(text, file))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """What callers pass, without `self`."""
    args = function.args
    names = [each.arg for each in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first statement after the docstring to the last."""
    first = function.body[1 if ast.get_docstring(function) and function.body[1:] else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_a_file_is_about_one_thing_and_ends() -> None:
    """A file that grows beyond it is about two things: it is split where they part."""
    long = {
        file: lines
        for file, text in sources("edge_daemon").items()
        if (lines := text.count("\n")) > MOST_LINES_OF_A_FILE
    }
    assert long == {}


def test_a_function_is_read_without_scrolling() -> None:
    """Its signature and its docstring aside: a command has a line for each option."""
    long = {
        f"{file}:{each.name}": lines
        for file, each in functions()
        if (lines := lines_of_body(each)) > MOST_LINES_OF_A_FUNCTION
    }
    assert set(long) == set(LONGER), long


TWICE = {
    "picture": "the pages of two features, each with a folder of its own",
    "stop": "a thread that is asked to end: what waits in it is lost, kept or repeated",
}
"""Functions whose statements are the same by chance: they would not change together."""


def test_nothing_is_written_twice() -> None:
    """Statements that stand in two places are changed in one of them."""
    places: dict[str, list[str]] = {}
    for file, each in functions():
        body = "\n".join(
            ast.unparse(line) for line in each.body[1 if ast.get_docstring(each) else 0 :]
        )
        if each.name not in TWICE and body.count("\n") >= 2:
            places.setdefault(body, []).append(f"{file}:{each.name}")
    assert [found for found in places.values() if len(found) > 1] == []


def test_a_function_takes_few_parameters() -> None:
    many = {
        f"{file}:{each.name}": count
        for file, each in functions()
        if not file.startswith(COMMANDS) and (count := parameters(each)) > MOST_PARAMETERS
    }
    assert many == {}
