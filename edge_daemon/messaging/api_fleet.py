"""What the API document says of the topics that all stations of a fleet share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from edge_daemon.messaging.api_nodes import (
    PARAMETERS,
    SCHEMAS,
    Json,
    channel,
    first_sentence,
    operation,
    ref,
)
from edge_daemon.messaging.campaign_payloads import (
    CampaignText,
    FreshText,
    NeighbourWord,
    OpenedWave,
    PausedCampaign,
    SignedText,
    StoppedCampaign,
    WhatWasKnown,
)

_AT = "2026-11-22T10:00:00.000Z"


@dataclass(frozen=True)
class _Shared:
    """A retained topic. `text` is what its envelope holds, `users` may write it by the list of
    rights that is shipped; `says`: whether stations do.
    """

    key: str
    topic: str
    summary: str
    message: type[msgspec.Struct]
    users: tuple[str, ...]
    text: type[msgspec.Struct] | None = None
    examples: tuple[msgspec.Struct, ...] = ()
    says: bool = False


_SHARED = (
    _Shared(
        "campaign",
        "fleet/{campaign}/campaign",
        "A bundle for many stations, signed by two keys.",
        SignedText,
        ("ops", "fleet"),
        CampaignText,
    ),
    _Shared(
        "campaignOpen",
        "fleet/{campaign}/open/{wave}",
        first_sentence(OpenedWave),
        OpenedWave,
        ("ops", "fleet"),
        examples=(OpenedWave(_AT, "evaluator-a", WhatWasKnown(24, 24, 0)),),
    ),
    _Shared(
        "campaignPause",
        "fleet/{campaign}/pause/{who}",
        first_sentence(PausedCampaign),
        PausedCampaign,
        ("ops", "fleet", "andon"),
        examples=(PausedCampaign(_AT, "inventory count", True),),
    ),
    _Shared(
        "campaignStop",
        "fleet/{campaign}/stop/{who}",
        first_sentence(StoppedCampaign),
        StoppedCampaign,
        ("ops", "fleet", "andon"),
        examples=(StoppedCampaign(_AT, "it misses scratches", "rollback"),),
    ),
    _Shared(
        "fleetTimestamp",
        "fleet/timestamp",
        "Which campaigns are current, and until when that may be believed: a signed text, or the "
        "timestamp of TUF.",
        SignedText,
        ("ops",),
        FreshText,
    ),
    _Shared(
        "neighbour",
        "fleet/site/{site}/peer/{device}",
        first_sentence(NeighbourWord),
        NeighbourWord,
        ("ops",),
        says=True,
    ),
)

KINDS = tuple(kind for one in _SHARED for kind in (one.message, one.text) if kind is not None)
"""The types that the document has a schema of."""
_PARAMETERS = {
    "campaign": "The id of the campaign.",
    "wave": "From 0.",
    "who": "ops, evaluator or andon.",
    "site": "`fleet.site` in the settings of its stations.",
    "device": "The station.",
}


def add_to(document: Json) -> None:
    """Put these topics into the document. Stations hear all of them where `fleet` is set."""
    components = document["components"]
    document["channels"] |= {one.key: _channel(one) for one in _SHARED}
    document["operations"] |= {f"hear-{one.key}": _operation("receive", one) for one in _SHARED}
    said = [one for one in _SHARED if one.says]
    document["operations"] |= {f"publish-{one.key}": _operation("send", one) for one in said}
    components["messages"] |= {one.key: _message(one) for one in _SHARED}
    components["parameters"] |= {name: {"description": text} for name, text in _PARAMETERS.items()}


def _channel(one: _Shared) -> Json:
    made = channel(one.topic, [one.key], one.summary)
    named = [name for name in _PARAMETERS if f"{{{name}}}" in one.topic]
    if named:
        made["parameters"] = {name: ref(PARAMETERS, name) for name in named}
    return made


def _operation(action: str, one: _Shared) -> Json:
    return operation(action, one.key, [one.key], qos=1, retain=True)


def _message(one: _Shared) -> Json:
    made: dict[str, Any] = {"summary": one.summary, "payload": ref(SCHEMAS, one.message.__name__)}
    if one.text is FreshText:
        tuf = {"type": "object", "required": ["signed", "signatures"]}
        made["payload"] = {"oneOf": [made["payload"], tuf]}
    if one.text is not None:
        made["x-signed-text"] = ref(SCHEMAS, one.text.__name__)
    made["x-users"] = list(one.users)
    if one.examples:
        made["examples"] = [{"payload": msgspec.to_builtins(each)} for each in one.examples]
    return made
