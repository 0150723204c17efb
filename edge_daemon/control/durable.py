"""The planner's durable state as the journal stores it, with the number of its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge_daemon.core.state import Durable
from edge_daemon.errors import NewerState, StateError

Plain = Mapping[str, Any]


def _with_number(first: Plain) -> Plain:
    """1 -> 2: the same content, with the schema number beside it."""
    return first


UPGRADES: tuple[Callable[[Plain], Plain], ...] = (_with_number,)
"""One function a version, each from that version to the next; a released one is never changed."""

SCHEMA = len(UPGRADES) + 1


def decode_durable(body: bytes | None) -> Durable:
    """The state from the journal, migrated from whatever version wrote it.

    Raises NewerState where a later version wrote it, StateError when it cannot be read.
    """
    if body is None:
        return Durable()
    try:
        plain = msgspec.json.decode(body, type=dict[str, Any])
        schema = msgspec.convert(plain.pop("schema", 1), int)
        if schema > SCHEMA:
            raise NewerState(
                f"The state was written by a newer edge-daemon (schema {schema}, this one knows "
                f"{SCHEMA}); nothing of it was changed.",
                hint="Install that version again, or move the state folder away.",
            )
        for upgrade in UPGRADES[schema - 1 :]:
            plain = dict(upgrade(plain))
        return msgspec.convert(plain, Durable)
    except ValueError as error:
        raise StateError(
            f"The state in the journal cannot be read: {error}.",
            hint="Move the journal away; the store and the configuration are enough to start.",
        ) from error


def encode_durable(durable: Durable) -> bytes:
    """The state for the journal."""
    return msgspec.json.encode({"schema": SCHEMA, **msgspec.to_builtins(durable)})
