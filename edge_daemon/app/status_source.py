"""Makes the station's status by asking each part for its own."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.app.bundle_sources import BundleSources
from edge_daemon.app.campaigns import Campaigns
from edge_daemon.app.collecting import CollectedPictures
from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.copied_pictures import CopiedPictures
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.desired_source import DesiredSource
from edge_daemon.app.drifts import Drifts
from edge_daemon.app.failures import Failures
from edge_daemon.app.monitor import Watch
from edge_daemon.app.picture_losses import PictureLosses
from edge_daemon.app.probe import Probe
from edge_daemon.app.reload import SettingsFile
from edge_daemon.app.resources import Resources
from edge_daemon.app.results import Results
from edge_daemon.app.status import (
    BoxStatus,
    FramesStatus,
    JournalStatus,
    LineStatus,
    PicturesLost,
    Remarks,
    Status,
)
from edge_daemon.host.certificates import Certificates
from edge_daemon.host.health import Signs


@dataclass(frozen=True)
class Parts:
    """The parts of the station."""

    resources: Resources
    frames: DataPlane
    control: ControlPlane
    results: Results


@dataclass(frozen=True)
class Watches:
    """What the monitor looks at, and what it reports of it."""

    probe: Probe
    failures: Failures
    pictures: PictureLosses | None
    part_pictures: PictureLosses | None
    certificates: Certificates
    copies: CopiedPictures | None = None
    sources: BundleSources | None = None
    disputes: PictureLosses | None = None
    collected: CollectedPictures | None = None
    drifts: Drifts | None = None
    campaigns: Campaigns | None = None

    @property
    def each(self) -> tuple[Watch, ...]:
        """Those that are looked at once a second."""
        pictures = (
            self.pictures,
            self.part_pictures,
            self.copies,
            self.disputes,
            self.collected,
        )
        kept = (each for each in pictures if each is not None)
        return (self.failures, self.certificates, *kept)


class StatusSource:
    """Implements the monitor's `Sources`; any thread may ask, and nothing here waits."""

    def __init__(
        self, parts: Parts, watches: Watches, wishes: DesiredSource, settings_file: SettingsFile
    ) -> None:
        self._resources = parts.resources
        self._frames = parts.frames
        self._control = parts.control
        self._results = parts.results
        self._watches = watches
        self._wishes = wishes
        self._settings_file = settings_file
        self._given_up_before = parts.resources.journal.outbox_dropped()

    def line(self) -> LineStatus:
        """What health depends on, now."""
        return LineStatus(
            self._resources.clock.now(),
            self._control.driver.state,
            self._frames.camera,
            self._frames.ledger.totals(),
            self._control.session.online,
            self._watches.probe.answered_at,
        )

    def status(self, line: LineStatus, signs: Signs) -> Status:
        """Everything else, together with these."""
        control, watches = self._control, self._watches
        pictures, part_pictures = watches.pictures, watches.part_pictures
        return Status(
            line,
            signs,
            model=control.reporter.model_state,
            stages=control.stages,
            frames=self._frames_status(),
            journal=self._journal_status(),
            results_lost=control.session.lost,
            box=self._box_status(),
            failing=watches.failures.now,
            pictures=PicturesLost() if pictures is None else pictures.lost,
            part_pictures=PicturesLost() if part_pictures is None else part_pictures.lost,
            collected=PicturesLost() if watches.collected is None else watches.collected.lost,
            remarks=self._remarks(),
            sources_up={} if watches.sources is None else watches.sources.up(),
        )

    def _frames_status(self) -> FramesStatus:
        ring, ledger = self._frames.ring, self._frames.ledger
        return FramesStatus(
            ring.is_open,
            ring.previewed if ring.is_open else 0,
            ledger.recent(),
            ledger.first_violation,
            self._results.last,
        )

    def _journal_status(self) -> JournalStatus:
        journal = self._resources.journal
        return JournalStatus(
            journal.trouble,
            journal.outbox_depth(),
            journal.outbox_dropped() - self._given_up_before,
            journal.audit_head(),
            journal.newest_utc,
        )

    def _box_status(self) -> BoxStatus:
        slots, gpu = self._frames.active_slot.slots, self._resources.gpu
        return BoxStatus(
            {name: slot.memory_bytes() for name, slot in slots.items()},
            gpu.memory() if gpu else None,
            self._watches.certificates.ends,
        )

    def _remarks(self) -> Remarks:
        resources, control = self._resources, self._control
        recovery = resources.journal.recovered
        anew = () if recovery is None else (f"{recovery.cause}: the journal begins anew",)
        return Remarks(
            control.store_upkeep.problem,
            self._wishes.remarks(),
            (*self._settings_file.problems, *anew, *(str(each) for each in resources.aside)),
            (*control.orders.problems(), *control.feedback.problems()),
            control.session.problems(),
            () if self._frames.parts is None else self._frames.parts.problems(),
            () if self._watches.copies is None else self._watches.copies.problems(),
            () if self._watches.sources is None else self._watches.sources.problems(),
            () if self._frames.push is None else self._frames.push.problems(),
            control.webhooks.problems(),
            () if self._watches.drifts is None else self._watches.drifts.problems(),
            () if self._watches.campaigns is None else self._watches.campaigns.problems(),
        )
