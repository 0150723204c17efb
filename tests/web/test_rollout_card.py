"""The card of a rollout in a real browser, before a station on which a candidate is tried.

A person labels what the models disagree on, blind, and decides what the rule leaves open.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sim.browser import Browser
from tests.sim.mosquitto import free_port, new_mosquitto
from tests.sim.rollout_line import OLD, RolloutLine

pytestmark = [pytest.mark.browser, pytest.mark.broker]

GOOD = "bottle@2.0.0"
LASTS = {"until": {"parts": 100_000, "minutes": 30}}
SLICES = {"dark": {"brightness_below": 250, "critical": True, "margin": 0.05}}
STRICT = {"margin": 0.03, "false_reject_margin": 0.02, "slices": SLICES}


class Card:
    """The station, and the page of it that is open."""

    def __init__(self, line: RolloutLine, browser: Browser, port: int) -> None:
        self.line = line
        self.browser = browser
        self.port = port

    def open(self) -> None:
        self.browser.open("about:blank")
        self.browser.errors.clear()
        self.browser.open(f"http://127.0.0.1:{self.port}/")
        self.browser.wait("typeof state !== 'undefined' && state")

    def roll(self, *stages: dict[str, Any], **plan: Any) -> str:
        """Try the good candidate; its rollout."""
        return self.line.rollout_of(self.line.roll(GOOD, *stages, **{**STRICT, **plan}))

    def press(self, where: str, label: str) -> None:
        found = f"[...document.querySelectorAll('{where} button')]"
        self.browser.run(f"{found}.find((each) => each.textContent === '{label}').click()")

    def places(self) -> list[str]:
        """The parts in their places, each by its picture."""
        script = "[...document.querySelectorAll('#disputes figure')].map((f) => f.innerText)"
        return [str(each) for each in self.browser.run(script)]

    @property
    def state(self) -> dict[str, Any]:
        """What the page was told."""
        told: dict[str, Any] = self.browser.run("state.rollout")
        return told


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Card]:
    port = free_port()
    http = {"listen": f"127.0.0.1:{port}", "commands": True}
    camera = {"source": "conveyor:?size=320x240&fps=60", "buffer_frames": 128}
    with (
        new_mosquitto() as broker,
        RolloutLine(
            tmp_path_factory.mktemp("card"),
            broker,
            triggers=True,
            http=http,
            camera=camera,
            audit=0.1,
        ) as line,
        Browser() as browser,
    ):
        yield Card(line, browser, port)


@pytest.fixture
def card(station: Card) -> Iterator[Card]:
    station.line.until_judged_by(OLD)
    yield station
    station.browser.resize(1180, 820)
    station.browser.dark(False)
    station.line.reset()


def shot(browser: Browser, name: str) -> None:
    """For a person's eyes, where one asks for it."""
    if folder := os.environ.get("EDGE_DAEMON_PICTURES"):
        browser.picture(Path(folder) / f"{name}.png", whole=True)


def test_the_page_is_as_it_was_where_nothing_is_tried(card: Card) -> None:
    card.open()
    card.browser.wait_text("judging", "#pill")
    assert card.browser.run("document.querySelector('#rollout').hidden")
    assert card.browser.errors == []


def test_a_person_labels_blind_and_is_told_then(card: Card) -> None:
    """No word of what the models said before the label, on the page or in what it is told."""
    card.roll({"shadow": 1.0, **LASTS}, {"share": 0.1, **LASTS}, {"full": True})
    card.open()
    browser = card.browser
    browser.wait_text("bottle 2.0.0", "#rollout-models")
    browser.wait("document.querySelectorAll('#disputes figure').length === 6")
    browser.wait_text("Next: share 10 %", "#rollout-next")
    far = "{minutes: 10, stage_parts: 100}, {until: {parts: 400, minutes: 15}}"
    assert browser.run(f"earliest({far})") == "in 30 min of a running line at the earliest"
    browser.wait_text("recall may be lost", "#rollout-next")
    assert browser.text(".rollout .steps .at") == "shadow"
    assert "all parts" in browser.text("#rollout-slices").lower()
    assert "dark" in browser.text("#rollout-slices")
    asked = card.state["asked"]
    assert all(each["incumbent"] is each["candidate"] is each["truth"] is None for each in asked)
    assert not any("scratch" in each or "candidate" in each.lower() for each in card.places())
    browser.wait(
        "[...document.querySelectorAll('#disputes img')].every((i) => i.naturalWidth === 320)"
    )
    shot(browser, "rollout")
    before = card.places()
    browser.run("document.querySelector('#label-by').value = 'kim'")
    browser.press("#disputes .answers button.bad")
    browser.wait("document.querySelector('#disputes .sides')")
    first, *others = card.places()
    assert "is ng" in first
    assert "Candidate: ng (scratch)" in first
    assert "Reference: ok" in first
    assert [each.split(" ")[0] for each in others] == [b.split(" ")[0] for b in before[1:]]
    (answered,) = card.state["answered"]
    kept = card.line.daemon.resources.journal.rollouts
    (word,) = kept.feedback_of(answered["boot"], answered["part"])
    assert (word.verdict, word.source, word.by_whom) == ("ng", "operator", "kim")
    browser.wait_text("1 of", "#rollout-facts")
    browser.wait("document.querySelectorAll('#disputes .sides svg polygon').length >= 2")
    shot(browser, "rollout-answered")
    assert browser.errors == []


def test_new_disagreements_do_not_move_what_is_about_to_be_pressed(card: Card) -> None:
    """They wait behind a button, also when they have pushed the shown ones off the list; the places
    change when a person asks for others.
    """
    rollout = card.roll({"shadow": 1.0, **LASTS}, {"full": True})
    card.open()
    browser = card.browser
    browser.wait(f"state.rollout && state.rollout.state.rollout === {json.dumps(rollout)}")
    browser.wait("document.querySelectorAll('#disputes figure').length === 6")
    before = card.places()
    listed = "state.rollout.asked.map(keyOf).includes(keyOf(part))"
    browser.wait(f"!places.some((part) => {listed})")
    assert card.places() == before
    browser.press("#dispute-more button")
    browser.wait(
        f"document.querySelector('#disputes figure').innerText !== {json.dumps(before[0])}"
    )


def test_advance_and_abort_with_a_reason(card: Card) -> None:
    rollout = card.roll({"shadow": 1.0, **LASTS}, {"share": 0.5, **LASTS}, {"full": True})
    card.line.until_stage("shadow")
    card.open()
    browser = card.browser
    browser.wait_text("Advance", "#rollout-commands")
    card.press("#rollout-commands", "Advance")
    browser.run("document.querySelector('#rollout-reason').value = 'seen enough'")
    browser.press("dialog .go")
    browser.wait_text("succeeded", "#details")
    browser.run("document.querySelector('#details').close()")
    browser.wait_text("share 50 %", ".rollout .steps .at")
    browser.wait_text("50 %", "#rollout-facts")
    card.press("#rollout-commands", "Abort")
    browser.run("document.querySelector('#rollout-reason').value = 'another lot'")
    browser.press("dialog .go")
    browser.wait_text("succeeded", "#details")
    browser.run("document.querySelector('#details').close()")
    browser.wait_text("stopped", "#rollout-word")
    browser.wait_text("another lot", "#rollout-next")
    assert browser.run("document.querySelector('#rollout-commands').hidden")
    assert card.state["state"]["rollout"] == rollout
    shot(browser, "rollout-ended")
    assert browser.errors == []


def test_it_fits_and_can_be_read_by_everybody(card: Card) -> None:
    """No sideways scroll, nothing too small, and a name for each thing that can be pressed."""
    card.roll({"shadow": 1.0, **LASTS}, {"share": 0.1, **LASTS}, {"full": True})
    for width in (360, 1280):
        for dark in (False, True):
            look_at(card, width, dark=dark)


def look_at(card: Card, width: int, *, dark: bool) -> None:
    browser = card.browser
    browser.resize(width, 800)
    browser.dark(dark)
    card.open()
    browser.wait("document.querySelectorAll('#disputes figure').length >= 2")
    assert browser.run("document.documentElement.scrollWidth") <= width
    texts = "[...document.querySelectorAll('#rollout *, #quality *')].filter((e) => e.innerText)"
    sizes = f"{texts}.map((each) => parseFloat(getComputedStyle(each).fontSize))"
    assert browser.run(f"Math.min(...{sizes})") >= 14
    assert browser.faint() == []
    named = (
        "[...document.querySelectorAll('#rollout button, #rollout input, #rollout img, "
        "#rollout a, #rollout svg')].filter((e) => e.checkVisibility()).every((e) =>"
        " e.getAttribute('aria-label') || e.alt || e.textContent || (e.labels || []).length)"
    )
    assert browser.run(named)
    small = (
        "[...document.querySelectorAll('#rollout button')].filter((e) => e.checkVisibility())"
        ".filter((e) => e.getBoundingClientRect().height < 40).length"
    )
    assert browser.run(small) == 0
    shot(browser, f"rollout-{width}-{'dark' if dark else 'light'}")
    assert browser.errors == []


def test_a_drawn_part_is_asked_for_until_somebody_has_looked(card: Card) -> None:
    """Also where nothing is tried: the card of quality asks for it."""
    card.open()
    browser = card.browser
    browser.wait("document.querySelectorAll('.audits li').length > 0")
    first = browser.run("state.quality.audits[0]")
    told = [part for part in card.line.inspector.parts if part["part"] == first["part"]]
    assert told[0]["verdict"] == "ok"
    assert told[0]["audit"]["draw"] < told[0]["audit"]["share"] == 0.1
    browser.press(".audits .answers button.good")
    kept = card.line.daemon.resources.journal.rollouts
    card.line.ear.until(lambda: bool(kept.feedback_of(first["boot"], first["part"])))
    (word,) = kept.feedback_of(first["boot"], first["part"])
    assert (word.verdict, word.source) == ("ok", "operator")
    assert json.loads(word.body) == {"audit": 0.1}
    assert browser.errors == []
    shot(browser, "audit")


def test_an_audit_that_is_a_rollouts_truth_asks_for_drawn_parts_in_its_card(card: Card) -> None:
    """Among the others, without a word of what the models said; the label is in the evidence."""
    rollout = card.roll({"shadow": 1.0, **LASTS}, truth=["audit"])
    card.open()
    browser = card.browser
    browser.wait("document.querySelectorAll('#dispute-wanted li').length > 0")
    first = browser.run("state.rollout.wanted[0]")
    assert first.keys() == {"boot", "part", "id", "time"}
    browser.press("#dispute-wanted .answers button.good")
    kept = card.line.daemon.resources.journal.rollouts
    card.line.ear.until(lambda: bool(kept.feedback_of(first["boot"], first["part"])))

    def truths() -> list[tuple[str, str | None]]:
        pairs = kept.pairs_of([(first["boot"], first["part"])])
        return [(each.rollout, each.truth) for each in pairs]

    card.line.ear.until(lambda: truths() == [(rollout, "ok")])
    assert browser.errors == []
    shot(browser, "rollout-wanted")
