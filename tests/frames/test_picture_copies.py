"""Every kept picture reaches the other place, whatever happens to it meanwhile."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.frames.copy_places import FolderPlace
from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.frames.picture_copies import BEHIND_S, SETTLE_S, PictureCopies
from edge_daemon.host.blame import MOST_TRIES
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC, kept, names, told


def copies(folder: Path, target: Path, utc: float = UTC + 1000.0) -> PictureCopies:
    return PictureCopies(folder, FolderPlace(target), lambda: True, lambda: utc)


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
    assert (first.trouble, first.waiting) == ("the place to copy to is not there", 2)
    assert not share.exists(), "a mount point that is missing is not made"
    share.mkdir()
    first.copy_all()
    assert first.trouble is None
    assert names(share) == names(folder)
    assert len(list(share.rglob("*.json"))) == 2
    later = copies(folder, share)  # another life
    later.copy_all()
    assert (first.tally.copied, later.tally.copied) == (2, 0)


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
    assert each.trouble is None
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
    assert each.tally.copied == 30
    assert names(share) == names(folder)


class Archive(FolderPlace):
    """A folder that keeps what it has: some pictures it refuses for good."""

    def __init__(self, target: Path, *refused: str) -> None:
        super().__init__(target)
        self.refused = refused

    def put(self, path: str, content: bytes) -> None:
        if any(mark in path for mark in self.refused):
            raise PermissionError(13, "Permission denied")
        super().put(path, content)


def test_one_picture_that_is_refused_for_good_blocks_no_other(tmp_path: Path) -> None:
    """It is given up once the place has taken others in its stead again and again, and counted."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    refused = [f"-{frame:09d}-" for frame in (1, 2, 3, 4)]
    each = PictureCopies(folder, Archive(share, *refused), lambda: True, lambda: UTC + 1000.0)
    pictures = written(folder, 1, 2, 3, 4, 5)
    for frame in range(10, 30):
        each.copy_all()
        pictures.write(judged(frame), JPEG)
    for _ in range(2):
        each.copy_all()
    tally = each.tally
    assert (tally.copied, tally.given_up, each.waiting, each.trouble) == (21, 4, 0, None)
    assert len(names(share)) == 21
    assert tally.failed >= 4 * MOST_TRIES
    again = copies(folder, share)  # another life
    again.copy_all()
    assert again.tally.copied == 0, "what was given up stays given up"


def test_an_outage_gives_up_nothing(tmp_path: Path) -> None:
    """However often it is tried meanwhile: nothing else was taken instead."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    place = Archive(share, "-ng")
    each = PictureCopies(folder, place, lambda: True, lambda: UTC + 1000.0)
    written(folder, *range(12))
    for _ in range(30):
        each.copy_all()
    assert (each.tally.given_up, each.waiting) == (0, 12)
    place.refused = ()
    each.copy_all()
    assert (each.tally.copied, each.tally.given_up, each.trouble) == (12, 0, None)


def test_a_picture_that_has_gone_was_taken_by_no_place(tmp_path: Path) -> None:
    """It counts as no copy, and gives up no picture that a full place refuses meanwhile."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    place = Archive(share, "-ng")
    each = PictureCopies(folder, place, lambda: True, lambda: UTC + 1000.0)
    pictures = written(folder, 1)
    for frame in range(2, 3 + MOST_TRIES):
        each.copy_all()
        pictures.write(judged(frame), JPEG)
        (folder / names(folder)[-1]).unlink()
    each.copy_all()
    assert (each.tally.copied, each.tally.given_up, each.waiting) == (0, 0, 1)
    place.refused = ()
    each.copy_all()
    assert (each.tally.copied, len(names(share))) == (1, 1)


def test_a_place_that_is_too_slow_is_named(tmp_path: Path) -> None:
    """Nothing fails, and yet a picture waits for a quarter of an hour."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    utc = [UTC + 1 + SETTLE_S / 2]
    each = PictureCopies(folder, FolderPlace(share), lambda: True, lambda: utc[0])
    written(folder, 1)
    each.copy_all()
    assert (each.waiting, each.trouble) == (1, None)
    utc[0] += BEHIND_S + SETTLE_S
    assert each.trouble is not None
    assert each.trouble.endswith("is too slow for them")
    each.copy_all()
    assert (each.waiting, each.trouble) == (0, None)


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path: Path) -> None:
    """Its part is told between the read and the mark: the copy gets the part, too."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    pictures = written(folder, 1)

    class Meanwhile(FolderPlace):
        def put(self, path: str, content: bytes) -> None:
            super().put(path, content)
            if path.endswith(".jpg") and not told_already:
                told_already.append(path)
                pictures.told([told(7, 1)])
                pictures.tend()

    told_already: list[str] = []
    each = PictureCopies(folder, Meanwhile(share), lambda: True, lambda: UTC + 1000.0)
    for _ in range(2):
        each.copy_all()
    (name,) = names(share)
    assert (share / name).with_suffix(".json").read_bytes() == (
        (folder / name).with_suffix(".json").read_bytes()
    )
    assert each.tally.copied == 2


def test_what_was_drawn_is_copied_too(tmp_path: Path) -> None:
    """With the clean picture and its JSON, byte for byte."""
    folder, share = tmp_path / "kept", tmp_path / "share"
    share.mkdir()
    kept(folder).write(judged(1), JPEG, JPEG[:-1])
    each = copies(folder, share)
    each.copy_all()
    assert names(share) == names(folder)
    assert [(share / name).read_bytes() for name in names(share)] == [JPEG[:-1], JPEG]
