"""The gauges of `/metrics`, set from the station's status."""

from __future__ import annotations

from collections.abc import Iterator

from edge_daemon.app.status import Status
from edge_daemon.core.roles import role
from edge_daemon.core.state import State
from edge_daemon.host.metrics import Metrics, ModelRole


def set_gauges(metrics: Metrics, status: Status) -> None:
    """Set every gauge; counters are counted where things happen."""
    metrics.camera(status.line.camera_online)
    metrics.mqtt(status.line.broker_online)
    metrics.store(not status.remarks.store)
    metrics.sources(status.sources_up)
    metrics.outbox(status.journal.waiting)
    metrics.models(resident(status.line.state))
    for name, size_bytes in status.box.slot_memory.items():
        metrics.slot_memory(name, "host", size_bytes)
    metrics.certificates(status.box.certificates)
    if status.box.gpu is not None:
        metrics.gpu(status.box.gpu)


def resident(state: State) -> Iterator[ModelRole]:
    """The content and the role of each slot, for the metrics."""
    for slot in state.slots:
        if slot.bundle is not None:
            yield ModelRole(slot.bundle.ref, slot.bundle.sha256, slot.name, role(state, slot))
