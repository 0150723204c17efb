"""The page of many stations in a real browser: 2,000 of them, a campaign, and strangers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.core.fleet.report import CampaignStatus, Phase
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.browser import Browser, program
from tests.sim.campaigns import campaign
from tests.sim.fleet import NEW, OLD, publish, retained_of, said, settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto

STATIONS = 2000
EVIL = "<img src=x onerror=alert(1)>"
TOKEN = "for-the-page"
NAMES = [f"cam{number:04d}" for number in range(STATIONS)]
NOW = time.time()
MADE = campaign(
    waves=[0.01, 0.1, 0.5, 1.0], canaries=["cam0007"], not_before=NOW - 60.0, expires=NOW + 86_400.0
)


def in_campaign(name: str) -> tuple[CampaignStatus, str]:
    """Wave 0 has answered but for some, wave 1 waits, one station is bad."""
    wave = wave_of(MADE, name)
    number = int(name[3:])
    phase = Phase.HAVE if wave else (Phase.TRIAL, Phase.CONFIRMED)[number % 4 > 0]
    if name == MADE.canaries[0]:
        phase = Phase.ROLLED_BACK
    has_it = phase in (Phase.TRIAL, Phase.CONFIRMED)
    fetched = {"origin": 2_000_000 if number == 0 else 0, "peers": 20_000}
    status = CampaignStatus(MADE.id, MADE.serial, phase, 0, wave=wave, bytes=fetched)
    return status, NEW if has_it else OLD


def plant(folder: Path) -> dict[str, bytes]:
    """Ten sites, groups of four, three models, a campaign; three silent, one evil."""
    reports = []
    for number in range(STATIONS):
        name = f"cam{number:04d}"
        status, model = in_campaign(name)
        if model == OLD and number % 3 == 0:
            model = "bottle@1.3.1"
        reports.append(
            said(
                name,
                model,
                phase=status.phase,
                campaign_status=status,
                site=f"hall-{number % 10}",
                group=f"line{number // 40}",
            )
        )
    kept = retained_of(*reports)
    kept |= retained_of(
        *(said(f"cam000{n}", OLD, site="hall-1") for n in (1, 2, 3)), status="offline"
    )
    key, _ = generate_keypair(folder, "ops")
    because = {"answered": 0, "of": 0, "bad": 0, "slices": {EVIL: {"n": 12, "old": 9, "new": 10}}}
    return {
        **kept,
        **retained_of(said("evil", EVIL, site=EVIL)),
        messages.campaign_topic(MADE.id): sign(canonical(MADE), messages.KIND, key),
        messages.open_topic(MADE.id, 0): messages.opened("evaluator-a", time.time(), because),
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with new_mosquitto("max_queued_messages 20000") as made:
        publish(made, plant(tmp_path_factory.mktemp("keys")))
        yield made


@contextmanager
def served(folder: Path, broker: Mosquitto, more: str = "") -> Iterator[str]:
    """The command as it is typed, in a process of its own; ended by a signal. Its address."""
    file = settings_file(folder, broker, more)
    words = ["fleet", "page", "--port", "0", "--config", str(file)]
    command = [sys.executable, "-m", "edge_daemon", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


@pytest.fixture
def address(tmp_path: Path, broker: Mosquitto) -> Iterator[str]:
    with served(tmp_path, broker) as found:
        yield found


@pytest.fixture
def with_commands(tmp_path: Path, broker: Mosquitto) -> Iterator[str]:
    """The page where something may be done; behind a token."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with served(tmp_path, broker, f"http: {{commands: true, token_file: {token}}}\n") as found:
        yield found


def shot(browser: Browser, name: str) -> None:
    """For a person's eyes, where one asks for it."""
    if folder := os.environ.get("EDGE_DAEMON_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png", whole=True)


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
        first = [name for name in NAMES if wave_of(MADE, name) == 0]
        trials = sum(in_campaign(name)[0].phase is Phase.TRIAL for name in first)
        assert browser.run(count.format(".trial")) == trials
        text = browser.run("document.body.innerText")
        assert "2001 stations: 1998 heard, 3 silent." in text
        assert "cam0002 silent: it is offline" in text
        assert f"{trials} trial" in text
        assert "have not answered" in browser.text("#campaign-next")
        browser.wait(f"document.querySelectorAll('.wave').length === {len(MADE.waves)}")
        assert "Wave 0: open" in browser.text(".wave.open")
        assert f"{EVIL}: of 12 objects 9 found before, 10 now" in browser.text(".wave.open")
        assert browser.run("document.querySelector('#stop').hidden")
        # Three of the stations are away, and report nothing of the campaign.
        assert browser.text("#bytes").split() == ["peers", "39.9", "MB", "origin", "2.0", "MB"]
        assert EVIL in text
        assert browser.run("document.querySelectorAll('main img').length") == 0
        browser.run("document.querySelector('#models button').click()")
        assert browser.run(count.format(".dim")) > 0
        browser.run("document.querySelector('#models button').click()")
        assert browser.errors == []
        browser.run("document.querySelector('.map .dot[data-device=cam0002]').click()")
        assert browser.text("#found").startswith(f"cam0002 · {OLD}")
        assert "it is offline" in browser.text("#found")
        type_name(browser, "cam19")
        assert browser.text("#found").splitlines()[-1] == "and 92 more"
        type_name(browser, "nobody")
        assert browser.text("#found") == "No station that reports is called so."
        type_name(browser, "cam0007")
        for width in (360, 1280):
            for dark in (False, True):
                look_at(browser, width, dark=dark)
        assert browser.errors == []


def type_name(browser: Browser, name: str) -> None:
    place = "document.querySelector('#find')"
    browser.run(f"{place}.value = '{name}'")
    browser.run(f"{place}.dispatchEvent(new Event('input', {{ bubbles: true }}))")


def look_at(browser: Browser, width: int, *, dark: bool) -> None:
    """No sideways scroll, and nothing too small."""
    browser.resize(width, 800)
    browser.dark(dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    texts = "[...document.querySelectorAll('main *')].filter((e) => e.innerText)"
    assert (
        browser.run(f"Math.min(...{texts}.map((e) => parseFloat(getComputedStyle(e).fontSize)))")
        >= 14
    )
    assert browser.faint() == []
    shot(browser, f"fleet-{width}-{'dark' if dark else 'light'}")


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
    asked = {"campaign": MADE.id, "reason": "no"}
    ours = {"x-edge-daemon": "1"}
    assert httpx.post(f"{base}/api/fleet/stop", json=asked, headers=ours).status_code == 404
    assert httpx.get(f"{base}/static/token.html").status_code == 404
    evil = httpx.get(f"{base}/api/fleet", headers={"host": "evil.example"})
    assert evil.status_code == 421


def retained_stops(broker: Mosquitto, folder: Path) -> dict[str, dict[str, str]]:
    with Client.of(settings_file(folder, broker)) as client:
        kept = client.all_retained(["fleet/+/stop/+"])
    return {topic: json.loads(body) for topic, body in kept.items()}


@pytest.mark.broker
@pytest.mark.browser
@pytest.mark.skipif(program() is None, reason="needs a browser")
def test_a_person_stops_a_campaign_with_a_reason(
    with_commands: str, broker: Mosquitto, tmp_path: Path
) -> None:
    """The stop lies at the broker, retained; without the token or a reason nothing does."""
    stop = f"{with_commands}api/fleet/stop"
    asked = {"campaign": MADE.id, "reason": "no"}
    ours = {"x-edge-daemon": "1"}
    assert httpx.post(stop, json=asked, headers=ours).status_code == 401
    known = {**ours, "authorization": f"Bearer {TOKEN}"}
    for wrong, status in (
        ({"campaign": MADE.id}, 400),
        ({**asked, "reason": " "}, 409),
        ({**asked, "campaign": "../edge"}, 409),
        ({**asked, "more": 1}, 400),
    ):
        assert httpx.post(stop, json=wrong, headers=known).status_code == status
    assert retained_stops(broker, tmp_path) == {}
    with Browser(1280, 800) as browser:
        browser.open(f"{with_commands}?token={TOKEN}")
        browser.wait("document.querySelector('#stop')?.hidden === false")
        browser.press("#stop")
        browser.press("#ask-stop")
        browser.wait_text("needs a reason", "#ask-told")
        browser.run("document.querySelector('#ask-reason').value = 'scratches on hall 3'")
        shot(browser, "fleet-stop")
        browser.press("#ask-stop")
        browser.wait_text("the broker has it", "#ask-told")
        browser.run("document.querySelector('#ask').close()")
        browser.wait_text("Stopped by ops: scratches on hall 3", "#campaign-next")
        assert browser.run("document.querySelector('#stop').hidden")
        shot(browser, "fleet-stopped")
        # The browser itself logs the 409 that the page shows as a sentence.
        assert [each for each in browser.errors if "409" not in each] == []
    (kept,) = retained_stops(broker, tmp_path).items()
    assert kept[0] == f"fleet/{MADE.id}/stop/ops"
    assert (kept[1]["why"], kept[1]["scope"]) == ("scratches on hall 3", "freeze")
