"""What a broker already has of campaigns, as far as it decides whether a new one can be started."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from edge_daemon.config import Settings
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Stopped
from edge_daemon.core.fleet.station import Memory, accept
from edge_daemon.errors import BrokerError, EdgeDaemonError, SenderError
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import Signers

_HINT = "Make another campaign, with another --id and a larger --serial."


def retained_at(settings: Settings, filters: Sequence[str]) -> dict[str, bytes]:
    """What the broker keeps there; empty where it lets nobody of ours read it."""
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
        said = _stop_at(topic, body)
        if said is not None and said.campaign == campaign.id:
            why = said.why or "no reason given"
            raise SenderError(
                f"{said.who} stopped {campaign.id}: {why}. A stop is final.", hint=_HINT
            )
    now = time.time()
    for known in (None, *_signed(kept, signers)):
        if refusal := accept(Memory(known), campaign, now)[1]:
            raise SenderError(f"No station would follow {campaign.id}: {refusal}.", hint=_HINT)


def _stop_at(topic: str, body: bytes) -> Stopped | None:
    if "/stop/" not in topic or not body:
        return None
    with suppress(EdgeDaemonError):
        said = messages.read_message(topic, body)
        return said if isinstance(said, Stopped) else None
    return None


def _signed(kept: Mapping[str, bytes], signers: Signers | None) -> Iterator[Campaign]:
    """Those that two trusted keys signed: a stranger's keeps no campaign from starting."""
    if signers is None:
        return
    for topic, body in kept.items():
        if topic.endswith("/campaign") and body:
            with suppress(EdgeDaemonError):
                yield messages.read_signed_campaign(topic, body, signers)
