"""The parts that the driver acts on, as the composition root passes them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_daemon.control.loader import Loader
from edge_daemon.control.order_handler import OrderHandler
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.recorder import Recorder
from edge_daemon.control.request_intake import RequestIntake
from edge_daemon.control.store_scan import StoreScan
from edge_daemon.core.effects import MakeForecast
from edge_daemon.core.records import Record
from edge_daemon.core.rollout.values import Plan, Split
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, Refusal, Request
from edge_daemon.host.clock import Clock
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.frame_control import FrameControl


@dataclass(frozen=True)
class DriverServices:
    """What the driver acts on."""

    intake: RequestIntake
    recorder: Recorder
    loader: Loader
    active_slot: ActiveSlot
    line: FrameControl
    receipts: Receipts
    clock: Clock
    orders: OrderHandler
    store_scan: StoreScan
    """A bundle may have come a moment before the request for it; the driver closes it."""
    publish: Callable[[State], None]
    """Told each new state, for `model/state`."""
    take_snapshot: Callable[[Request], None]
    """Makes a picture in a thread of its own, and puts `SnapshotTaken` into the mailbox."""
    foretell: Callable[[MakeForecast], None]
    """Makes a forecast in a thread of its own, and puts `ForecastMade` into the mailbox."""
    plan_of: Callable[[str, BundleRef], Plan | Refusal]
    """The plan of a rollout: as asked for, else the bundle's, within what the station allows."""
    split: Callable[[Split | None], None]
    """Tells the line what to do with a candidate from the next unit on."""
    stepped: Callable[[State, Sequence[Record]], None]
    """Told each step that changed the state, with its records; must not wait."""
    quarantine_changed: Callable[[State], None]
    """Told after a version was quarantined or freed; what the store offers reads otherwise now."""
