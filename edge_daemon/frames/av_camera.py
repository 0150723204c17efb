"""Cameras that PyAV reads: RTSP and HTTP streams, video files.

FFmpeg conceals what it could not decode, and a concealed picture looks like a good one to a model.
Here each picture keeps what its decoder complained of. All calls into the library capture its log:
its lines name the URL with the password, and are the only word on damage in some codecs.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any, cast

import av
import av.logging
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from edge_daemon.config import CameraSettings
from edge_daemon.core.credentials import public_source
from edge_daemon.core.decoding import Decoding
from edge_daemon.frames.camera import Making
from edge_daemon.frames.exclusive import Exclusive
from edge_daemon.frames.fault import SourceError, diagnose
from edge_daemon.frames.pace import Pace
from edge_daemon.host.memory import FrameShape, Pixels

_USUAL_FPS = 30.0
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""What the operator has set for FFmpeg: `name;value|name;value`."""
_HARMLESS = ("APP fields", "deprecated pixel format")
"""Complaints that say nothing of the picture."""
_HARMFUL = ("EOI missing",)
"""Warnings that do: a JPEG that ends before its end."""
_LOSSY = ("RTP: missed", "corrupt", "EBML")
"""What demuxers say when data was lost; their other complaints are harmless."""


class AvCamera:
    """A `Camera` over FFmpeg's demuxers and decoders. One thread opens and reads it."""

    exposed_at: float | None = None
    """A stream's timestamps are those of another clock."""
    remarks: tuple[str, ...] = ()

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._source = settings.source
        self._named = public_source(settings.source)
        self._is_file = "://" not in self._source
        self._using = Exclusive(self._let_go, self._closed)
        self._container: InputContainer | None = None
        self._decoded: Iterator[VideoFrame] = iter(())
        self._decoding = Decoding()
        self._reformatter = VideoReformatter()
        self.fps: float | None = None
        self._pace: Pace | None = None
        self._first: VideoFrame | None = None  # read at the open, to learn the true shape
        self._frames_of_round = 0
        self.damage: str | None = None

    def open(self) -> FrameShape:
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)  # what no `Capture` has caught
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)  # a second complaint is about another picture
        with self._using:
            self._connect()
            first = self._first = self._next()
        if first is None:
            raise SourceError(
                f"{self.describe()} opens, but holds no picture.", hint="Try `ffprobe` on it."
            )
        if self._is_file:
            self._pace = Pace(self.fps or _USUAL_FPS, time.monotonic, self._using.closing.wait)
        return _shape(first)

    def read_into(self, pixels: Pixels) -> Pixels | None:
        if self._pace is not None and not self._pace.wait_turn():
            raise self._closed()
        with self._using:
            frame, self._first = self._first, None
            if frame is None:
                frame = self._next()
            if frame is None and self._settings.loop:
                self._connect()  # a file again from its start: seeking is not exact in all of them
                frame = self._next()
            if frame is None:
                return None
            self.damage = self._judge(frame)
            return self._put(frame, pixels)

    def close(self) -> None:
        self._using.close()

    def describe(self) -> str:
        return self._named

    # ------------------------------------------------------------------- under `_using`

    def _let_go(self) -> None:
        if self._container is not None:
            with av.logging.Capture():
                self._decoded = iter(())
                self._container.close()
            self._container = None

    def _connect(self) -> None:
        self._let_go()
        began = time.monotonic()
        settings = self._settings
        limits = None if self._is_file else (settings.open_timeout_s, settings.read_timeout_s)
        try:
            with av.logging.Capture():
                container = av.open(self._source, options=_options(settings), timeout=limits)
        except (av.FFmpegError, OSError, ValueError):
            if time.monotonic() - began >= settings.open_timeout_s:
                raise self._timeout("did not open", settings.open_timeout_s) from None
            raise diagnose(self._source) from None
        self._container = container
        if not container.streams.video:
            raise diagnose(self._source)
        stream = container.streams.video[0]
        # Decoding in n threads holds back n - 1 frames, takes the cores of the inference, and
        # complains in threads whose words cannot be told apart.
        stream.thread_type = ThreadType.NONE
        stream.codec_context.thread_count = 1
        stream.codec_context.copy_opaque = True
        self._decoding = Decoding()
        self._decoded = self._decode(container.demux(stream))
        self._frames_of_round = 0
        rate = stream.average_rate or stream.base_rate
        own = float(rate) if rate and 0 < rate <= 1000 else None
        self.fps = (settings.fps or own) if self._is_file else own

    def _next(self) -> VideoFrame | None:
        """The next picture; None at the end of a file that had some."""
        if self._container is None:
            raise self._closed()
        began, limit_s = time.monotonic(), self._settings.read_timeout_s
        try:
            with av.logging.Capture():
                frame = next(self._decoded, None)
        except (av.FFmpegError, OSError):
            frame = None
        if frame is not None:
            self._frames_of_round += 1
            return frame
        if self._is_file and self._frames_of_round:
            return None
        if self._is_file:
            raise diagnose(self._source)
        if time.monotonic() - began >= limit_s:
            raise self._timeout("gave no frame", limit_s)
        raise SourceError(
            f"The stream of {self._named} ended.",
            hint="The camera or its cable went away, or the camera restarts.",
        )

    def _decode(self, packets: Iterator[Packet[Any]]) -> Iterator[VideoFrame]:
        """Pictures as they come; ends where a stream gives data for long and no picture."""
        shown_at = time.monotonic()
        while True:
            with av.logging.Capture() as carried:
                packet = next(packets, None)
            if packet is None:
                return
            number = self._decoding.send(is_key=packet.is_keyframe)
            packet.opaque = number
            if packet.is_corrupt or any(word in text for _, _, text in carried for word in _LOSSY):
                self._decoding.complain(number, "data was lost on its way")
            with av.logging.Capture() as said:
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    frames = []
                    self._decoding.complain(number, error.strerror or "it cannot be decoded")
            words = next((text.strip() for level, _, text in said if _harms(level, text)), None)
            if words is not None:
                self._decoding.complain(number, words)
            if frames:
                shown_at = time.monotonic()
            elif not self._is_file and time.monotonic() - shown_at >= self._settings.read_timeout_s:
                return
            yield from frames

    def _judge(self, frame: VideoFrame) -> str | None:
        number = frame.opaque
        if not isinstance(number, int):
            return "the decoder calls it corrupt" if frame.is_corrupt else None
        if frame.is_corrupt:
            self._decoding.complain(number, "the decoder calls it corrupt")
        return self._decoding.show(number)

    def _put(self, frame: VideoFrame, pixels: Pixels) -> Pixels:
        """The picture as BGR, in `pixels` where it has their shape."""
        with av.logging.Capture():
            plane = self._reformatter.reformat(frame, format="bgr24", threads=1).planes[0]
        rows = np.frombuffer(cast("Any", plane), np.uint8).reshape(frame.height, plane.line_size)
        picture = rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
        if turns := round(frame.rotation / 90) % 4:
            picture = np.rot90(picture, turns)
        if picture.shape != pixels.shape:
            return np.ascontiguousarray(picture)
        np.copyto(pixels, picture)
        return pixels

    def _timeout(self, what: str, limit_s: float) -> SourceError:
        return SourceError(
            f"{self._named} {what} within {limit_s:g} s.",
            hint="Is the camera on, and the network up?",
        )

    def _closed(self) -> SourceError:
        return SourceError(f"{self._named} was closed.")


def open_video(settings: CameraSettings, _making: Making) -> AvCamera:
    """The stream or file that the source names."""
    return AvCamera(settings)


def _harms(level: int, text: str) -> bool:
    """Whether a line of the decoder's log says that a picture is damaged."""
    if any(word in text for word in _HARMLESS):
        return False
    return level <= av.logging.ERROR or any(word in text for word in _HARMFUL)


def _options(settings: CameraSettings) -> dict[str, str]:
    """FFmpeg's options by the settings; what the operator has set for FFmpeg itself wins."""
    usual: dict[str, str] = {"rtsp_transport": settings.transport}
    if settings.latency_ms is not None:
        usual["max_delay"] = str(settings.latency_ms * 1000)
    given = (pair.partition(";") for pair in os.environ.get(_VARIABLE, "").split("|"))
    return {**usual, **{name: value for name, _, value in given if name and value}}


def _shape(frame: VideoFrame) -> FrameShape:
    is_turned = round(frame.rotation / 90) % 2
    return FrameShape(*((frame.width, frame.height) if is_turned else (frame.height, frame.width)))
