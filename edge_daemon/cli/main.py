"""The command `edge-daemon`: its sub-commands, and what an error looks like."""

from __future__ import annotations

import sys

import typer

from edge_daemon import __version__
from edge_daemon.cli import config, run
from edge_daemon.errors import ConfigurationError, EdgeDaemonError

app = typer.Typer(
    name="edge-daemon",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Judges every frame of a camera and changes models without losing one.",
)
app.add_typer(config.app, name="config")
app.command("run")(run.run)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"edge-daemon {__version__}")
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
    try:
        app()
    except ConfigurationError as error:
        sys.exit(_say(error, config.BAD_CONFIGURATION))
    except EdgeDaemonError as error:
        sys.exit(_say(error, 1))


def _say(error: EdgeDaemonError, code: int) -> int:
    typer.echo(str(error), err=True)
    return code
