"""Rejected parts, one picture each."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.app.rejects import SHOWN, Rejects
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import UNASSIGNED, BundleRef, Detection, Verdict
from edge_daemon.frames.rejected import RejectedFolder

BOTTLE = BundleRef("bottle", "1.0.0")
FOUND = (
    Detection("bottle", 0.9, (1.0, 2.0, 3.0, 4.0)),
    Detection("dent", 0.8, (1.0, 2.0, 2.0, 3.0)),
)


def keep(folder: Path, *times: float) -> RejectedFolder:
    """A frame of a rejected part at each of these times."""
    kept = RejectedFolder(folder, 1 << 20)
    for frame, utc in enumerate(times):
        judged = Judged(
            frame, utc, utc, UNASSIGNED, Verdict.NG, model=BOTTLE, sha256="ab", detections=FOUND
        )
        kept.write(judged, b"picture")
    return kept


def rejecting(ref: BundleRef) -> frozenset[str]:
    return frozenset({"dent"}) if ref == BOTTLE else frozenset()


def test_a_part_is_shown_once_with_what_made_it_ng(tmp_path: Path) -> None:
    """Of the frames that show the same part the newest is shown; its bad classes are marked."""
    kept = keep(tmp_path, 1000.0, 1000.1, 1000.2, 1010.0, 1010.1)
    lines = Rejects(kept, rejecting).lines()
    assert [line.time for line in lines] == [
        "1970-01-01T00:16:50.100Z",
        "1970-01-01T00:16:40.200Z",
    ]
    assert [(each.label, each.rejects) for each in lines[0].detections] == [
        ("bottle", False),
        ("dent", True),
    ]


def test_only_so_many_are_shown(tmp_path: Path) -> None:
    """A bad shift does not fill the page."""
    kept = keep(tmp_path, *(1000.0 + 5 * number for number in range(SHOWN + 4)))
    assert len(Rejects(kept, rejecting).lines()) == SHOWN


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Only pictures that the folder has named itself can be asked for."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    kept = keep(tmp_path / "ng", 1000.0)
    rejects = Rejects(kept, rejecting)
    name = rejects.lines()[0].file
    assert rejects.picture(name) == b"picture"
    for stranger in ("../secret.jpg", f"../ng/{name}", f"{name}\n", name[:-3] + "json", "", "/etc"):
        assert rejects.picture(stranger) is None
    assert Rejects(None, rejecting).picture(name) is None


def test_a_picture_without_its_facts_is_shown_bare(tmp_path: Path) -> None:
    """Facts that are gone or broken cost the boxes, not the page."""
    kept = keep(tmp_path, 1000.0, 1010.0)
    newest, oldest = sorted(tmp_path.glob("*.json"), reverse=True)
    newest.unlink()
    oldest.write_bytes(b"[1, 2")
    assert [line.detections for line in Rejects(kept, rejecting).lines()] == [(), ()]
