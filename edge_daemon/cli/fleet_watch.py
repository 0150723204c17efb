"""`edge-daemon fleet watch`: the evaluator of campaigns, also as edge-daemon-fleet.service."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.fleet_known import fleet_of, signers_of, until_terminated
from edge_daemon.cli.options import ConfigFile, read_settings
from edge_daemon.cli.output import tell
from edge_daemon.config import Settings
from edge_daemon.core.text import number_of
from edge_daemon.fleet.evaluator import Evaluation, Evaluator, sentence
from edge_daemon.fleet.evaluator import watch as watch_reports
from edge_daemon.fleet.freshness.monitor import FreshnessMonitor
from edge_daemon.fleet.freshness.refresher import Refresher
from edge_daemon.fleet.ledger import read_inventory
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.systemd import Notifier
from edge_daemon.messaging.client import NOBODY, Client


def watch(
    inventory: Annotated[
        Path, typer.Option(help="A file with the name of every station, one a line.")
    ],
    name: Annotated[
        str, typer.Option(help="This evaluator's name; several may run.")
    ] = "evaluator",
    file: ConfigFile = None,
) -> None:
    """Open the waves of the newest campaign as stations confirm it, or stop it; until Ctrl-C."""
    settings = read_settings(file)
    fleet = fleet_of(settings)
    names = read_inventory(inventory)
    if not fleet.trust.is_given:
        raise WrongUsage(
            "An evaluator needs the keys that campaigns are signed with.",
            hint="Name them in fleet.trust.keys of the settings, or fleet.trust.root.",
        )
    signers = signers_of(settings)
    manager = Notifier.from_environ(os.environ)
    said = ""

    def tell_news(told: Evaluation) -> None:
        nonlocal said
        if (now := sentence(told)) != said:
            tell(now)
            manager.status(now)
        said = now

    with (
        until_terminated() as ended,
        Client.of(settings) as client,
        _freshness(settings) as why_not,
    ):

        def say(topic: str, body: bytes) -> str:
            refused = client.publish(topic, body, retain=True)
            return "" if refused == NOBODY else refused

        evaluator = Evaluator(names, signers, name, say, why_not)
        refused: Mapping[str, str] = {}

        def looked() -> None:
            nonlocal refused
            manager.watchdog()
            for topic, why in evaluator.refused.items():
                if refused.get(topic) != why:
                    tell(f"{topic} is not followed: {why.rstrip('.')}.")
            refused = evaluator.refused

        manager.ready(f"Watches {number_of(len(names), 'station')}.")
        watch_reports(client, fleet.roots, evaluator, tell_news, ended, looked)
    manager.stopping()


@contextmanager
def _freshness(settings: Settings) -> Iterator[Callable[[str, str], str]]:
    """What says which campaigns are current, where `trust.root` pins somebody who does."""
    trust = fleet_of(settings).trust
    if trust.root is None:
        yield lambda *_: ""
        return
    clock = SystemClock()
    refresher = Refresher(trust, settings.state_folder, clock)
    monitor = FreshnessMonitor(trust, settings.state_folder, clock, refresher)
    refresher.tell = monitor.told
    monitor.start()
    refresher.start()
    try:
        yield monitor.why_not
    finally:
        refresher.stop()
        monitor.stop()
