"""How the demo prints its story."""

from __future__ import annotations

import typer

from edge_daemon.cli.output import tell


def say(text: str) -> None:
    """One step of the story."""
    typer.secho(f"\n{text}", bold=True)


def note(text: str) -> None:
    """One fact below it."""
    tell(f"   {text}")


def failure(text: str) -> None:
    """What went wrong, in red."""
    typer.secho(text, fg="red")


def success(text: str) -> None:
    """What went well, in green."""
    typer.secho(text, fg="green", bold=True)
