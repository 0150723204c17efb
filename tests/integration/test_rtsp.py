"""A real RTSP camera: its frames, its absence, its silence and its return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.config import CameraSettings
from edge_daemon.errors import CameraError
from edge_daemon.frames.av_camera import AvCamera
from edge_daemon.frames.camera_state import (
    CameraPhase,
    Patience,
)
from edge_daemon.frames.capture import Capture
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from tests.sim.reports import GENEROUS_S, Reports
from tests.sim.rtsp import HEIGHT, WIDTH, RtspServer, film, number_of

RATE = 50
LONG = 3000  # frames: no test sees the end of it


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("rtsp") / "long.mp4", LONG, RATE)


@pytest.fixture
def serve() -> Iterator[Callable[..., RtspServer]]:
    servers: list[RtspServer] = []

    def start(*arguments: Any) -> RtspServer:
        servers.append(RtspServer(*arguments).start())
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


class Station(Reports):
    """The daemon's data path as far as the ring, and a lane that reads the numbers."""

    def __init__(self, source: str, **camera: Any) -> None:
        super().__init__()
        limits = {"open_timeout_s": 5.0, "read_timeout_s": 1.0}
        self.settings = CameraSettings(source=source, **limits, **camera)
        self.ring = Ring(64)
        self.capture = Capture(
            lambda: open_camera(self.settings),
            self.ring,
            SystemClock().now,
            Patience(
                open_timeout_s=5.0, read_timeout_s=1.0, first_retry_s=0.05, longest_retry_s=0.2
            ),
        )
        self.capture.start(self)

    def take(self, frames: int) -> list[int]:
        """The numbers in the next frames; each was captured in its turn, and none was dropped."""
        numbers = []
        for _ in range(frames):
            assert self.ring.head(GENEROUS_S) is not None, "no frame came"
            frame = self.ring.pop()
            assert frame.address is not None
            numbers.append(number_of(frame.address.pixels))
            self.ring.release(frame)
        return numbers

    def drain(self) -> None:
        while self.ring.head(0) is not None:
            self.ring.release(self.ring.pop())

    def stop(self) -> None:
        assert self.capture.stop(GENEROUS_S)
        self.ring.close()


@pytest.fixture
def station() -> Iterator[Callable[..., Station]]:
    stations: list[Station] = []

    def start(source: str, **camera: Any) -> Station:
        stations.append(Station(source, **camera))
        return stations[-1]

    yield start
    for each in stations:
        each.stop()


def consecutive(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.fixture
def streaming(
    serve: Callable[..., RtspServer], station: Callable[..., Station], long_film: Path
) -> tuple[RtspServer, Station]:
    """A server and a station that has read its first frames."""
    server = serve(long_film)
    line = station(server.url)
    line.take(10)
    assert line.next()[0] == "up"
    return server, line


def test_every_frame_of_the_stream_arrives_once_in_order(
    serve: Callable[..., RtspServer], station: Callable[..., Station], long_film: Path
) -> None:
    """Over TCP no frame is lost, doubled, torn or reordered between the camera and the lane."""
    line = station(serve(long_film).url)
    assert consecutive(line.take(100))
    assert line.next() == ("up", FrameShape(HEIGHT, WIDTH))
    assert line.capture.state.state is CameraPhase.ONLINE


def test_a_stream_over_udp_is_read_too(
    serve: Callable[..., RtspServer], station: Callable[..., Station], long_film: Path
) -> None:
    """Where the settings say so, with a bound on how long a late packet is waited for."""
    line = station(serve(long_film).url, transport="udp", latency_ms=100)
    numbers = line.take(50)
    assert numbers == sorted(set(numbers))
    assert line.next() == ("up", FrameShape(HEIGHT, WIDTH))


def test_a_camera_that_goes_away_is_lost_and_comes_back(
    streaming: tuple[RtspServer, Station],
) -> None:
    """A loss is reported and retried, and frames go on by themselves when it is there again."""
    server, line = streaming
    server.kill()
    kind, error = line.next()
    assert kind == "lost"
    assert isinstance(error, CameraError)
    kind, error = line.next()  # and then for another reason: nobody is there
    assert (kind, "refused the connection" in error.message) == ("lost", True)
    assert line.capture.state.state is CameraPhase.LOST
    before = line.ring.next_number
    line.drain()
    server.start()
    assert consecutive(line.take(20))
    assert line.ring.next_number >= before + 20
    assert line.next()[0] == "up"


def test_a_camera_that_falls_silent_is_lost_although_it_stays_connected(
    streaming: tuple[RtspServer, Station],
) -> None:
    """A read does not block for ever: after the read timeout the camera counts as lost."""
    server, line = streaming
    server.freeze()
    kind, error = line.next()
    assert kind == "lost"
    assert "gave no frame within" in error.message
    server.kill()
    line.drain()
    server.start()
    assert consecutive(line.take(20))


def test_wrong_credentials_are_told_from_wrong_paths(
    serve: Callable[..., RtspServer], station: Callable[..., Station], long_film: Path
) -> None:
    """Three different faults give three different sentences, and none shows the password."""
    server = serve(long_film, "kim", "secret7")
    where = f"127.0.0.1:{server.port}"
    assert "wants a user and a password" in fault_of(f"rtsp://{where}/line").message
    wrong = fault_of(f"rtsp://kim:guess99@{where}/line")
    assert "did not accept user and password" in wrong.message
    assert "guess99" not in str(wrong)
    line = station(f"rtsp://kim:secret7@{where}/line")
    assert consecutive(line.take(10))
    assert "secret7" not in line.capture.state.source
    open_server = serve(long_film)
    nowhere = fault_of(f"rtsp://127.0.0.1:{open_server.port}/nowhere")
    assert "knows no stream /nowhere" in nowhere.message


def fault_of(source: str) -> SourceError:
    with pytest.raises(SourceError) as failed:
        AvCamera(CameraSettings(source=source, open_timeout_s=5.0)).open()
    return failed.value
