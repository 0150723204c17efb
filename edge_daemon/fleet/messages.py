"""The retained topics of campaigns: bytes become values and back, and what is wrong is refused.

fleet/timestamp               which serial is current, and until when that may be believed
fleet/<id>/campaign           the campaign in its envelope, signed by two keys
fleet/<id>/open/<wave>        this wave and those before are open
fleet/<id>/pause/<who>        no station begins, until the same one says otherwise
fleet/<id>/stop/<who>         for ever; needs no signature
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from edge_daemon.core.fleet.campaign import MOST_WAVES, NAME, Campaign, read_campaign
from edge_daemon.core.fleet.heard import PAUSERS, Opened, Paused, Stopped
from edge_daemon.core.text import is_line
from edge_daemon.errors import SenderError
from edge_daemon.messaging.campaign_payloads import (
    FreshText,
    OpenedWave,
    PausedCampaign,
    StoppedCampaign,
    what_was_known,
)
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.fleet_payloads import FREEZE, ROLLBACK
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.times import iso_utc, parse_iso
from edge_daemon.models.countersigned import Signers, text_in

FILTERS = (
    "fleet/timestamp",
    "fleet/+/campaign",
    "fleet/+/open/+",
    "fleet/+/pause/+",
    "fleet/+/stop/+",
)
"""What a station reads."""
TIMESTAMP = "fleet/timestamp"
KIND = "application/vnd.edge-daemon.campaign+json"
TIMESTAMP_KIND = "application/vnd.edge-daemon.timestamp+json"
_WAVE = re.compile(r"0|[1-9]\d?")


@dataclass(frozen=True)
class Timestamp:
    """One of the signers says: at this time these are the newest campaigns. POSIX seconds."""

    at: float
    expires: float
    serial: int


Message = Union[Opened, Paused, Stopped]


def campaign_topic(campaign: str) -> str:
    """Where the campaign itself lies."""
    return f"fleet/{campaign}/campaign"


def open_topic(campaign: str, wave: int) -> str:
    """Where it is said that this wave is open."""
    return f"fleet/{campaign}/open/{wave}"


def pause_topic(campaign: str, who: str) -> str:
    """Where `who` says whether no station may begin."""
    return f"fleet/{campaign}/pause/{who}"


def stop_topic(campaign: str, who: str) -> str:
    """Where `who` stops it."""
    return f"fleet/{campaign}/stop/{who}"


def is_open_topic(topic: str) -> bool:
    """Whether a wave is opened there."""
    return topic.rpartition("/")[0].endswith("/open")


def opened(by: str, now_utc: float, because: Mapping[str, Any]) -> bytes:
    """The payload of an open wave, with what is known."""
    return encode(OpenedWave(iso_utc(now_utc), by, what_was_known(because)))


def paused(now_utc: float, why: str, *, is_on: bool) -> bytes:
    """The payload of a pause, and of its end."""
    return encode(PausedCampaign(iso_utc(now_utc), why, is_on))


def stopped(now_utc: float, why: str, *, goes_back: bool) -> bytes:
    """The payload of a stop."""
    return encode(StoppedCampaign(iso_utc(now_utc), why, ROLLBACK if goes_back else FREEZE))


def timestamp_text(stamp: Timestamp, tuf: bytes = b"") -> bytes:
    """What is signed; `tuf`: the timestamp of TUF, for stations that look at that one."""
    known = iso_utc(stamp.at), iso_utc(stamp.expires), stamp.serial
    return encode(FreshText(*known, tuf.decode()) if tuf else FreshText(*known))


# --------------------------------------------------------------------------- reading


def read_signed_campaign(topic: str, payload: bytes, signers: Signers | None) -> Campaign:
    """The campaign of this topic; `signers` None: whoever signed it.

    Raises SenderError for one that is forged, signed by too few, invalid, or of another topic.
    """
    text = text_in(payload, KIND) if signers is None else signers.text_of(payload, KIND)
    campaign = read_campaign(read_json(text, "The campaign"))
    if topic != campaign_topic(campaign.id):
        raise SenderError(
            f"The campaign {campaign.id} lies at {topic[:100]}.",
            hint="Start it with: edge-daemon fleet start FILE",
        )
    return campaign


def read_timestamp(payload: bytes, signers: Signers) -> Timestamp:
    """Signed by one of the keys; raises SenderError."""
    text = signers.text_of(payload, TIMESTAMP_KIND, needed=1)
    document = _mapping(read_json(text, "The timestamp"), "The timestamp")
    serial, expires = document.get("serial"), _time(document, "expires")
    if isinstance(serial, bool) or not isinstance(serial, int):
        raise _wrong("The timestamp", "serial is no whole number")
    return Timestamp(_time(document, "at"), expires, serial)


def is_tuf(payload: bytes) -> bool:
    """Whether it is metadata of TUF, not a text that one of the signers signed."""
    return bool(tuf_timestamp_in(payload)) and plain_key(payload, "payload") is None


def tuf_timestamp_in(payload: bytes) -> bytes:
    """The timestamp of TUF: the payload itself, or what the signed text holds beside its own.

    So both kinds of stations may read the same topic. b"": there is none. Nothing is verified
    here.
    """
    if plain_key(payload, "signed") is not None:
        return payload
    try:
        held = plain_key(text_in(payload, TIMESTAMP_KIND), "tuf")
    except SenderError:
        return b""
    return held.encode() if isinstance(held, str) else b""


def plain_key(content: bytes, key: str) -> object:
    """The value of a JSON object's key; None where there is none, or no such object."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document.get(key) if isinstance(document, dict) else None


def read_message(topic: str, payload: bytes) -> Message:
    """An opened wave, a pause or a stop; raises SenderError for anything else.

    A stop needs no readable payload: whatever somebody with the right to write there says, stops.
    """
    levels = topic.split("/")
    if len(levels) != 4 or levels[0] != "fleet" or NAME.fullmatch(levels[1]) is None:
        raise _wrong("The topic", "it names no campaign")
    _, campaign, what, who = levels
    if what == "open":
        if _WAVE.fullmatch(who) is None or int(who) >= MOST_WAVES:
            raise _wrong("The topic", f"there is no wave {who[:20]!r}")
        return Opened(campaign, int(who))
    if NAME.fullmatch(who) is None:
        raise _wrong("The topic", "it does not say who")
    if what == "stop":
        return _stop(campaign, who, payload)
    if what != "pause" or who not in PAUSERS:
        raise _wrong("The topic", f"only {', '.join(PAUSERS)} pause")
    document = _mapping(read_json(payload, "The pause"), "The pause")
    is_on = document.get("paused", True)
    if not isinstance(is_on, bool):
        raise _wrong("The pause", "paused is neither true nor false")
    return Paused(campaign, who, _time(document, "at"), is_on)


def _stop(campaign: str, who: str, payload: bytes) -> Stopped:
    try:
        document = _mapping(read_json(payload, "The stop"), "The stop")
    except SenderError:
        return Stopped(campaign, who, "its reason cannot be read")
    why = document.get("why")
    is_said = isinstance(why, str) and is_line(why)
    goes_back = document.get("scope") == ROLLBACK
    return Stopped(campaign, who, str(why) if is_said else "no reason is given", goes_back)


def _mapping(document: object, what: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _wrong(what, "it is no JSON object")
    return document


def _time(document: Mapping[str, Any], key: str) -> float:
    value = document.get(key)
    time = parse_iso(value) if isinstance(value, str) else None
    if time is None:
        raise _wrong("The message", f"{key} is no time")
    return time


def _wrong(what: str, why: str) -> SenderError:
    return SenderError(
        f"{what} is not one of a campaign: {why}.", hint="See the part on campaigns in MANUAL.md."
    )
