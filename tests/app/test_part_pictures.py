"""The daemon keeps pictures of its parts, and they are found by what the line called them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_daemon.core.parts.values import Opened, Triggered
from edge_daemon.core.traceability import draw
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.picture_index import find_pictures
from tests.sim.device import Device, wait_until

B1 = "bottle@1.0.0"


def station(folder: Path, parts: dict[str, Any], **pictures: Any) -> Device:
    results = {"publish": "none", "pictures": {"folder": str(folder), **pictures}}
    return Device(B1, settings={"results": results, "parts": parts})


def facts(folder: Path) -> list[dict[str, Any]]:
    read = (json.loads(path.read_text()) for path in folder.glob("*/*/*.json"))
    return sorted(read, key=lambda each: int(each["frame"]))


def test_a_share_of_the_good_ones_is_kept_with_its_part(tmp_path: Path) -> None:
    """Whoever knows the boot can tell which; each has the number of its part beside it."""
    with station(tmp_path, {"by": "frame"}, ok_share=0.3, uninspected=False) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        wait_until(lambda: daemon.frames.ledger.counts().inspected > 60, "frames")
        archiver = daemon.frames.archiver
        assert archiver is not None
        device.stop()
        assert archiver.tally.failed == 0
        missed = archiver.tally.missed
    kept = facts(tmp_path)
    assert kept
    assert {each["verdict"] for each in kept} <= {"ok", "empty"}
    (boot,) = {each["boot"] for each in kept}
    last = int(kept[-1]["frame"])
    drawn = [n for n in range(last + 1) if draw(boot, n) < 0.3]
    assert {int(each["frame"]) for each in kept} <= set(drawn)
    assert missed or len(kept) >= len(drawn) // 2, "frames before the first model have no verdict"
    assert all([part["part"] for part in each["parts"]] == [each["frame"]] for each in kept)


def test_a_triggered_part_is_found_by_its_serial_number(tmp_path: Path) -> None:
    """Its pictures lie on the disk before its result is told, and are called by it afterwards."""
    parts = {"by": "trigger", "window_ms": [0, 200]}
    missing = str(tmp_path / "not mounted")
    with station(tmp_path, parts, ok_share=1.0, copy_to=missing) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        line = daemon.frames.parts
        assert line is not None
        wait_until(lambda: daemon.frames.ledger.counts().captured > 5, "a camera that runs")
        opened: list[Opened] = []
        now = SystemClock().now()
        assert line.trigger(Triggered("t-1", now, now.at, serial="SN/77"), opened.append)
        wait_until(lambda: find_pictures(tmp_path, "SN/77"), "its pictures")
        (row,) = daemon.resources.journal.parts(1, "SN/77")
        copies = daemon.frames.copies
        assert copies is not None
        wait_until(lambda: copies.trouble, "a word of the share that is not there")
        assert any("pictures are not copied" in each for each in daemon.monitor.problems())
    found = find_pictures(tmp_path, "SN/77")
    assert found == find_pictures(tmp_path, "t-1")
    assert {each.part.part for each in found} == {opened[0].part}
    result = json.loads(row.body)
    assert result["pictures"] == [str(each.path.relative_to(tmp_path)) for each in found]
    assert row.picture == result["pictures"][0]
    for each in found:
        assert each.path.name.startswith("SN_77-")
        assert each.path.exists()
