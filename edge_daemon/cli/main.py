"""The command `edge-daemon`: its sub-commands, and what an error looks like.

A command's module is imported when the command is run, not before: `--help` and shell completion
answer at once, and `status` never pays for what only `check` needs.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from edge_daemon import __version__
from edge_daemon.cli.exits import FAILED, READER_LEFT, exit_code
from edge_daemon.cli.output import CannotWriteError, steady, tell, tell_json
from edge_daemon.core.verbs import Verb, about
from edge_daemon.errors import EdgeDaemonError

TRACE = "EDGE_DAEMON_TRACE"
_AS_JSON = "edge_daemon.as_json"


@dataclass(frozen=True)
class Entry:
    """Where a command is (a function, or a Typer with subcommands) and what it does."""

    module: str
    attribute: str
    help: str


_ROOM, _DEMO = "edge_daemon.cli", "edge_daemon.demo"
_OWN = {
    Verb.SNAPSHOT: f"{_ROOM}.snapshot",
    Verb.TUNE: f"{_ROOM}.tune",
    Verb.ROLLOUT: f"{_ROOM}.rollout",
    Verb.FEEDBACK: f"{_ROOM}.rollout",
}
"""Verbs with a command of their own: it does more than send the request."""
_ASKED = {
    verb.value: Entry(_OWN.get(verb, f"{_ROOM}.requests"), verb.value, about(verb).help)
    for verb in Verb
}
COMMANDS: Mapping[str, Entry] = {
    "demo": Entry(f"{_DEMO}.story", "demo", "The whole story, with nothing else installed."),
    "init": Entry(f"{_ROOM}.init", "init", "Write a station's settings file."),
    "run": Entry(f"{_ROOM}.run", "run", "Judge frames until SIGTERM or Ctrl-C."),
    "check": Entry(f"{_ROOM}.check", "check", "Is this machine ready? Each check with a remedy."),
    "config": Entry(f"{_ROOM}.config", "app", "The settings file: check it, explain it, show it."),
    "status": Entry(f"{_ROOM}.status", "status", "Slots, product, order, camera, last swap."),
    **_ASKED,
    "camera": Entry(
        f"{_ROOM}.camera", "app", "The camera: what it offers, what is set, a picture."
    ),
    "models": Entry(f"{_ROOM}.models", "app", "The store: list, show, add, verify, sign, history."),
    "sources": Entry(f"{_ROOM}.sources", "app", "Where new bundles come from: list, check, pull."),
    "collect": Entry(f"{_ROOM}.collect", "app", "Pictures for the next training, and labels."),
    "parts": Entry(f"{_ROOM}.parts", "app", "Parts that were judged: list, find, count."),
    "rollouts": Entry(f"{_ROOM}.rollouts", "app", "Rollouts: list, show, report, replay, audit."),
    "fleet": Entry(f"{_ROOM}.fleet", "app", "Many stations: who has what, new bundles, campaigns."),
    "orders": Entry(f"{_ROOM}.orders", "app", "Work orders: what a MES payload would do."),
    "api": Entry(f"{_ROOM}.api", "api_document", "Topics and payloads, for programs: AsyncAPI."),
    "logs": Entry(f"{_ROOM}.logs", "logs", "The daemon's log, for people."),
    "audit": Entry(f"{_ROOM}.audit", "audit", "Who did what, when; is the trail whole?"),
    "drill": Entry(f"{_ROOM}.drill", "drill", "Swap under load, and prove that nothing is lost."),
    "support-bundle": Entry(
        f"{_ROOM}.support", "support_bundle", "An archive for support, no secrets."
    ),
    "man": Entry(f"{_ROOM}.man", "man", "The manual page."),
}


class Commands(TyperGroup):
    """Commands that are imported when they are run; errors end here as one sentence."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the library's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - likewise
        """The command's name and help; enough for a list."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, for running it."""
        ctx.meta[_AS_JSON] = "--json" in args or "json" in args
        name, command, rest = super().resolve_command(ctx, args)
        command = command if name is None else loaded(name)
        _keep_the_log_off_stdout()
        return name, command, rest

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run what was typed; what cannot be written ends it here, `--help` included."""
        try:
            with steady():
                return super().main(*args, **kwargs)
        except CannotWriteError as error:
            if not error.reader_left:
                tell(str(error), err=True)
            sys.exit(READER_LEFT if error.reader_left else FAILED)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EdgeDaemonError as error:
            tell(str(error), err=True)
            if ctx.meta.get(_AS_JSON):
                tell_json(_plain(error))
            raise typer.Exit(exit_code(error)) from None
        except CannotWriteError:
            raise
        except Exception as error:
            # The boundary: anything else is a bug of ours, reported in one sentence.
            if (
                type(error).__module__.partition(".")[0] in {"typer", "click"}
                or TRACE in os.environ
            ):
                raise
            tell(_own_fault(error), err=True)
            raise typer.Exit(FAILED) from None


def _keep_the_log_off_stdout() -> None:
    """A command answers there, often to a program. `run` sets up its own log."""
    if "structlog" in sys.modules:  # most commands are done before it would be imported
        import structlog  # noqa: PLC0415

        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )


def _plain(error: EdgeDaemonError) -> dict[str, Any]:
    """The error as JSON, for a program that reads stdout."""
    told = {"code": str(error.code), "message": error.message, "hint": error.hint}
    return {"error": told, "exit": exit_code(error)}


def _own_fault(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{error.filename}: " if error.filename else ""  # a write does not know its file
        return f"{where}{error.strerror}. Make room on the disk, and run it again."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Check the path and its permissions."
    return (
        f"This is a fault of edge-daemon itself: {error!r}. "
        f"Run it again with {TRACE}=1 and report what it says."
    )


def loaded(name: str) -> Any:
    """The command with its options and, where it is a group, its own commands."""
    entry = COMMANDS[name]
    made = getattr(import_module(entry.module), entry.attribute)
    if not isinstance(made, typer.Typer):
        alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        alone.command(name)(made)
        made = alone
    command = typer.main.get_command(made)
    command.name, command.help = name, command.help or entry.help
    return command


app = typer.Typer(
    name="edge-daemon",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Judges every frame of a camera and changes models without losing one.",
)


def _version(asked: bool) -> None:
    if asked:
        tell(f"edge-daemon {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """Judges every frame of a camera and changes models without losing one."""


def main() -> None:
    """Run one command; an error is one sentence on stderr and an exit code, never a traceback."""
    app()
