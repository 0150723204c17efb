"""One log for the whole daemon: JSON lines for machines, colours for people, no secrets.

All of it goes through one handler on stdout: the daemon's own structlog events, the standard
library's logging (uvicorn, paho), Python's warnings, and what workers write to stderr.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from enum import Enum
from typing import IO, Any, TextIO

import structlog

from edge_daemon.core.credentials import HIDDEN, is_secret_key, redact
from edge_daemon.host.clock import Clock
from edge_daemon.host.journald import JournalHandler

_Fields = MutableMapping[str, Any]

SEVERITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""syslog(3) priorities, which journald reads from a `<N>` before the line."""

QUIETED = ("uvicorn", "uvicorn.access", "uvicorn.error", "watchdog", "paho", "asyncio")
"""Libraries that say a line a request or a file at `info`; their warnings stay."""

LINE_LIMIT = 4_096
"""Bytes of one line of a worker that are kept."""
RELAY_BURST, RELAY_WINDOW_S = 120, 60.0
"""Lines of a worker that are written in a window; what comes beyond is counted."""

Vocabulary = Mapping[str, frozenset[str]]
"""The events that a worker may say, each with the fields that it may have."""


class Style(Enum):
    """How lines are written."""

    JSON = "json"
    JOURNAL = "journal"  # JSON behind a `<N>` severity
    PRETTY = "pretty"


def style_of(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """What the stream's reader wants: a person, the journal, or any other program.

    JOURNAL_STREAM is inherited by every child, so it counts only where it names this very stream.
    """
    if stream.isatty():
        return Style.PRETTY
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return Style.JSON
    same = environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return Style.JOURNAL if same else Style.JSON


def configure(
    level: str = "info", *, stream: TextIO | None = None, style: Style | None = None
) -> None:
    """Set up the process's log; a later call replaces the earlier.

    Args:
        level: the least severity written: debug, info, warning or error.
        stream: stdout, or stderr in a worker.
        style: as the stream's reader wants it, where it is not given.
    """
    stream = stream or sys.stdout
    style = style or style_of(stream, os.environ)
    number: int = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        _add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _format_exception(style),
        _plain,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    native = style is Style.JOURNAL and stream is sys.stdout
    handler = JournalHandler(stream) if native else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _RENDER[style]],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a log that cannot be written must not stop the line
    for name in QUIETED:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(number, logging.WARNING))


class Relay:
    """Writes what a worker says to this log, until the worker closes its pipe.

    A loaded model can write there too: it may say anything, but not as somebody else, not without
    end, and no line of it keeps the next from being read.

    Args:
        logger: where it is written; bound to what tells the worker.
        clock: what a window of `RELAY_WINDOW_S` is measured with.
        vocabulary: what is taken as an event; all else is the text of a `worker_said`.
    """

    def __init__(self, logger: Any, clock: Clock, vocabulary: Vocabulary) -> None:
        self._logger = logger
        self._clock = clock
        self._vocabulary = vocabulary
        self._window_began = clock.now().at
        self._lines = 0

    def run(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(LINE_LIMIT), b""):
            with suppress(Exception):  # the boundary to what a worker writes: one line is one line
                self._take(line)
        with suppress(Exception):
            self._end_window()

    def _take(self, line: bytes) -> None:
        text = printable(line.decode("utf-8", "replace")).strip()
        if not text:
            return
        now = self._clock.now().at
        if now - self._window_began >= RELAY_WINDOW_S:
            self._end_window()
            self._window_began, self._lines = now, 0
        self._lines += 1
        if self._lines <= RELAY_BURST:
            level, event, fields = parse_line(text, self._vocabulary)
            getattr(self._logger, level)(event, **fields)

    def _end_window(self) -> None:
        if self._lines > RELAY_BURST:
            self._logger.warning("worker_log_cut", lines=self._lines - RELAY_BURST)


def parse_line(text: str, vocabulary: Vocabulary) -> tuple[str, str, dict[str, Any]]:
    """Level, event and fields of one line of a worker; whatever it is, the answer can be logged."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    event = plain.get("event") if isinstance(plain, dict) else None
    if not isinstance(event, str) or event not in vocabulary:
        return "info", "worker_said", {"text": text}
    level = "warning" if plain.get("level") == "warning" else "info"
    known = ((name, plain[name]) for name in vocabulary[event] if name in plain)
    return level, event, {name: _simple(value) for name, value in known}


def printable(text: str) -> str:
    """The text without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def _simple(value: Any) -> str | int | float | None:
    if isinstance(value, str):
        return printable(value)
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    return value if is_number else None


# ------------------------------------------------------------------------- processors


def _add_logger_name(logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Like structlog's own, also for loggers of the standard library."""
    record = fields.get("_record")
    fields["logger"] = record.name if record else getattr(logger, "name", "")
    return fields


def _format_exception(style: Style) -> Any:
    if style is Style.PRETTY:  # the console renderer shows it itself
        return structlog.processors.StackInfoRenderer()
    return structlog.processors.format_exc_info


def _plain(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Values as JSON knows them, everything else as it reads, and no secret."""
    for key, value in fields.items():
        if not (key.startswith("_") or key == "exc_info"):
            fields[key] = _as_json(key, value)
    return fields


def _as_json(key: str, value: Any) -> Any:
    if is_secret_key(key) and value:
        return HIDDEN
    if isinstance(value, Enum):
        return _as_json(key, value.value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _as_json(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_json("", inner) for inner in value]
    return redact(str(value))


def _json_line(_logger: Any, _method: str, fields: _Fields) -> str:
    first = {key: fields.pop(key) for key in ("timestamp", "level", "event", "logger")}
    return json.dumps({**first, **fields}, ensure_ascii=False, default=str)


def _journal_line(logger: Any, method: str, fields: _Fields) -> str:
    return f"<{SEVERITY.get(fields['level'], 6)}>{_json_line(logger, method, fields)}"


_RENDER: dict[Style, Callable[[Any, str, _Fields], str]] = {
    Style.JSON: _json_line,
    Style.JOURNAL: _journal_line,
    Style.PRETTY: structlog.dev.ConsoleRenderer(),
}
