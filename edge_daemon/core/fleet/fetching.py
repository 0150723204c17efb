"""Which bundle a station fetches for its campaign, and until when it keeps and gives it."""

from __future__ import annotations

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Heard
from edge_daemon.core.fleet.station import Memory
from edge_daemon.core.fleet.waves import wave_of


def open_campaign(memory: Memory, now_utc: float) -> Campaign | None:
    """The campaign, if its bundle may still be asked for: neither stopped nor expired."""
    campaign = memory.campaign
    if campaign is None or now_utc >= campaign.expires:
        return None
    return None if memory.heard.get(campaign.id, Heard()).is_stopped else campaign


def to_fetch(memory: Memory, device: str, now_utc: float) -> Campaign | None:
    """The campaign whose bundle this station fetches now, or gives to others once it has it.

    Early, so that a wave that opens is one swap; where the campaign says so, with its own wave.
    """
    campaign = open_campaign(memory, now_utc)
    if campaign is None or (wave := wave_of(campaign, device)) is None:
        return None
    heard = memory.heard.get(campaign.id, Heard())
    is_due = campaign.fetches_early or heard.open_wave(campaign, now_utc) >= wave
    return campaign if is_due else None
