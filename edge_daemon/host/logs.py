"""One log for the whole daemon: JSON lines for machines, colours for people, no secrets.

Everything that speaks ends in one handler on stdout: the daemon's own structlog events, the
standard library's logging (uvicorn, paho), Python's warnings, and what workers write to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
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

LINE_LIMIT = 8_192
"""Characters of one worker line that are kept."""
RELAY_BURST, RELAY_WINDOW_S = 500, 10.0
"""Worker lines relayed in a window; what comes beyond is counted, not written."""


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
        _without_secrets,
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


def bind_swap(logger: Any, swap_id: str) -> Any:
    """The same logger with the swap's id on every line; handed on explicitly, thread to thread."""
    return logger.bind(swap_id=swap_id)


def relay(stream: IO[bytes], logger: Any, clock: Clock) -> threading.Thread:
    """Write a worker's stderr to this log until it ends; returns the thread that does it.

    A JSON line keeps its level and fields, other text becomes `worker_output`. A loaded model can
    write there too, so length, number of fields and rate are bounded.
    """
    thread = threading.Thread(
        target=_Relay(logger, clock).run, args=(stream,), name="worker-log", daemon=True
    )
    thread.start()
    return thread


class _Relay:
    def __init__(self, logger: Any, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._window_began = clock.now().at
        self._written = 0

    def run(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(LINE_LIMIT):
                self._take(line)
        self._end_window()

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if not text:
            return
        now = self._clock.now().at
        if now - self._window_began >= RELAY_WINDOW_S:
            self._end_window()
            self._window_began, self._written = now, 0
        self._written += 1
        if self._written <= RELAY_BURST:
            level, event, fields = parse_line(text)
            getattr(self._logger, level)(event, **fields)

    def _end_window(self) -> None:
        if self._written > RELAY_BURST:
            self._logger.warning("worker_output_dropped", lines=self._written - RELAY_BURST)


def parse_line(text: str) -> tuple[str, str, dict[str, Any]]:
    """Level, event and fields of one worker line; whatever it is, the answer may be logged."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or not isinstance(plain.get("event"), str):
        return "warning", "worker_output", {"text": text}
    level = str(plain.pop("level", "info"))
    event = plain.pop("event")
    plain.pop("timestamp", None)
    fields = {
        name: value
        for name, value in list(plain.items())[:32]
        if name.isidentifier() and name not in ("self", "exc_info", "stack_info")
    }
    return level if level in SEVERITY else "info", event, fields


# ------------------------------------------------------------------------- processors


def _add_logger_name(logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Like structlog's own, except that a relayed line keeps the worker's name."""
    record = fields.get("_record")
    fields.setdefault("logger", record.name if record else getattr(logger, "name", ""))
    return fields


def _format_exception(style: Style) -> Any:
    if style is Style.PRETTY:  # the console renderer shows it itself
        return structlog.processors.StackInfoRenderer()
    return structlog.processors.format_exc_info


def _plain(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Values as JSON knows them; everything else as it reads."""
    for key, value in fields.items():
        if not (key.startswith("_") or key == "exc_info"):
            fields[key] = _as_json(value)
    return fields


def _as_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return _as_json(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_json(inner) for inner in value]
    return str(value)


def _without_secrets(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    for key, value in fields.items():
        if not (key.startswith("_") or key == "exc_info"):
            fields[key] = HIDDEN if is_secret_key(key) and value else _redacted(value)
    return fields


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if is_secret_key(key) and inner else _redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return value


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
