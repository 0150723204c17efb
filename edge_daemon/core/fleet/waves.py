"""Which wave of a campaign a station belongs to: anybody can compute it again.

The draw is salted with the campaign, so that the first ones are others each time. A wave with a
larger share keeps every station that a smaller one had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from edge_daemon.core.fleet.campaign import Campaign

_RANGE = 1 << 64


def draw(campaign: str, device: str) -> int:
    """The first 8 bytes of SHA-256 of `campaign:device`, big-endian: evenly in 0..2^64 - 1."""
    return int.from_bytes(hashlib.sha256(f"{campaign}:{device}".encode()).digest()[:8], "big")


def is_within(campaign: str, device: str, share: float) -> bool:
    """Whether the draw is below the share, in whole numbers: 0.1 is a tenth as it is written."""
    limit = _as_written(share)
    return draw(campaign, device) * limit.denominator < limit.numerator * _RANGE


@lru_cache(256)
def _as_written(share: float) -> Fraction:
    return Fraction(str(share))


def wave_of(campaign: Campaign, device: str) -> int | None:
    """The station's wave; None where the last wave's share does not reach it.

    Of a group, each has a wave of its own, so those that come later may have to wait longer than
    they drew.
    """
    for members in campaign.groups.values():
        if device in members:
            return _spread(campaign, members).get(device)
    return _drawn(campaign, device)


def members(campaign: Campaign, devices: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """The stations of each wave, by name."""
    waves: list[list[str]] = [[] for _ in campaign.waves]
    for device in sorted(devices):
        wave = wave_of(campaign, device)
        if wave is not None:
            waves[wave].append(device)
    return tuple(tuple(each) for each in waves)


def _drawn(campaign: Campaign, device: str) -> int | None:
    if device in campaign.canaries:
        return 0
    for wave, share in enumerate(campaign.waves):
        if is_within(campaign.id, device, share):
            return wave
    return None


def _spread(campaign: Campaign, group: tuple[str, ...]) -> dict[str, int]:
    """A wave for each of a group that takes part, in the order of their draws."""
    drawn = {device: _drawn(campaign, device) for device in group}
    ranked = sorted(
        (wave, draw(campaign.id, device), device)
        for device, wave in drawn.items()
        if wave is not None
    )
    last, spread, free = len(campaign.waves) - 1, {}, 0
    for place, (wave, _, device) in enumerate(ranked):
        latest = last - (len(ranked) - 1 - place)
        spread[device] = min(max(wave, free), latest)
        free = spread[device] + 1
    return spread
