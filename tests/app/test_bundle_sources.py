"""A station with sources: what comes and what is refused is told, in events and in health."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any, cast

from edge_daemon.app.bundle_sources import BundleSources
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.lineage import LineageBook, lineage_report
from edge_daemon.core.event_names import EventName
from tests.sim.bundles import make_bundle, noise
from tests.sim.resources import resources


def test_events_health_and_metrics(tmp_path: Path) -> None:
    """A good bundle and a bad one: one comes, the other is a problem; the source is up."""
    make_bundle(tmp_path / "usb", "bottle@1.0.0")
    (make_bundle(tmp_path / "usb", "can@1.0.0") / "weights.pt").write_bytes(noise("bad"))
    models = {"bottle": "newest", "can": "newest"}
    source = {"folder": str(tmp_path / "usb"), "models": models}
    told: queue.Queue[Noticed] = queue.Queue()
    with resources(tmp_path, sources=cast("Any", [source])) as laid:
        book = LineageBook(laid.journal, laid.store.manifest, lambda: 1_800_000_000.0)
        sources = BundleSources(laid, told.put, book)
        sources.start()
        came, refused = told.get(timeout=20), told.get(timeout=20)
        sources.stop()
        assert (came.event, str(came.model)) == (EventName.SOURCE_PULLED, "bottle@1.0.0")
        assert refused.event is EventName.SOURCE_REFUSED
        assert [str(known.ref) for known in laid.store.available()] == ["bottle@1.0.0"]
        source = lineage_report(laid.journal, "bottle@1.0.0")["source"]
        assert (source["kind"], source["url"]) == ("folder", str(tmp_path / "usb"))
        (problem,) = sources.problems()
        assert problem in refused.message
        laid.metrics.sources({str(tmp_path / "usb"): True})


def test_without_sources_nothing_is_started(tmp_path: Path) -> None:
    """As before."""
    with resources(tmp_path) as laid:
        book = LineageBook(laid.journal, laid.store.manifest, lambda: 0.0)
        sources = BundleSources(laid, lambda _: None, book)
        sources.start()
        assert sources.problems() == ()
        assert sources.up() == {}
        sources.stop()
