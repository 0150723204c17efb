"""`edge-daemon fleet`: campaigns, which bring a bundle to many stations in waves."""

from __future__ import annotations

import typer

app = typer.Typer()
