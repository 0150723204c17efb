"""What the commands of a fleet share: its settings, what the broker has of campaigns, their end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from edge_daemon.config import FleetSettings, Settings
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Stopped
from edge_daemon.core.fleet.station import Memory, accept
from edge_daemon.errors import BrokerError, EdgeDaemonError, SenderError
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import Signers

_HINT = "Make another campaign, with another --id and a larger --serial."


def fleet_of(settings: Settings) -> FleetSettings:
    """As they are set, else the defaults."""
    return settings.fleet or FleetSettings()


def signers_of(settings: Settings) -> Signers | None:
    """Whose campaigns count; None where no keys are named. Raises ConfigurationError."""
    keys = fleet_of(settings).trust.keys
    return Signers(keys) if keys else None


@contextmanager
def until_terminated() -> Iterator[threading.Event]:
    """For a command that runs on: the event is set by SIGTERM, and Ctrl-C ends the body quietly."""
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with suppress(KeyboardInterrupt):
            yield ended
    finally:
        signal.signal(signal.SIGTERM, before)


def retained_at(settings: Settings, filters: Sequence[str]) -> dict[str, bytes]:
    """What the broker keeps there; empty where this user may not read it."""
    with suppress(BrokerError), Client.of(settings) as client:
        return client.all_retained(filters)
    return {}


def refuse_unfollowed(
    campaign: Campaign, kept: Mapping[str, bytes], signers: Signers | None
) -> None:
    """Raises SenderError for a campaign that no station would follow.

    It was stopped, or has expired, or one of `kept` that `signers` signed has a serial as large or
    the same id.
    """
    for topic, body in kept.items():
        said = _read(topic, body) if "/stop/" in topic and body else None
        if isinstance(said, Stopped) and said.campaign == campaign.id:
            why = said.why or "no reason given"
            raise SenderError(
                f"{said.who} stopped {campaign.id}: {why}. A stop is final.", hint=_HINT
            )
    now = time.time()
    for known in (None, *_signed(kept, signers)):
        if refusal := accept(Memory(known), campaign, now)[1]:
            raise SenderError(f"No station would follow {campaign.id}: {refusal}.", hint=_HINT)


def _read(topic: str, body: bytes) -> object:
    """None where it cannot be read."""
    with suppress(EdgeDaemonError):
        return messages.read_message(topic, body)
    return None


def _signed(kept: Mapping[str, bytes], signers: Signers | None) -> Iterator[Campaign]:
    """Those that two trusted keys signed: a stranger's keeps no campaign from starting."""
    if signers is None:
        return
    for topic, body in kept.items():
        if topic.endswith("/campaign") and body:
            with suppress(EdgeDaemonError):
                yield messages.read_signed_campaign(topic, body, signers)
