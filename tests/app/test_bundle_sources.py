"""A station with sources: what comes and what is refused is told, in events and in health."""

from __future__ import annotations

import json
import queue
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from edge_daemon.app.bundle_sources import BundleSources
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.lineage import LineageBook, lineage_report, row_of
from edge_daemon.core.event_names import EventName
from edge_daemon.core.lineage import Origin
from edge_daemon.core.rollout.plan import as_mapping, read_plan
from edge_daemon.host.journal import Entry
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry
from edge_daemon.models.bundle import read_manifest
from tests.sim.bundles import make_bundle, noise
from tests.sim.mlflow import MlflowShelf
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
        came, refused = told.get(timeout=60), told.get(timeout=60)
        sources.stop()
        assert (came.event, str(came.model)) == (EventName.SOURCE_PULLED, "bottle@1.0.0")
        assert refused.event is EventName.SOURCE_REFUSED
        assert [str(known.ref) for known in laid.store.available()] == ["bottle@1.0.0"]
        source = lineage_report(laid.journal, "bottle@1.0.0")["source"]
        assert (source["kind"], source["url"]) == ("folder", str(tmp_path / "usb"))
        (problem,) = sources.problems()
        assert problem in refused.message
        laid.metrics.sources({str(tmp_path / "usb"): True})


def test_mlflow_hears_what_became_of_its_bundle(tmp_path: Path) -> None:
    """By a tag of the version: first the stage, then the end; each once."""
    shelf = tmp_path / "shelf"
    made = make_bundle(shelf, "bottle@1.0.0")
    with MlflowShelf(shelf).serving() as server, ExitStack() as stack:
        assert isinstance(server, MlflowShelf)
        server.versions["bottle-model", "3"] = f"mlflow-artifacts:/{made.relative_to(shelf)}"
        source = {
            "mlflow": server.url,
            "models": {"bottle": "bottle-model/3"},
            "write_back": True,
        }
        laid = stack.enter_context(resources(tmp_path, sources=cast("Any", [source])))
        book = LineageBook(laid.journal, laid.store.manifest, lambda: 0.0)
        origin = Origin("mlflow", server.url, "bottle-model", "aa", "3")
        book.came(row_of(read_manifest(made), 1.0, origin))
        sources = BundleSources(laid, lambda _: None, book)
        plan = {"plan": as_mapping(read_plan({"canary_traffic": 0.1}))}
        progress: dict[str, object] = {"entered": [[1, 0.1, 5.0]], "why": ""}
        steps = ({}, {"ended": "rollout_stopped", "ended_why": "low_light -7 pts"})
        words = []
        for ended_utc, step in zip((None, 9.0), steps, strict=True):
            told = json.dumps({**progress, **step}).encode()
            row = RolloutRow(
                *("r1", 1.0, ended_utc, "bottle@1.0.0", "bottle@0.9.0"),
                json.dumps(plan).encode(),
                told,
            )
            laid.journal.commit(Entry(rollouts=RolloutsEntry(row)))
            sources.write_back.look()
            sources.write_back.look()
            words.append(server.tags["bottle-model", "3"]["edge.cam1"])
        assert words == ["share 0.1", "stopped: low_light -7 pts"]
        assert server.tagged == 2
        BundleSources(laid, lambda _: None, book).write_back.look()
        assert server.tagged == 2, "what was told is known after a restart"


def test_without_sources_nothing_is_started(tmp_path: Path) -> None:
    """As before."""
    with resources(tmp_path) as laid:
        book = LineageBook(laid.journal, laid.store.manifest, lambda: 0.0)
        sources = BundleSources(laid, lambda _: None, book)
        sources.start()
        assert sources.problems() == ()
        assert sources.up() == {}
        sources.stop()
