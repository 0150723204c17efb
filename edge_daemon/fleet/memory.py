"""What a station remembers of campaigns, as the file `fleet.json` of its state folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from edge_daemon.core.fleet.campaign import Campaign, digest, read_campaign
from edge_daemon.core.fleet.heard import Heard
from edge_daemon.core.fleet.station import Memory
from edge_daemon.documents import MALFORMED
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.fleet.messages import KIND, Timestamp, read_signed_campaign
from edge_daemon.models.countersigned import Signers, text_in

MEMORY_FILE = "fleet.json"
MOST_WAITING = 8


@dataclass(frozen=True)
class StoredMemory:
    """The memory, the envelope of its campaign, and the newest timestamp.

    `waiting`: topic -> envelope of campaigns that the fleet's metadata does not list yet, the
    newest last.
    """

    memory: Memory = Memory()
    envelope: bytes | None = None
    stamp: Timestamp | None = None
    waiting: Mapping[str, bytes] = field(default_factory=dict)

    def is_fresh(self, campaign: Campaign, now_utc: float) -> bool:
        """Whether the timestamp is good still, and knows of none newer."""
        stamp = self.stamp
        return stamp is not None and now_utc < stamp.expires and campaign.serial >= stamp.serial

    def with_waiting(self, topic: str, envelope: bytes) -> StoredMemory:
        """With one more that waits; the oldest gives way."""
        others = list(self.without_waiting(topic).waiting.items())[-(MOST_WAITING - 1) :]
        return replace(self, waiting={**dict(others), topic: envelope})

    def without_waiting(self, topic: str) -> StoredMemory:
        """Without it."""
        left = {each: body for each, body in self.waiting.items() if each != topic}
        return replace(self, waiting=left)


@lru_cache(maxsize=MOST_WAITING)
def read_waiting(topic: str, envelope: bytes) -> tuple[Campaign, str]:
    """With its digest; whoever signed it was looked at when it came."""
    campaign = read_signed_campaign(topic, envelope, None)
    return campaign, digest(campaign)


class Expired:
    """Campaigns that came after their end, by a clock that may have been ahead; the newest few.

    The broker does not send them again when the clock is put right.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Campaign, bytes]] = {}

    def keep(self, campaign: Campaign, envelope: bytes) -> None:
        """One that was refused."""
        self._kept[campaign.id] = (campaign, envelope)
        newest = sorted(self._kept.values(), key=lambda each: each[0].serial)[-MOST_WAITING:]
        self._kept = {each[0].id: each for each in newest}

    def no_more(self, now_utc: float) -> list[tuple[Campaign, bytes]]:
        """Those whose end is ahead now, and which are forgotten here."""
        found = [each for each in self._kept.values() if now_utc < each[0].expires]
        for campaign, _ in found:
            del self._kept[campaign.id]
        return found


def write_kept(kept: StoredMemory) -> bytes:
    """As the file holds it."""
    memory = kept.memory
    stamp = kept.stamp
    plain = {
        "envelope": None if kept.envelope is None else kept.envelope.decode(),
        "heard": {name: _plain(heard) for name, heard in memory.heard.items()},
        "asked": memory.asked,
        "had": memory.had,
        "from": memory.from_sha256,
        "back": memory.back,
        "stamp": None if stamp is None else [stamp.at, stamp.expires, stamp.serial],
        "waiting": [[topic, body.decode()] for topic, body in kept.waiting.items()],
    }
    return json.dumps(plain, sort_keys=True).encode()


def read_kept(content: bytes, signers: Signers | None = None) -> StoredMemory:
    """What was remembered, with the campaign only if the keys of today signed it; None: whoever
    did. Raises ValueError for anything else."""
    try:
        plain = json.loads(content)
        envelope = None if plain["envelope"] is None else plain["envelope"].encode()
        campaign = _campaign(envelope, signers)
        memory = Memory(
            campaign,
            {str(name): _heard(each) for name, each in plain["heard"].items()},
            int(plain["asked"]),
            bool(plain["had"]),
            plain["from"],
            bool(plain["back"]),
        )
        stamp = plain["stamp"]
        return StoredMemory(
            memory,
            envelope if campaign else None,
            Timestamp(*stamp) if stamp else None,
            _waiting(plain.get("waiting", ()), signers),
        )
    except (*MALFORMED, EdgeDaemonError) as error:
        raise ValueError(f"no memory of campaigns: {error}") from error


def _campaign(envelope: bytes | None, signers: Signers | None) -> Campaign | None:
    if envelope is None:
        return None
    campaign = read_campaign(json.loads(text_in(envelope, KIND)))
    try:
        if signers is not None:
            signers.text_of(envelope, KIND)
    except EdgeDaemonError:
        return None  # a key was taken away since
    return campaign


def _waiting(plain: Sequence[Any], signers: Signers | None) -> dict[str, bytes]:
    pairs = [(str(topic), str(body).encode()) for topic, body in plain]
    return {topic: body for topic, body in pairs if _campaign(body, signers) is not None}


def _plain(heard: Heard) -> dict[str, Any]:
    return {
        "opened": sorted(heard.opened),
        "pauses": {who: list(said) for who, said in heard.pauses.items()},
        "stops": dict(heard.stops),
        "goes_back": heard.goes_back,
    }


def _heard(plain: Mapping[str, Any]) -> Heard:
    return Heard(
        frozenset(int(wave) for wave in plain["opened"]),
        {str(who): (float(at), bool(is_on)) for who, (at, is_on) in plain["pauses"].items()},
        {str(who): str(why) for who, why in plain["stops"].items()},
        bool(plain["goes_back"]),
    )
