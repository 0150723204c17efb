"""A fake with nothing in it but what the status page is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec

from edge_daemon.errors import CameraError
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.host.health import Health
from edge_daemon.messaging.answer import TakeAnswer
from edge_daemon.web.backend import PageBackend
from edge_daemon.web.history import History, Second
from edge_daemon.web.state import BrokerLine, CameraLine, HealthLine, PageState, SwapEntry

NOW = "2026-11-22T10:00:00.000Z"


@dataclass(frozen=True)
class SimPicture:
    serial: int
    jpeg: bytes


class FakePage:
    """What it is told to be; `sources` shows it."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.good = True
        self.looks = 0
        self.asked: list[tuple[str, bytes, str, TakeAnswer]] = []
        self.history = History()
        self.watchers = 0
        self.most_watchers = 0
        self.watch_began = threading.Event()
        self._pictures = threading.Condition()
        self._latest: SimPicture | None = None
        self._is_dark = False

    def picture(self, jpeg: bytes = b"jpeg") -> None:
        """The next frame was drawn."""
        with self._pictures:
            serial = self._latest.serial + 1 if self._latest else 1
            self._latest = SimPicture(serial, jpeg)
            self._pictures.notify_all()

    def go_dark(self) -> None:
        """No frame comes any more."""
        self._is_dark = True

    def seconds(self, *ok: int) -> None:
        """So many good frames in each second."""
        for at, count in enumerate(ok, 1000):
            self.history.add(Second(at, ok=count, p50=1.0, p99=2.0))

    def watch(self, after: int, timeout_s: float) -> SimPicture | None:
        with self._pictures:
            self.watchers += 1
            self.watch_began.set()
            self.most_watchers = max(self.watchers, self.most_watchers)
            self._pictures.wait_for(
                lambda: self._latest is not None and self._latest.serial > after, timeout_s
            )
            self.watchers -= 1
            latest = self._latest
            return latest if latest is not None and latest.serial > after else None

    def snapshot(self) -> bytes:
        if self._is_dark:
            raise CameraError("No frame was judged.", hint="Look at the camera.")
        return b"snapshot"

    def state(self) -> PageState:
        self.looks += 1
        return PageState(
            device="line3-cam1",
            version="1",
            boot="b00",
            time=NOW,
            started=NOW,
            health=HealthLine(healthy=self.good, ready=self.good),
            model=msgspec.Raw(b'{"active":null}'),
            camera=CameraLine(state="online", since=NOW, source="sim:"),
            broker=BrokerLine(online=True, address="127.0.0.1:1883"),
            history=self.history.columns(),
        )

    def health(self) -> Health:
        return Health(self.good, () if self.good else ("no inference completed for 11 s",))

    def ask(self, verb: str, payload: bytes, fresh_id: str, reply: TakeAnswer) -> None:
        self.asked.append((verb, payload, fresh_id, reply))

    def sources(self, *, commands: bool = False) -> PageBackend:
        return PageBackend(
            clock=self.clock,
            state=self.state,
            health=self.health,
            ready=self.health,
            metrics=lambda: b"edge_camera_up 1\n",
            watch=self.watch,
            snapshot=self.snapshot,
            swap={"s1": SwapEntry(id="s1", events=())}.get,
            rejected={"a.jpg": b"picture"}.get,
            lineage={"bottle@1.0.0": {"model": "bottle@1.0.0"}}.get,
            ask=self.ask if commands else None,
        )
