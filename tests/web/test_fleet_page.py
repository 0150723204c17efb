"""The page of many stations in a real browser: 2,000 of them, and strangers beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge_daemon.core.fleet.report import Phase, Stand
from tests.sim.browser import Browser, program
from tests.sim.fleet import NEW, OLD, publish, retained_of, said, settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto

STATIONS = 2000
EVIL = "<img src=x onerror=alert(1)>"


def plant() -> dict[str, bytes]:
    """Ten sites, groups of four, three models, a wave on trial; three silent, one evil."""
    reports = []
    for number in range(STATIONS):
        stand, model = None, OLD
        if number % 100 == 0:
            stand, model = Stand("2026-48-bottle", 118, Phase.TRIAL, 0, wave=0), NEW
        elif number % 3 == 0:
            model = "bottle@1.3.1"
        reports.append(
            said(
                f"cam{number:04d}",
                model,
                phase=stand.phase if stand else Phase.CONFIRMED,
                stand=stand,
                site=f"hall-{number % 10}",
                group=f"line{number // 40}",
            )
        )
    kept = retained_of(*reports)
    kept |= retained_of(
        *(said(f"cam000{n}", OLD, site="hall-1") for n in (1, 2, 3)), status="offline"
    )
    return {**kept, **retained_of(said("evil", EVIL, site=EVIL))}


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as made:
        publish(made, plant())
        yield made


@pytest.fixture
def address(tmp_path: Path, broker: Mosquitto) -> Iterator[str]:
    """The command as it is typed, in a process of its own; ended by a signal."""
    words = ["fleet", "page", "--port", "0", "--config", str(settings_file(tmp_path, broker))]
    command = [sys.executable, "-m", "edge_daemon", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


@pytest.mark.broker
@pytest.mark.browser
@pytest.mark.skipif(program() is None, reason="needs a browser")
def test_2000_stations_at_a_glance(address: str) -> None:
    """A square for each, models by number, the silent ones by name, the wave on trial."""
    with Browser(1500, 1100) as browser:
        browser.open(address)
        browser.wait(f"typeof fleet !== 'undefined' && fleet && fleet.stations === {STATIONS + 1}")
        count = "document.querySelectorAll('.map .dot{}').length"
        assert browser.run(count.format("")) == STATIONS + 1
        assert browser.run(count.format(".silent")) == 3
        assert browser.run(count.format(".trial")) == 20
        text = browser.run("document.body.innerText")
        assert "2001 stations: 1998 heard, 3 silent." in text
        assert "cam0002 silent: it is offline" in text
        assert "20 trial" in text
        assert EVIL in text
        assert browser.run("document.querySelectorAll('main img').length") == 0
        browser.run("document.querySelector('#models button').click()")
        assert browser.run(count.format(".dim")) > 0
        browser.run("document.querySelector('#models button').click()")
        if picture := os.environ.get("EDGE_DAEMON_PICTURES"):
            browser.picture(Path(picture) / "fleet.png")
        assert browser.errors == []


@pytest.mark.broker
def test_the_state_is_there_for_programs_too(address: str) -> None:
    """The same numbers; and nothing to write."""
    base = address.removesuffix("/fleet")
    deadline = time.monotonic() + 20.0
    found = httpx.get(f"{base}/api/fleet").json()
    while found["stations"] < STATIONS + 1 and time.monotonic() < deadline:
        found = httpx.get(f"{base}/api/fleet").json()
    assert (found["stations"], len(found["silent"])) == (STATIONS + 1, 3)
    assert httpx.get(base, follow_redirects=True).text == httpx.get(address).text
    assert httpx.post(f"{base}/api/fleet").status_code == 403
    assert httpx.get(f"{base}/static/token.html").status_code == 404
    evil = httpx.get(f"{base}/api/fleet", headers={"host": "evil.example"})
    assert evil.status_code == 421
