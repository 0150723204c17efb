"""The station at one moment, as one frozen value that all readers share.

`/metrics`, the health topic, systemd's status and the status page are all made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.core.judged import Judged
from edge_daemon.core.state import State
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import Instant, Latency
from edge_daemon.frames.camera_state import CameraPhase, CameraState
from edge_daemon.host.audit import Anchor
from edge_daemon.host.gpu import GpuMemory
from edge_daemon.host.health import Health, Signs, healthy, ready
from edge_daemon.messaging.payloads import ModelState


@dataclass(frozen=True)
class LineStatus:
    """What health depends on; made in microseconds. `totals` are of one moment, and balance."""

    now: Instant
    state: State
    camera: CameraState
    totals: Totals = Totals()
    broker_online: bool = False
    answered_at: float | None = None
    """When the model answered the last probe, in monotonic seconds."""

    @property
    def camera_online(self) -> bool:
        return self.camera.state is CameraPhase.ONLINE


@dataclass(frozen=True)
class FramesStatus:
    """The frames beyond their totals. `latency` is of the last ones, from capture to verdict."""

    is_open: bool = False
    """Whether frames are counted yet: they are from the first model on."""
    previewed: int = 0
    """Frames that were only shown, before they were counted."""
    latency: Latency = Latency()
    violation: str | None = None
    """The first frame that broke the ledger's promise, as a sentence."""
    last: Judged | None = None


@dataclass(frozen=True)
class JournalStatus:
    """The journal, its outbox and its audit trail."""

    trouble: str = ""
    """What the disk refused last; empty since a write that it took."""
    waiting: int = 0
    """Messages that wait for the broker."""
    given_up: int = 0
    """Messages that were given up since the start, because the outbox was full."""
    audit: Anchor = Anchor()
    newest_utc: float = 0.0


@dataclass(frozen=True)
class BoxStatus:
    """The machine. `certificates`: POSIX seconds at which each file of mqtt.tls ends."""

    slot_memory: Mapping[str, int] = field(default_factory=dict)
    gpu: GpuMemory | None = None
    certificates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failing:
    """Inferences that keep failing: how many in the last minute, and the reason of the last one."""

    frames: int
    why: str


@dataclass(frozen=True)
class PicturesLost:
    """Pictures that were not kept.

    `what` they are of; `fault`: why the disk takes none; `lost_at`: when one was lost last, in
    monotonic seconds.
    """

    fault: str | None = None
    lost_at: float = float("-inf")
    what: str = "pictures of rejected parts"


@dataclass(frozen=True)
class Status:
    """Everything known about the station."""

    line: LineStatus
    signs: Signs
    model: ModelState = ModelState()
    """As it stands on `model/state`."""
    stages: Mapping[int, str] = field(default_factory=dict)
    """How far each job on a slot is, by its token."""
    frames: FramesStatus = FramesStatus()
    journal: JournalStatus = JournalStatus()
    results_lost: int = 0
    sources_up: Mapping[str, bool] = field(default_factory=dict)
    """Address of each source of bundles -> whether it could be asked."""
    box: BoxStatus = BoxStatus()
    failing: Failing | None = None
    pictures_lost: tuple[PicturesLost, ...] = ()
    """Of `results.ng_images`, `results.pictures` and `collect`, where they are set."""
    store_trouble: str = ""
    """A sentence while the store is missing, unreadable or suddenly empty."""
    remarks: tuple[str, ...] = ()
    """What the parts report of themselves, a sentence each."""

    @property
    def healthy(self) -> Health:
        """Whether inference continues whenever there is something to infer.

        The service manager's watchdog and `/healthz` are both told this.
        """
        return healthy(self.signs, self.line.now.at)

    @property
    def ready(self) -> Health:
        """Whether the station does all of its work now."""
        return ready(self.signs, self.line.now.at)
