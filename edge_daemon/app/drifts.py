"""Watches whether pictures and verdicts are as they were: event, health sentence, metric.

A unit is a part where parts are of several frames, else a frame. Values are put into a bounded
queue by the threads that tell frames and parts, and reckoned with on a thread of their own.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge_daemon.config.drift import DriftSettings
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.event_names import EventName
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By, PartOutcome
from edge_daemon.core.picture import Measures
from edge_daemon.core.rollout.signals import Signal, Watched, read_watched, scaled
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.documents import MALFORMED
from edge_daemon.errors import StateError
from edge_daemon.host.disk import write_durably
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.metrics import Metrics

_log = structlog.get_logger(__name__)

TURN_S = 1.0
SAVE_TURNS = 300
"""Turns between two writes; a power cut costs the evidence since the last one."""
MOST_WAITING = 4096
MOST_KEPT = 256
"""Signals that are known, by product and model; beyond it the one that came last longest ago."""
FILE = "drift.json"

Key = tuple[Signal, str, str]
"""The signal, the product, and the model; "" for a signal of the picture alone."""


@dataclass(frozen=True)
class _Unit:
    product: str
    model: BundleRef
    values: tuple[tuple[Signal, float], ...]


class Drifts:
    """`judged` is called on the publisher's thread, `told` on that of the parts.

    Args:
        by: what a part is; None where none are counted.
        measures: of the newest picture.
        folder: where what was learnt is kept.
    """

    def __init__(
        self,
        settings: DriftSettings,
        by: By | None,
        measures: Callable[[], Measures | None],
        put: Callable[[Noticed], None],
        metrics: Metrics,
        folder: Path,
    ) -> None:
        self._signals, self._rules = frozenset(map(Signal, settings.signals)), settings.rules
        self._by_parts = by in (By.TRIGGER, By.TRACK)
        self._measures, self._put, self._metrics = measures, put, metrics
        self._file = folder / FILE
        self._waiting: queue.SimpleQueue[_Unit] = queue.SimpleQueue()
        self._surest: float | None = None  # since the part before
        self._watched: OrderedDict[Key, Watched] = OrderedDict()
        self._problems: tuple[str, ...] = ()
        self._turns = 0
        self._is_dirty = False
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "drift_failed", is_rare=True)
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._read()

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread."""
        return self._problems

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and keep what was learnt."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    # ------------------------------------------------------------------ the telling threads

    def judged(self, judged: Judged) -> None:
        """One frame; never waits."""
        if judged.model is None:
            return
        surest = max((each.confidence for each in judged.detections), default=None)
        if self._by_parts:
            if surest is not None:
                self._surest = max(surest, self._surest or 0.0)
            return
        self._offer(judged.assignment.product, judged.model, judged.verdict, surest)

    def told(self, parts: Sequence[PartOutcome]) -> None:
        """Parts of several frames; never waits. The surest box is the surest since the last one."""
        for each in parts if self._by_parts else ():
            surest, self._surest = self._surest, None
            if each.model is not None:
                self._offer(each.assignment.product, each.model, each.verdict, surest)

    def _offer(
        self, product: str | None, model: BundleRef, verdict: Verdict, surest: float | None
    ) -> None:
        if self._waiting.qsize() >= MOST_WAITING:
            return
        seen = self._measures()
        found = {
            Signal.BRIGHTNESS: None if seen is None else seen.mean,
            Signal.CONTRAST: None if seen is None else seen.contrast,
            Signal.SHARPNESS: None if seen is None else seen.sharpness,
            Signal.NG: _REJECTED.get(verdict),
            Signal.CONFIDENCE: surest,
        }
        values = tuple(
            (signal, scaled(signal, value))
            for signal, value in found.items()
            if value is not None and signal in self._signals
        )
        self._waiting.put(_Unit(product or "", model, values))

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.wait(TURN_S):
            with self._boundary.turn():
                self.turn()
        with self._boundary.turn():
            self.turn()
            self._save()

    def turn(self) -> None:
        for _ in range(self._waiting.qsize()):
            unit = self._waiting.get_nowait()
            for signal, value in unit.values:
                self._take(signal, value, unit)
        alarms = ((key, each) for key, each in self._watched.items() if each.alarm is not None)
        self._problems = tuple(_sentence(key, each) for key, each in alarms)
        self._turns += 1
        if self._turns % SAVE_TURNS == 0:
            self._save()

    def _take(self, signal: Signal, value: float, unit: _Unit) -> None:
        key = (signal, unit.product, "" if signal.is_input else str(unit.model))
        before = self._watched.pop(key, None) or Watched(self._rules)
        after = self._watched[key] = before.after(value)
        self._is_dirty = True
        if len(self._watched) > MOST_KEPT:
            self._watched.popitem(last=False)
        self._metrics.drift(signal.value, after.log10_evidence)
        if after.alarm is not None and before.alarm is None:
            why = _sentence(key, after)
            _log.warning("drifted", signal=signal.value, product=unit.product, why=why)
            model = None if signal.is_input else unit.model
            self._put(Noticed(EventName.DRIFTED, why, model=model))

    # ------------------------------------------------------------------ the file

    def _read(self) -> None:
        """What an earlier start learnt; a file that is damaged begins anew."""
        try:
            plain = json.loads(self._file.read_bytes())
            for signal, product, model, values in plain:
                key = (Signal(signal), str(product), str(model))
                self._watched[key] = read_watched(self._rules, values)
        except FileNotFoundError:
            return
        except (OSError, *MALFORMED) as error:
            self._watched.clear()
            _log.warning("drift_not_read", file=str(self._file), error=str(error))

    def _save(self) -> None:
        if not self._is_dirty:
            return
        plain = [[*key, each.as_mapping()] for key, each in self._watched.items()]
        try:
            write_durably(self._file, json.dumps(plain).encode())
        except StateError as error:
            _log.warning("drift_not_saved", error=error.message)
            return
        self._is_dirty = False


_REJECTED = {Verdict.NG: 1.0, Verdict.OK: 0.0}
_WORDS = {
    Signal.BRIGHTNESS: "pictures are {} than usual",
    Signal.CONTRAST: "pictures have {} contrast than usual",
    Signal.SHARPNESS: "pictures are {} sharp than usual",
    Signal.NG: "{} parts are rejected than usual",
    Signal.CONFIDENCE: "the model is {} sure of what it finds than usual",
}
_MORE_LESS = {
    Signal.BRIGHTNESS: ("brighter", "darker"),
    Signal.NG: ("more", "fewer"),
}


def _sentence(key: Key, watched: Watched) -> str:
    signal, product, model = key
    drift = watched.alarm
    assert drift is not None
    more, less = _MORE_LESS.get(signal, ("more", "less"))
    words = _WORDS[signal].format(more if drift.is_upwards else less)
    usual = f"{signal.value} is usually {drift.usual.low:.3f} to {drift.usual.high:.3f} of 1"
    of = "".join(f" {word} {name}" for word, name in (("with", model), ("of", product)) if name)
    return f"{words}{of} ({usual}): look at light, lens and parts"
