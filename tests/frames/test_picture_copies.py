"""Every kept picture reaches the other place, whatever happens to it meanwhile."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.frames.picture_copies import SETTLE_S, PictureCopies
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC, kept, names, told


def copies(folder: Path, target: Path, utc: float = UTC + 1000.0) -> PictureCopies:
    return PictureCopies(folder, target, lambda: True, lambda: utc)


def written(folder: Path, *frames: int) -> PartPictures:
    pictures = kept(folder)
    for frame in frames:
        pictures.write(judged(frame), JPEG)
    return pictures


def test_an_outage_loses_no_picture(tmp_path: Path) -> None:
    """The share is away, then there: all are copied, with their JSON, and once only."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    written(folder, 1, 2)
    first = copies(folder, share)
    first.copy_all()
    (problem,) = first.problems()
    assert problem == "pictures are not copied (2 wait): the place to copy to is not there"
    assert not share.exists(), "a mount point that is missing is not made"
    share.mkdir()
    first.copy_all()
    assert first.problems() == ()
    assert names(share) == names(folder)
    assert len(list(share.rglob("*.json"))) == 2
    later = copies(folder, share)  # another life
    later.copy_all()
    assert (first.copied, later.copied) == (2, 0)


def test_a_picture_is_copied_with_its_part(tmp_path: Path) -> None:
    """It waits a little for the result of its part, which gives it its name."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    pictures = written(folder, 1)
    copies(folder, share, UTC + 1 + SETTLE_S / 2).copy_all()
    assert names(share) == []
    pictures.told([told(7, 1, serial="SN-1")])
    pictures.tend()
    copies(folder, share).copy_all()
    (name,) = names(share)
    assert "/SN-1-" in name


def test_what_has_gone_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """The quota or a person took it before its turn; the others are copied."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    written(folder, 1, 2, 3)
    (folder / names(folder)[1]).unlink()
    each = copies(folder, share)
    each.copy_all()
    assert each.problems() == ()
    assert names(share) == names(folder)
    assert len(names(share)) == 2


def test_the_thread_copies_while_pictures_are_written(tmp_path: Path) -> None:
    """Two connections to one index: neither waits for the other for long, nothing is lost."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    pictures = kept(folder)
    pictures.tend()
    each = copies(folder, share)
    for frame in range(30):
        pictures.write(judged(frame), JPEG)
        if frame % 10 == 0:
            each.copy_all()
    each.copy_all()
    assert each.copied == 30
    assert names(share) == names(folder)
