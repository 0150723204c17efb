"""A stranger's golden images under the whole daemon: they take time, and none of the line's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import INFER_TIMEOUT_S
from tests.sim.bundles import make_bundle
from tests.sim.line import RunningDaemon, make_store
from tests.sim.marked_engine import marked_weights
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

CLASSES = ("bottle", "scratch", "dent")
SLOW, NEXT = "bottle@5.0.0", "bottle@6.0.0"
SIZES = ((4000, 3900), (8000, 7900), (64, 48))
"""Width and height: the largest that the active model is asked about, and the largest of all."""


def add(
    mill: RunningDaemon, ref: str, mark: float, sizes: Sequence[tuple[int, int]], slow_s: float
) -> None:
    """A version with golden images of these sizes, of noise: no decoder is quick with that.

    `slow_s`: how long it takes for a picture that is not the camera's.
    """
    store = Path(mill.settings.models.store)
    folder = store / ref.replace("@", "/")
    mill.ear.marks[ref] = mark
    chance = np.random.default_rng(1)

    def edit(manifest: dict[str, Any]) -> None:
        manifest["limits"]["latency_ratio"] = 10.0
        (folder / "golden").mkdir()
        for number, (width, height) in enumerate(sizes):
            image = folder / "golden" / f"{number}.jpg"
            small = chance.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
            cv2.imwrite(str(image), cv2.resize(small, (width, height)))
            digest = hashlib.sha256(image.read_bytes()).hexdigest()
            said = {"image": f"golden/{image.name}", "sha256": digest, "slice": "noise"}
            manifest["golden"].append({**said, "expect": {"count": 1}})

    weights = marked_weights(mark, CLASSES, strange_s=slow_s)
    make_bundle(store, ref, weights=weights, file="weights-good.pt", golden=0, edit=edit)


def test_the_active_worker_outlives_golden_images_that_take_long(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """The candidate decodes for seconds, and the active model takes longer for what it is shown
    than it may for a frame: no worker is lost and no frame; the gate says what was not compared."""
    make_store(tmp_path)
    camera = {"source": "conveyor:?size=160x120&fps=30", "buffer_frames": 400}
    with RunningDaemon(tmp_path, broker, camera=camera) as mill:
        daemon = mill.start()
        add(mill, SLOW, 0.56, (), slow_s=INFER_TIMEOUT_S + 1.0)
        assert mill.ask("swap", model=SLOW)["status"] == "succeeded"
        mill.until_event("confirmed", model=SLOW)
        slot = daemon.frames.active_slot.pointer.slot
        assert isinstance(slot, ProcessSlot)
        worker = slot.pid
        add(mill, NEXT, 0.57, SIZES, slow_s=0.0)
        outcome = mill.ask("swap", model=NEXT)
        assert outcome["status"] == "succeeded", outcome
        (drop,) = [c for c in outcome["receipt"]["checks"] if c["name"] == "golden.drop"]
        assert "gave no answer" in drop["note"]
        assert slot.pid == worker
        mill.until_judged_by(NEXT)
        mill.stop()
        mill.until_settled()
        mill.check_books()
        tally = mill.ear.books.tally()
        assert tally.frames == tally.inspected
