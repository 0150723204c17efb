"""The bays: this box's slots as its settings want them, with their spares and twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial

import structlog

from edge_daemon.app.foundation import Foundation
from edge_daemon.config import SlotsSettings
from edge_daemon.control.arrivals import TwinStoodIn
from edge_daemon.host.box import (
    FEWEST_SLOTS,
    available_memory_bytes,
    usual_slots,
    usual_threads,
)
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from edge_daemon.slots.thread import ThreadSlot
from edge_daemon.slots.twin import Twins, TwinSlot

_log = structlog.get_logger(__name__)

SLOT_NAMES = "ABCDEFGH"


class Bays:
    """The slots, by name.

    Args:
        engine: the factory that workers call, `module:name`.
        put: takes what the slots have to say; from the lane's thread, without waiting.
    """

    def __init__(self, ground: Foundation, engine: str, put: Callable[[TwinStoodIn], None]) -> None:
        settings = ground.settings.slots
        self._metrics = ground.metrics
        self._put = put
        self._closing = ExitStack()
        self._twins: list[TwinSlot] = []
        self.quiet: Callable[[], AbstractContextManager[None]] = nullcontext
        """While in it, no spare is warmed: something is being measured."""
        self.slots: Mapping[str, Slot]
        names = SLOT_NAMES[: slot_count(settings)]
        options: dict[str, object] = {
            "threads": settings.threads or usual_threads(),
            "device": settings.device,
            "headroom_mb": ground.settings.gate.memory_headroom_mb,
        }
        if settings.isolation == "thread":
            self.slots = {name: ThreadSlot(name, engine, options) for name in names}
            return
        spec = WorkerSpec(
            engine,
            options,
            readable=(str(ground.scratch),),
            memory_bytes=(settings.memory_limit_mb or 0) << 20,
        )
        start = Start(ground.settings.workers.start)
        spares = SparePool(spec, start, standing=0 if settings.spare == "off" else 1)
        self._closing.callback(spares.close)
        self.quiet = spares.quiet
        if settings.spare == "hot":
            self._twins = [
                TwinSlot(partial(ProcessSlot, name, spares), self._stood_in) for name in names
            ]
            self.slots = {twin.name: twin for twin in self._twins}
        else:
            self.slots = {name: ProcessSlot(name, spares) for name in names}

    def keep_twin(self, judging: Callable[[], Slot | None]) -> Callable[[], None]:
        """Keep a twin beside the slot that judges, where the settings want one, until called."""
        if not self._twins:
            return lambda: None
        twins = Twins(self._twins, judging)
        twins.start()
        return twins.stop

    def _stood_in(self, slot: TwinSlot, why: str) -> None:
        """On the lane's thread."""
        self._metrics.slot_restarted("stood_in")
        _log.warning("twin_stood_in", slot=slot.name, why=why)
        self._put(TwinStoodIn(slot.name, why))

    def close(self) -> None:
        """End what stands by; a slot is ended by whoever loaded it."""
        self._closing.close()


def slot_count(settings: SlotsSettings) -> int:
    """As many as the settings say, or as this box has room for at this moment."""
    if settings.count is not None:
        return settings.count
    if settings.isolation == "thread":  # chosen where memory is short
        return FEWEST_SLOTS
    return usual_slots(available_memory_bytes(), settings.device)
