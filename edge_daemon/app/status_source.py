"""Makes the station's status by asking each part for its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Union

from edge_daemon.app.bundle_sources import BundleSources
from edge_daemon.app.campaigns import Campaigns
from edge_daemon.app.collecting import CollectedPictures
from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.copied_pictures import CopiedPictures
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.drifts import Drifts
from edge_daemon.app.failures import Failures
from edge_daemon.app.monitor import Watch
from edge_daemon.app.picture_losses import PictureLosses
from edge_daemon.app.probe import Probe
from edge_daemon.app.resources import Resources
from edge_daemon.app.results import Results
from edge_daemon.app.status import BoxStatus, FramesStatus, JournalStatus, LineStatus, Status
from edge_daemon.host.certificates import Certificates
from edge_daemon.host.health import Signs


class _Reporter(Protocol):
    """A part that reports of itself."""

    def problems(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Watches:
    """What the monitor looks at, and what it reports of it.

    `kept`: folders whose losses are a problem of health. `remarks`: of the files that are read.
    """

    probe: Probe
    failures: Failures
    certificates: Certificates
    kept: Sequence[Union[PictureLosses, CollectedPictures]]
    disputes: PictureLosses | None
    copies: CopiedPictures | None
    sources: BundleSources
    drifts: Drifts | None
    campaigns: Campaigns
    remarks: Callable[[], Sequence[str]]

    @property
    def each(self) -> tuple[Watch, ...]:
        watches: tuple[Watch | None, ...] = (
            *(self.failures, self.certificates, *self.kept),
            *(self.copies, self.disputes),
        )
        return tuple(each for each in watches if each is not None)


class StatusSource:
    """Implements the monitor's `Sources`; any thread may ask, and nothing here waits."""

    def __init__(
        self,
        resources: Resources,
        frames: DataPlane,
        control: ControlPlane,
        results: Results,
        watches: Watches,
    ) -> None:
        self._resources, self._frames, self._control = resources, frames, control
        self._results, self._watches = results, watches
        self._given_up_before = resources.journal.outbox_dropped()

    def line(self) -> LineStatus:
        return LineStatus(
            self._resources.clock.now(),
            self._control.driver.state,
            self._frames.camera,
            self._frames.ledger.totals(),
            self._control.session.online,
            self._watches.probe.answered_at,
        )

    def status(self, line: LineStatus, signs: Signs) -> Status:
        control, watches = self._control, self._watches
        return Status(
            line,
            signs,
            model=control.reporter.model_state,
            stages=control.stages,
            frames=self._frames_status(),
            journal=self._journal_status(),
            results_lost=control.session.lost,
            sources_up=watches.sources.up(),
            box=self._box_status(),
            failing=watches.failures.now,
            pictures_lost=tuple(each.lost for each in watches.kept),
            store_trouble=control.store_upkeep.problem,
            remarks=self._remarks(),
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

    def _remarks(self) -> tuple[str, ...]:
        control, frames, watches = self._control, self._frames, self._watches
        reporters: tuple[_Reporter | None, ...] = (
            *(control.orders, control.feedback, control.session),
            *(frames.parts, watches.copies, watches.sources, frames.push),
            *(control.webhooks, watches.drifts, watches.campaigns),
        )
        told = (each.problems() for each in reporters if each is not None)
        return (*watches.remarks(), *(sentence for several in told for sentence in several))
