"""What the line knows of its parts, told to the daemon: the true verdict of each, as feedback.

On a line these are challenge parts, whose flaws are known and whose serials are in the MES.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.truth import place_of

EVERY_S = 0.5
MOST = 256
"""Words in one request, at most."""

Item = dict[str, str]
Ask = Callable[[Sequence[Item]], dict[str, Any]]
"""Sends some words as one request, and gives back its outcome."""


class Challenge:
    """Gathers the parts that have a result, and says about twice a second what they really are.

    Args:
        conveyor: what is on the belt.
        scene: the product that it shows meanwhile.
        ask: called on a thread of its own.
    """

    def __init__(self, conveyor: Conveyor, scene: str, ask: Ask) -> None:
        self._conveyor, self._scene, self._ask = conveyor, scene, ask
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="challenge", daemon=True)
        self.said = 0
        """Parts whose truth the daemon has noted."""
        self.refused = ""
        """The last sentence with which it did not."""

    def part(self, serial: str) -> None:
        """This part has a result; any thread."""
        is_flawed = bool(self._conveyor.flaws(place_of(serial), self._scene))
        with self._lock:
            self._waiting.append({"part": serial, "verdict": "ng" if is_flawed else "ok"})

    def start(self) -> None:
        """Say what is known from here on."""
        self._thread.start()

    def stop(self) -> None:
        """Nothing is said after this."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(20.0)

    def tell(self) -> None:
        """Say what waits; what is refused is said again with the next."""
        with self._lock:
            items, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if not items:
            return
        outcome = self._ask(items)
        if outcome.get("status") == "succeeded":
            self.said += len(items)
            return
        self.refused = (outcome.get("error") or {}).get("message", "")
        with self._lock:
            self._waiting = items + self._waiting

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            self.tell()
