"""What weights say of themselves, read in a caged worker: foreign files may do anything."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.host.box import usual_threads
from edge_daemon.models.files import digest_of
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.single_slot import single_slot
from edge_daemon.slots.slot import Loaded, LoadOrder

LOAD_TIMEOUT_S = 120.0
USUAL_IMGSZ = 640
"""Where weights do not say what they were trained at."""


def read_weights(weights: Path) -> Loaded:
    """Load the weights once on the CPU; raises BundleError and BoxError as a daemon's load does."""
    place = weights.resolve()
    spec = WorkerSpec(ENGINE, {"threads": usual_threads()}, readable=(str(place.parent),))
    order = LoadOrder(
        ref=BundleRef("weights", "0"),
        sha256=digest_of(place)[0],
        folder=place.parent,
        weights=place,
        task="detect",  # the weights' own wins
        classes=(),
        imgsz=USUAL_IMGSZ,
        confidence=0.25,
    )
    with single_slot(spec) as slot:
        return slot.load(order, LOAD_TIMEOUT_S)
