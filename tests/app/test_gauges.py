"""The gauges of `/metrics` are one status: each of its values, and nothing of an earlier one."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from edge_daemon.app.monitor import resident, set_gauges
from edge_daemon.app.status import BoxStatus, JournalStatus, Status
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.roles import Role
from edge_daemon.core.state import SlotState
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import BundleRef, StoredBundle
from edge_daemon.frames.camera_state import CameraPhase
from edge_daemon.host.gpu import GpuMemory
from edge_daemon.host.metrics import Metrics, ModelRole
from tests.sim.status import ACTIVE, BOTTLE, ONLINE, station

NEWER = StoredBundle(BundleRef("bottle", "2.0.0"), "ef")


def gauges(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each gauge by its name and the values of its labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render(Totals()).decode())
        for sample in family.samples
    }


def shown(status: Status) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    set_gauges(metrics, status)
    return gauges(metrics)


def test_each_gauge_says_what_the_status_says() -> None:
    """Camera, broker, store, outbox, memory and certificates."""
    box = BoxStatus({"A": 4096}, GpuMemory(1, 2, 3), {"certificate": 1_800_000_000.0})
    found = shown(station(box=box, journal=JournalStatus(waiting=7)))
    assert found["edge_camera_up",] == 1
    assert found["edge_mqtt_connected",] == 1
    assert found["edge_store_up",] == 1
    assert found["edge_outbox_depth",] == 7
    assert found["edge_slot_memory_bytes", "A", "host"] == 4096
    assert [found["edge_gpu_memory_bytes", kind] for kind in ("free", "used", "total")] == [1, 2, 3]
    assert found["edge_certificate_expires_seconds", "certificate"] == 1_800_000_000.0


def test_what_is_away_is_zero() -> None:
    """Not absent: an alert on zero must see it."""
    away = station(
        camera=replace(ONLINE, state=CameraPhase.LOST),
        broker_online=False,
        store_trouble="the store /srv is not there",
    )
    found = shown(away)
    assert found["edge_camera_up",] == 0
    assert found["edge_mqtt_connected",] == 0
    assert found["edge_store_up",] == 0


def test_the_next_status_leaves_nothing_of_the_last_one() -> None:
    """A model that left its slot is not in two places."""
    metrics = Metrics()
    set_gauges(metrics, station())
    set_gauges(metrics, station(state=replace(ACTIVE, slots=(SlotState("A", bundle=NEWER),))))
    named = [key for key in gauges(metrics) if key[0] == "edge_model_info"]
    assert [set(key) & {"bottle@1.0.0", "bottle@2.0.0"} for key in named] == [{"bottle@2.0.0"}]


def test_a_slot_that_holds_something_has_a_line_and_perhaps_a_role() -> None:
    """An empty one has none; what is only being prepared has no role yet."""
    slots = (
        SlotState("A", Phase.READY, BOTTLE, 1, 1),
        SlotState("B", Phase.PREPARING, NEWER),
        SlotState("C"),
    )
    assert list(resident(replace(ACTIVE, slots=slots))) == [
        ModelRole(BOTTLE.ref, BOTTLE.sha256, "A", Role.ACTIVE),
        ModelRole(NEWER.ref, NEWER.sha256, "B", None),
    ]
