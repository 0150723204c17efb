"""States of a station with some versions in its slots, in one line."""

from __future__ import annotations

from typing import Any

from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import Durable, SlotState, State
from edge_daemon.core.values import BundleRef, Instant, StoredBundle

NOW = Instant(10.0, 1000.0)
ALL = tuple(StoredBundle(BundleRef.parse(r), r) for r in ("b@1", "b@2", "b@3", "c@1"))
B1, B2, B3, C1 = ALL


def state(*resident: StoredBundle, active: int | None = 0, **durable: Any) -> State:
    """Each version ready in a slot of its own; `active`: which of them judges."""
    slots = [
        SlotState("ABCD"[i], Phase.READY, known, i + 1, i + 1) for i, known in enumerate(resident)
    ]
    slots += [SlotState("ABCD"[i]) for i in range(len(slots), max(2, len(slots)))]
    name = None if active is None or not resident else slots[active].name
    return State(
        "t",
        tuple(slots),
        links=(("P", "b"), ("Q", "c")),
        available=ALL,
        durable=Durable(**durable),
        active=name,
    )


def ref(text: str) -> BundleRef:
    return BundleRef.parse(text)
