"""Cameras that OpenCV reads: RTSP and HTTP streams, V4L2 devices, video files.

Timeouts go in with the open call, because a read that has none can block for ever
(opencv #24393), and options set later are ignored. Frames are decoded straight into the place that
the caller gives. When a stream changes its resolution, OpenCV scales to the shape that it was
opened with; the new shape is known after the next reconnect.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Any, cast

import cv2
import numpy as np

from edge_daemon.config import CameraSettings
from edge_daemon.core.credentials import public_source
from edge_daemon.frames.fault import Fault, SourceError, diagnose
from edge_daemon.frames.pace import Pace
from edge_daemon.host.memory import FrameShape, Pixels

_USUAL_FPS = 30.0
_ENVIRONMENT = {
    # Process-wide by OpenCV's design; what the operator has set stays.
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp",  # UDP loses slices, and tears pictures
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # its lines name the URL with the password
}


class OpenCVCamera:
    """A `Camera` over `cv2.VideoCapture`.

    VideoCapture is not safe for two threads (release during read crashes), so `close` from another
    thread only asks: the thread that reads lets go when its call returns.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._source = settings.source
        self._named = public_source(settings.source)
        self._is_device = self._source.startswith("/dev/")
        self._is_file = not self._is_device and "://" not in self._source
        self._busy = threading.Lock()  # held while a call into the library runs
        self._closing = threading.Event()
        self._capture: cv2.VideoCapture | None = None
        self._fps: float | None = None
        self._pace: Pace | None = None
        self._first: Pixels | None = None  # read at the open, to learn the true shape
        self._frames_of_round = 0
        self._silent = False  # the last read ran into the timeout

    @property
    def fps(self) -> float | None:
        return self._fps

    def open(self) -> FrameShape:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # so do OpenCV's own
        with _Using(self):
            self._connect()
            first = self._read(None)
            if first is None:
                raise SourceError(
                    Fault.GARBAGE,
                    f"{self._named} opens, but holds no picture.",
                    hint="Try `ffprobe` on it.",
                )
            self._first = first
        if self._is_file:
            self._pace = Pace(self._fps or _USUAL_FPS, time.monotonic, self._closing.wait)
        return FrameShape(first.shape[0], first.shape[1])

    def read_into(self, pixels: Pixels) -> Pixels | None:
        if self._pace is not None and not self._pace.wait_turn():
            raise self._closed()
        with _Using(self):
            frame, self._first = self._first, None
            if frame is None:
                frame = self._read(pixels)
            if frame is None and self._settings.loop:
                self._connect()  # a file again from its start: seeking is not exact in all of them
                frame = self._read(pixels)
            if frame is None or frame is pixels or frame.shape != pixels.shape:
                return frame
            np.copyto(pixels, frame)
            return pixels

    def close(self) -> None:
        self._closing.set()
        if self._busy.acquire(blocking=False):
            try:
                self.let_go()
            finally:
                self._busy.release()

    def describe(self) -> str:
        return self._named

    # ------------------------------------------------------------------- under `_Using`

    def take(self) -> None:
        """Begin a call into the library."""
        self._busy.acquire()
        if self._closing.is_set():
            self._busy.release()
            raise self._closed()

    def give(self) -> None:
        """End it, and do what was asked meanwhile."""
        self._busy.release()
        if self._closing.is_set():
            self.close()

    def let_go(self) -> None:
        """Release the library's handle."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _connect(self) -> None:
        self.let_go()
        began = time.monotonic()
        settings = self._settings
        capture = cv2.VideoCapture()
        capture.setExceptionMode(False)
        if self._is_device:
            limit_s = str(math.ceil(settings.read_timeout_s))
            os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", limit_s)
            backend, parameters = cv2.CAP_V4L2, self._device_parameters()
        else:
            backend, parameters = cv2.CAP_FFMPEG, self._stream_parameters()
        try:
            opened = capture.open(self._source, backend, parameters)
        except cv2.error as error:
            raise SourceError(Fault.GARBAGE, f"{self._named} cannot be opened: {error}") from None
        if not opened:
            capture.release()
            if time.monotonic() - began >= settings.open_timeout_s:
                raise self._timeout("did not open", settings.open_timeout_s)
            raise diagnose(self._source)
        self._capture = capture
        self._frames_of_round, self._silent = 0, False
        said = capture.get(cv2.CAP_PROP_FPS)
        own = said if 0 < said <= 1000 else None
        self._fps = (settings.fps or own) if self._is_file else own

    def _stream_parameters(self) -> list[int]:
        parameters: list[Any] = []
        if not self._is_file:
            settings = self._settings
            parameters += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(settings.open_timeout_s * 1000)]
            parameters += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(settings.read_timeout_s * 1000)]
            # Decoding in n threads holds back n - 1 frames, and takes the cores of the inference.
            parameters += [cv2.CAP_PROP_N_THREADS, 1]
        return parameters

    def _device_parameters(self) -> list[int]:
        parameters: list[Any] = []
        if self._settings.fps is not None:
            parameters += [cv2.CAP_PROP_FPS, round(self._settings.fps)]
        if self._settings.policy == "latest":
            parameters += [cv2.CAP_PROP_BUFFERSIZE, 1]  # the driver's queue is age, not safety
        return parameters

    def _read(self, pixels: Pixels | None) -> Pixels | None:
        """One decoded frame; None at the end of a file."""
        if self._capture is None:
            raise self._closed()
        if self._silent:
            raise self._timeout("gave no frame", self._settings.read_timeout_s)
        began = time.monotonic()
        try:
            good, frame = self._capture.read(pixels)
        except cv2.error as error:
            raise SourceError(
                Fault.GARBAGE, f"{self._named} gave a frame that cannot be decoded: {error}."
            ) from None
        if not good or frame is None:
            self._explain_end(time.monotonic() - began)
            return None
        # After a timeout the library hands out what its decoder still held, each after another one.
        limit_s = self._settings.read_timeout_s
        self._silent = not self._is_file and time.monotonic() - began >= limit_s
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise SourceError(
                Fault.GARBAGE,
                f"{self._named} gives frames of {frame.shape} {frame.dtype}, not colour pictures.",
                hint="Set the camera to an 8-bit colour format.",
            )
        self._frames_of_round += 1
        return cast("Pixels", frame)

    def _explain_end(self, took_s: float) -> None:
        """Raise, unless this is the end of a file that had frames."""
        if self._is_file and self._frames_of_round:
            return
        if self._is_file:
            raise diagnose(self._source)
        if took_s >= self._settings.read_timeout_s:
            raise self._timeout("gave no frame", self._settings.read_timeout_s)
        raise SourceError(
            Fault.ENDED,
            f"The stream of {self._named} ended.",
            hint="The camera or its cable went away, or the camera restarts.",
        )

    def _timeout(self, what: str, limit_s: float) -> SourceError:
        return SourceError(
            Fault.TIMEOUT,
            f"{self._named} {what} within {limit_s:g} s.",
            hint="Is the camera on, and the network up?",
        )

    def _closed(self) -> SourceError:
        return SourceError(Fault.ENDED, f"{self._named} was closed.")


class _Using:
    """A call into the library: one at a time, and a close that came meanwhile is done after it."""

    def __init__(self, camera: OpenCVCamera) -> None:
        self._camera = camera

    def __enter__(self) -> None:
        self._camera.take()

    def __exit__(self, *_: object) -> None:
        self._camera.give()
