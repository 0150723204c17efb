"""`edge-daemon fleet page`: all stations at a glance, in a browser on this machine."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Optional

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.options import ConfigFile, read_settings
from edge_daemon.cli.output import tell
from edge_daemon.config import FleetSettings
from edge_daemon.fleet.ledger import read_inventory
from edge_daemon.fleet.watch import FleetWatch
from edge_daemon.host import logs
from edge_daemon.messaging.client import Client
from edge_daemon.web.access import Rules
from edge_daemon.web.fleet_pages import FleetPages
from edge_daemon.web.server import Listen, StatusPage

HOST = "127.0.0.1"


def page(
    file: ConfigFile = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="On this machine only.")] = 9465,
    inventory: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time on 3.10
        typer.Option(help="A file with the name of every station, one a line.", metavar="FILE"),
    ] = None,
) -> None:
    """Serve the page of all stations until Ctrl-C: models by site and group, and who is silent."""
    logs.configure("warning")
    settings = read_settings(file)
    names = None if inventory is None else read_inventory(inventory)
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with Client.of(settings) as client:
            watch = FleetWatch(client, (settings.fleet or FleetSettings()).roots, names)
            rules = Rules(HOST)
            served = StatusPage(Listen(HOST, port, rules), lambda: FleetPages(watch.state, rules))
            if not served.start():
                raise WrongUsage(f"Port {port} is taken.", hint="Choose another with --port.")
            try:
                tell(f"http://{HOST}:{served.port}/fleet")
                ended.wait()
            except KeyboardInterrupt:
                pass
            finally:
                served.stop()
    finally:
        signal.signal(signal.SIGTERM, before)
