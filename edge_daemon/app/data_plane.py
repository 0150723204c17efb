"""The data side: camera -> ring -> lane -> verdict, with the pictures and the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog

from edge_daemon.app.collecting import line_collector, pusher
from edge_daemon.app.resources import Resources
from edge_daemon.core.events import SlotLost
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By
from edge_daemon.core.rollout.values import Assigned, Pair
from edge_daemon.frames.annotated import annotated
from edge_daemon.frames.arms import Arms
from edge_daemon.frames.camera_state import CameraListener, CameraState, Patience
from edge_daemon.frames.capture import Capture
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.collector import DISPUTED, PICTURES, Collector, as_jpeg
from edge_daemon.frames.copy_places import place_of
from edge_daemon.frames.disputed import DisputedFolder, is_disputed
from edge_daemon.frames.images import Pictures
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.part_pictures import PartPictures, RetentionLimits
from edge_daemon.frames.picture_copies import PictureCopies
from edge_daemon.frames.publisher import Publisher
from edge_daemon.frames.rejected import RejectedFolder
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.shadow import Shadow, ShadowOutlets
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.error_boundary import end_of
from edge_daemon.parts.line import PartLine
from edge_daemon.slots.active import ActiveSlot, Crossed
from edge_daemon.slots.frame_control import RolloutOutlets
from edge_daemon.slots.slot import Slot

_log = structlog.get_logger(__name__)

DRAIN_S = 3.0
"""How long the lane may take for the frames that are left at a stop."""


class _Worker(Protocol):
    """What works on threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class DataPlane:
    """Every part that a frame passes, built in the order in which it passes them.

    Args:
        slots: by name.
        put: takes what the lane has to say; from its own thread, without waiting.
        judged: told each verdict, in order, on the publisher's thread.
        parts: told each capture and each verdict, and never waits; None: no parts are counted.
    """

    def __init__(
        self,
        resources: Resources,
        slots: Mapping[str, Slot],
        put: Callable[[Crossed | SlotLost], None],
        judged: Callable[[Judged], None],
        parts: PartLine | None = None,
    ) -> None:
        settings = resources.settings
        self._metrics = resources.metrics
        self._put = put
        self.parts = parts
        latest = settings.camera.policy == "latest"
        self.ring = Ring(settings.camera.buffer_frames, latest=latest, opened=False)
        self.active_slot = ActiveSlot(slots, self.ring.wake)
        self.ledger = Ledger()
        ng = settings.results.ng_images
        self.rejected = RejectedFolder(ng.folder, ng.quota_mb << 20) if ng else None
        room = max(1, settings.camera.buffer_frames // 4)
        self.collector = (
            Collector(self.ring, self.rejected, as_jpeg(self.rejected), room=room)
            if self.rejected
            else None
        )
        self.part_pictures = _part_pictures(resources)
        self.archiver = self._archive(resources, room)
        self.copies = _copies(resources, self.part_pictures)
        self.disputed = _disputed(resources)
        by = By.FRAME if parts is None else parts.rules.by
        self.disputes = self._collect_disputes(by, room)
        self.collecting = line_collector(resources, self.ring, by, room)
        self.push = pusher(resources)
        self.pictures = Pictures(self.ring, view_width=settings.http.view_width)
        if parts is not None:
            self.ring.on_capture = parts.captured
        self.rollouts = RolloutOutlets()
        """Where pairs and the loss of a candidate go; set before the first split."""
        arms = self._build_arms(resources.boot, settings.camera.buffer_frames)
        self.shadow = Shadow(
            self.ring,
            self.active_slot,
            resources.boot,
            parts.rules if parts is not None else None,
            ShadowOutlets(self._paired, arms.lose, self._looked),
        )
        beside: tuple[_Worker | None, ...] = (
            *(self.pictures, self.shadow, self.collector, self.archiver, self.disputes),
            *(self.collecting, self.push, self.copies),
        )
        self._beside = [each for each in beside if each is not None]
        self._publisher = Publisher(lambda _: self.shadow.pass_on(), judged)
        if parts is not None:
            parts.on_told = self.shadow.told
            if self.collecting is not None:
                parts.on_seen = self.collecting.seen
        outlets = Outlets(self._tell, self._offer, put, self._lost)
        self.line = LiveLine(self.ring, self.ledger, resources.clock, outlets)
        self._lane = Lane(self.ring, self.active_slot, self.line, resources.clock.now, arms=arms)
        if parts is not None and parts.rules.by is not By.FRAME:
            self._lane.is_split = parts.is_split
        self._lane_thread = threading.Thread(target=self._run_lane, name="lane", daemon=True)
        self._clock = resources.clock
        self._capture = Capture(
            lambda: open_camera(settings.camera, self.making),
            self.ring,
            resources.clock.now,
            Patience.of(settings.camera),
            settings.camera.picture.limits,
        )
        self.failure: BaseException | None = None
        """The error that ended the lane; without a lane the daemon ends."""

    def _build_arms(self, boot: str, room: int) -> Arms:
        """Whose verdict counts while a candidate is tried; parts of several frames know theirs."""
        parts = self.parts
        assigned_of: Callable[[int], Assigned | None] | None = None
        if parts is not None and parts.rules.by is not By.FRAME:
            # Where several parts are in view, a frame is of no arm, and each part of its own.
            assigned_of = parts.assigned_of if parts.rules.by is By.TRIGGER else lambda _: None
        if parts is not None:
            self.active_slot.on_split = parts.split
        return Arms(self.active_slot, boot, self._candidate_lost, assigned_of, room=room)

    def _paired(self, pair: Pair) -> None:
        self.rollouts.pair(pair)
        if self.disputed is not None:
            self.disputed.paired(pair)

    def _candidate_lost(self, rollout: str, guard: str, why: str) -> None:
        self.rollouts.candidate_lost(rollout, guard, why)

    @property
    def camera(self) -> CameraState:
        return self._capture.state

    def _archive(self, resources: Resources, room: int) -> Collector | None:
        """Keeps pictures of parts; None if the settings do not ask for it."""
        settings = resources.settings.results.pictures
        if self.part_pictures is None or settings is None:
            return None
        wants = partial(settings.choice.wants, resources.boot)
        draw = annotated if settings.drawn else None
        prepare = as_jpeg(self.part_pictures, draw)
        return Collector(
            self.ring, self.part_pictures, prepare, room=room, wants=wants, events=PICTURES
        )

    def _collect_disputes(self, by: By, room: int) -> Collector | None:
        """Keeps pictures of parts on which a candidate disagrees."""
        folder = self.disputed
        if folder is None:
            return None

        def wants(judged: Judged) -> bool:
            return folder.has_room and is_disputed(judged, by)

        return Collector(
            self.ring, folder, as_jpeg(folder), room=room, wants=wants, events=DISPUTED
        )

    def _lost(self, token: int, why: str) -> None:
        self._metrics.slot_restarted("lost")
        self._put(SlotLost(token, why))

    def _tell(self, judged: Judged) -> None:
        if self.parts is not None:
            self.parts.judged(judged)
        self._publisher.put(judged)

    def _looked(self, judged: Judged, captured: Captured) -> None:
        if self.collecting is not None:
            self.collecting.looked(judged, captured)
        if self.disputes is not None:
            self.disputes.offer(judged, captured)

    def _offer(self, judged: Judged, captured: Captured) -> None:
        if self.collecting is not None:
            self.collecting.offer(judged, captured)
        if self.collector is not None:
            self.collector.offer(judged, captured)
        if self.archiver is not None and self.archiver.offer(judged, captured):
            assert self.part_pictures is not None
            self.part_pictures.expect(judged)
        if self.disputes is not None:
            self.disputes.offer(judged, captured)
        self.pictures.offer(judged, captured)
        # The last: it may take the lane's own lease of the pixels.
        self.shadow.offer(judged, captured, is_gap=self.ring.depth == 0)

    def making(self) -> str | None:
        """The bundle name that a frame captured now is stamped with."""
        return self.ring.upcoming(self._clock.now().at).requires

    # ------------------------------------------------------------------ running

    def start_lane(self) -> None:
        for worker in self._beside:
            worker.start()
        self._publisher.start()
        self._lane_thread.start()

    def start_camera(self, listener: CameraListener) -> None:
        self._capture.start(listener)

    def stop_camera(self) -> None:
        self._capture.stop()
        self.ring.close()

    def stop_lane(self) -> None:
        """Judge the captured frames; what cannot be judged soon is `uninspected (stopped)`."""
        self.ring.close()
        if self._lane_thread.is_alive():
            self._lane_thread.join(DRAIN_S)
        if self._lane_thread.is_alive():
            self._lane.give_up()
            self._lane_thread.join(DRAIN_S)
        self._publisher.stop(5.0)

    def close(self) -> None:
        """End the pictures, after the last verdict was told."""
        for worker in self._beside:
            worker.stop()

    def _run_lane(self) -> None:
        self.failure = end_of(self._lane.run, _log, "lane_failed")


def _part_pictures(resources: Resources) -> PartPictures | None:
    settings = resources.settings.results.pictures
    if settings is None:
        return None
    keeping = RetentionLimits(settings.quota_mb << 20, settings.days)
    return PartPictures(settings.folder, keeping, resources.boot, lambda: resources.clock.now().utc)


def _disputed(resources: Resources) -> DisputedFolder | None:
    """Pictures for the page's questions; there are none without a page."""
    settings = resources.settings
    quota_mb = settings.rollouts.keep.pictures_mb
    if settings.http.address is None or not quota_mb:
        return None
    return DisputedFolder(settings.state_folder / "disagreements", quota_mb << 20)


def _copies(resources: Resources, pictures: PartPictures | None) -> PictureCopies | None:
    settings = resources.settings.results.pictures
    place = place_of(settings) if settings is not None else None
    if pictures is None or settings is None or place is None:
        return None
    now = resources.clock.now
    return PictureCopies(settings.folder, place, lambda: pictures.is_open, lambda: now().utc)
