"""The drawn line as a camera, and what a source means."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.config import CameraSettings
from edge_daemon.demo.conveyor import Belt, Conveyor
from edge_daemon.demo.conveyor_camera import ConveyorCamera, change_line, source_of
from edge_daemon.errors import CameraError, ConfigurationError
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.memory import FrameShape


def unpaced(*made: str | None) -> ConveyorCamera:
    """Its line makes these products, frame by frame, and then no named one."""
    orders = iter(made)
    return ConveyorCamera(
        Conveyor(seed=3, width=64, height=64),
        making=lambda: next(orders, None),
        now=lambda: 0.0,
        wait=lambda _: False,
    )


def test_frames_are_the_drawn_ones_in_order() -> None:
    """Frame n of the camera is frame n of the drawing, written where the caller wants it."""
    camera = unpaced()
    assert camera.open() == FrameShape(64, 64)
    pixels, drawn = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    for index in range(3):
        assert camera.read_into(pixels) is pixels
        Conveyor(seed=3, width=64, height=64).draw(index, "bottle", drawn)
        assert (pixels == drawn).all()


def test_it_shows_what_the_line_makes() -> None:
    """Each frame asks anew; a product that is not drawn leaves the belt as it is."""
    made = (None, "can", "can", "crate", None, "bottle")
    camera = unpaced(*made)
    camera.open()
    pixels, drawn = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    line = Conveyor(seed=3, width=64, height=64)
    for index, scene in enumerate(("bottle", "can", "can", "can", "can", "bottle")):
        camera.read_into(pixels)
        line.draw(index, scene, drawn)
        assert camera.scene == scene
        assert (pixels == drawn).all()
    with pytest.raises(ValueError, match="not one of"):
        ConveyorCamera(line, scene="crate")


def test_it_goes_on_where_it_was_when_it_is_opened_again() -> None:
    """A reconnect repeats no frame and forgets no product."""
    camera = unpaced("can")
    camera.open()
    pixels = np.zeros((64, 64, 3), np.uint8)
    camera.read_into(pixels)
    camera.close()
    with pytest.raises(CameraError, match="closed"):
        camera.read_into(pixels)
    camera.open()
    camera.read_into(pixels)
    drawn = np.zeros((64, 64, 3), np.uint8)
    Conveyor(seed=3, width=64, height=64).draw(1, "can", drawn)
    assert (pixels == drawn).all()


def test_close_ends_a_wait_for_the_next_turn() -> None:
    """A slow line does not hold up a stop."""
    camera = ConveyorCamera.parse("conveyor:?size=64x64&fps=0.001")
    camera.open()
    pixels = np.zeros((64, 64, 3), np.uint8)
    camera.read_into(pixels)
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(CameraError):
            camera.read_into(pixels)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    camera.close()
    assert ended.wait(60)


def test_a_source_says_what_is_drawn() -> None:
    """Scene, seed, size and rate stand in the source; the rate of the settings comes second."""
    camera = open_camera(CameraSettings(source="conveyor:?scene=can&size=96x64&seed=5", fps=12))
    assert isinstance(camera, ConveyorCamera)
    assert camera.open() == FrameShape(64, 96)
    assert camera.fps == 12
    assert ConveyorCamera.parse("conveyor:?fps=25", fps=12).fps == 25
    assert ConveyorCamera.parse("conveyor:").fps == 30
    assert camera.describe() == "conveyor:?scene=can&size=96x64&fps=12"


def test_a_source_says_how_parts_come_by() -> None:
    """Every length and share of a belt can be given, and a source can be made of a belt."""
    belt = Belt(speed=12.0, pitch=300.0, defects=0.05, even=True, stretch=90)
    pixels, drawn = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    source = source_of(belt, fps=240, cover=Path("none"))
    camera = open_camera(CameraSettings(source=f"{source}&size=64x64"))
    assert camera.open() == FrameShape(64, 64)
    assert camera.fps == 240
    line = Conveyor(width=64, height=64, belt=belt)
    for index in range(3):
        camera.read_into(pixels)
        line.draw(index, "bottle", drawn)
        assert (pixels == drawn).all()


def test_the_lens_is_covered_while_its_file_is_there(tmp_path: Path) -> None:
    """Each frame asks anew; the belt moves on meanwhile."""
    cover = tmp_path / "cover"
    camera = unpaced()
    camera.cover = cover
    camera.open()
    pixels, drawn = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    means = []
    for is_covered in (False, True, True, False):
        cover.touch() if is_covered else cover.unlink(missing_ok=True)
        camera.read_into(pixels)
        means.append(pixels.mean())
    assert means[1] < 4 > means[2]
    assert means[0] > 40 < means[3]
    Conveyor(seed=3, width=64, height=64).draw(3, "bottle", drawn)
    assert (pixels == drawn).all()


@pytest.mark.parametrize(
    "source",
    [
        "conveyor:?scene=crate",
        "conveyor:?size=big",
        "conveyor:?size=1x1",
        "conveyor:?size=90000x90000",
        "conveyor:?fps=0",
        "conveyor:?fps=nan",
        "conveyor:?colour=red",
        "conveyor:?scene",
        "conveyor:?defects=2",
        "conveyor:?speed=0",
        "conveyor:?even=perhaps",
    ],
)
def test_a_wrong_conveyor_source_is_refused_with_an_example(source: str) -> None:
    """A source that cannot be understood never becomes another picture than the one meant."""
    with pytest.raises(ConfigurationError, match="conveyor:") as refused:
        open_camera(CameraSettings(source=source))
    assert "scene=bottle" in refused.value.hint


def test_what_is_added_to_the_file_of_changes_is_what_comes(tmp_path: Path) -> None:
    """Each line takes effect from its place on, once, while the camera runs."""
    changes = tmp_path / "changes"
    camera = unpaced()
    camera.changes = changes
    camera.open()
    pixels, drawn = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    line = Conveyor(seed=3, width=64, height=64)
    told = [(2, 1.0, 1), (4, 0.0, 5)]
    for index in range(250):
        if index % 100 == 1 and told:
            place, defects, dim_every = told.pop(0)
            line.change(place, defects=defects, dim_every=dim_every)
            with changes.open("a", encoding="utf-8") as file:
                file.write(change_line(place, defects=defects, dim_every=dim_every))
        camera.read_into(pixels)
        line.draw(index, "bottle", drawn)
        assert (pixels == drawn).all()
    assert not told
