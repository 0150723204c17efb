"""Nothing is lost in silence: pictures that were not kept are an event, a problem and a count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from edge_daemon.app.picture_losses import MISSED_AGAIN_S, PICTURES, REMOVED_AGAIN_S, PictureLosses
from edge_daemon.app.problems import pictures_lost
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.values import Instant
from edge_daemon.frames.collector import PictureCounts
from edge_daemon.host.metrics import Metrics
from tests.sim.status import station


@dataclass
class Folder:
    """What a collector says of itself."""

    tally: PictureCounts = PictureCounts()
    fault: str | None = None


@dataclass
class Rig:
    """A day at the folder, with what was told."""

    folder: Folder = field(default_factory=Folder)
    metrics: Metrics = field(default_factory=Metrics)
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pictures = PictureLosses(self.folder, self.tell, self.metrics)  # type: ignore[arg-type]

    def tell(self, noticed: Noticed) -> None:
        self.told.append((noticed.event, noticed.message))

    def look(self, at: float, **more: int) -> list[str]:
        added = {name: vars(self.folder.tally)[name] + count for name, count in more.items()}
        self.folder.tally = replace(self.folder.tally, **added)
        now = Instant(at, at)
        self.pictures.look(now)
        return list(pictures_lost(station(now=now, pictures_lost=(self.pictures.lost,))))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_first_loss_is_told_at_once_and_more_once_a_minute(rig: Rig) -> None:
    """However many are lost each second, every one of them is in an event's count."""
    assert rig.look(0.0, kept=5) == []
    assert rig.look(1.0, missed=2) == [
        "pictures of rejected parts come faster than they can be written"
    ]
    for second in range(2, 130):
        rig.look(float(second), missed=1)
    counts = [message.split(": ")[1].split(" ")[0] for _, message in rig.told]
    assert counts == ["2", "60", "60"]
    assert {event for event, _ in rig.told} == {"ng_images_missed"}
    assert rig.look(129.0 + MISSED_AGAIN_S) == []
    assert sum(int(m.split(": ")[1].split(" ")[0]) for _, m in rig.told) == 130
    assert b'edge_ng_images_total{outcome="missed"} 130.0' in rig.metrics.render()
    assert b'edge_ng_images_total{outcome="kept"} 5.0' in rig.metrics.render()


def test_a_disk_that_takes_none_is_a_problem_until_it_does(rig: Rig) -> None:
    """The cause stands in the event and in health, also while no part is rejected."""
    rig.folder.fault = "No space left on device"
    assert rig.look(0.0, failed=1) == [
        "pictures of rejected parts cannot be kept: No space left on device"
    ]
    (event,) = rig.told
    assert event[1].endswith("1 were not taken by the disk (No space left on device).")
    assert rig.look(1000.0) != []
    rig.folder.fault = None
    assert rig.look(1001.0, kept=1) == []


def test_a_full_quota_is_told_and_is_no_problem(rig: Rig) -> None:
    """The settings ask for it: at once, then a count an hour."""
    assert rig.look(0.0, removed=3) == []
    for minute in range(1, 61):
        assert rig.look(minute * 60.0, removed=1) == []
    assert [event for event, _ in rig.told] == ["ng_images_removed"] * 2
    assert "the 3 oldest" in rig.told[0][1]
    assert "the 60 oldest" in rig.told[1][1]
    assert REMOVED_AGAIN_S == 3600.0


def test_pictures_of_parts_are_told_in_their_own_words(rig: Rig) -> None:
    """Both folders may be kept side by side: events, health and counts tell them apart."""
    collector, metrics = Folder(), Metrics()
    pictures = PictureLosses(collector, rig.tell, metrics, PICTURES)  # type: ignore[arg-type]
    collector.tally, collector.fault = (
        PictureCounts(kept=4, failed=2, removed=3),
        "No space left on device",
    )
    pictures.look(Instant(0.0, 0.0))
    assert rig.told == [
        (
            "pictures_missed",
            "Pictures of parts were not kept: 2 were not taken by the disk"
            " (No space left on device).",
        ),
        ("pictures_removed", "By quota_mb or days of results.pictures the 3 oldest pictures went."),
    ]
    assert list(pictures_lost(station(pictures_lost=(pictures.lost,)))) == [
        "pictures of parts cannot be kept: No space left on device"
    ]
    assert b'edge_pictures_total{outcome="failed"} 2.0' in metrics.render()
    assert b'edge_ng_images_total{outcome="failed"}' not in metrics.render()
