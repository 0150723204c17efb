"""`edge-daemon fleet`: all stations of a broker, and who has which model."""

from __future__ import annotations

import typer

from edge_daemon.cli import fleet_campaigns

app = typer.Typer(no_args_is_help=True, help="Many stations: who has what, and new bundles.")
app.add_typer(fleet_campaigns.app)
