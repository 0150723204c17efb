"""`edge-daemon man`: the manual page, made from the commands as they are defined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from edge_daemon import __version__
from edge_daemon.cli import exits, main
from edge_daemon.cli.output import tell

_EXITS = (
    (exits.DONE, "Done; for `check` also with warnings."),
    (exits.FAILED, "Refused or failed; the sentence on stderr says why and what to do."),
    (exits.USAGE, "The command was typed wrongly."),
    (exits.NOT_REACHABLE, "No broker or no daemon answers."),
    (exits.BAD_CONFIGURATION, "The settings file is wrong; file, line and key are named."),
    (exits.READER_LEFT, "Whoever read the output left before its end, as `head` does."),
)
_ENVIRONMENT = (
    ("EDGE_DAEMON_CONFIG", "The settings file of commands that are given none."),
    (main.TRACE, "When set, a fault of edge-daemon itself shows where it happened."),
)
_FILES = (
    ("/etc/edge-daemon/NAME.yaml", "Settings of the device NAME."),
    ("/var/lib/edge-daemon/", "What survives a restart: the store, the journal of each device."),
    ("/run/edge-daemon/NAME/control.sock", "Commands without a broker, for the group edge-daemon."),
)
_ABOUT = (
    "A vision station judges every part with a YOLO model. edge-daemon runs that model on a "
    "camera's stream and changes models without losing a frame: operators ask over MQTT or with "
    "the commands below, work orders of a MES select each product's model by themselves."
)


def man() -> None:
    """Print the manual page, for `man -l` or a man1 folder."""
    tell("\n".join(_page()))


def _page() -> Iterator[str]:
    yield f'.TH EDGE-DAEMON 1 "version {__version__}" "edge-daemon" "User Commands"'
    yield ".SH NAME"
    yield r"edge\-daemon \- judges every frame of a camera, changes models without losing one"
    yield ".SH SYNOPSIS"
    yield ".B edge\\-daemon\n.I COMMAND\n.RI [ OPTIONS ]"
    yield ".SH DESCRIPTION"
    yield _roff(_ABOUT)
    yield ".SH COMMANDS"
    for name in main.COMMANDS:
        yield from _command((name,), main.loaded(name))
    yield ".SH EXIT STATUS"
    yield from _terms((str(code), meaning) for code, meaning in _EXITS)
    yield ".SH ENVIRONMENT"
    yield from _terms(_ENVIRONMENT)
    yield ".SH FILES"
    yield from _terms(_FILES)
    yield ".SH SEE ALSO"
    yield ".BR mosquitto_pub (1),\n.BR systemctl (1),\n.BR journalctl (1)"


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=path[-1])
    below = command.list_commands(context) if hasattr(command, "list_commands") else ()
    for name in below:
        yield from _command((*path, name), command.get_command(context, name))
    if below:
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = [*path, *(_shown(argument) for argument in arguments)]
    yield f".SS {_roff(' '.join(words))}"
    yield _roff(command.help or "")
    yield from _terms((_names(each), _meaning(each)) for each in options if not each.hidden)


def _shown(argument: Any) -> str:
    name = str(argument.metavar or argument.name).upper()
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {(option.metavar or option.name).upper()}"


def _meaning(option: Any) -> str:
    text = str(option.help or "")
    default = option.default
    if option.is_flag or default in (None, "", ()) or callable(default):
        return text
    return f"{text} Without it: {getattr(default, 'value', default)}."


def _terms(pairs: Any) -> Iterator[str]:
    for term, meaning in pairs:
        yield f".TP\n.B {_roff(term)}\n{_roff(meaning)}"


def _roff(text: str) -> str:
    """Text as roff takes it: paragraphs apart, nothing taken for a request or a hyphen."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.replace("\b", ""))]
    escaped = (_escaped(part) for part in paragraphs if part)
    return "\n.PP\n".join(f"\\&{part}" if part[0] in ".'" else part for part in escaped)


def _escaped(text: str) -> str:
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in plain)
