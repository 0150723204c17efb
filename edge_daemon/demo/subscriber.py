"""The demo's own subscriber: sees what any other sees, and counts frames and parts."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Reason
from edge_daemon.demo.stage import DEVICE
from edge_daemon.demo.truth import Truth
from edge_daemon.errors import BoxError
from edge_daemon.messaging.times import parse_iso

ROOT = f"edge/{DEVICE}"
TOPICS = ("result", "part", "model/+", "camera/status", "rollout/state")

Captured = Callable[[int, float], bool]
"""The conveyor's frame with this index was captured at these POSIX seconds: did the line stall?"""


class Subscriber:
    """Sees what any subscriber sees, and counts it."""

    def __init__(self, ledger: SubscriberLedger, truth: Truth, captured: Captured) -> None:
        self.ledger = ledger
        self.truth = truth
        self.state: dict[str, Any] = {}
        self.last: dict[str, Any] | None = None
        self.counts: Counter[str] = Counter()
        """Parts by verdict."""
        self.late: dict[str, dict[str, Any]] = {}
        """Parts that were told late, by serial."""
        self.events: list[dict[str, Any]] = []
        self.hidden: list[int] = []
        """Frames that showed no picture."""
        self.on_part: Callable[[str], None] = lambda _: None
        """Is told the serial of each part that has a result, on the client's thread."""
        self.rollout: dict[str, Any] = {}
        """How the last rollout stands, or stood at its end."""
        self._captured = captured
        self._is_placed = False  # whether it is known how many frames were drawn before the first
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def hear(self, topic: str, payload: bytes) -> None:
        """One message, on the client's thread."""
        with self._changed:
            self._take(topic.removeprefix(f"{ROOT}/"), json.loads(payload))
            self._changed.notify_all()

    def _take(self, topic: str, message: dict[str, Any]) -> None:
        if topic == "result":
            self.ledger.take_result(message)
            self.last = message
            if message.get("reason") == Reason.BAD_PICTURE:
                self.hidden.append(message["frame"])
        elif topic == "model/state":
            self.state = message
        elif topic == "rollout/state" and message.get("rollout"):
            self.rollout = message
        elif topic == "camera/status" and message.get("previewed"):
            self.truth.previewed, self._is_placed = message["previewed"], True
        elif topic == "model/event":
            self.events.append(message)
            if message["type"] == EventName.SWAPPED:
                self.ledger.take_event(message)
        if topic in ("result", "part"):
            self._early.append((topic, message))
        if self._is_placed:
            for each in self._early:
                self._place(*each)
            self._early.clear()

    def _place(self, topic: str, message: dict[str, Any]) -> None:
        """A frame or a part, held against what was on the belt."""
        if topic == "result":
            at = parse_iso(message["time"])
            assert at is not None
            index = message["frame"] + self.truth.previewed
            if self._captured(index, at):
                self.truth.stalled.add(index)
            return
        if not self.truth.take(message):
            return
        self.on_part(message["serial"])
        self.counts[message["verdict"]] += 1
        if message["late"]:
            self.late[message["serial"]] = message

    def wait(self, condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
        """Until what was heard makes it true; raises BoxError past the limit."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise BoxError(failure, hint="Try again on a box that has less to do.")

    @property
    def frame(self) -> int:
        return self.last["frame"] if self.last else -1

    @property
    def active(self) -> str | None:
        active = self.state.get("active")
        return active["model"] if active else None
