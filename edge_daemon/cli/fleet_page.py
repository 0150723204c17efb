"""`edge-daemon fleet page`: all stations at a glance, in a browser on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.fleet_known import fleet_of, signers_of, until_terminated
from edge_daemon.cli.options import ConfigFile, Inventory, read_settings
from edge_daemon.cli.output import tell
from edge_daemon.config import Settings
from edge_daemon.fleet.ledger import read_inventory
from edge_daemon.fleet.saying import say, stop_of
from edge_daemon.fleet.watch import FleetWatch
from edge_daemon.host import logs
from edge_daemon.messaging.client import Client
from edge_daemon.web.access import Rules
from edge_daemon.web.fleet_pages import FleetPages, StopForm
from edge_daemon.web.server import Listen, StatusPage

HOST = "127.0.0.1"


def page(
    file: ConfigFile = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Its port, on this machine only.")
    ] = 9465,
    inventory: Inventory = None,
    who: Annotated[str, typer.Option(help="Who stops a campaign there: ops or andon.")] = "ops",
) -> None:
    """Serve the page of all stations until Ctrl-C: models, campaigns, and who is silent.

    With `http.commands` in the settings a campaign can be stopped there; `http.token_file` is asked
    for then.
    """
    logs.configure("warning")
    settings = read_settings(file)
    commands = settings.http.commands
    names = None if inventory is None else read_inventory(inventory)
    with until_terminated() as ended, Client.of(settings) as client:
        watch = FleetWatch(client, fleet_of(settings).roots, names, signers_of(settings))
        rules, stop = _rules(settings), _stopper(client, who) if commands else None
        served = StatusPage(Listen(HOST, port, rules), lambda: FleetPages(watch.state, rules, stop))
        if not served.start():
            raise WrongUsage(f"Port {port} is taken.", hint="Choose another with --port.")
        try:
            tell(f"http://{HOST}:{served.port}/{'' if rules.token else 'fleet'}")
            ended.wait()
        finally:
            served.stop()


def _rules(settings: Settings) -> Rules:
    """Whoever may stop something knows the token, as on a station's own page."""
    token = settings.http.read_token() if settings.http.commands else None
    return Rules(HOST, device=f"{settings.device}-fleet", token=token)


def _stopper(client: Client, who: str) -> Callable[[StopForm], None]:
    def stop(wish: StopForm) -> None:
        topic, body = stop_of(wish.campaign, who, wish.reason, time.time(), goes_back=wish.rollback)
        say(client, topic, body)

    return stop
