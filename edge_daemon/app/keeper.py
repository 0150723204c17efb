"""Housekeeping: what is looked at every second, and told where it changed.

Gauges, health and systemd's watchdog are fed here from what the parts say of themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from edge_daemon.app.failures import Failures
from edge_daemon.app.kept_pictures import KeptPictures
from edge_daemon.app.witness import Witness
from edge_daemon.control import payloads
from edge_daemon.control.mqtt import Session
from edge_daemon.control.reporter import Reporter, Vitals
from edge_daemon.core.event_names import EventName
from edge_daemon.core.picture import Flaw, Spell
from edge_daemon.core.roles import role
from edge_daemon.core.state import State
from edge_daemon.core.values import Instant
from edge_daemon.errors import CameraError, Code, StateError
from edge_daemon.frames.capture import CameraPhase, CameraState
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.ring import Ring
from edge_daemon.host import allocator
from edge_daemon.host.certificates import Certificates
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import Reserve
from edge_daemon.host.gpu import Gpu
from edge_daemon.host.health import BROKER_AWAY, NO_MODEL, Health, Standing
from edge_daemon.host.journal import Journal
from edge_daemon.host.memory import FrameShape
from edge_daemon.host.metrics import Metrics, ModelRole
from edge_daemon.host.systemd import Notifier
from edge_daemon.slots.slot import Slot

_log = structlog.get_logger(__name__)

LOOK_S = 1.0
SUMMARY_S = 10.0
"""Between two lines of the log that say how the line runs."""
TELL_AGAIN_S = 60.0
"""Between two lines of the log about messages that were given up."""


@dataclass(frozen=True)
class Watched:
    """What is looked at."""

    boot: str
    ring: Ring
    ledger: Ledger
    slots: Mapping[str, Slot]
    journal: Journal
    session: Session
    gpu: Gpu | None
    camera: Callable[[], CameraState]
    state: Callable[[], State]
    is_healthy: Callable[[], bool]
    ready: Callable[[], Health]
    reserve: Reserve
    failures: Failures
    certificates: Certificates
    announce: Callable[[EventName, str, str | None], None]
    """Tells an event of the camera on `model/event`: its type, a sentence, the frames' reason."""
    kept_pictures: KeptPictures | None = None
    parts: Callable[[], tuple[str, ...]] = tuple
    audit_keep_years: int | None = None
    wishes: Callable[[], tuple[str, ...]] = tuple
    """What is not as the desired state says."""
    files: Callable[[], tuple[str, ...]] = tuple
    """What is wrong with the station's own files."""
    unread: Callable[[], tuple[str, ...]] = tuple
    """Topics of orders that cannot be read."""
    store: Callable[[], str] = str
    """What is wrong with the store as a whole; "" if nothing is."""


class Keeper:
    """Looks around once a second on a thread of its own; also hears the camera's news."""

    def __init__(
        self,
        watched: Watched,
        reporter: Reporter,
        metrics: Metrics,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        self._watched = watched
        self._reporter = reporter
        self._metrics = metrics
        self._notifier = notifier
        self._clock = clock
        self._started_at = clock.now().at
        self._summary_at = self._started_at
        self._given_up_before = self._given_up_told = watched.journal.outbox_dropped()
        self._given_up_told_at = self._started_at - TELL_AGAIN_S
        self._witness = Witness(watched.journal, watched.audit_keep_years)
        self._is_ready = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the look in hand."""
        self._stopping.set()
        self._thread.join(2 * LOOK_S)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self._guarded_look()

    def _guarded_look(self) -> None:
        try:
            self.look()
        except Exception as error:  # the boundary: housekeeping must not end
            _log.exception("housekeeping_failed", error=repr(error))

    # ------------------------------------------------------------------ the camera's news

    def camera_up(self, shape: FrameShape, fps: float | None) -> None:
        self.report_camera()

    def camera_lost(self, error: CameraError) -> None:
        self.report_camera()

    def camera_ended(self) -> None:
        self.report_camera()

    def picture_bad(self, flaw: Flaw) -> None:
        message = f"The camera's picture {flaw.words}."
        self._watched.announce(EventName.PICTURE_BAD, message, flaw.reason.value)

    def picture_good(self, spell: Spell) -> None:
        ended = f"The camera's picture is good again; {spell.frames} frames in "
        ended += f"{spell.lasted_s:.1f} s were no evidence: it {spell.flaw.words}."
        self._watched.announce(EventName.PICTURE_GOOD, ended, spell.flaw.reason.value)

    def report_camera(self) -> None:
        """Tell of the camera where something changed."""
        state, ring = self._watched.camera(), self._watched.ring
        self._metrics.camera(state.state is CameraPhase.ONLINE)
        self._reporter.camera(
            payloads.CameraStatus(
                state=str(state.state),
                since=payloads.iso_utc(state.since.utc),
                source=state.source,
                width=state.width,
                height=state.height,
                fps=round(state.fps) if state.fps else None,
                error=state.error,
                previewed=ring.previewed if ring.is_open else 0,
            )
        )

    # ------------------------------------------------------------------ one look

    def look(self) -> None:
        """Everything once."""
        now = self._clock.now()
        self._watched.failures.look(now.at)
        self.report_camera()
        self._watched.certificates.look(now)
        self._set_gauges()
        watched = self._watched
        if watched.kept_pictures is not None:
            watched.kept_pictures.look(now)
        problems = self.problems()
        vitals = Vitals(
            watched.ledger.counts(),
            watched.ledger.recent(),
            problems,
            watched.session.lost,
            watched.journal.outbox_depth(),
            watched.journal.audit_head(),
        )
        self._reporter.health(vitals, watched.boot, now.at - self._started_at, now)
        self._tell_systemd(problems)
        self._look_at_disk(now)
        self._witness.look(now)
        if now.at - self._summary_at >= SUMMARY_S:
            self._summary_at = now.at
            self._log_summary()
            allocator.give_back()

    def _set_gauges(self) -> None:
        watched, metrics = self._watched, self._metrics
        metrics.mqtt(watched.session.online)
        metrics.store(not watched.store())
        metrics.outbox(watched.journal.outbox_depth())
        metrics.models(resident(watched.state()))
        for name, slot in watched.slots.items():
            metrics.slot_memory(name, "host", slot.memory_bytes())
        metrics.certificates(watched.certificates.ends)
        memory = watched.gpu.memory() if watched.gpu else None
        if memory:
            metrics.gpu(memory)

    def standing(self) -> Standing:
        """How the station stands, for the page and the health topic alike; any thread."""
        watched = self._watched
        ready = watched.ready()
        return Standing(watched.is_healthy(), ready.good, self._problems(ready))

    def problems(self) -> tuple[str, ...]:
        """What is not as it should be, a sentence each; any thread."""
        return self.standing().problems

    def _problems(self, ready: Health) -> tuple[str, ...]:
        watched = self._watched
        found = []
        if (broken := watched.ledger.first_violation) is not None:
            found.append(f"the ledger does not balance: {broken}")
        found.extend(each for each in ready.reasons if each != BROKER_AWAY)
        found.extend(_unvouched(watched.state()))
        camera = watched.camera()
        found.extend(f"the camera's picture {flaw.words}" for flaw in camera.flaws)
        if watched.kept_pictures is not None:
            found.extend(watched.kept_pictures.problems())
        found.extend(watched.parts())
        found.extend(watched.failures.problems())
        found.extend([watched.store()] if watched.store() else [])
        found.extend(watched.certificates.problems(self._clock.now().utc))
        found.extend(self._witness.problems(self._clock.now()))
        found.extend((*self._disk_problems(), *watched.wishes(), *watched.files()))
        found.extend((*watched.unread(), *watched.session.problems()))
        # Last: the line runs without a broker, and what else is amiss may not.
        return (*found, *(each for each in ready.reasons if each == BROKER_AWAY))

    def _disk_problems(self) -> Iterator[str]:
        journal = self._watched.journal
        if journal.trouble:
            yield f"the state is not saved: {journal.trouble}"
        given_up = journal.outbox_dropped() - self._given_up_before
        if given_up:
            yield f"{given_up} events and answers were given up: the broker was away for too long"

    def _look_at_disk(self, now: Instant) -> None:
        """A disk that refused is tried again; an outbox that overflows is told once a minute."""
        journal = self._watched.journal
        if journal.trouble:
            with suppress(StateError):  # it is in `problems` already
                journal.probe()
        elif self._watched.state().active is not None:
            self._watched.reserve.keep()
        given_up = journal.outbox_dropped()
        if given_up > self._given_up_told and now.at - self._given_up_told_at >= TELL_AGAIN_S:
            _log.error("outbox_overflowed", given_up=given_up - self._given_up_told)
            self._given_up_told, self._given_up_told_at = given_up, now.at

    def _tell_systemd(self, problems: tuple[str, ...]) -> None:
        """Ready once frames are judged; the watchdog is fed by completed inferences."""
        watched = self._watched
        active = watched.state().active_bundle
        camera = watched.camera()
        inspected = watched.ledger.counts().inspected
        line = f"{active.ref if active else 'no model'}, {camera.fps or 0:.0f} fps, camera "
        line += f"{camera.state}, broker {'online' if watched.session.online else 'away'}"
        away = camera.state is not CameraPhase.ONLINE
        if not self._is_ready and (inspected or away or watched.ring.is_open):
            self._is_ready = self._notifier.ready(line)
        else:
            news = [each for each in problems if each not in (NO_MODEL, BROKER_AWAY)]
            self._notifier.status("; ".join((line, *news[:1])))
        if watched.is_healthy():  # the same answer as that of `/healthz`
            self._notifier.watchdog()

    def _log_summary(self) -> None:
        watched = self._watched
        counts, latency = watched.ledger.counts(), watched.ledger.recent()
        active = watched.state().active_bundle
        camera = watched.camera()
        fps, picture = camera.fps, camera.measures
        _log.info(
            "line",
            model=str(active.ref) if active else None,
            fps=round(fps, 2) if fps else None,
            p50_ms=_rounded(latency.p50),
            p99_ms=_rounded(latency.p99),
            mean=_rounded(picture.mean) if picture else None,
            contrast=_rounded(picture.contrast) if picture else None,
            sharpness=_rounded(picture.sharpness) if picture else None,
            **vars(counts),
        )


def resident(state: State) -> Iterator[ModelRole]:
    """What the slots hold, and what for, as the metrics say it."""
    for slot in state.slots:
        if slot.bundle is not None:
            yield ModelRole(slot.bundle.ref, slot.bundle.sha256, slot.name, role(state, slot))


def _unvouched(state: State) -> Iterator[str]:
    """What judges, though it may not be loaded again; it is not torn off the line."""
    active = state.active_bundle
    for ref, why in state.refused:
        if active is not None and ref == active.ref and why.code is Code.NOT_TRUSTED:
            yield f"{ref} judges and is not trusted any more: {why.message} Swap to another version"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
