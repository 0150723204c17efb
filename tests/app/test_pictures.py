"""A camera that shows nothing: no frame of it is ok, and whoever looks after the line is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.values import Reason
from edge_daemon.host.memory import Pixels
from tests.sim.device import Device, wait_until

B1 = "bottle@1.0.0"
SHAPE = (240, 320, 3)
FILMS = Path(__file__).parent.parent / "frames/films"


def film(path: Path, paint: Callable[[int], Pixels], frames: int = 60) -> str:
    """A Motion JPEG film; equal pictures are equal in it, byte for byte."""
    with path.open("wb") as file:
        for number in range(frames):
            good, jpeg = cv2.imencode(".jpg", paint(number))
            assert good
            file.write(jpeg.tobytes())
    return str(path)


def watching(source: str | Path) -> dict[str, object]:
    """Two seconds of frames may wait: none is dropped on a busy machine."""
    return {"camera": {"source": str(source), "fps": 200, "buffer_frames": 400}}


def one_colour(*colour: int) -> Callable[[int], Pixels]:
    return lambda number: np.full(SHAPE, colour, np.uint8)


def moving(number: int) -> Pixels:
    """A gradient that runs sideways: it compresses well."""
    row = (np.arange(SHAPE[1]) + 7 * number) % 200 + 20
    return np.broadcast_to(row[None, :, None], SHAPE).astype(np.uint8)


def still(number: int) -> Pixels:
    return moving(0)


def events(device: Device) -> list[dict[str, object]]:
    assert device.daemon is not None
    rows = device.daemon.resources.journal.outbox_peek(1000)
    told = (json.loads(row.payload) for row in rows if row.topic.endswith("/model/event"))
    return [event for event in told if event["type"].startswith("picture_")]


@pytest.mark.parametrize(
    ("paint", "words"),
    [
        (one_colour(0, 0, 0), "is black: mean 0.0, limit 8"),
        (one_colour(255, 255, 255), "is white: mean 255.0, limit 247"),
        (one_colour(120, 60, 200), "is of one colour: contrast 0.0, limit 3"),
    ],
)
def test_no_frame_of_an_empty_picture_is_ok(
    paint: Callable[[int], Pixels], words: str, tmp_path: Path
) -> None:
    """Each frame is uninspected (bad_picture), health names the picture, one event says so."""
    source = film(tmp_path / "empty.mjpeg", paint)
    with Device(B1, fps=200.0, settings=watching(source)) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        ledger = daemon.frames.ledger
        wait_until(lambda: ledger.counts().uninspected > 200, "uninspected frames")
        wait_until(lambda: events(device), "the event")
        assert ledger.totals().models == {}
        assert set(ledger.reasons()) == {Reason.BAD_PICTURE}
        assert ledger.counts().balanced
        assert f"the camera's picture {words}" in daemon.monitor.problems()
        (event,) = events(device)
        assert (event["type"], event["reason"]) == ("picture_bad", "bad_picture")
        assert event["message"] == f"The camera's picture {words}."


def snow(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


def test_no_frame_of_noise_is_ok(tmp_path: Path) -> None:
    """Also where the recipe requires nothing, and would call it ok."""
    source = film(tmp_path / "snow.mjpeg", snow)
    with Device(B1, settings=watching(source)) as device:
        device.await_active(B1)
        assert device.daemon is not None
        ledger = device.daemon.frames.ledger
        wait_until(lambda: ledger.counts().uninspected > 200, "uninspected frames")
        assert ledger.totals().models == {}
        assert set(ledger.reasons()) == {Reason.BAD_PICTURE}


def test_a_frozen_picture_is_judged_twice_at_most(tmp_path: Path) -> None:
    """A film whose pictures are all the same is a camera that hangs; one that loops is not."""
    for name, paint, is_frozen in (("still", still, True), ("moving", moving, False)):
        source = film(tmp_path / f"{name}.mjpeg", paint)
        with Device(B1, settings=watching(source)) as device:
            device.await_active(B1)
            assert device.daemon is not None
            ledger = device.daemon.frames.ledger
            before = ledger.counts()
            wait_until(lambda: ledger.counts().captured > before.captured + 300, "frames")  # noqa: B023
            assert ledger.counts().inspected <= 2 if is_frozen else not ledger.reasons()


def test_a_lens_that_is_covered_for_a_while_is_told_twice(tmp_path: Path) -> None:
    """When it begins and when it is over; the frames between are uninspected, the rest judged."""

    def covered(number: int) -> Pixels:
        return one_colour(1, 1, 1)(number) if 900 <= number < 930 else moving(number)

    source = film(tmp_path / "covered.mjpeg", covered, 1800)
    with Device(B1, settings=watching(source)) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        wait_until(lambda: len(events(device)) >= 2, "both events")
        ledger = daemon.frames.ledger
        bad, good = events(device)[:2]
        assert (bad["type"], good["type"]) == ("picture_bad", "picture_good")
        assert str(good["message"]).startswith("The camera's picture is good again; 30 frames in")
        assert ledger.counts().inspected > 0
        assert set(ledger.reasons()) == {Reason.BAD_PICTURE}


def test_pictures_that_could_not_be_decoded_are_damaged_not_ok(tmp_path: Path) -> None:
    """A film with lost data, played again and again: its spell is told once, and health has it."""
    whole = (FILMS / "h264.ts").read_bytes()
    at = len(whole) // 2 // 188 * 188
    harmed = tmp_path / "harmed.ts"
    harmed.write_bytes(whole[:at] + whole[at + 376 :])
    for source, is_harmed in ((FILMS / "h264.ts", False), (harmed, True)):
        with Device(B1, settings=watching(source)) as device:
            device.await_active(B1)
            daemon = device.daemon
            assert daemon is not None
            ledger = daemon.frames.ledger
            wait_until(lambda: ledger.counts().captured > 200, "five rounds")  # noqa: B023
            assert ledger.counts().inspected > 100
            assert set(ledger.reasons()) == ({Reason.DAMAGED_PICTURE} if is_harmed else set())
            told = [problem for problem in daemon.monitor.problems() if "picture" in problem]
            assert len(told) == is_harmed
            if is_harmed:
                assert told[0].startswith("the camera's picture is damaged: ")
                wait_until(lambda: events(device), "the event")
                assert [event["reason"] for event in events(device)] == ["damaged_picture"]
