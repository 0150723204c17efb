"""Pictures that are not where they should be are an event, a problem of health and a count."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.app.copied_pictures import TOLD_AGAIN_S, CopiedPictures
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.values import Instant
from edge_daemon.frames.copy_places import FolderPlace
from edge_daemon.frames.part_pictures import PartPictures, RetentionLimits
from edge_daemon.frames.picture_copies import PictureCopies
from edge_daemon.host.metrics import Metrics
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC


class Station:
    """A folder of pictures, a share that may be away, and whoever is told."""

    def __init__(self, folder: Path, quota_bytes: int = 10**7) -> None:
        self.share = folder / "share"
        self.pictures = PartPictures(
            folder / "kept", RetentionLimits(quota_bytes), "b1", lambda: UTC
        )
        place = FolderPlace(self.share)
        copies = PictureCopies(folder / "kept", place, lambda: True, lambda: UTC + 500.0)
        self.pictures.tend()  # as the daemon does before the first picture
        self.copies, self.metrics = copies, Metrics()
        self.told: list[Noticed] = []
        self.watch = CopiedPictures(copies, self.pictures, self.told.append, self.metrics)

    def look(self, at: float) -> tuple[str, ...]:
        self.copies.copy_all()
        self.watch.look(Instant(at, at))
        return self.watch.problems()

    def write(self, *frames: int) -> None:
        for frame in frames:
            self.pictures.write(judged(frame), JPEG)

    @property
    def events(self) -> list[str]:
        return [each.event.value for each in self.told]


def test_a_share_that_is_away_is_told_and_its_return_too(tmp_path: Path) -> None:
    """Once each, however often it is tried; a share that comes and goes, once a minute."""
    station = Station(tmp_path)
    assert station.look(0.0) == ()
    station.write(1, 2)
    for second in range(1, 20):
        assert station.look(float(second)) == (
            "pictures are not copied (2 wait): the place to copy to is not there",
        )
    assert station.events == ["pictures_not_copied"]
    assert b"edge_picture_copies_waiting 2.0" in station.metrics.render()
    station.share.mkdir()
    assert station.look(20.0) == ()
    assert station.events == ["pictures_not_copied", "pictures_copied_again"]
    assert b'edge_picture_copies_total{outcome="copied"} 2.0' in station.metrics.render()
    station.share.rename(tmp_path / "elsewhere")
    station.write(3)
    assert station.look(21.0) != ()
    assert len(station.events) == 2
    station.look(1.0 + TOLD_AGAIN_S)
    assert station.events[2:] == ["pictures_not_copied"]


def test_what_the_quota_takes_before_it_was_copied_is_no_secret(tmp_path: Path) -> None:
    """The disk is bounded: the oldest go, and those that no other place has are counted."""
    station = Station(tmp_path, quota_bytes=4 * (len(JPEG) + 500))
    station.share.mkdir()
    station.write(1, 2)
    assert station.look(0.0) == ()
    station.share.rename(tmp_path / "elsewhere")
    station.write(*range(10, 20))
    problems = station.look(1.0)
    removed, lost = station.pictures.removed, station.pictures.never_copied
    assert lost == removed - 2, "two of them lie in the other place"
    assert lost > 3
    assert problems[1] == f"{lost} pictures were never copied and are given up"
    assert station.events == ["pictures_not_copied", "pictures_given_up"]
    assert station.told[1].message.startswith(f"{lost} pictures were never copied")
    given_up = f'edge_picture_copies_total{{outcome="given_up"}} {lost}.0'
    assert given_up.encode() in station.metrics.render()
