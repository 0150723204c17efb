"""The retained topics that a fleet shares: campaigns, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edge_daemon.core.fleet.campaign import MOST_SLICES, MOST_WAVES
from edge_daemon.core.text import is_line
from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.field_types import Digest, Model, Time
from edge_daemon.messaging.fleet_payloads import ScopeWord, SliceCounts

_Name = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"})]
_Share = Annotated[float, Meta(extra_json_schema={"exclusiveMinimum": 0, "maximum": 1})]
_Seconds = Annotated[float, Meta(extra_json_schema={"minimum": 0})]
_Posix = Annotated[float, Meta(description="POSIX seconds.")]
_Hex = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]
_Base64 = Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]
_Window = Annotated[
    str, Meta(extra_json_schema={"pattern": r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"})
]


class WhatWasKnown(Struct, frozen=True):
    """Stations of the open waves: how many there are, have answered, and refused or went back."""

    answered: int = 0
    of: int = 0
    bad: int = 0
    slices: dict[Annotated[str, Meta(max_length=64)], SliceCounts] = {}


class OpenedWave(Struct, frozen=True):
    """This wave and those before are open. The topic alone opens it; this says who did, and why."""

    at: Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})] = ""
    by: Annotated[str, Meta(max_length=64)] = ""
    because: WhatWasKnown = WhatWasKnown()


class PausedCampaign(Struct, frozen=True):
    """No station begins, until the same one says otherwise; the newest `at` counts."""

    at: Time
    why: str
    paused: bool


class StoppedCampaign(Struct, frozen=True):
    """For ever. `rollback`: those that the campaign brought it to go back. Needs no signature, and
    what cannot be read stops as well.
    """

    at: Time
    why: str
    scope: ScopeWord


class Mark(Struct, frozen=True):
    """A signature, ECDSA over DSSE's pre-authentication encoding; `keyid` is the key's SHA-256."""

    keyid: _Hex
    sig: _Base64


class SignedText(Struct, frozen=True):
    """A DSSE envelope: a text and the marks of those who signed it."""

    payloadType: str  # noqa: N815 - as DSSE has it
    payload: _Base64
    signatures: tuple[Mark, ...]


class CampaignAlpha(Struct, frozen=True):
    """How often chance alone may stop a campaign, and open a wave."""

    stop: float
    advance: float


class CampaignRules(Struct, frozen=True):
    """What stops it, and what must be known before the next wave opens.

    `failed` and `silent` are shares of the stations, `silent` counts after `patience_s` without a
    word. `slices` say how much recall may be lost. What is left out is not looked at.
    """

    failed: float
    silent: float
    patience_s: _Seconds
    slices: Annotated[dict[_Name, float], Meta(max_length=MOST_SLICES)]
    alpha: CampaignAlpha
    on_stop: ScopeWord
    uninspected: float | UnsetType = UNSET
    slower: float | UnsetType = UNSET


class CampaignText(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What two keys sign: one bundle for many stations, wave by wave.

    `waves` are shares of all stations, each with those before; `soak_s` has one entry less: so long
    each wave but the last is looked at. `groups` name stations of which no two change in one wave.
    Whoever judges by none of `from` is left out; empty: nobody is.
    """

    id: _Name
    serial: Annotated[int, Meta(description="A later campaign has a larger one.")]
    model: Model
    sha256: Digest
    waves: Annotated[tuple[_Share, ...], Meta(min_length=1, max_length=MOST_WAVES)]
    not_before: _Posix
    expires: _Posix
    rules: CampaignRules
    from_: tuple[Digest, ...] = ()
    canaries: tuple[_Name, ...] = ()
    groups: dict[_Name, tuple[_Name, ...]] = {}
    soak_s: tuple[_Seconds, ...] = ()
    window: tuple[_Window, ...] = ()
    manifest_sha256: _Hex | UnsetType = UNSET
    infohash: _Hex | UnsetType = UNSET
    size: int | UnsetType = UNSET
    fetch: Annotated[str | UnsetType, Meta(extra_json_schema={"enum": ["early", "with_wave"]})] = (
        UNSET
    )
    rollout: dict[str, Any] | UnsetType = UNSET


class FreshText(Struct, frozen=True):
    """What one key signs: until `expires`, the newest campaign is that of `serial`.

    `tuf` is the timestamp of TUF for stations that look at that one.
    """

    at: Time
    expires: Time
    serial: int
    tuf: str | UnsetType = UNSET


class NeighbourWord(Struct, frozen=True):
    """Where a station gives out what it has of a swarm, until `until`. `at` is address:port."""

    at: str
    swarm: _Hex | None
    have: Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})]
    until: Time


def what_was_known(plain: Mapping[str, Any]) -> WhatWasKnown:
    """From its plain values. Raises msgspec.ValidationError where they are something else."""
    return msgspec.convert(dict(plain), WhatWasKnown)


def read_opening(payload: bytes) -> dict[str, Any] | None:
    """Who opened a wave, when, and what was known, as plain values; None: it cannot be read."""
    try:
        said = msgspec.convert(read_json(payload, "The opening"), OpenedWave)
    except (SenderError, msgspec.ValidationError):
        return None
    if not all(map(is_line, (said.by, said.at, *said.because.slices))):
        return None
    return dict(msgspec.to_builtins(said))
