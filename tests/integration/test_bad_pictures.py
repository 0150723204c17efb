"""Pictures that show nothing make no good part, whatever makes parts: by frame, trigger and track.

The recipe of the first two names no part, so a picture without findings would be ok: only the
watch over the pictures stands between a covered lens and good parts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_daemon.app import Daemon
from edge_daemon.config import CameraSettings, sources
from edge_daemon.frames.camera import Making
from edge_daemon.host.memory import Pixels
from tests.sim import belt as belts
from tests.sim.belt import Belt, BeltCamera
from tests.sim.bundles import make_bundle
from tests.sim.line import settings_for
from tests.sim.mosquitto import Mosquitto, new_mosquitto
from tests.sim.parts_reckoning import ZONE, Heard
from tests.sim.parts_run import Plc

pytestmark = pytest.mark.broker

MODEL = "bottle@1.0.0"
FROZEN_S = 0.5
ENOUGH = 6
"""Frames of each kind, and twice as many good ones."""

_chance = np.random.default_rng(1)


def _noise(pixels: Pixels) -> None:
    pixels[:] = _chance.integers(0, 256, pixels.shape, np.uint8)


def _covered(pixels: Pixels) -> None:
    """A cap on the lens: a little light, and the noise of the sensor."""
    pixels[:] = 12 + _chance.integers(0, 3, pixels.shape, np.uint8)


SCENES: dict[str, Callable[[Pixels], None]] = {
    "black": lambda pixels: pixels.fill(0),
    "white": lambda pixels: pixels.fill(255),
    "noise": _noise,
    "covered": _covered,
    "frozen": lambda _: None,
}


class Lens(BeltCamera):
    """The belt, until something is put before it."""

    scene = ""
    _kept: Pixels | None = None

    def read_into(self, pixels: Pixels) -> Pixels | None:
        read = super().read_into(pixels)
        if Lens.scene == "frozen" and self._kept is not None:
            pixels[:] = self._kept
        elif Lens.scene:
            SCENES[Lens.scene](pixels)
        else:
            self._kept = pixels.copy()
        return read


def open_lens(settings: CameraSettings, making: Making) -> Lens:
    return Lens(Belt.parse(settings.source))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as started:
        yield started


@contextmanager
def station(
    folder: Path, broker: Mosquitto, parts: dict[str, Any], part: str | None
) -> Iterator[Plc]:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["recipe"] = {"confidence": 0.35, "reject": ["scratch"]}
        if part is not None:
            manifest["recipe"]["part"] = part
        manifest["limits"]["latency_ratio"] = 100.0

    classes, file = ("bottle", "scratch", "code"), "weights-good.pt"
    weights = belts.weights(0.5, "bottle", 0.0)
    make_bundle(
        folder / "store", MODEL, weights=weights, file=file, classes=classes, golden=0, edit=edit
    )
    by = parts["by"]
    apart = 0.45 if by == "track" else 1.6
    belt = Belt(time.monotonic() - 100.0, 0.1, apart, 100.0)
    settings = settings_for(
        folder,
        broker,
        device=by,
        camera={"source": belt.source, "picture": {"frozen_s": FROZEN_S}},
        slots={"isolation": "thread", "spare": "off"},
        gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        parts=parts,
    )
    plc = Plc(broker, Heard(), f"edge/{by}")
    daemon = Daemon(settings, engine=belts.ENGINE)
    daemon.start()
    try:
        yield plc
    finally:
        daemon.stop()
        plc.close()


@pytest.mark.parametrize("by", ["frame", "trigger", "track"])
def test_what_shows_nothing_is_no_good_part(
    by: str, folder: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Black, white, noise, a cap on the lens, a picture that stands; and parts again after it."""
    lens = sources.SourceKind(("belt:",), "belt:", f"{__name__}:open_lens")
    monkeypatch.setattr(sources, "SOURCES", (lens, *sources.SOURCES))
    monkeypatch.setattr(Lens, "scene", "")
    parts: dict[str, Any] = {"by": by}
    if by == "trigger":
        parts["window_ms"] = [0, 30]
    if by == "track":
        first, last = ZONE
        parts["zone"] = [[first, 0.0], [last, 0.0], [last, 1.0], [first, 1.0]]
    with station(folder, broker, parts, "bottle" if by == "track" else None) as plc:
        spans = [_span(plc, by, scene) for scene in ("", *SCENES)]
    for scene, (began, ended) in zip(("", *SCENES), spans, strict=True):
        verdicts = {
            part["verdict"]
            for part in plc.heard.parts
            if part["frames"] and began <= part["frames"][0] and part["frames"][-1] <= ended
        }
        if not scene:
            assert "ok" in verdicts
        elif by == "track":
            assert verdicts == set(), scene
        else:
            assert verdicts == {"uninspected"}, scene
    reasons = {part["reason"] for part in plc.heard.parts if part["verdict"] == "uninspected"}
    assert by == "track" or "bad_picture" in reasons


def _span(plc: Plc, by: str, scene: str) -> tuple[int, int]:
    """Show it for a while; the first and last frame that surely show it."""
    results = plc.heard.results
    Lens.scene = scene
    verdict = "uninspected" if scene else "ok"
    began = max((frame for _, frame in results), default=0)

    def run() -> list[int]:
        """The frames at the end that all have that verdict."""
        found: list[int] = []
        for (_, frame), result in sorted(results.items(), reverse=True):
            is_other = (result["verdict"] == "uninspected") is not (verdict == "uninspected")
            if frame <= began or is_other:
                break
            found.insert(0, frame)
        return found

    assert plc.until(lambda: len(run()) >= 3), scene
    first = run()[0]
    for number in range(ENOUGH if scene else 2 * ENOUGH):
        if by == "trigger":
            plc.publish("request/trigger", {"id": f"{scene}-{number}"})
        newest = max(run(), default=began)
        assert plc.until(lambda n=newest: max(run(), default=0) > n + 2), scene  # type: ignore[misc]
    return first, run()[-1]
