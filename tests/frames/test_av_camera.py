"""Files and streams as cameras, what their decoder complains of, and faults in words."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np
import pytest

from edge_daemon.config import CameraSettings
from edge_daemon.frames.av_camera import AvCamera
from edge_daemon.frames.fault import SourceError, diagnose
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.memory import FrameMemory, FrameShape, Pixels

FRAMES = 6
FILMS = Path(__file__).with_name("films")
"""40 frames each, a key frame every ten (Motion JPEG: all of them)."""


def film(path: Path, *, size: str = "64x48", rate: int = 25, frames: int = FRAMES) -> Path:
    program = shutil.which("ffmpeg")
    assert program is not None, "These tests need ffmpeg: apt-get install ffmpeg."
    pattern = f"testsrc=size={size}:rate={rate}"
    codec = "mjpeg" if path.suffix == ".mjpeg" else "mpeg4"
    made = ["-f", "lavfi", "-i", pattern, "-frames:v", str(frames), "-c:v", codec]
    subprocess.run([program, "-y", "-v", "error", *made, str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "clip.mp4")


def read_all(camera: AvCamera, pixels: Pixels, most: int = 100) -> list[Pixels]:
    frames: list[Pixels] = []
    while len(frames) < most:
        got = camera.read_into(pixels)
        if got is None:
            break
        frames.append(got.copy())
    return frames


def test_a_file_is_decoded_into_the_place_that_is_given(clip: Path) -> None:
    """Every frame of the file arrives once, in shared memory, and then the source has ended."""
    camera = AvCamera(CameraSettings(source=str(clip), fps=1000, loop=False))
    shape = camera.open()
    assert shape == FrameShape(48, 64)
    assert camera.fps == 1000
    memory = FrameMemory.allocate(shape, 2)
    place = memory.pixels(1)
    before = memory.pixels(0).copy()
    frames = []
    while (got := camera.read_into(place)) is not None:
        assert got is place
        frames.append(got.copy())
    assert len(frames) == FRAMES
    assert (frames[0] != frames[-1]).any()
    assert (memory.pixels(0) == before).all()
    camera.close()
    del place, got
    memory.close()


def test_a_file_plays_at_its_own_rate_unless_told_otherwise(clip: Path) -> None:
    """The rate comes from the file, or from the settings."""
    for fps, expected in ((None, 25.0), (5.0, 5.0)):
        camera = AvCamera(CameraSettings(source=str(clip), fps=fps))
        camera.open()
        assert camera.fps == expected
        camera.close()


@pytest.mark.parametrize("pixels", ["gray", "gray16le", "bayer_rggb8"])
def test_mono_16_bit_and_bayer_films_are_taken(tmp_path: Path, pixels: str) -> None:
    """They come as BGR of 8 bits: dark on the left, bright on the right, no channel on its own."""
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    raw = ramp.astype("<u2") * 257 if pixels == "gray16le" else ramp
    path = tmp_path / "ramp.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        frame = av.VideoFrame(64, 48, pixels)
        frame.planes[0].update(raw.tobytes())
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    camera = AvCamera(CameraSettings(source=str(path), loop=False))
    camera.open()
    picture = np.empty((48, 64, 3), np.uint8)
    assert camera.read_into(picture) is picture
    camera.close()
    row = picture[24].astype(int)
    assert (row.max(axis=1) - row.min(axis=1) <= 8).all()
    assert [round(grey / 64) for grey in row[::16, 0]] == [0, 1, 2, 3]


def test_a_looped_file_begins_again_with_its_first_frame(clip: Path) -> None:
    """Without `loop: false` a file is an endless camera that repeats itself exactly."""
    camera = AvCamera(CameraSettings(source=str(clip), fps=1000))
    camera.open()
    frames = read_all(camera, np.empty((48, 64, 3), np.uint8), most=2 * FRAMES + 1)
    camera.close()
    for index in range(FRAMES + 1):
        assert (frames[index] == frames[index + FRAMES]).all()


def test_a_change_of_resolution_within_a_stream_keeps_the_frames_whole(tmp_path: Path) -> None:
    """Frames of another shape come as they are, in a place of their own."""
    parts = [film(tmp_path / "a.mjpeg"), film(tmp_path / "b.mjpeg", size="96x80")]
    joined = tmp_path / "joined.mjpeg"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    camera = AvCamera(CameraSettings(source=str(joined), fps=1000, loop=False))
    assert camera.open() == FrameShape(48, 64)
    frames = read_all(camera, np.empty((48, 64, 3), np.uint8))
    camera.close()
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * FRAMES + [(80, 96, 3)] * FRAMES


def decoded(path: Path) -> list[tuple[bytes, str | None]]:
    """Every picture of a film, with what was wrong with it."""
    camera = AvCamera(CameraSettings(source=str(path), fps=1000, loop=False))
    pixels = np.empty((64, 288, 3), np.uint8)
    camera.open()
    found = []
    while (got := camera.read_into(pixels)) is not None:
        found.append((got.tobytes(), camera.damage))
    camera.close()
    return found


def lost(film: bytes) -> bytes:
    """Two packets of the transport stream did not arrive."""
    at = len(film) // 2 // 188 * 188
    return film[:at] + film[at + 376 :]


def flipped(film: bytes) -> bytes:
    """A bad cable: a bit in every 150th byte of the middle third, headers of packets left alone."""
    bad = bytearray(film)
    for at in range(len(film) // 3, 2 * len(film) // 3, 150):
        bad[at] ^= 0x10 if at % 188 > 20 else 0
    return bytes(bad)


def cut(film: bytes) -> bytes:
    """A JPEG in the middle ends before its end, and another one has a hole."""
    pictures = [b"\xff\xd8" + each for each in film.split(b"\xff\xd8")[1:]]
    pictures[10] = pictures[10][: len(pictures[10]) // 2]
    pictures[20] = pictures[20][:700] + pictures[20][-300:]
    return b"".join(pictures)


@pytest.mark.parametrize("name", ["h264.ts", "hevc.ts", "mpeg4.ts", "mjpeg.mjpeg"])
def test_a_whole_film_has_no_damaged_picture(name: str) -> None:
    """From its first frame to its last, and again when it is opened anew."""
    for _ in range(2):
        assert [damage for _, damage in decoded(FILMS / name)] == [None] * 40


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("h264.ts", lost),
        ("h264.ts", flipped),
        ("hevc.ts", lost),
        ("mpeg4.ts", lost),
        ("mjpeg.mjpeg", cut),
    ],
)
def test_what_could_not_be_decoded_is_damaged_until_the_next_key_frame(
    name: str, harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Every picture that differs from the whole film's says so; those before and after do not."""
    whole = {pixels for pixels, _ in decoded(FILMS / name)}
    path = tmp_path / name
    path.write_bytes(harm((FILMS / name).read_bytes()))
    seen = decoded(path)
    assert [damage for pixels, damage in seen if pixels not in whole and damage is None] == []
    assert sum(damage is not None for _, damage in seen) >= 2
    assert [damage for _, damage in (*seen[:10], *seen[-8:])] == [None] * 18


def test_close_from_another_thread_ends_a_wait(clip: Path) -> None:
    """A stop does not wait for the next turn of a slow file."""
    camera = AvCamera(CameraSettings(source=str(clip), fps=0.001))
    camera.open()
    pixels = np.empty((48, 64, 3), np.uint8)
    camera.read_into(pixels)
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(SourceError, match="closed"):
            camera.read_into(pixels)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    camera.close()
    assert ended.wait(60)


def fault_of(source: str) -> SourceError:
    settings = CameraSettings(source=source, open_timeout_s=1.0, read_timeout_s=1.0)
    with pytest.raises(SourceError) as failed:
        open_camera(settings).open()
    assert "secret" not in str(failed.value)
    return failed.value


def test_a_missing_file_or_device_is_named(tmp_path: Path) -> None:
    """The technician reads which path is not there."""
    film = tmp_path / "none.mp4"
    assert fault_of(str(film)).message == f"There is no file {film}."
    assert fault_of("/dev/video97").message == "There is no device /dev/video97."


def test_a_file_that_is_no_video_is_garbage(tmp_path: Path) -> None:
    """Text, an empty file and a cut-off header are told from a missing file."""
    for name, content in (("text.mp4", b"hello " * 500), ("empty.mp4", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        assert "is no video that can be decoded" in fault_of(str(path)).message


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives one answer to everything, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # the end of the server is the end of this thread
                while True:
                    line, _ = server.accept()
                    with line:
                        line.settimeout(10)
                        line.recv(4096)
                        line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(20)


def test_nobody_at_the_port_is_a_refusal() -> None:
    """A camera that is restarting refuses; the password does not appear in the message."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused the connection" in fault_of(f"rtsp://me:secret@127.0.0.1:{port}/x").message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n", "did not accept user and password"),
        (b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n", "knows no stream /stream"),
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", "gives no video that can be decoded"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not a video server"),
    ],
)
def test_what_a_camera_answers_names_the_fault(answer: bytes, said: str) -> None:
    """Wrong password, wrong path and wrong port are three different sentences."""
    with answering(answer) as port:
        found = diagnose(f"rtsp://me:secret@127.0.0.1:{port}/stream")
    assert said in found.message
    assert "secret" not in str(found)
    assert found.hint


@pytest.mark.timeout(20)  # OpenCV's own patience is 30 s
def test_a_stream_that_opens_to_a_wall_is_opened_no_longer_than_allowed() -> None:
    """A server that takes the connection and says nothing is a timeout, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        assert "did not open within 1 s" in fault_of(url).message
