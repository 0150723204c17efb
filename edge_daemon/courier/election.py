"""Who of a site takes a bundle from the origin, so that it gives the bundle once and not to each.

The stations of a site stand in an order that is drawn anew for each bundle. The first that lacks
it takes it from the origin, and the others take it from their neighbours. Who hears nothing for
long enough goes to the origin as well: the second one after six seconds, and each further one four
seconds later. So the next one follows a fetcher that died, before the one after it does, and a
station that reaches no neighbour loses time only. Nobody is asked, and nobody commands.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_WAIT_S, WAIT_S = 6.0, 4.0
_DROUGHT_S = 60.0
"""Whoever gives a little now and then is waited for so much longer, and not for ever."""
LAST_RANK = 30
"""Nobody waits for longer than two minutes, however many stations are said to be before it."""


def order(infohash: str, devices: Mapping[str, float]) -> tuple[str, ...]:
    """The stations, first to last, for this bundle."""
    return tuple(
        sorted(devices, key=lambda each: hashlib.sha256(f"{infohash}:{each}".encode()).digest())
    )


def rank(infohash: str, device: str, site: Mapping[str, float]) -> int:
    """How many stations come before this one.

    `site`: the share that each station of the site has of the bundle, 0..1, itself included.
    Whoever has all of it fetches nothing. While somebody has more than the first one, that comes
    last: neighbours give it what they have. What the others have moves nobody: it is heard late,
    and of a station that died for ever, so ranks made of it would be twice there, or shift.
    """
    lacking = {each: have for each, have in site.items() if have < 1.0 or each == device}
    standing = order(infohash, lacking)
    place = standing.index(device)
    if place == 0 and max(site.values()) > site[device]:
        place = len(standing)
    return min(LAST_RANK, place)


def patience_s(rank: int, first_s: float = FIRST_WAIT_S, more_s: float = WAIT_S) -> float:
    """Seconds without a byte from a neighbour after which the origin is asked."""
    return 0.0 if rank == 0 else first_s + more_s * (rank - 1)


@dataclass
class Patience:
    """Since when the site has not come further: no neighbour gave anything, or got further itself,
    or none gave a whole piece for long."""

    peers_bytes: int = 0
    since: float = field(default_factory=time.monotonic)
    pieces: int = -1
    piece_at: float = field(default_factory=time.monotonic)
    ahead: float = 0.0

    def idle_s(self, peers_bytes: int, pieces: int, ahead: float) -> float:
        """`pieces`: how many are there that came from neighbours. `ahead`: the share of the one
        that has the most, where that is more than here."""
        now = time.monotonic()
        if peers_bytes != self.peers_bytes or ahead > self.ahead:
            self.peers_bytes, self.ahead, self.since = peers_bytes, max(ahead, self.ahead), now
        if pieces != self.pieces:
            self.pieces, self.piece_at = pieces, now
        return max(now - self.since, now - self.piece_at - _DROUGHT_S)

    def begin_again(self) -> None:
        """When an origin is back, those who asked in vain do not all ask it in the same moment."""
        self.since = self.piece_at = time.monotonic()
