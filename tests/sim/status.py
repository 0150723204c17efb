"""A station's status as a test wants it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from edge_daemon.app.status import LineStatus, Status
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.values import BundleRef, Instant, StoredBundle
from edge_daemon.frames.camera_state import (
    CameraPhase,
    CameraState,
)
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.health import Signs
from edge_daemon.messaging.payloads import Info

BOTTLE = StoredBundle(BundleRef("bottle", "1.0.0"), "ab")
ACTIVE = State("boot", (SlotState("A", bundle=BOTTLE),), active="A")
NOW = Instant(1_000.0, 1_795_000_000.0)
ONLINE = CameraState(CameraPhase.ONLINE, NOW)
INFO = Info(
    device="cam1",
    version="1",
    boot="b",
    started="then",
    verbs=("swap",),
    slots=2,
    hardware="cpu",
    camera="conveyor:",
)
"""What it says of itself."""
_WELL = Signs(NOW.at, has_active=True, camera_fault=None, mqtt_connected=True)
_OF_THE_LINE = {each.name for each in fields(LineStatus)}


def station(**changes: Any) -> Status:
    """One where all is well, but for what is given: parts of the status, or of its line."""
    line = LineStatus(NOW, ACTIVE, ONLINE, broker_online=True)
    of_the_line = {name: value for name, value in changes.items() if name in _OF_THE_LINE}
    others = {name: value for name, value in changes.items() if name not in _OF_THE_LINE}
    return replace(Status(replace(line, **of_the_line), _WELL), **others)


class StillStation:
    """A monitor's sources: all is well, and only the ledger counts on."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def line(self) -> LineStatus:
        return station(totals=self._ledger.totals()).line

    def status(self, line: LineStatus, signs: Signs) -> Status:
        return Status(line, signs)
