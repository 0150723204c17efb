"""The collector in the station: wired to lane, parts, feedback, metrics, health and settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_daemon.app.collecting import CollectedPictures, borrowed
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.collecting.store import Overruled
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Detection, Instant, Recipe, StoredBundle, Verdict
from edge_daemon.frames.part_pictures import PartPictures, RetentionLimits
from edge_daemon.slots.active import Cutover, Pointer
from tests.app.test_data_plane import REF, Plane
from tests.collecting.test_line import Line
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC, told
from tests.sim.device import wait_until
from tests.sim.resources import resources


def test_the_wing_collects_what_the_settings_ask_for(tmp_path: Path) -> None:
    """One of ten parts for the audit: exactly those whose draw says so."""
    plane = Plane(tmp_path)
    settings: dict[str, Any] = {
        "camera": {"source": "conveyor:", "fps": 200},
        "collect": {"folder": str(tmp_path / "kept"), "reasons": {"audit": 0.1}},
    }
    with resources(tmp_path, **settings) as laid:
        frames = DataPlane(laid, {"A": plane.slot}, plane.put.append, plane.judged.append)
        frames.start_lane()
        frames.start_camera(plane)
        frames.active_slot.ready("A", 7)
        frames.active_slot.ask(Cutover(3, Pointer(plane.slot, StoredBundle(REF, "ab")), "s-1"))
        frames.line.open()
        wait_until(lambda: len(plane.judged) > 60, "verdicts")
        frames.stop_camera()
        frames.stop_lane()
        frames.close()
        assert frames.collecting is not None
        kept = [each.record for each in Catalogue(tmp_path / "kept")]
        missed = frames.collecting.writer.tally.missed
    assert all(each.parts[0].draw < 0.1 == each.parts[0].probability for each in kept)
    assert {each.boot for each in kept} == {laid.boot}
    assert 1 <= len(kept) + missed < 60


def test_what_is_kept_and_lost_is_counted_and_an_alarm_becomes_a_reason(tmp_path: Path) -> None:
    """Looked at once a second: metrics by reason, events and health of losses, drift."""
    line = Line(tmp_path, {Why.NG: 1.0, Why.DRIFT: 1.0}, places=8, room=3)
    told: list[Noticed] = []
    with resources(tmp_path) as laid:
        watch = CollectedPictures(line.collector, told.append, laid.metrics)
        watch.alarm = lambda: True
        for _ in range(5):
            line.offer(line.judge(Verdict.NG))
        watch.look(Instant(100.0, UTC))
        assert line.collector.drifts
        line.offer(line.judge())
        line.end()
        watch.look(Instant(101.0, UTC))
        metrics = laid.metrics.render().decode()
    assert 'edge_collected_total{reason="ng"} 3.0' in metrics
    assert 'edge_collect_lost_total{why="missed"} 3.0' in metrics
    (event,) = told
    assert event.event is EventName.COLLECT_MISSED
    assert event.message.startswith("Pictures for training were not kept: 2 came faster")
    assert watch.lost.lost_at >= 100.0


def test_a_station_that_collects_nothing_has_no_collector(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    with resources(tmp_path) as laid:
        frames = DataPlane(laid, {"A": plane.slot}, plane.put.append, plane.judged.append)
        assert frames.collecting is None
        frames.close()


def test_an_overruled_part_is_borrowed_from_the_pictures_of_parts(tmp_path: Path) -> None:
    """Nobody collected it; its picture is kept for traceability, as the camera gave it."""
    pictures = PartPictures(tmp_path, RetentionLimits(10**7), "b1", lambda: 0.0)
    recipe = Recipe.rejecting(0.3, "scratch")
    frame = replace(judged(5), recipe=recipe, size=(64, 48))
    found = (Detection("scratch", 0.9, (1.0, 2.0, 30.0, 40.0)),)
    pictures.write(replace(frame, detections=found), JPEG)
    pictures.told([told(812, 5, serial="SN-1")])
    pictures.close()
    record, content = borrowed(tmp_path, 1.0, Overruled("b1", 812)) or (None, b"")
    assert record is not None
    assert content == JPEG
    assert (record.leading, record.frame, record.size) == (Why.OVERRULED, 5, (64, 48))
    assert record.opinions[0].found[0].box == (1.0, 2.0, 30.0, 40.0)
    assert record.parts[0].told is not None
    assert record.parts[0].told.serial == "SN-1"
    assert borrowed(tmp_path, 0.0, Overruled("b1", 812)) is None, "it was not drawn"
    assert borrowed(tmp_path, 1.0, Overruled("b1", 813)) is None
    assert json.loads(next(tmp_path.glob("*/*/*.json")).read_text())["boot"] == "b1"
    (facts,) = tmp_path.rglob("*.json")
    for content in ('{"parts": []}', "[" * 100_000, "[5]", ""):
        facts.write_text(content)
        assert borrowed(tmp_path, 1.0, Overruled("b1", 812)) is None, content[:9]
