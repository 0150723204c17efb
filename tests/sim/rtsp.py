"""A real RTSP server on a free port, and a film whose frames carry their number.

The number stands in sixteen blocks, black or white, and survives the H.264 encoder.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np

from edge_daemon.host.memory import Pixels

WIDTH, HEIGHT, BITS = 160, 96, 16
_SYSTEM_PYTHON = "/usr/bin/python3"
_PROGRAM = Path(__file__).with_name("rtsp_serve.py")
_NEEDED = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"


def numbered(number: int) -> Pixels:
    """A frame that carries `number` in its upper half, and moves in its lower one."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    step = WIDTH // BITS
    for bit in range(BITS):
        pixels[: HEIGHT // 2, bit * step : (bit + 1) * step] = 255 * (number >> bit & 1)
    at = number * 3 % (WIDTH - 20)
    pixels[HEIGHT // 2 + 10 : HEIGHT - 10, at : at + 20] = (40, 200, 90)
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number that a decoded frame carries; raises AssertionError when it is not clear."""
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    step, number = WIDTH // BITS, 0
    for bit in range(BITS):
        middle = bit * step + step // 2
        light = float(pixels[8 : HEIGHT // 2 - 8, middle - 2 : middle + 2].mean())
        assert not 80 < light < 175, f"bit {bit} is grey: two frames were mixed"
        number |= (light > 128) << bit
    return number


def film(path: Path, frames: int, rate: int) -> Path:
    """Encode frames 0, 1, 2, … as H.264 without reordering, a key frame each half second."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise RuntimeError("These tests need ffmpeg: install it with apt-get install ffmpeg.")
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(rate)]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", str(rate // 2)]
    subprocess.run(
        [program, "-y", "-v", "error", *raw, "-i", "-", *code, "-pix_fmt", "yuv420p", str(path)],
        input=b"".join(numbered(number).tobytes() for number in range(frames)),
        check=True,
    )
    return path


class RtspServer:
    """One server process; after `kill`, `start` serves on the same port again."""

    def __init__(self, film: Path, user: str = "", password: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._arguments = [str(film), str(self.port), *([user, password] if user else [])]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/line"

    def start(self) -> RtspServer:
        self._process = subprocess.Popen(
            [_SYSTEM_PYTHON, str(_PROGRAM), *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self.kill()
            raise RuntimeError(f"The RTSP server did not start: apt-get install {_NEEDED}")
        return self

    def freeze(self) -> None:
        """The connection stays, and nothing comes any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Gone at once, as with the cable or the power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
