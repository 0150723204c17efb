"""The pulse: once a second, what the line did in it, for the plots and for `/healthz`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from edge_daemon.app.probe import Probe
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import State
from edge_daemon.core.values import Instant, Verdict
from edge_daemon.frames.capture import CameraPhase, CameraState
from edge_daemon.frames.ledger import Ledger, Mark
from edge_daemon.host.clock import Clock
from edge_daemon.host.health import EXCUSED, Health, Signs, healthy, ready
from edge_daemon.web.history import History, Second

_log = structlog.get_logger(__name__)

BEAT_S = 1.0


@dataclass(frozen=True)
class Body:
    """What is felt."""

    ledger: Ledger
    clock: Clock
    state: Callable[[], State]
    camera: Callable[[], CameraState]
    broker_online: Callable[[], bool]
    probe: Probe | None = None


@dataclass(frozen=True)
class _Sums:
    """What the ledger said at the last beat."""

    mark: Mark
    ng: int
    empty: int
    excused: int


class Pulse:
    """Beats on a thread of its own; any thread may ask."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._last = self._sums()
        self._signs = Signs(body.clock.now().at)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self.history = History()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the beat in hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * BEAT_S)

    def health(self) -> Health:
        """Whether inference goes on wherever there is something to infer.

        The service manager's watchdog and `/healthz` are both told this.
        """
        return healthy(self._signs_now(), self._body.clock.now().at)

    def ready(self) -> Health:
        """Whether the station does all of its work now."""
        return ready(self._signs_now(), self._body.clock.now().at)

    def _signs_now(self) -> Signs:
        """What the last beat felt, and what can be seen at any moment."""
        body = self._body
        return replace(
            self._signs,
            has_active=body.state().active is not None,
            camera_fault=_camera_fault(body.camera()),
            mqtt_connected=body.broker_online(),
        )

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_S):
            self._guarded_beat()

    def _guarded_beat(self) -> None:
        try:
            self.beat(self._body.clock.now())
        except Exception as error:  # the boundary: a beat missed is a gap in a plot
            _log.exception("pulse_failed", error=repr(error))

    def beat(self, now: Instant) -> None:
        """One second has passed."""
        last, new = self._last, self._sums()
        self._last = new
        counts, latency = self._body.ledger.between(last.mark, new.mark)
        ng, empty = new.ng - last.ng, new.empty - last.empty
        self.history.add(
            Second(
                at=int(now.utc),
                ok=max(0, counts.inspected - ng - empty),
                ng=ng,
                empty=empty,
                uninspected=counts.uninspected,
                dropped=counts.dropped,
                p50=_rounded(latency.p50),
                p99=_rounded(latency.p99),
            )
        )
        signs, state = self._signs, self._body.state()
        is_excused = new.excused > last.excused or state.active is None
        self._signs = replace(
            signs,
            frame_at=now.at if counts.captured else signs.frame_at,
            inference_at=now.at if counts.inspected else signs.inference_at,
            excused_at=now.at if is_excused else signs.excused_at,
            changing_over=_is_changing_over(state),
        )
        probe = self._body.probe
        if probe is not None:
            if not counts.captured:
                probe.look(now, self._signs.inference_at)
            self._signs = replace(self._signs, is_probed=True, answered_at=probe.answered_at)

    def _sums(self) -> _Sums:
        ledger = self._body.ledger
        verdicts, reasons = ledger.verdicts(), ledger.reasons()
        return _Sums(
            ledger.mark(),
            sum(count for (_, verdict), count in verdicts.items() if verdict is Verdict.NG),
            sum(count for (_, verdict), count in verdicts.items() if verdict is Verdict.EMPTY),
            sum(count for reason, count in reasons.items() if reason in EXCUSED),
        )


def _camera_fault(camera: CameraState) -> str | None:
    """Why no frame can come; None where it can."""
    if camera.state is CameraPhase.ONLINE:
        return None
    return f"the camera is {camera.state}: {camera.error or 'no frame yet'}"


def _is_changing_over(state: State) -> bool:
    """Frames wait for a model that is being brought; its load has a limit of its own."""
    active = state.active_bundle
    if state.active is not None and state.slot(state.active).phase is Phase.RESTORING:
        return True
    if state.op is None:
        return False
    requires = state.line.requires
    return active is None or (requires is not None and active.ref.name != requires)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
