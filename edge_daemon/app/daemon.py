"""The composition root: builds the resources and both sides of one device, and connects them.

Data: camera -> ring -> lane -> publisher. Commands: session -> driver -> loader -> slots.
What starts later stops earlier.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random

import structlog

from edge_daemon import __version__
from edge_daemon.app.bundle_sources import BundleSources
from edge_daemon.app.campaigns import Campaigns, filters_of
from edge_daemon.app.collecting import CollectedPictures
from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.copied_pictures import CopiedPictures
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.drifts import Drifts
from edge_daemon.app.failures import Failures
from edge_daemon.app.fleet_report import FleetReports
from edge_daemon.app.housekeeping import AuditAnchors, DiskWatch, Summary
from edge_daemon.app.judged_models import JudgedModels
from edge_daemon.app.monitor import Monitor
from edge_daemon.app.page import Page
from edge_daemon.app.page_server import PageServer
from edge_daemon.app.part_results import PartResults, part_line
from edge_daemon.app.parts_view import PartsView
from edge_daemon.app.picture_losses import DISPUTED, NG_IMAGES, PICTURES, PictureLosses, Wording
from edge_daemon.app.probe import Probe
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.reload import SettingsFile, compare, merge
from edge_daemon.app.reports import CameraNews, Reports
from edge_daemon.app.resources import Resources
from edge_daemon.app.results import Results
from edge_daemon.app.rollout_view import RolloutView
from edge_daemon.app.service_manager import ServiceManager
from edge_daemon.app.slot_pool import SlotPool
from edge_daemon.app.status import Status
from edge_daemon.app.status_source import StatusSource, Watches
from edge_daemon.config import Settings
from edge_daemon.control.desired_state import DesiredContext, DesiredState
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.core.values import BundleRef, Reason
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.collector import Collector
from edge_daemon.host import logs
from edge_daemon.host.certificates import Certificates
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.host.systemd import Notifier
from edge_daemon.messaging.connection import SessionSpec
from edge_daemon.messaging.mqtt import Session
from edge_daemon.messaging.topics import Topics
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.spare import SparePool

_log = structlog.get_logger(__name__)

SWITCH_S = 0.0005
"""The interpreter's switch interval: the lane must not wait 5 ms for a thread that encodes JSON."""


class Daemon:
    """One device, from its settings to its last frame.

    Args:
        spares: its workers, where they were begun before it; they end with it.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        engine: str = ENGINE,
        spares: SparePool | None = None,
    ) -> None:
        self.settings = settings
        """The settings in force; `reload` replaces them."""
        self._settings_file = SettingsFile()
        self._closing = ExitStack()
        with self._undone_on_error():
            if spares is not None:
                self._closing.callback(spares.close)
            self._build(Resources.lay(settings, clock or SystemClock()), engine, spares)

    def _undone_on_error(self) -> ExitStack:
        """Closes what was opened if the block fails, and only then."""
        guard = ExitStack()
        guard.push(lambda kind, *_: self._closing.close() if kind else None)
        return guard

    # ------------------------------------------------------------------ building

    def _build(self, resources: Resources, engine: str, spares: SparePool | None) -> None:
        """Build the mailbox first: every part has something to tell the driver."""
        self.resources = resources
        settings, mailbox = resources.settings, Mailbox()
        self._closing.callback(resources.journal.close)
        self.slot_pool = SlotPool(resources, engine, mailbox.put, spares)
        self._closing.callback(self.slot_pool.close)
        topics = Topics(settings.root)
        session = Session(
            SessionSpec(
                settings.mqtt, topics, settings.device, settings.heard_filters, filters_of(settings)
            ),
            resources.clock,
            Random(),  # noqa: S311 - jitter
        )
        self._results = Results(session, topics, resources.boot, settings.results.publish)
        self._parts = part_line(resources)
        if self._parts is not None:
            self._results.parts_of = self._parts.parts_of
        self.frames = DataPlane(
            resources, self.slot_pool.slots, mailbox.put, self._results.judged, self._parts
        )
        self.control = ControlPlane(
            resources, self.slot_pool, self.frames, mailbox, session, self._results.inspected
        )
        control = self.control
        self._part_results = PartResults(
            resources,
            control.outbox.wake,
            lambda: control.driver.state,
            control.reporter.counts,
            self.frames.part_pictures,
        )
        if (collecting := self.frames.collecting) is not None:
            self._part_results.listeners.append(collecting.store.told)
        self._camera_news = CameraNews(self.frames, self.control.reporter, mailbox.put)
        self._drifts = self._build_drifts()
        self._build_monitor()

    def _build_drifts(self) -> Drifts | None:
        settings, frames = self.resources.settings, self.frames
        if settings.drift is None:
            return None
        drifts = Drifts(
            settings.drift,
            self._parts.rules.by if self._parts is not None else None,
            lambda: frames.camera.measures,
            self.control.mailbox.put,
            self.resources.metrics,
            settings.state_folder,
        )
        self._results.on_judged = drifts.judged
        self._part_results.listeners.append(drifts.told)
        return drifts

    def _build_monitor(self) -> None:
        resources, frames, control = self.resources, self.frames, self.control
        self._desired = self._desired_state()
        self._campaigns = Campaigns(resources, control, frames.line)
        self._sources = BundleSources(resources, control.mailbox.put, control.lineage)
        self._judged = JudgedModels(
            resources, frames.ledger.totals, lambda: control.driver.state.active_bundle
        )
        self.probe = Probe(frames.active_slot, resources.clock)
        watches = self._build_watches()
        self._notifier = Notifier.from_environ(os.environ)
        self.monitor = Monitor(
            StatusSource(resources, frames, control, self._results, watches),
            frames.ledger,
            resources.metrics,
            watches=watches.each,
            readers=(
                self.probe.hear,
                Reports(control.reporter, resources.boot, resources.started).hear,
                self._campaigns.hear,
                *self._fleet_report(),
                ServiceManager(self._notifier).hear,
                DiskWatch(resources.journal, resources.reserve).hear,
                AuditAnchors(resources.journal, resources.settings.audit.keep_years).hear,
                Summary(resources.started.at).hear,
                self._judged.hear,
            ),
        )
        parts = PartsView(resources, self._part_results, self._parts) if self._parts else None
        rejects = Rejects(frames.rejected, self._rejecting)
        rollout = RolloutView(resources, lambda: control.reporter.rollout_state, frames.disputed)
        page = Page(resources, self.monitor, rejects, rollout, parts)
        self._page = PageServer(
            page, self.monitor, frames.pictures, control.take_request, control.preview
        )

    def _build_watches(self) -> Watches:
        frames, control, metrics = self.frames, self.control, self.resources.metrics
        tls = self.resources.settings.mqtt.tls

        def losses(collector: Collector | None, wording: Wording) -> PictureLosses | None:
            put = control.mailbox.put
            return PictureLosses(collector, put, metrics, wording) if collector else None

        kept: tuple[PictureLosses | CollectedPictures | None, ...] = (
            losses(frames.collector, NG_IMAGES),
            losses(frames.archiver, PICTURES),
            self._collected_pictures(),
        )
        return Watches(
            self.probe,
            Failures(
                lambda: frames.ledger.reasons().get(Reason.INFERENCE_FAILED, 0),
                lambda: frames.line.failure,
                control.tell_event,
            ),
            Certificates(tls.certificate, tls.ca) if tls else Certificates(),
            tuple(each for each in kept if each is not None),
            losses(frames.disputes, DISPUTED),
            self._copied_pictures(),
            self._sources,
            self._drifts,
            self._campaigns,
            self._file_remarks,
        )

    def _file_remarks(self) -> Sequence[str]:
        """What is to be said of the files that are read: desired state, settings, state."""
        desired = self._desired.remarks() if self._desired is not None else ()
        recovery = self.resources.journal.recovered
        anew = () if recovery is None else (f"{recovery.cause}: the journal begins anew",)
        aside = map(str, self.resources.aside)
        return (*desired, *self._settings_file.problems, *anew, *aside)

    def _desired_state(self) -> DesiredState | None:
        """What a fleet's file asks of this station; None if no file is configured."""
        resources, control = self.resources, self.control
        settings = resources.settings
        if settings.desired is None:
            return None
        context = DesiredContext(
            resources.clock,
            lambda: control.driver.state,
            resources.journal.find_request,
            control.mailbox.put_request,
        )
        return DesiredState(settings.desired.file, settings.state_folder, context)

    def _fleet_report(self) -> tuple[Callable[[Status], None], ...]:
        fleet = self.resources.settings.fleet
        if fleet is None:
            return ()
        reporter, campaigns = self.control.reporter, self._campaigns
        return (FleetReports(self.resources, fleet, reporter, campaigns).hear,)

    def _collected_pictures(self) -> CollectedPictures | None:
        collecting, drifts = self.frames.collecting, self._drifts
        if collecting is None:
            return None
        watch = CollectedPictures(collecting, self.control.mailbox.put, self.resources.metrics)
        if drifts is not None:
            watch.alarm = lambda: bool(drifts.problems())
        return watch

    def _copied_pictures(self) -> CopiedPictures | None:
        copies, pictures = self.frames.copies, self.frames.part_pictures
        if copies is None or pictures is None:
            return None
        put, metrics = self.control.mailbox.put, self.resources.metrics
        return CopiedPictures(copies, pictures, put, metrics)

    # ------------------------------------------------------------------ running

    def start(self) -> None:
        """Start everything in order. Frames count from the first model on."""
        sys.setswitchinterval(SWITCH_S)
        with self._undone_on_error():
            self._start()
        _log.info(
            "started",
            device=self.settings.device,
            boot=self.resources.boot,
            version=__version__,
        )

    def _start(self) -> None:
        closing, frames, control = self._closing, self.frames, self.control
        closing.callback(frames.close)
        closing.callback(self.probe.close)
        if self._drifts is not None:
            self._drifts.start()
            closing.callback(self._drifts.stop)
        if self._parts is not None:
            self._parts.start(self._part_results)
            closing.callback(self._parts.stop)
        frames.start_lane()
        closing.callback(frames.stop_lane)
        control.start_driver()
        closing.callback(control.stop_driver)
        closing.callback(self.slot_pool.keep_standby(lambda: frames.active_slot.pointer.slot))
        frames.start_camera(self._camera_news)
        closing.callback(frames.stop_camera)
        control.start_edges(closing)
        if self._desired is not None:
            self._desired.start()
            control.mailbox.call(self._desired.begin)
            closing.callback(self._desired.stop)
        self._campaigns.start()
        closing.callback(self._campaigns.stop)
        self._sources.start()
        closing.callback(self._sources.stop)
        self.monitor.start()
        closing.callback(self.monitor.stop)
        self._page.start()
        closing.callback(self._page.stop)

    def stop(self) -> None:
        """Judge the frames that are left, publish what must be published, and end every part."""
        self._notifier.stopping("Stopping")
        self.frames.stop_camera()
        self.frames.stop_lane()
        if self._parts is not None:
            self._parts.stop()
        self._judged.save()
        self._closing.close()
        counts = self.frames.ledger.counts()
        _log.info("stopped", balanced=counts.balanced, **vars(counts))

    def reload(self, settings: Settings) -> None:
        """Apply what may change while frames are judged; report what needs a restart."""
        self._notifier.reloading(self.resources.clock.now())
        try:
            changes = compare(self.settings, settings)
            merged = merge(self.settings, settings)
            self.control.reload(merged, changes)
            self._results.publish = merged.results.publish
            self.settings = merged
            self._settings_file.taken()
            logs.configure(merged.log.level)
            _log.info("reloaded", applied=changes.applied, need_restart=changes.need_restart)
        finally:
            self._notifier.ready()

    def refuse_reload(self, error: Exception) -> None:
        """Keep the current settings; the log says why, and health until a good file is read."""
        self._settings_file.refuse(error)

    def broken(self) -> BaseException | None:
        """The error that ended a part without which the daemon cannot continue."""
        return self.frames.failure or self.control.driver.failure

    @property
    def http_port(self) -> int:
        """The port of the status page; 0 if there is none."""
        return self._page.port

    # ------------------------------------------------------------------ between the planes

    def _rejecting(self, ref: BundleRef) -> frozenset[str]:
        """The classes that make a part ng, by the bundle that judged it."""
        try:
            return self.resources.store.manifest(ref).recipe.reject
        except EdgeDaemonError:
            return frozenset()
