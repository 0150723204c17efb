"""What is done to a line: the same for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench_rig.lines import FAULTS_S, FieldLine, Setup, device_bytes
from bench_rig.ours import DaemonLine
from bench_rig.records import AFTER_S, Change, Run, Swapped, measure, spread

SETTLE_S = 1.6  # after each swap: `after` is measured in it, and a trial ends
SWAP_TIMEOUT_S = 30.0
KINDS = ("same", "large", "back", "rollback")
FAULTS = tuple(FAULTS_S)

AnyLine = FieldLine | DaemonLine


@dataclass(frozen=True)
class Fault:
    """What one bad model did to a line, in the seconds of `FAULTS_S` from the request on."""

    name: str
    frames: int
    lost: int
    answer: str
    needed_restart: bool


@dataclass
class Told:
    """One line at one rate, with everything that was measured on it."""

    pattern: str
    fps: float
    run: Run
    changes: list[Change]
    swapped: list[Swapped]
    faults: list[Fault]
    grown_bytes: int | None
    device_grown_bytes: int | None
    quiet: list[tuple[float, float]] = field(default_factory=list)
    accepted_ms: list[float] = field(default_factory=list)

    def of(self, kind: str) -> list[Swapped]:
        return [each for each in self.swapped if each.kind == kind]

    def before_ms(self) -> list[float]:
        return [ms for since, until in self.quiet for ms in self.run.latencies_ms(since, until)]

    def plain(self) -> dict[str, object]:
        """For machines."""
        return {
            "pattern": self.pattern,
            "fps": self.fps,
            "frames_judged": len(self.run.seen),
            "latency_before_ms": spread(self.before_ms()),
            "memory_grown_bytes": self.grown_bytes,
            "device_memory_grown_bytes": self.device_grown_bytes,
            "request_to_accepted_ms": spread(self.accepted_ms),
            "swaps": {kind: _plain(self.of(kind)) for kind in KINDS},
            "asked": [vars(change) for change in self.changes],
            "faults": [vars(fault) for fault in self.faults],
        }


def _plain(swaps: list[Swapped]) -> dict[str, object]:
    told = [s.told_pause_ms for s in swaps if s.told_pause_ms is not None]
    return {
        "n": len(swaps),
        "lost": sum(s.lost for s in swaps),
        "lost_worst": max((s.lost for s in swaps), default=None),
        "longest_gap_ms": spread([s.gap_ms for s in swaps]),
        "pause_ms": spread([s.pause_ms for s in swaps]),
        "told_pause_ms": spread(told),
        "first_over_steady": spread([s.first_ratio for s in swaps]),
        "request_to_active_ms": spread([s.active_ms for s in swaps]),
        "frames_waited": spread([s.frames_waited for s in swaps]),
        "latency_during_ms": spread([ms for s in swaps for ms in s.during]),
        "latency_after_ms": spread([ms for s in swaps for ms in s.after]),
    }


@dataclass(frozen=True)
class Plot:
    """How often a line is asked for what."""

    same: int  # pairs: there, and back
    large: int
    faults: bool
    steady_s: float = 3.0
    asks: int = 100  # requests that change nothing, for the time until they are accepted

    @property
    def models(self) -> list[str]:
        others = [f"other{n}" for n in range(1, self.same + 1)]
        return ["same", *others, *(f"large{n}" for n in range(1, self.large + 1)), *FAULTS]


def tell(pattern: str, setup: Setup, line: AnyLine, plot: Plot, say: Callable[[str], None]) -> Told:
    """Swaps there and back, then the bad ones."""
    fps, device = setup.fps, setup.device
    line.await_ready()
    quiet, changes, faults = [], [], []
    began_at = time.monotonic() + 1.0
    time.sleep(plot.steady_s)
    quiet.append((began_at, time.monotonic()))

    def ask(kind: str, model: str) -> None:
        change = line.swap(kind, model, SWAP_TIMEOUT_S)
        changes.append(change)
        if change.outcome != "active":
            say(f"{pattern}: {kind} to {model} was {change.outcome}")
        time.sleep(SETTLE_S)
        if not model.startswith("large"):
            quiet.append((time.monotonic() - SETTLE_S + AFTER_S, time.monotonic()))

    memory, on_device = 0, None
    for kind, model, count in (("same", "other", plot.same), ("large", "large", plot.large)):
        for number in range(1, count + 1):
            ask(kind, f"{model}{number}")
            last = kind == "large" and number == count
            ask("rollback" if last else "back", "same")
            if not memory:  # after the first: what is loaded once stays
                memory, on_device = line.memory_bytes(), device_bytes(device)
    grown = device_grown = None
    if memory:
        ask("same", "other1")  # the two that were resident then: the large one is no leak
        ask("back", "same")
        grown = line.memory_bytes() - memory
        if on_device is not None:
            device_grown = (device_bytes(device) or 0) - on_device
    accepted = [c.accepted_ms for c in changes if c.accepted_ms is not None]
    if isinstance(line, DaemonLine):
        accepted += line.ask_often(plot.asks)
    if plot.faults:
        faults = [_suffer(name, line, changes) for name in FAULTS]
    run = line.finish()
    swapped = [m for change in changes if change.kind in KINDS
               and change.outcome == "active" and (m := measure(run, change))]  # fmt: skip
    for at, fault in enumerate(faults):
        change = next(c for c in changes if c.kind == fault.name)
        window = (change.asked_at, change.asked_at + FAULTS_S[fault.name])
        lost, frames = run.lost(*window), len(run.numbers(*window))
        faults[at] = Fault(fault.name, frames, lost, fault.answer, fault.needed_restart)
    return Told(pattern, fps, run, changes, swapped, faults, grown, device_grown, quiet, accepted)


def _suffer(name: str, line: AnyLine, changes: list[Change]) -> Fault:
    """A bad model is asked for; then the good one again, as an operator would do."""
    began_at = time.monotonic()
    change = line.swap(name, name, FAULTS_S[name] - 0.2)
    changes.append(change)
    time.sleep(max(0.0, began_at + FAULTS_S[name] - time.monotonic()))
    needed = line.revive("same")
    if not needed and isinstance(line, FieldLine):
        line.swap("again", "same", 10.0)
    time.sleep(1.0)
    return Fault(name, 0, 0, change.outcome, needed)
