"""The retained topics by which stations of a site find each other.

    fleet/site/<site>/peer/<device>   {"at": "10.2.3.14:6882", "swarm": "86…", "have": 0.42,
                                       "until": "…"}

What is said there names places to try, no more: who answers there must show a certificate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge_daemon.core.fleet.campaign import NAME
from edge_daemon.courier.site import MOST, Neighbour, is_address
from edge_daemon.courier.wire import Progress
from edge_daemon.errors import SenderError
from edge_daemon.messaging.campaign_payloads import NeighbourWord
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.times import iso_utc, parse_iso

LASTS_S = 600.0
AGAIN_S = 240.0
STEP = 0.05
"""The share that must have come before it is said again."""
_INFOHASH = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"(?P<address>[0-9.]{7,15}|\[[0-9a-f:]{2,39}\]):(?P<port>\d{1,5})")


def peers_filter(site: str) -> str:
    """Where all stations of the site are heard."""
    return f"fleet/site/{site}/peer/+"


def is_peer_topic(topic: str) -> bool:
    """Whether a station of some site speaks there."""
    return topic.startswith("fleet/site/") and "/peer/" in topic


def peer_topic(site: str, device: str) -> str:
    """Where this one speaks."""
    return f"fleet/site/{site}/peer/{device}"


def peer(progress: Progress, now_utc: float) -> bytes:
    """What this station says."""
    address = f"[{progress.at}]" if ":" in progress.at else progress.at
    until = iso_utc(now_utc + LASTS_S)
    return encode(
        NeighbourWord(f"{address}:{progress.port}", progress.infohash or None, progress.have, until)
    )


class Peers:
    """What was heard; one thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Neighbour]] = {}

    def hear(self, topic: str, payload: bytes) -> None:
        """Raises SenderError for what no station says."""
        device = topic.rpartition("/")[2]
        if not payload:
            self._known.pop(device, None)
            return
        until, neighbour = _read(device, payload)
        if device in self._known or len(self._known) < MOST:
            self._known[device] = (until, neighbour)

    def there(self, now_utc: float) -> list[Neighbour]:
        """Those who spoke lately; the others are forgotten."""
        self._known = {name: word for name, word in self._known.items() if now_utc < word[0]}
        return [neighbour for _, neighbour in self._known.values()]


def _read(device: str, payload: bytes) -> tuple[float, Neighbour]:
    document = read_json(payload, "The neighbour")
    if not isinstance(document, Mapping) or NAME.fullmatch(device) is None:
        raise _unfit("it is no JSON object of a station")
    place = _PLACE.fullmatch(str(document.get("at", "")))
    swarm, have = document.get("swarm"), document.get("have")
    until = parse_iso(str(document.get("until", "")))
    if place is None or not is_address(place["address"].strip("[]")):
        raise _unfit("it has no address")
    if not 0 < int(place["port"]) < 65_536 or until is None:
        raise _unfit("it has no port, or no end")
    if swarm is not None and _INFOHASH.fullmatch(str(swarm)) is None:
        raise _unfit("its swarm is none")
    if isinstance(have, bool) or not isinstance(have, (int, float)) or not 0.0 <= have <= 1.0:
        raise _unfit("what it has is no share")
    address = place["address"].strip("[]")
    return until, Neighbour(device, address, int(place["port"]), str(swarm or ""), float(have))


def _unfit(why: str) -> SenderError:
    return SenderError(
        f"The neighbour's word is none: {why}.",
        hint="Only a station writes there: look at the broker's access list.",
    )
