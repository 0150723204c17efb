"""The composition root: builds the foundation and both wings of one device, and joins them.

Data: camera -> ring -> lane -> publisher. Commands: session -> driver -> loader -> crossing. What
starts later stops earlier.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import structlog

from edge_daemon import __version__
from edge_daemon.app.bays import Bays
from edge_daemon.app.control_wing import ControlWing
from edge_daemon.app.failures import Failures
from edge_daemon.app.foundation import Foundation
from edge_daemon.app.frame_wing import FrameNews, FrameWing
from edge_daemon.app.glance import Seen
from edge_daemon.app.keeper import Keeper, Watched
from edge_daemon.app.kept_pictures import KeptPictures
from edge_daemon.app.probe import Probe
from edge_daemon.app.pulse import Body, Pulse
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.reload import compare, merge
from edge_daemon.app.window import Window
from edge_daemon.app.wishes import Wishes
from edge_daemon.config import Settings
from edge_daemon.core.events import Event, SlotLost, StoodIn
from edge_daemon.core.values import BundleRef, Judged, Reason
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host import logs
from edge_daemon.host.certificates import Certificates
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.host.systemd import Notifier
from edge_daemon.parts.line import PartOutlets
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.twin import TwinSlot

_log = structlog.get_logger(__name__)

SWITCH_S = 0.0005
"""The interpreter's switch interval: the lane must not wait 5 ms for a thread that encodes JSON."""


class Daemon:
    """One device, from its settings to its last frame."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, engine: str = ENGINE
    ) -> None:
        self.settings = settings
        """Those that count now; `reload` replaces them."""
        self._refused: tuple[str, ...] = ()
        self._closing = ExitStack()
        with self._undone_on_error():
            self._build(Foundation.lay(settings, clock or SystemClock()), engine)

    def _undone_on_error(self) -> ExitStack:
        """What was opened is closed again when the block fails, and only then."""
        guard = ExitStack()
        guard.push(lambda kind, *_: self._closing.close() if kind else None)
        return guard

    # ------------------------------------------------------------------ building

    def _build(self, ground: Foundation, engine: str) -> None:
        self._ground = ground
        self._closing.callback(ground.journal.close)
        self.bays = Bays(ground, engine, self._stood_in)
        self._closing.callback(self.bays.close)
        self.frames = FrameWing(
            ground,
            self.bays.slots,
            FrameNews(self._judged, lambda it: self.control.crossed(it), self._slot_lost),  # noqa: PLW0108 - built below
        )
        self.control = ControlWing(ground, self.bays, self.frames, self._reached)
        self.frames.show(self.control.driver.state.line.requires)
        self.frames.count_parts(
            PartOutlets(
                self.control.tell_parts,
                lambda: self.control.driver.state.durable.trial is not None,
            )
        )
        parts, settings = self.frames.parts, ground.settings.parts
        if parts is not None and settings is not None and settings.by == "trigger":
            self.control.hear_triggers(parts)
        self._probe = Probe(self.frames.crossing, ground.clock)
        self._build_watchers()

    def _build_watchers(self) -> None:
        """Those who look at the whole: housekeeping, health, the page."""
        ground, frames, control = self._ground, self.frames, self.control
        body = Body(
            frames.ledger,
            ground.clock,
            lambda: control.driver.state,
            lambda: frames.camera,
            lambda: control.session.online,
            self._probe,
        )
        pulse, tls = Pulse(body), ground.settings.mqtt.tls
        self._wishes = Wishes(ground, control)
        collector = frames.collector
        kept = KeptPictures(collector, control.announce, ground.metrics) if collector else None
        self._notifier = Notifier.from_environ(os.environ)
        self.watched = Watched(
            boot=ground.boot,
            ring=frames.ring,
            ledger=frames.ledger,
            slots=frames.crossing.slots,
            journal=ground.journal,
            session=control.session,
            gpu=ground.gpu,
            camera=body.camera,
            state=body.state,
            is_healthy=lambda: pulse.health().good,
            ready=pulse.ready,
            reserve=ground.reserve,
            certificates=Certificates(tls.certificate, tls.ca) if tls else Certificates(),
            failures=Failures(
                lambda: frames.ledger.reasons().get(Reason.INFERENCE_FAILED, 0),
                lambda: frames.line.failure,
                control.tell_event,
            ),
            audit_keep_years=ground.settings.audit.keep_years,
            wishes=self._wishes.remarks,
            files=self._told_of_files,
            unread=control.orders.problems,
            announce=control.announce,
            kept_pictures=kept,
            parts=frames.parts.problems if frames.parts else tuple,
            store=lambda: control.storekeeper.problem,
        )
        self.keeper = Keeper(
            self.watched, control.reporter, ground.metrics, self._notifier, ground.clock
        )
        frames.watch_camera(self.keeper)
        seen = Seen(
            settings=ground.settings,
            boot=ground.boot,
            started=ground.started,
            clock=ground.clock,
            ledger=frames.ledger,
            slots=frames.crossing.slots,
            journal=ground.journal,
            session=control.session,
            rejects=Rejects(frames.rejected, self._rejecting),
            pulse=pulse,
            camera=body.camera,
            state=body.state,
            model_state=lambda: control.desk.model_state,
            standing=self.keeper.standing,
        )
        self._window = Window(seen, frames.pictures, ground.metrics, control.on_request)

    # ------------------------------------------------------------------ running

    def start(self) -> None:
        """Everything, in order. Frames count from the first model on."""
        sys.setswitchinterval(SWITCH_S)
        with self._undone_on_error():
            self._start()
        _log.info(
            "started",
            device=self.settings.device,
            boot=self._ground.boot,
            version=__version__,
        )

    def _start(self) -> None:
        closing, frames, control = self._closing, self.frames, self.control
        closing.callback(frames.close)
        closing.callback(self._probe.close)
        frames.start_lane()
        closing.callback(frames.stop_lane)
        control.start_driver()
        closing.callback(control.stop_driver)
        closing.callback(self.bays.keep_twin(lambda: frames.crossing.pointer.slot))
        frames.start_camera()
        closing.callback(frames.stop_camera)
        control.start_edges()
        closing.callback(control.stop_edges)
        self._wishes.start()
        closing.callback(self._wishes.stop)
        self.keeper.start()
        closing.callback(self.keeper.stop)
        self._window.start()
        closing.callback(self._window.stop)

    def stop(self) -> None:
        """Let the line run dry, tell what is to be told, and end every part."""
        self._notifier.stopping("Stopping")
        self.frames.stop_camera()
        self.frames.stop_lane()
        self._closing.close()
        counts = self.frames.ledger.counts()
        _log.info("stopped", balanced=counts.balanced, **vars(counts))

    def reload(self, settings: Settings) -> None:
        """Take over what may change while frames are judged; name what waits for a restart."""
        self._notifier.reloading(self._ground.clock.now())
        try:
            changes = compare(self.settings, settings)
            merged = merge(self.settings, settings)
            self.control.reload(merged, changes)
            self.settings = merged
            self._refused = ()
            logs.configure(merged.log.level)
            _log.info("reloaded", applied=changes.applied, need_restart=changes.need_restart)
        finally:
            self._notifier.ready()

    def refuse_reload(self, error: Exception) -> None:
        """The settings that count stay; why is told in the log, and in health until a good file."""
        known = isinstance(error, EdgeDaemonError)
        told = str(error) if known else repr(error)
        _log.error("reload_refused", error=told, exc_info=not known)
        first, *more = told.splitlines()
        others = f" (and {len(more)} more)" if more else ""
        self._refused = (f"the settings file was not taken over: {first}{others}",)

    def broken(self) -> BaseException | None:
        """What ended a part that the daemon cannot go on without."""
        return self.frames.failure or self.control.driver.failure

    @property
    def http_port(self) -> int:
        """Where the status page is; 0 where there is none."""
        return self._window.port

    # ------------------------------------------------------------------ between the wings

    def _told_of_files(self) -> tuple[str, ...]:
        """What is wrong with the files that this station reads."""
        recovery = self._ground.journal.recovered
        anew = () if recovery is None else (f"{recovery.cause}: the journal begins anew",)
        return (*self._refused, *anew, *(str(each) for each in self._ground.aside))

    def _judged(self, judged: Judged) -> None:
        self._window.glance.judged(judged)
        self.control.tell_result(judged)

    def _reached(self, event: Event) -> None:
        self._window.glance.reached(event)

    def _slot_lost(self, token: int, why: str) -> None:
        self._ground.metrics.slot_restarted("lost")
        self.control.driver.post(SlotLost(token, why))

    def _stood_in(self, slot: TwinSlot, why: str) -> None:
        self._ground.metrics.slot_restarted("stood_in")
        _log.warning("twin_stood_in", slot=slot.name, why=why)
        self.control.driver.post(StoodIn(self.frames.crossing.token_of(slot), why))

    def _rejecting(self, ref: BundleRef) -> frozenset[str]:
        """The classes that make a part ng, by the bundle that judged it."""
        try:
            return self._ground.store.manifest(ref).recipe.reject
        except EdgeDaemonError:
            return frozenset()
