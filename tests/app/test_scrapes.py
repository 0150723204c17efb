"""One scrape is of one moment: whatever the line does meanwhile, its counters balance."""

from __future__ import annotations

import http.client
import itertools
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from edge_daemon.app.monitor import Monitor
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Assignment, BundleRef, Reason, Verdict
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.metrics import Metrics
from edge_daemon.web.access import Rules
from edge_daemon.web.server import Listen, StatusPage
from tests.sim.fake_page import FakePage
from tests.sim.status import StillStation

SCRAPES = 2_000
SCRAPES_BY_HTTP = 300
CAPTURED = re.compile(rb"^edge_frames_captured_total (\S+)$", re.MULTILINE)
BURST, BREATH_S = 4, 0.001
SAMPLE = re.compile(rb"^(edge_(?:frames|inference|frame_latency)\w*)(?:{.*})? (\S+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def threads_take_turns_all_the_time() -> Iterator[None]:
    """So that a lane gets its turn in the middle of a scrape, too."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def outcomes() -> Iterator[Judged]:
    """Frames without end: every reason, and verdicts of two models in turn."""
    judged = Judged(0, 0.0, 0.0, Assignment(), Verdict.OK, inference_ms=7.0)
    models = BundleRef("bottle", "1.0.0"), BundleRef("can", "1.0.0")
    every = [
        *(replace(judged, verdict=each, model=ref) for ref in models for each in list(Verdict)[:2]),
        *(replace(judged, verdict=Verdict.UNINSPECTED, reason=reason) for reason in Reason),
    ]
    for frame, outcome in enumerate(itertools.cycle(every)):
        yield replace(outcome, frame=frame)


@contextmanager
def under_load(ledger: Ledger) -> Iterator[None]:
    """A lane that judges thousands of frames a second while the block runs."""
    stopping = threading.Event()

    def judge() -> None:
        for judged in outcomes():
            ledger.record(judged)
            if judged.frame % BURST == 0 and stopping.wait(BREATH_S):
                return

    lane = threading.Thread(target=judge)
    lane.start()
    try:
        yield
    finally:
        stopping.set()
        lane.join()


def is_of_one_moment(scrape: bytes) -> bool:
    """Captured is what has an outcome, and each histogram holds every inspected frame."""
    sums: Counter[bytes] = Counter()
    for name, value in SAMPLE.findall(scrape):
        sums[name] += int(float(value))
    inspected = sums[b"edge_frames_inspected_total"]
    unseen = sums[b"edge_frames_dropped_total"] + sums[b"edge_frames_uninspected_total"]
    return (
        sums[b"edge_frames_captured_total"] == inspected + unseen
        and sums[b"edge_frame_latency_seconds_count"] == inspected
        and sums[b"edge_inference_seconds_count"] == inspected
    )


def test_no_scrape_is_out_of_balance() -> None:
    """Two thousand looks at a line that never stands still."""
    ledger = Ledger()
    monitor = Monitor(StillStation(ledger), ledger, Metrics())
    captured = set()
    with under_load(ledger):
        for _ in range(SCRAPES):
            scrape = monitor.scrape()
            assert is_of_one_moment(scrape)
            captured.add(CAPTURED.findall(scrape)[0])
    assert len(captured) > SCRAPES / 10  # the line moved on between them


def test_no_scrape_by_http_is_out_of_balance() -> None:
    """As Prometheus sees it, on one connection."""
    ledger = Ledger()
    monitor = Monitor(StillStation(ledger), ledger, Metrics())
    sources = replace(FakePage().sources(), metrics=monitor.scrape)
    page = StatusPage(Listen("127.0.0.1", 0, Rules("127.0.0.1")), sources)
    assert page.start()
    prometheus = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30.0)
    try:
        with under_load(ledger):
            for _ in range(SCRAPES_BY_HTTP):
                prometheus.request("GET", "/metrics")
                assert is_of_one_moment(prometheus.getresponse().read())
    finally:
        prometheus.close()
        page.stop()
