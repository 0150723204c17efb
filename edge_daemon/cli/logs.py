"""`edge-daemon logs`: the daemon's JSON log lines in readable form."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from edge_daemon.cli.options import ConfigFile, read_settings
from edge_daemon.cli.output import console
from edge_daemon.cli.words import local_time
from edge_daemon.errors import BoxError
from edge_daemon.host.logs import SEVERITY

POLL_S = 0.2
USUAL_LINES = 200
_STYLES = {"warning": "yellow", "error": "red", "critical": "red bold", "debug": "dim"}
_SHOWN_FIRST = ("timestamp", "level", "event", "logger", "exception")


def logs(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new lines, until Ctrl-C.")
    ] = False,
    swap: Annotated[str, typer.Option(help="Only the lines of this swap.")] = "",
    level: Annotated[
        str, typer.Option(help="The least severity: debug, info, warning, error, critical.")
    ] = "debug",
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=1,
            help="Only the last lines, so many.",
            show_default=f"{USUAL_LINES} of the journal, all of a file",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--file", help="A file of lines instead of the journal; - reads stdin."),
    ] = None,
    file: ConfigFile = None,
) -> None:
    """The log of edge-daemon@NAME from the journal, or a file of the daemon's lines."""
    if level not in SEVERITY:
        raise typer.BadParameter(f"{level!r} is none of {', '.join(SEVERITY)}.")
    out = console()
    read = _lines(source, follow, file, lines)
    with suppress(KeyboardInterrupt):
        for line in read:
            shown = pretty(line, swap, level)
            if shown is not None:
                out.print(shown)


def pretty(line: str, swap: str = "", level: str = "debug") -> Text | None:
    """One line of the log for a person; None if it is filtered out."""
    fields = _fields(line)
    if fields is None:
        wanted = line.strip() and not swap and SEVERITY["info"] <= SEVERITY[level]
        return Text(line.rstrip(), style="dim") if wanted else None
    severity = str(fields.get("level", "info"))
    if SEVERITY.get(severity, 6) > SEVERITY[level]:
        return None
    if swap and fields.get("swap_id") != swap:
        return None
    text = Text(_clock(fields.get("timestamp")), style="dim")
    text.append(f"  {severity:<8}", style=_STYLES.get(severity, ""))
    text.append(f" {fields.get('event', '')!s:<24}", style="bold")
    for key, value in fields.items():
        if key not in _SHOWN_FIRST and value is not None and value != "":
            text.append(f"  {key}=", style="dim")
            text.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if fields.get("exception"):
        text.append(f"\n{fields['exception']}", style="red")
    return text


def _fields(line: str) -> Mapping[str, Any] | None:
    """The JSON object of a line, also behind a `<N>` severity; None for other text."""
    start = line.find("{")
    if start < 0 or start > 4:
        return None
    with suppress(ValueError, RecursionError):
        read = json.loads(line[start:])
        if isinstance(read, dict):
            return read
    return None


def _clock(iso: Any) -> str:
    local = local_time(iso)
    return " " * 12 if local is None else local.strftime("%H:%M:%S.%f")[:-3]


def _lines(source: str | None, follow: bool, file: Path | None, count: int | None) -> Iterator[str]:
    if source == "-":
        yield from sys.stdin if count is None else deque(sys.stdin, count)
    elif source is not None:
        yield from _of_file(Path(source), follow, count)
    else:
        yield from _of_journal(read_settings(file).device, follow, count or USUAL_LINES)


def _of_file(path: Path, follow: bool, count: int | None) -> Iterator[str]:
    pause = threading.Event()
    with path.open(encoding="utf-8", errors="replace") as opened:
        if count is not None:
            older = sum(1 for _ in opened) - count
            opened.seek(0)
            for _ in range(older):
                opened.readline()
        part = ""
        while True:
            for line in opened:
                part += line
                if part.endswith("\n"):
                    yield part
                    part = ""
            if not follow:
                if part:
                    yield part
                return
            pause.wait(POLL_S)


def journal_command(device: str, count: int) -> list[str] | None:
    """What prints the last lines of a device in the journal; None where there is no journalctl."""
    program = shutil.which("journalctl")
    if program is None:
        return None
    return [program, "-u", f"edge-daemon@{device}", "-o", "cat", "-n", str(count), "--no-pager"]


def _of_journal(device: str, follow: bool, count: int) -> Iterator[str]:
    command = journal_command(device, count)
    if command is None:
        raise BoxError(
            "This machine has no journalctl.",
            hint="Give the lines with --file FILE, or pipe them in: … | edge-daemon logs --file -",
        )
    if follow:
        command.append("-f")
    with subprocess.Popen(  # noqa: S603 - a fixed program, a checked device name
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        try:
            yield from reader.stdout
            said = reader.stderr.read().strip()
        finally:
            reader.terminate()
    if reader.returncode not in (0, -15):
        raise BoxError(
            f"journalctl gives nothing for edge-daemon@{device}: {said}.",
            hint="Run it as root or in the group systemd-journal, or give --file FILE.",
        )
