"""The slots of this box as the settings want them, with their spares and hot standbys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial

import structlog

from edge_daemon.app.resources import Resources
from edge_daemon.config import SlotsSettings
from edge_daemon.control.arrivals import StandbyTookOver
from edge_daemon.host.box import FEWEST_SLOTS, available_memory_bytes, usual_slots
from edge_daemon.slots.pool import engine_options, spare_pool
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.standby import Standbys, StandbySlot
from edge_daemon.slots.thread import ThreadSlot

_log = structlog.get_logger(__name__)

SLOT_NAMES = "ABCDEFGH"


class SlotPool:
    """The slots, by name.

    Args:
        engine: the factory that workers call, `module:name`.
        put: takes what the slots have to say; from the lane's thread, without waiting.
        spares: where workers come from, if that was begun before; closed with the slots.
    """

    def __init__(
        self,
        resources: Resources,
        engine: str,
        put: Callable[[StandbyTookOver], None],
        spares: SparePool | None = None,
    ) -> None:
        settings = resources.settings.slots
        self._metrics = resources.metrics
        self._put = put
        self._closing = ExitStack()
        self._twins: list[StandbySlot] = []
        self.quiet: Callable[[], AbstractContextManager[None]] = nullcontext
        """While in it, no spare is warmed: something is being measured."""
        self.slots: Mapping[str, Slot]
        names = SLOT_NAMES[: slot_count(settings)]
        if settings.isolation == "thread":
            options = engine_options(resources.settings)
            self.slots = {name: ThreadSlot(name, engine, options) for name in names}
            return
        spares = spares or spare_pool(resources.settings, engine, resources.clock)
        self._closing.callback(spares.close)
        self.quiet = spares.quiet
        if settings.spare == "hot":
            self._twins = [
                StandbySlot(partial(ProcessSlot, name, spares), self._stood_in) for name in names
            ]
            self.slots = {standby.name: standby for standby in self._twins}
        else:
            self.slots = {name: ProcessSlot(name, spares) for name in names}

    def keep_standby(self, judging: Callable[[], Slot | None]) -> Callable[[], None]:
        """Keep a standby beside the active slot, if the settings want one; the result ends it."""
        if not self._twins:
            return lambda: None
        standbys = Standbys(self._twins, judging)
        standbys.start()
        return standbys.stop

    def _stood_in(self, slot: StandbySlot, why: str) -> None:
        """On the lane's thread."""
        self._metrics.slot_restarted("stood_in")
        _log.warning("standby_took_over", slot=slot.name, why=why)
        self._put(StandbyTookOver(slot.name, why))

    def close(self) -> None:
        """End what stands by; each slot is ended by the loader."""
        self._closing.close()


def slot_count(settings: SlotsSettings) -> int:
    """As many as the settings say, or as fit into this box now."""
    if settings.count is not None:
        return settings.count
    if settings.isolation == "thread":  # chosen where memory is short
        return FEWEST_SLOTS
    return usual_slots(available_memory_bytes(), settings.device)
