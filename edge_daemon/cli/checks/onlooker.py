"""Settings of a user that is no station: a desk, a dashboard or a MES that uses all stations."""

from __future__ import annotations

from collections.abc import Iterator

from edge_daemon.cli.checks.broker import through_broker
from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.fleet_known import fleet_of
from edge_daemon.config import Settings
from edge_daemon.core.text import number_of
from edge_daemon.errors import BrokerError
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client

ROLES = frozenset({"ops", "mes", "panel", "plc", "dashboard", "fleet", "andon"})
"""Users of the shipped access list that are no station; no device may have such a name."""


def is_onlooker(settings: Settings) -> bool:
    """Whether the device is named like a role and has no camera of its own."""
    return settings.device in ROLES and settings.camera.source.startswith("conveyor:")


def check_onlooker(settings: Settings) -> list[Finding]:
    """The broker, as `edge-daemon fleet` uses it."""
    return through_broker(settings, lambda client: _seen(client, settings))


def not_of_onlooker(settings: Settings) -> list[Finding]:
    """For the sections that only a station has."""
    return [skipped("", f"Not looked at: {settings.device} is the name of a role, of no station.")]


def _seen(client: Client, settings: Settings) -> Iterator[Finding]:
    fleet = fleet_of(settings)
    for root in fleet.roots:
        yield _reports(client, f"{root}/fleet")
    yield _campaigns(client)
    if not fleet.trust.is_given:
        told = "No keys of campaigns are named; fleet watch needs fleet.trust.keys or .root."
        yield skipped("trust", told)
    yield skipped("publish", "Not tried: what is said of campaigns reaches all stations.")


def _reports(client: Client, where: str) -> Finding:
    try:
        kept = client.all_retained([where])
    except BrokerError as fault:
        return error("reports", fault.message, fault.hint)
    count = sum(bool(body) for body in kept.values())
    if count:
        return ok("reports", f"Stations that report at {where}: {count}.")
    return warning(
        "reports",
        f"No station reports at {where}, or this user may not read it.",
        "Compare fleet.roots with mqtt.root of the stations, which need fleet: {} in their "
        "settings; and look at this user in the broker's access list.",
    )


def _campaigns(client: Client) -> Finding:
    try:
        kept = client.all_retained([messages.campaign_topic("+")])
    except BrokerError as fault:
        return error("campaigns", fault.message, fault.hint)
    count = sum(bool(body) for body in kept.values())
    return ok("campaigns", f"The broker has {number_of(count, 'campaign')}.")
