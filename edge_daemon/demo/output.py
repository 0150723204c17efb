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


def alarm(text: str) -> None:
    """What must not be."""
    typer.secho(text, fg="red")


def praise(text: str) -> None:
    """That all is well."""
    typer.secho(text, fg="green", bold=True)
