"""The loader of one device: what it checks bundles with, and what it compares them with."""

from __future__ import annotations

import platform
from functools import partial

from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.resources import Resources
from edge_daemon.app.slot_pool import SlotPool
from edge_daemon.config import CollectSettings, SlotsSettings
from edge_daemon.control.gate_runner import GateRunner
from edge_daemon.control.loader import Loader, LoaderTools
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.control.proofs import Proofs
from edge_daemon.core.collecting.reasons import floor_of
from edge_daemon.core.values import Recipe
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.box import available_memory_bytes, processor
from edge_daemon.host.gpu import Gpu
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.versions import installed
from edge_daemon.slots.active import ActiveSlot

LIBRARIES = (
    *("ultralytics", "torch", "torchvision", "numpy", "opencv-python-headless"),
    *("tensorrt", "openvino", "onnxruntime", "onnxruntime-gpu"),
)
"""All libraries that influence what a model sees."""


def build_loader(
    resources: Resources, slot_pool: SlotPool, frames: DataPlane, mailbox: Mailbox
) -> Loader:
    """A loader that reports to the driver's mailbox; it is closed by the caller."""
    settings = resources.settings
    free_memory = partial(_free_memory, resources)
    tools = LoaderTools(
        resources.store,
        resources.trust,
        settings.gate,
        settings.slots,
        resources.scratch,
        GateRunner(settings.gate, frames.line, frames.active_slot, free_memory),
        resources.clock,
        slot_pool.quiet,
        resources.gpu.capability if resources.gpu else None,
        Proofs(
            resources.journal,
            settings.gate,
            partial(_equipment, settings.slots, resources.gpu),
            lambda: resources.clock.now().utc,
        ),
        partial(_floor, settings.collect),
    )
    incumbent = partial(_incumbent, resources, frames.active_slot)
    return Loader(tools, frames.active_slot, mailbox.put, incumbent)


def _incumbent(resources: Resources, active_slot: ActiveSlot) -> Manifest | None:
    """The manifest of the active bundle, where there is one that can be read."""
    known = active_slot.pointer.known
    try:
        return resources.store.manifest(known.ref) if known else None
    except EdgeDaemonError:
        return None


def _free_memory(resources: Resources) -> dict[str, int]:
    free = {"host": available_memory_bytes()}
    memory = resources.gpu.memory() if resources.gpu else None
    return {**free, "gpu": memory.free} if memory else free


def _floor(collect: CollectSettings | None, recipe: Recipe) -> float | None:
    """How far below the recipe a model reports: only where near misses are collected."""
    wanted = collect is not None and collect.wants_faint
    return floor_of(recipe, collect.floor) if collect is not None and wanted else None


def _equipment(slots: SlotsSettings, gpu: Gpu | None) -> dict[str, str]:
    """What models run on here, by name; empty for what is not there.

    Versions are those on disk now: a worker that starts from here on imports them.
    """
    return {
        "device": slots.device,
        "processor": processor(),
        "gpu": f"{gpu.name} {gpu.capability or ''}".strip() if gpu else "",
        "driver": gpu.driver if gpu else "",
        "python": platform.python_version(),
        **{name: version or "" for name, version in installed(LIBRARIES).items()},
    }
