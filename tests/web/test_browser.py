"""The page in a real browser, before a daemon that runs: what a person at the line sees."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_daemon.frames.images import encode
from edge_daemon.web.access import Rules
from edge_daemon.web.server import Listen, StatusPage
from tests.sim.browser import Browser
from tests.sim.device import Device, sim_bundle
from tests.sim.engine import Behaviour
from tests.sim.fake_page import FakePage
from tests.sim.mosquitto import free_port
from tests.sim.proxy import Proxy

pytestmark = pytest.mark.browser

V1, V2 = "bottle@1.0.0", "bottle@2.0.0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def port() -> int:
    return free_port()


@contextmanager
def device(port: int, *bundles: str, **settings: object) -> Iterator[Device]:
    """A station whose page may ask for swaps too."""
    http = {"listen": f"127.0.0.1:{port}", "commands": True}
    with Device(*bundles, fps=30.0, settings={"http": http, **settings}) as started:
        yield started


def look(browser: Browser, port: int) -> None:
    browser.open("about:blank")  # the page before may still miss its daemon
    browser.errors.clear()
    browser.open(f"http://127.0.0.1:{port}/")
    browser.wait("typeof state !== 'undefined' && state")


def ask_for(browser: Browser, verb: str, model: str) -> None:
    """Choose the model, press the button, and say yes."""
    browser.wait(f"document.querySelector('#pick option[value=\"{model}\"]')")
    browser.run(f"document.querySelector('#pick').value = '{model}'")
    browser.run(
        "[...document.querySelectorAll('#commands button')]"
        f".find((each) => each.innerText === '{verb}').click()"
    )
    browser.press("dialog .go")


def test_the_line_at_a_glance(browser: Browser, port: int) -> None:
    """The picture moves, the active model and its verdict stand there, and nothing is amiss."""
    with device(port, V1) as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait_text("1.0.0", "#version")
        browser.wait_text("judging", "#pill")
        browser.wait_text("ok", "#word")
        browser.wait("document.querySelector('#live').naturalWidth === 640")
        browser.wait_text("1.0.0", ".slot.active")
        browser.wait_text("away", "footer")  # nobody answers at the broker's port
        assert browser.errors == []


def test_the_page_below_a_path_of_a_proxy(browser: Browser, port: int) -> None:
    """Style, picture, state and commands come by the proxy's path; its name is in the settings."""
    http = {"listen": f"127.0.0.1:{port}", "commands": True, "hosts": ["127.0.0.1"]}
    with Device(V1, V2, fps=30.0, settings={"http": http}) as station:
        station.await_active(V1)
        proxy = Proxy("/vision/line3", port)
        browser.open("about:blank")  # the page before asks its own station, which has gone
        browser.errors.clear()
        browser.open(f"http://127.0.0.1:{proxy.port}/vision/line3/")
        browser.wait("typeof state !== 'undefined' && state")
        browser.wait_text("judging", "#pill")
        browser.wait("document.querySelector('#live').naturalWidth === 640")
        browser.wait("[...document.styleSheets].some((each) => each.cssRules.length > 9)")
        ask_for(browser, "Swap", V2)
        station.await_active(V2)
        browser.wait_text("succeeded", "#details")
        assert browser.errors == []
        proxy.close()


def test_a_swap_asked_for_on_the_page(browser: Browser, port: int) -> None:
    """Two presses swap; the receipt with its checks is a press away."""
    with device(port, V1, V2) as station:
        station.await_active(V1)
        look(browser, port)
        ask_for(browser, "Swap", V2)
        browser.wait_text("succeeded", "dialog")
        browser.wait_text("2.0.0", "#version")
        browser.press("dialog form button")
        browser.wait_text("→ bottle 2.0.0", "#timeline")
        browser.press("#timeline button")
        browser.wait_text("checks passed", "dialog")
        browser.wait_text("pause", "dialog")
        browser.wait_text("status page", "dialog")
        wide = "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)"
        for width in (360, 1180):
            browser.resize(width, 820)
            assert browser.run(f"{wide}(document.querySelector('dialog'))") == 0
        assert browser.errors == []


def test_a_bundle_that_was_refused(browser: Browser, port: int) -> None:
    """Why it was refused stands in the answer, and stays in the timeline."""
    with device(port, V1) as station:
        sim_bundle(station.store, "bottle@3.0.0", Behaviour.RAISE_AT_LOAD)
        station.await_active(V1)
        look(browser, port)
        ask_for(browser, "Swap", "bottle@3.0.0")
        browser.wait_text("cannot be loaded", "dialog")
        browser.press("dialog form button")
        browser.wait_text("rejected", "#timeline")
        browser.wait_text("load failed", "#timeline")
        browser.wait_text("1.0.0", "#version")
        browser.press("#timeline button")
        browser.wait_text("cannot be loaded", "dialog")


def test_while_a_swap_goes_on(browser: Browser, port: int) -> None:
    """What comes next and how far it is stand beside what judges meanwhile."""
    slots = {"isolation": "process", "spare": "off"}
    with device(port, V1, slots=slots) as station:
        sim_bundle(station.store, "bottle@4.0.0", Behaviour.HANG_AT_LOAD)
        station.await_active(V1)
        look(browser, port)
        ask_for(browser, "Swap", "bottle@4.0.0")
        browser.wait_text("load", ".steps .at")
        browser.wait_text("4.0.0", "#next")
        browser.wait_text("preparing", ".slot.moving")
        browser.wait_text("1.0.0", "#version")
        browser.wait_text("next model", "#pill")


def test_what_a_stranger_wrote_is_text(browser: Browser, port: int) -> None:
    """A name that looks like HTML stands there as it was written, and does nothing."""
    evil = "<img id=evil src=x onerror=alert(1)>"
    with device(port, V1, V2) as station:
        station.await_active(V1)
        look(browser, port)
        headers = {"content-type": "application/json", "x-edge-daemon": "1"}
        body = json.dumps({"model": V2, "by": evil, "reason": evil})
        options = json.dumps({"method": "POST", "headers": headers, "body": body})
        browser.run(f"fetch('/api/request/swap', {options}).then((answer) => answer.status)")
        browser.wait_text(evil, "#timeline")
        browser.press("#timeline button")
        browser.wait_text(evil, "dialog")
        assert browser.run("document.querySelector('#evil')") is None


def test_the_camera_is_lost(browser: Browser, port: int) -> None:
    """The last picture is veiled at once, and says since when and why."""
    fake = FakePage()
    camera = StatusPage(Listen("127.0.0.1", 0, Rules("127.0.0.1")), fake.sources())
    camera.start()
    shooting = threading.Event()
    frame = encode(np.full((240, 320, 3), 90, np.uint8))

    def shoot() -> None:
        while not shooting.wait(0.05):
            fake.picture(frame)

    threading.Thread(target=shoot, daemon=True).start()
    source = f"http://127.0.0.1:{camera.port}/live.mjpg"
    settings = {"camera": {"source": source, "read_timeout_s": 1.0, "open_timeout_s": 2.0}}
    with device(port, V1, **settings) as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait_text("judging", "#pill")
        camera.stop()
        browser.wait_text("camera lost", "#pill")
        browser.wait_text("camera lost", "#veil")
        browser.wait_text("the camera is lost", "#problems")
        browser.wait_text("no frames", "#word")  # an OK from before would be a lie
        shooting.set()


def test_the_daemon_is_gone_and_comes_back(browser: Browser, port: int) -> None:
    """Silence is said within seconds with the time that the figures are from; so is its end."""
    with device(port, V1) as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait_text("judging", "#pill")
        station.stop()
        browser.wait_text("does not answer", "#gone")
        browser.wait_text("daemon gone", "#pill")
        browser.wait_text("no news", "#word")
        assert "is-gone" in browser.run("document.body.className")
        browser.resize(820, 1180)  # a tablet that is turned shows no verdict of then
        browser.run("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
        assert browser.text("#word") == "No news"
        assert browser.text("#pill") == "Daemon gone"
        browser.resize(1180, 820)
        station.start()
        browser.wait("document.querySelector('#gone').hidden")
        browser.wait_text("judging", "#pill")
        browser.wait("document.querySelector('#live').naturalWidth === 640")


@pytest.mark.parametrize("size", [(1180, 820), (820, 1180), (390, 844), (1920, 1080)])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_every_screen(
    browser: Browser, port: int, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    """No screen scrolls sideways, nothing is smaller than can be read, in light and in dark."""
    with device(port, V1) as station:
        station.await_active(V1)
        browser.resize(*size)
        browser.dark(dark)
        look(browser, port)
        browser.wait_text("ok", "#word")
        width = browser.run("document.documentElement.scrollWidth")
        assert width <= size[0]
        smallest = browser.run(
            "Math.min(...[...document.querySelectorAll('main *')].filter((each) => each.innerText)"
            ".map((each) => parseFloat(getComputedStyle(each).fontSize)))"
        )
        assert smallest >= 14
        assert browser.faint() == []
        assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000
        browser.resize(1180, 820)
        browser.dark(False)


def adjustable(station: Device) -> None:
    """Its bundle rejects every bottle that it is sure enough of; how sure may be adjusted."""
    path = station.store / V1.replace("@", "/") / "model.yaml"
    manifest = yaml.safe_load(path.read_text())
    rule = {"id": "dented", "class": "bottle", "confidence": 0.3, "count": {"max": 0}}
    manifest["recipe"] = {"rules": [rule], "adjustable": {"dented.confidence": [0.2, 0.99]}}
    manifest["limits"] |= {"min_recall": 0.0, "max_escape": 1.0}  # its golden image forbids nothing
    path.write_text(yaml.safe_dump(manifest))


def test_parts_and_who_tuned_what(browser: Browser, port: int) -> None:
    """The newest parts with their causes, counts of order and shift by cause, what was moved."""
    parts = {"by": "trigger", "window_ms": [0, 300], "shifts": ["00:00"]}
    http = {"listen": f"127.0.0.1:{port}", "commands": True}
    built = Device(V1, fps=30.0, settings={"http": http, "parts": parts})
    adjustable(built)
    with built as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait_text("none yet", "#part-now")
        for number in range(3):
            trigger(browser, f"SN-{number}")
            browser.wait_text(f"SN-{number} ng", "#part-list")
        browser.wait_text("3 parts · 0 ok · 3 ng (100.0 %)", "#sum-order")
        browser.wait_text("dented", "#sum-order .pareto")
        browser.wait_text("This shift", "#sum-shift")
        tune(browser, "0.95", "glare")
        browser.wait_text("dented.confidence = 0.95 · by status page", "#tuned")
        browser.wait_text("tuned", "#timeline")
        trigger(browser, "SN-3")
        browser.wait_text("SN-3 ok", "#part-list")
        if folder := os.environ.get("EDGE_DAEMON_PICTURES"):
            browser.picture(Path(folder) / "parts.png", whole=True)
            browser.resize(400, 800)
            browser.picture(Path(folder) / "parts-narrow.png", whole=True)
            browser.resize(1180, 820)
        assert browser.errors == []


def tune(browser: Browser, value: str, reason: str) -> None:
    """In the dialog: a value, a look at what the last frames would be, and then for good."""

    def press(where: str, label: str) -> None:
        found = f"[...document.querySelectorAll('{where} button')]"
        browser.run(f"{found}.find((each) => each.textContent === '{label}').click()")

    press("#commands", "Tune")
    browser.wait("document.querySelectorAll('dialog input').length === 2")
    browser.run(f"document.querySelector('dialog input').value = '{value}'")
    browser.run(f"document.querySelector('#tune-reason').value = '{reason}'")
    press("dialog", "Preview")
    browser.wait_text("frames:", "#tune-preview")
    press("dialog", "Apply")
    browser.wait_text("succeeded", "#details")
    browser.run("document.querySelector('#details').close()")


def trigger(browser: Browser, name: str) -> None:
    ask_by(browser, "trigger", id=name)


def ask_by(browser: Browser, verb: str, **document: object) -> None:
    """As the page asks."""
    body = json.dumps({"by": "status page", **document})
    browser.run(
        f"fetch('api/request/{verb}', {{method: 'POST', body: {json.dumps(body)},"
        " headers: {'x-edge-daemon': '1', 'content-type': 'application/json'}})"
    )


def test_no_word_of_parts_where_none_are_counted(browser: Browser, port: int) -> None:
    """The page is as it was."""
    with device(port, V1) as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait_text("judging", "#pill")
        assert browser.run("document.querySelector('#parts').hidden")


def test_where_the_active_model_comes_from(browser: Browser, port: int) -> None:
    """What nobody said is unknown; what it judged here is counted."""
    with device(port, V1) as station:
        station.await_active(V1)
        look(browser, port)
        browser.wait("!document.querySelector('#origin').hidden")
        browser.run("document.querySelector('#origin').click()")
        browser.wait_text("unknown", "#details-body")
        browser.wait_text("Judged here", "#details-body")
        assert browser.errors == []
