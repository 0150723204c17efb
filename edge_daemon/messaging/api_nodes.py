"""Parts that every piece of the API document is made of: references, channels, operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
PARAMETERS = "#/components/parameters/"
CHANNELS = "#/channels/"
_BINDING = "0.2.0"

Json = dict[str, Any]


def ref(where: str, key: str) -> Json:
    """A reference to what lies there."""
    return {"$ref": where + key}


def channel(address: str | None, messages: Iterable[str], summary: str) -> Json:
    """A topic with its messages, by their keys."""
    named = {key: ref(_MESSAGES, key) for key in messages}
    return {"address": address, "summary": summary, "messages": named}


def operation(action: str, where: str, messages: list[str], *, qos: int, retain: bool) -> Json:
    """What is done at a channel; `receive` is what the daemon hears, `send` what it says."""
    return {
        "action": action,
        "channel": ref(CHANNELS, where),
        "messages": [ref(f"{CHANNELS}{where}/messages/", key) for key in messages],
        "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": _BINDING}},
    }


def first_sentence(kind: type[Any]) -> str:
    """What the docstring of a type says first."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())
