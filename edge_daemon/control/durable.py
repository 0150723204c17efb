"""What the planner must remember, as the journal keeps it."""

from __future__ import annotations

import msgspec

from edge_daemon.core.state import Durable
from edge_daemon.errors import StateError


def decode_durable(body: bytes | None) -> Durable:
    """What the journal kept; raises StateError when it cannot be read."""
    if body is None:
        return Durable()
    try:
        return msgspec.json.decode(body, type=Durable)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StateError(
            f"The state in the journal cannot be read: {error}.",
            hint="Move the journal away; the store and the configuration are enough to start.",
        ) from error


def encode_durable(durable: Durable) -> bytes:
    """The same, for the journal."""
    return msgspec.json.encode(durable)
