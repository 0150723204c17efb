"""A V4L2 camera without hardware: programs started here find it at `PATH`, and speak to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PATH = "/dev/video77"
SOURCE = Path(__file__).with_name("v4l2_device.c")
CAN_BE_BUILT = shutil.which("cc") is not None and Path("/usr/include/linux/videodev2.h").exists()

_LOOK = """
import json, sys
from edge_daemon.config import CameraSettings
from edge_daemon.frames.sources import offered, open_camera
from edge_daemon.host.memory import FrameMemory

settings = CameraSettings.model_validate(json.loads(sys.argv[1]))
camera = open_camera(settings)
shape = camera.open()
pixels = FrameMemory.allocate(shape, 1).pixels(0)
frames = [camera.read_into(pixels) for _ in range(3)]
said = {
    "size": [shape.width, shape.height],
    "in_place": [frame is pixels for frame in frames],
    "left_to_right": pixels[shape.height // 2, :: shape.width // 4].tolist(),
    "remarks": camera.remarks,
    "fps": camera.fps,
}
camera.close()
offer = offered(settings.source)
said["controls"] = {one.name: one.value for one in offer.controls}
print(json.dumps(said))
"""


class SimDevice:
    """One device with these pixel formats, built below `folder`."""

    def __init__(self, folder: Path, formats: str = "YUYV,MJPG", *, least_width: int = 0) -> None:
        library = folder / "v4l2_device.so"
        if not library.exists():
            command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run(command, check=True)
            for width, height in ((640, 480), (1280, 720), (1920, 1080)):
                row = np.linspace(0, 255, width).astype(np.uint8)
                picture = np.broadcast_to(row[None, :, None], (height, width, 3))
                cv2.imwrite(str(folder / f"{width}x{height}.jpg"), np.ascontiguousarray(picture))
        self._environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "V4L2_SIM_PATH": PATH,
            "V4L2_SIM_FORMATS": formats,
            "V4L2_SIM_LEAST_WIDTH": str(least_width),
            "V4L2_SIM_JPEGS": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def look(self, **settings: Any) -> dict[str, Any]:
        """What the daemon's camera gives with these settings, and what the device then has."""
        given = json.dumps({"source": PATH, **settings})
        done = self._run(sys.executable, "-c", _LOOK, given)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`edge-daemon …` beside the device."""
        return self._run(sys.executable, "-m", "edge_daemon", *words)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=self._environment, check=False
        )
