"""`status --watch`: the same lines, refreshed, with the last minute summed up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from edge_daemon.cli.output import console
from edge_daemon.cli.station import PARTS, RetainedStatus, Station, elsewhere
from edge_daemon.cli.status_view import summary
from edge_daemon.cli.words import milliseconds, moment, sparkline
from edge_daemon.core.event_names import WITH_RECEIPT, EventName
from edge_daemon.core.rollout.governor import p99
from edge_daemon.errors import BrokerError, EdgeDaemonError
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.payloads import Event
from edge_daemon.messaging.result_payloads import ResultMessage

REDRAW_S = 0.25
POLL_S = 1.0
MINUTE_S = 60
SWAPS_SHOWN = 5
_TOLD = WITH_RECEIPT | {EventName.REJECTED, EventName.FAILED}


class Minute:
    """The last minute of results in buckets of a second; written by one thread, read by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: deque[tuple[int, list[float]]] = deque(maxlen=MINUTE_S)
        self._last: ResultMessage | None = None

    def take(self, result: ResultMessage, at: float) -> None:
        """One result, at a time of this process's monotonic clock."""
        took = result.latency_ms.queue + result.latency_ms.inference
        second = int(at)
        with self._lock:
            if not self._buckets or self._buckets[-1][0] != second:
                self._buckets.append((second, []))
            self._buckets[-1][1].append(took)
            self._last = result

    def rows(self, at: float) -> list[tuple[str, RenderableType]]:
        """Rate, latency and the last verdict."""
        now = int(at)
        with self._lock:
            buckets = [(s, list(v)) for s, v in self._buckets if now - MINUTE_S <= s < now]
            last = self._last
        if last is None:
            return []
        recent = [len(values) for second, values in buckets if second >= now - 5]
        seconds = dict(buckets)
        slowest = [p99(seconds.get(s, [0.0])) for s in range(now - MINUTE_S, now)]
        line = Text(f"{sum(recent) / max(1, len(recent)):.1f} frames a second")
        line.append(f"   frame {last.frame} {last.verdict}", style="dim")
        line.append(f"   product {last.product or 'none'}", style="dim")
        pairs = [max(slowest[place : place + 2]) for place in range(0, MINUTE_S, 2)]
        plot = Text(sparkline(pairs), style="cyan")  # fits 80 columns
        plot.append(f"  p99 {milliseconds(slowest[-1])}, one minute", style="dim")
        return [("now", line), ("", plot)]


class News:
    """What was received since the watch began: retained messages, results, swaps."""

    def __init__(self, root: str) -> None:
        self._below = len(root) + 1
        self._parts: dict[str, Any] = {}
        self._swaps: tuple[str, ...] = ()  # replaced, never changed: two threads use it
        self.minute = Minute()

    def hear(self, topic: str, payload: bytes) -> None:
        """One message, on the client's thread."""
        below = topic[self._below :]
        if below not in (*PARTS, "result", "model/event"):
            return
        with suppress(msgspec.MsgspecError):  # a word of a daemon that is newer than this command
            if below == "result":
                self.minute.take(msgspec.json.decode(payload, type=ResultMessage), time.monotonic())
            elif below == "model/event":
                self._note_event(msgspec.json.decode(payload, type=Event))
            else:
                self._parts = {**self._parts, below: msgspec.json.decode(payload)}

    def _note_event(self, event: Event) -> None:
        if event.type in _TOLD:
            detail = event.message or ""
            if event.type is EventName.SWAPPED:
                pause = milliseconds(event.receipt.pause_ms if event.receipt else None)
                detail = f"frame {event.frame}, pause {pause}"
            line = f"{moment(event.time)}  {event.type}  {event.model}  {detail}"
            self._swaps = (line, *self._swaps)[:SWAPS_SHOWN]

    def retained(self) -> RetainedStatus:
        return RetainedStatus("mqtt", self._parts)

    def rows(self) -> tuple[tuple[str, RenderableType], ...]:
        """What the one-shot view does not have."""
        rows = self.minute.rows(time.monotonic())
        rows += [("" if i else "events", Text(line)) for i, line in enumerate(self._swaps)]
        return tuple(rows)


def watch(station: Station, seconds: float | None) -> None:
    """Redraw until Ctrl-C, or for `seconds`; through the socket where no broker answers."""
    ends_at = None if seconds is None else time.monotonic() + seconds
    try:
        if station.is_local:
            _draw(lambda: _polled(station), ends_at, POLL_S)
            return
        try:
            with Client.of(station.settings) as client:
                news = News(station.settings.root)
                for topic in (*PARTS, "result", "model/event"):
                    client.listen(f"{station.settings.root}/{topic}", news.hear)
                device = station.settings.device
                _draw(lambda: summary(device, news.retained(), news.rows()), ends_at, REDRAW_S)
        except BrokerError as error:
            if station.socket() is None:
                raise elsewhere(error) from error
            _draw(lambda: _polled(station), ends_at, POLL_S)
    except KeyboardInterrupt:
        return


def _polled(station: Station) -> RenderableType:
    try:
        return summary(station.settings.device, station.retained())
    except EdgeDaemonError as error:  # the view goes on: the daemon may come back
        return Text(str(error), style="red")


def _draw(picture: Callable[[], RenderableType], ends_at: float | None, every_s: float) -> None:
    pause = threading.Event()
    with Live(picture(), console=console(), auto_refresh=False, screen=False) as live:
        while ends_at is None or time.monotonic() < ends_at:
            pause.wait(every_s)
            live.update(picture(), refresh=True)
