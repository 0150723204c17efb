"""The camera's thread: frames into the ring for years, whatever the camera does.

One thread supervises, another one reads. A read that blocks for ever cannot be interrupted, so it
is abandoned: a new camera is read in a new thread, and frames that the old one may still deliver do
not enter the ring. The listener is called by the supervising thread only, in order. Nothing here
stops the daemon: a lost camera is tried again and again.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from edge_daemon.core.credentials import redact
from edge_daemon.core.picture import Flaw, PictureLimits, damaged
from edge_daemon.core.values import Instant
from edge_daemon.errors import BoxError, CameraError
from edge_daemon.frames.camera import Camera
from edge_daemon.frames.camera_state import (
    USUAL_PATIENCE,
    CameraListener,
    CameraPhase,
    CameraState,
    Patience,
)
from edge_daemon.frames.captured import Lease
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.picture import FlawTracker, PictureGauge
from edge_daemon.frames.ring import Ring
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.memory import FrameShape, Pixels

_log = structlog.get_logger(__name__)

_PULSE_S = 1.0  # how often the rate is measured
_OLDEST_S = 5.0  # a frame that was exposed longer ago was stamped by another clock


def _captured(read: Instant, exposed_at: float | None, before: Instant | None) -> Instant:
    """When a frame was captured: by the driver's stamp, where that can be true.

    A stamp that lies ahead, before the last frame or too far back is of another clock.
    """
    earliest = max(read.at - _OLDEST_S, before.at if before is not None else -math.inf)
    if exposed_at is None or not earliest < exposed_at <= read.at:
        return read
    return Instant(exposed_at, read.utc - (read.at - exposed_at), is_stamped=True)


class _Reader:
    """One camera, read by one thread of its own until it fails, ends or is left behind."""

    def __init__(
        self,
        make: Callable[[], Camera],
        ring: Ring,
        now: Callable[[], Instant],
        deliver: Callable[[_Reader, Lease, Instant, Flaw | None], bool],
        gauge: PictureGauge | None,
    ) -> None:
        self._make, self._ring, self._now, self._deliver = make, ring, now, deliver
        self.gauge = gauge
        self.camera: Camera | None = None
        self.news = threading.Event()  # something below has changed
        self.done = threading.Event()  # no more frames; the driver may still be closing
        self.shape: FrameShape | None = None  # of the frames that came in
        self.fps: float | None = None  # nominal, later measured
        self.error: CameraError | None = None
        self.ended = False
        self.progress_at = now().at
        self.lease: Lease | None = None
        self._captured: Instant | None = None  # the last frame
        self._closing = False
        self._pulse_at, self._pulse_frames = 0.0, 0
        self.thread = threading.Thread(target=self._run, name="camera-reader", daemon=True)

    def close(self) -> None:
        self._closing = True
        if self.camera is not None:
            self.camera.close()

    def _run(self) -> None:
        try:
            self.camera = self._make()
            if not self._closing:  # a close from here on finds the camera
                self._read_on(self.camera, self.camera.open())
        except CameraError as error:
            self.error = error
        except BoxError as error:
            self.error = CameraError(error.message, hint=error.hint, code=error.code)
        except Exception as error:  # the boundary to drivers: whatever they raise is a lost camera
            self.error = CameraError(
                f"The camera driver failed with {type(error).__name__}: {redact(str(error))}.",
                hint="If it does not recover, restart the camera.",
            )
        finally:
            self.done.set()  # before the close: saying goodbye to a silent server takes seconds
            self.news.set()
            self.close()

    def _read_on(self, camera: Camera, shape: FrameShape) -> None:
        self.fps = camera.fps
        self.progress_at = self._pulse_at = self._now().at
        while True:
            lease = self.lease = self._ring.begin(shape)
            got = None
            try:
                got = camera.read_into(lease.pixels)
            finally:
                if got is not lease.pixels:
                    self._ring.abandon(lease)
                    self.lease = None
            read = self._now()
            if got is None:
                self.ended = True
                return
            if got is not lease.pixels:
                shape = FrameShape(got.shape[0], got.shape[1])
                lease = self.lease = self._ring.begin(shape)
                lease.pixels[...] = got
            self._count(read.at)
            captured = self._captured = _captured(read, camera.exposed_at, self._captured)
            flaw = self._judge(camera, lease.pixels, captured.at)
            self.lease = None
            if not self._deliver(self, lease, captured, flaw):
                return
            if self.shape != shape:
                self.shape = shape
                self.news.set()

    def _count(self, at: float) -> None:
        """Once a second: the rate."""
        self.progress_at = at
        self._pulse_frames += 1
        if at - self._pulse_at >= _PULSE_S:
            self.fps = self._pulse_frames / (at - self._pulse_at)
            self._pulse_at, self._pulse_frames = at, 0

    def _judge(self, camera: Camera, pixels: Pixels, at: float) -> Flaw | None:
        """Whether this picture is evidence, by the decoder and by its looks."""
        flaw = self.gauge.look(pixels, at) if self.gauge else None
        damage = camera.damage
        return flaw if damage is None else damaged(damage)


class Capture:
    """Keeps frames coming into the ring.

    Args:
        make_camera: a camera that is not connected yet; called for each try, in the reading thread.
        picture: what a picture must show to be evidence; None: they are not measured.
    """

    def __init__(
        self,
        make_camera: Callable[[], Camera],
        ring: Ring,
        now: Callable[[], Instant],
        patience: Patience = USUAL_PATIENCE,
        picture: PictureLimits | None = None,
    ) -> None:
        self._make_camera = make_camera
        self._ring = ring
        self._now = now
        self._patience = patience
        self._picture = picture
        self._flaws = FlawTracker()
        self._turn = threading.Lock()  # delivery of a frame against leaving its reader behind
        self._reader: _Reader | None = None
        self._source = ""
        self._left_behind: list[_Reader] = []
        self._boundary = ErrorBoundary(_log, "capture_failed")
        self._to_listener = ErrorBoundary(_log, "camera_listener_failed")
        self._stopping = threading.Event()
        self._state = CameraState(CameraPhase.CONNECTING, now())
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> CameraState:
        """As it is at this moment, with the measured rate."""
        state, reader = self._state, self._reader
        if state.state is CameraPhase.ONLINE and reader is not None:
            measures = reader.gauge.measures if reader.gauge else None
            return replace(state, fps=reader.fps, measures=measures, flaws=self._flaws.flaws)
        return state

    def start(self, listener: CameraListener) -> None:
        """Frames from here on; the listener is told of gains and losses."""
        self._listener = listener
        self._thread = threading.Thread(target=self._supervise, name="camera", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> bool:
        """After this no frame enters the ring. False when a thread is stuck and is left behind."""
        self._stopping.set()
        with self._turn:
            reader, self._reader = self._reader, None
        # The first to end: after it no reader is started.
        threads = [self._thread] if self._thread is not None else []
        if reader is not None:
            reader.close()
            reader.news.set()
            threads.append(reader.thread)
        for thread in threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in threads)

    # ------------------------------------------------------------------- the supervising thread

    def _supervise(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            began = self._now().at
            with self._boundary.turn() as turn:
                error = self._serve_one_camera()
            if (fault := turn.fault) is not None:
                error = CameraError(f"Capturing failed with {type(fault).__name__}: {fault}.")
            if self._stopping.is_set():
                return
            if error is None:
                self._state = CameraState(CameraPhase.ENDED, self._now(), self._source)
                _log.info("camera_ended", source=self._source)
                self._tell(self._listener.camera_ended)
                return
            retry_s = self._patience.retry_s(attempt)
            attempt = 0 if self._now().at - began > self._patience.longest_retry_s else attempt + 1
            self._lose(error, retry_s)
            self._stopping.wait(retry_s)

    def _serve_one_camera(self) -> CameraError | None:
        """One camera from open to its loss; None when its source came to its end."""
        self._left_behind = [each for each in self._left_behind if each.thread.is_alive()]
        if len(self._left_behind) >= self._patience.most_left_behind:
            return SourceError(
                f"{len(self._left_behind)} reads of the camera hang in its driver.",
                hint="Reconnect the camera; if that does not help, restart the daemon.",
            )
        gauge = PictureGauge(self._picture) if self._picture is not None else None
        reader = _Reader(self._make_camera, self._ring, self._now, self._deliver, gauge)
        with self._turn:
            if self._stopping.is_set():
                return None
            self._reader = reader
        reader.thread.start()
        shown: FrameShape | None = None
        while not reader.done.is_set() and not self._stopping.is_set():
            left_s = self._limit_s(reader) - (self._now().at - reader.progress_at)
            if left_s <= 0:
                return self._leave_behind(reader)
            reader.news.wait(min(left_s, _PULSE_S))
            reader.news.clear()
            shown = self._show(reader, shown)
            self._tell_pictures()
        if not self._stopping.is_set():
            self._show(reader, shown)  # a camera may come and go between two looks
            self._tell_pictures()
        self._note_source(reader)
        self._left_behind.append(reader)  # until its driver is closed
        return reader.error if not reader.ended else None

    def _limit_s(self, reader: _Reader) -> float:
        patience = self._patience
        if reader.shape is None:
            return patience.open_timeout_s + patience.read_timeout_s + patience.margin_s
        slowest_s = 2.0 / reader.fps if reader.fps else 0.0
        return max(patience.read_timeout_s, slowest_s) + patience.margin_s

    def _leave_behind(self, reader: _Reader) -> CameraError:
        with self._turn:
            self._reader = None
            lease = reader.lease
            if lease is not None:
                self._ring.forfeit(lease)
        reader.close()
        self._left_behind.append(reader)
        what = "opens" if reader.shape is None else "gives a frame"
        return SourceError(
            f"The camera neither {what} nor reports an error: its driver hangs.",
            hint="It is retried; if that does not help, reconnect the camera.",
        )

    def _show(self, reader: _Reader, shown: FrameShape | None) -> FrameShape | None:
        shape = reader.shape
        if shape is None or shape == shown:
            return shown
        self._note_source(reader)
        fps = reader.fps
        self._state = CameraState(
            CameraPhase.ONLINE,
            self._now(),
            self._source,
            width=shape.width,
            height=shape.height,
            fps=fps,
            remarks=reader.camera.remarks if reader.camera else (),
        )
        _log.info("camera_up", source=self._source, width=shape.width, height=shape.height, fps=fps)
        self._tell(lambda: self._listener.camera_up(shape, fps))
        return shape

    def _note_source(self, reader: _Reader) -> None:
        if reader.camera is not None:
            self._source = reader.camera.describe()

    def _tell_pictures(self) -> None:
        for news in self._flaws.news():
            if isinstance(news, Flaw):
                self._tell(partial(self._listener.picture_bad, news))
            else:
                self._tell(partial(self._listener.picture_good, news))

    def _lose(self, error: CameraError, retry_s: float) -> None:
        before = self._state
        if before.state is CameraPhase.LOST and before.error == error.message:
            return  # the same error at the next try is no news
        since = before.since if before.state is CameraPhase.LOST else self._now()
        self._state = CameraState(
            CameraPhase.LOST, since, self._source, error=error.message, hint=error.hint
        )
        _log.warning("camera_lost", error=error.message, hint=error.hint, retry_s=round(retry_s, 2))
        self._tell(partial(self._listener.camera_lost, error))

    def _tell(self, report: Callable[[], None]) -> None:
        with self._to_listener.turn():  # its fault must not cost frames
            report()

    # ---------------------------------------------------------------------- the reading thread

    def _deliver(self, reader: _Reader, lease: Lease, captured: Instant, flaw: Flaw | None) -> bool:
        """Put it into the ring, unless this reader was abandoned meanwhile."""
        with self._turn:
            if self._reader is not reader:
                self._ring.abandon(lease)
                return False
            self._ring.commit(lease, captured, flaw.reason if flaw else None)
            if self._flaws.note(flaw, captured.at):
                reader.news.set()
            return True
