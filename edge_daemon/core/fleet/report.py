"""What one station of many says of itself, as values.

A report is complete in itself: whoever reads the newest one of each station knows who has what.
`boot` and `seq` say which of two is newer; the station's clock does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

SILENT_AFTER = 3  # reports that do not come, after which a station is silent


class Phase(str, Enum):
    """How far a station is with a bundle."""

    FETCHING = "fetching"
    HAVE = "have"
    WAITING = "waiting"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    HELD = "held"
    EXCLUDED = "excluded"


@dataclass(frozen=True)
class ReportedBundle:
    """A bundle in the station's store: `name@version` and the digest of its weights."""

    model: str
    sha256: str


SliceCounts = Mapping[str, Mapping[str, int]]
"""By slice: `n` bad parts (or objects), how many of them the `old` and the `new` model found, and
how many more only one of them rejects without anybody knowing what they are: `only_old`,
`only_new`."""


@dataclass(frozen=True)
class Measures:
    """What the station measured of the campaign's bundle, beside the one before.

    Args:
        counts: parts of the line that both models judged, by what they truly are: from the
            station's rollouts.
        golden: objects on the bundle's golden images, the same ones at every station.
        frames: since it judges by the bundle, in this run of the daemon.
        uninspected: those of them that have no verdict, dropped ones too.
        before_ms, after_ms: the 99th percentile of a frame, from the receipt of the swap.
    """

    counts: SliceCounts = field(default_factory=dict)
    golden: SliceCounts = field(default_factory=dict)
    frames: int = 0
    uninspected: int = 0
    before_ms: float | None = None
    after_ms: float | None = None

    @property
    def slower(self) -> float | None:
        """How many times as long a frame takes; None where that was not measured."""
        if not self.before_ms or self.after_ms is None:
            return None
        return self.after_ms / self.before_ms


@dataclass(frozen=True)
class CampaignStatus:
    """How the station stands in a campaign: what it has heard of it, and what became of it here.

    Args:
        opened: the highest wave that is open, as the station heard it; -1: none.
        wave: the station's own; None where it is in none.
        from_sha256: the digest that it judged by when it joined.
        bytes: of the bundle: how many came from the `origin`, and how many from `peers`.
        goes_back: whether those that have the bundle go back, by the stop that it heard.
    """

    campaign: str
    serial: int
    phase: Phase
    opened: int = -1
    stopped: bool = False
    wave: int | None = None
    from_sha256: str | None = None
    why: str | None = None
    measures: Measures = Measures()
    bytes: Mapping[str, int] = field(default_factory=dict)
    goes_back: bool = False


@dataclass(frozen=True)
class Chain:
    """The newest row of the station's audit trail, and its hash."""

    seq: int
    hash: str


@dataclass(frozen=True)
class Report:
    """One station at one moment.

    Args:
        said_utc: by the station's clock, POSIX seconds.
        every_s: after so many seconds it says it again.
        phase: of the campaign where it is in one, else of the active model; None without a model.
        model: what it judges by; None: nothing.
        stored: the bundles of its store, the one that judges first.
        stored_more: how many of them are left out.
        receipt: of the swap that made `model` active.
        proof: the row of the audit trail that holds the digest of that receipt.
        fresh_until: until when the fleet's metadata is believed there, POSIX seconds; None: it is
            not asked, or never came.
    """

    device: str
    boot: str
    seq: int
    said_utc: float
    every_s: int
    version: str
    site: str | None = None
    group: str | None = None
    phase: Phase | None = None
    model: str | None = None
    sha256: str | None = None
    stored: tuple[ReportedBundle, ...] = ()
    stored_more: int = 0
    held: bool = False
    receipt: str | None = None
    chain: Chain | None = None
    proof: Chain | None = None
    campaign_status: CampaignStatus | None = None
    is_healthy: bool = True
    fresh_until: float | None = None
