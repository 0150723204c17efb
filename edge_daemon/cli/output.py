"""Output of commands: a character that cannot be shown never makes a command fail.

Everything goes through two streams that `steady` puts in the place of stdout and stderr, and
through `tell`, `tell_json` and `console`:

encoding   a character that the terminal lacks is replaced by a plain one, or a question mark
control    a character that would control the terminal is shown instead
loss       a full disk is one error message; a closed pipe ends the command quietly
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status

from edge_daemon.core.text import STEERING

BARS = "▁▂▃▄▅▆▇█"
PLAIN = {
    "√": "OK",
    "‼": "!",
    "×": "x",  # noqa: RUF001 - meant as signs
    "→": "->",
    "–": "-",  # noqa: RUF001
    "…": "...",
    "·": "-",
    **dict(zip(BARS, "_.-:=+*#", strict=True)),
}
"""Our own signs where the encoding has none of them."""

_PIPED = 1000
"""Columns of what is no terminal: a table loses none to a program that reads it."""
_SPELLING = "edge_daemon.spelling"


class CannotWriteError(Exception):
    """stdout cannot be written; the OSError is its cause.

    It is no OSError itself: a broken pipe to a broker or a worker must not be taken for it.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"edge-daemon: cannot write: {cause.strerror}")
        self.reader_left = cause.errno == errno.EPIPE


# --------------------------------------------------------------------------- the streams


@contextmanager
def steady() -> Iterator[None]:
    """Replace stdout and stderr by streams that accept any text.

    A failed write to stdout raises CannotWriteError once; later writes, and what stderr does not
    take, are dropped.
    """
    usual = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _steady(sys.stdout, raises=True), _steady(sys.stderr, raises=False)
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = usual


@contextmanager
def unbroken() -> Iterator[None]:
    """For work that must complete whether or not its output can be written: no write raises."""
    sink = _sink(sys.stdout)
    if sink is None:
        yield
        return
    raised, sink.raises = sink.raises, False
    try:
        yield
    finally:
        sink.raises = raised and sink.lost is None
        if sink.lost is not None and sink.lost.errno != errno.EPIPE:
            tell(str(CannotWriteError(sink.lost)), err=True)


class _Sink(io.FileIO):
    """A descriptor of this process that may be full or closed."""

    def __init__(self, descriptor: int, *, raises: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.raises = raises
        self.lost: OSError | None = None

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.lost = error
            if self.raises:
                self.raises = False
                raise CannotWriteError(error) from error
            return len(data)


def _steady(stream: TextIO | None, *, raises: bool) -> Any:
    """The same stream where nothing can fail; one of a test has no descriptor."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        descriptor = stream.fileno()
    except OSError:
        stream.reconfigure(errors=_SPELLING)
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Sink(descriptor, raises=raises)),
        encoding=stream.encoding,
        errors=_SPELLING,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _sink(stream: Any) -> _Sink | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Sink) else None


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lacking), error.end


codecs.register_error(_SPELLING, _spell)


# --------------------------------------------------------------------------- telling


def tell(text: str, *, err: bool = False) -> None:
    """One sentence or more, as a line of its own."""
    # The library writes UTF-8 to an ASCII terminal unless the stream is named.
    typer.echo(harmless(text), file=sys.stderr if err else sys.stdout)


def tell_json(plain: Any, *, indent: int | None = None) -> None:
    """A document for a program; what the encoding lacks is escaped, so nothing of it is lost."""
    text = json.dumps(plain, indent=indent, ensure_ascii=not _is_unicode(sys.stdout))
    typer.echo(STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text), file=sys.stdout)


def harmless(text: str) -> str:
    """The text with control characters made visible."""
    return STEERING.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\u2421" if code == 0x7F else chr(0x2400 + code) if code < 0x20 else "\ufffd"


def fitting(sign: str) -> str:
    """One of our signs as this terminal can show it; for what has a column of its own."""
    try:
        sign.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return PLAIN.get(sign, "?")
    return sign


def console(*, stderr: bool = False) -> Console:
    """Where styled lines go; plain text of any width if stdout is not a terminal."""
    made = _Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED
    return made


def show(*parts: RenderableType, err: bool = False) -> None:
    """Tables and text within the terminal's width."""
    out = console(stderr=err)
    for part in parts:
        out.print(part, soft_wrap=False)


def busy(words: str) -> Status:
    """A spinner on stderr, if it is a terminal, for work that takes a while."""
    spinner = "dots" if _is_unicode(sys.stderr) else "line"
    return console(stderr=True).status(words, spinner=spinner)


class _Console(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or not STEERING.search(segment.text):
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)


def _is_unicode(stream: Any) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
