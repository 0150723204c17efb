"""Cameras that OpenCV reads: V4L2 devices.

The driver gets the read timeout before the device is opened, because a read without one can block
for ever (opencv #24393). Frames are decoded straight into the place that the caller gives; OpenCV
converts grey, 16-bit and Bayer pictures to BGR.

Size, format and rate are set after opening. As parameters of `open`, one value that the device does
not take would make it fail (opencv #24551); and a device that takes the next best value does not
say so.
"""

from __future__ import annotations

import math
import os
import time
from typing import cast

import cv2
import numpy as np

from edge_daemon.config import CameraSettings
from edge_daemon.core.credentials import public_source
from edge_daemon.frames.camera import Making
from edge_daemon.frames.device_setup import asks_something, remarks, set_controls
from edge_daemon.frames.exclusive import Exclusive
from edge_daemon.frames.fault import SourceError, diagnose
from edge_daemon.frames.v4l2 import V4L2Device
from edge_daemon.host.memory import FrameShape, Pixels


class OpenCVCamera:
    """A `Camera` over `cv2.VideoCapture`.

    VideoCapture is not safe for two threads: release during read crashes.
    """

    damage: str | None = None
    """OpenCV does not tell what its decoder complained of."""
    exposed_at: float | None = None
    """By the kernel's stamp on the buffer (V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC)."""
    remarks: tuple[str, ...] = ()

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._source = settings.source
        self._using = Exclusive(self._let_go, self._closed)
        self._capture: cv2.VideoCapture | None = None
        self.fps: float | None = None
        self._first: Pixels | None = None  # read at the open, to learn the true shape
        self._silent = False  # the last read ran into the timeout

    def open(self) -> FrameShape:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        with self._using:
            self._connect()
            first = self._first = self._read(None)
        return FrameShape(first.shape[0], first.shape[1])

    def read_into(self, pixels: Pixels) -> Pixels | None:
        with self._using:
            frame, self._first = self._first, None
            if frame is None:
                frame = self._read(pixels)
            if frame is pixels or frame.shape != pixels.shape:
                return frame
            np.copyto(pixels, frame)
            return pixels

    def close(self) -> None:
        self._using.close()

    def describe(self) -> str:
        return public_source(self._source)

    # ------------------------------------------------------------------- under `_using`

    def _let_go(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _connect(self) -> None:
        self._let_go()
        began = time.monotonic()
        capture = cv2.VideoCapture()
        capture.setExceptionMode(False)
        limit_s = str(math.ceil(self._settings.read_timeout_s))
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", limit_s)
        parameters: list[int] = []
        if self._settings.policy == "latest":  # the driver's queue is age, not safety
            parameters = [cv2.CAP_PROP_BUFFERSIZE, 1]
        try:
            opened = capture.open(self._source, cv2.CAP_V4L2, parameters)
        except cv2.error as error:
            raise SourceError(f"{self._source} cannot be opened: {error}") from None
        if not opened:
            capture.release()
            if time.monotonic() - began >= self._settings.open_timeout_s:
                raise self._timeout("did not open", self._settings.open_timeout_s)
            raise diagnose(self._source)
        self._capture = capture
        self._set_up(capture)
        said = capture.get(cv2.CAP_PROP_FPS)
        self.fps = said if 0 < said <= 1000 else None

    def _set_up(self, capture: cv2.VideoCapture) -> None:
        """What the settings ask for, and what the device took of it."""
        wanted = self._settings
        if wanted.format is not None:
            letters = f"{wanted.format:4}"  # `Y16 ` has a space
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*letters))
        if wanted.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.size[1])
        if wanted.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        if not asks_something(wanted):
            return
        try:
            with V4L2Device(self._source) as device:
                refused = set_controls(device, wanted)
                self.remarks = remarks(device, wanted, refused)
        except (SourceError, OSError) as error:
            self.remarks = (f"{self._source} does not say what it took of the settings: {error}",)

    def _read(self, pixels: Pixels | None) -> Pixels:
        if self._capture is None:
            raise self._closed()
        if self._silent:
            raise self._timeout("gave no frame", self._settings.read_timeout_s)
        began = time.monotonic()
        try:
            good, frame = self._capture.read(pixels)
        except cv2.error as error:
            raise SourceError(
                f"{self._source} gave a frame that cannot be decoded: {error}."
            ) from None
        # After a timeout the driver may hand out what it still held, each after another one.
        self._silent = time.monotonic() - began >= self._settings.read_timeout_s
        if not good or frame is None:
            if self._silent:
                raise self._timeout("gave no frame", self._settings.read_timeout_s)
            raise SourceError(
                f"The stream of {self._source} ended.",
                hint="The camera or its cable went away, or the camera restarts.",
            )
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:  # no known format
            raise SourceError(
                f"{self._source} gives frames of {frame.shape} {frame.dtype}, not colour pictures.",
                hint="Set the camera to an 8-bit colour format.",
            )
        stamped_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self.exposed_at = stamped_ms / 1e3 if stamped_ms > 0 else None
        return cast("Pixels", frame)

    def _timeout(self, what: str, limit_s: float) -> SourceError:
        return SourceError(
            f"{self._source} {what} within {limit_s:g} s.",
            hint="Is the camera on, and its cable in?",
        )

    def _closed(self) -> SourceError:
        return SourceError(f"{self._source} was closed.")


def open_device(settings: CameraSettings, _making: Making) -> OpenCVCamera:
    """The camera at `/dev/videoN`."""
    return OpenCVCamera(settings)
