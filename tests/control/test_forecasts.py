"""A dry run on a real journal: what is foretold from the parts and pairs on record."""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.control.forecasts import Forecasts, forecast_of
from edge_daemon.core.effects import MakeForecast
from edge_daemon.core.events import ForecastMade
from edge_daemon.core.rollout.plan import OVERALL, as_mapping, read_plan
from edge_daemon.core.rollout.rates import ENOUGH_LABELS, Rates, foretell
from edge_daemon.core.rollout.values import Plan
from edge_daemon.core.values import Request
from edge_daemon.core.verbs import Verb
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.host.journal_rates import BIN_S, DAY_S
from edge_daemon.host.journal_rollouts import FeedbackRow, PairRow, RolloutRow, RolloutsEntry

NOW = 1_700_000_000.0 // BIN_S * BIN_S
PLAN = read_plan(
    {
        "slices": {
            "low_light": {"brightness_below": 60, "critical": True},
            "small": {"box_area_below": 400},
            "cans": {"products": ["CAN"]},
        }
    }
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def parts(journal: Journal, *, every_s: float, ng_every: int, hours: float, can_every: int) -> None:
    """So many parts up to now, of which every so many is rejected, or a can."""
    count = int(hours * 3600 / every_s)
    rows = tuple(
        PartRow(
            "boot",
            n,
            NOW - hours * 3600 + n * every_s,
            None,
            None,
            "ng" if n % ng_every == 0 else "ok",
            json.dumps({"part": n, "product": "CAN" if n % can_every == 0 else "BTL"}).encode(),
        )
        for n in range(count)
    )
    journal.commit(Entry(parts=PartsEntry(rows, b"{}", 1_000_000, 0.0)))


def earlier(journal: Journal, plan: Plan, *bodies: dict[str, object]) -> None:
    """A rollout of these days, and the pairs of it that one model rejected."""
    row = RolloutRow(
        *("r1", NOW - DAY_S, NOW, "bottle@2.0.0", "bottle@1.0.0"),
        json.dumps({"plan": as_mapping(plan)}).encode(),
        b"{}",
    )
    pairs = tuple(
        PairRow("r1", "boot", n, None, NOW - 60, "both", None, b"{}", json.dumps(body).encode())
        for n, body in enumerate(bodies)
    )
    journal.commit(Entry(rollouts=RolloutsEntry(row, pairs)))


def test_nothing_on_record_foretells_nothing_and_says_what_is_missing(journal: Journal) -> None:
    told = forecast_of(PLAN, journal, NOW)
    assert len(told.lines) == 1
    assert "No part of the last 7 days is on record" in told.lines[0]
    assert (told.parts_h, told.defects_h) == (0.0, ())


def test_the_rates_are_those_of_a_running_line(journal: Journal) -> None:
    """Of 168 hours it ran two: 7,200 parts in two hours are 3,600 an hour, not 43."""
    parts(journal, every_s=1.0, ng_every=50, hours=2.0, can_every=10)
    told = forecast_of(PLAN, journal, NOW)
    assert (told.hours, told.parts_h) == (2.0, 3600.0)
    rates = dict(told.defects_h)
    assert rates[OVERALL] == pytest.approx(72.0)
    assert rates["cans"] == pytest.approx(72.0), "every part whose number divides by 50 is one"
    assert "low_light" not in rates
    basis, everything, light, small, cans = told.lines
    assert basis.startswith("In the last 7 days 7200 parts came in 2.0 h of a running line")
    assert everything.startswith("all parts, 72 bad parts an hour: a loss of 7 points is seen")
    assert "22 to" not in basis
    assert "labels" in everything
    assert "nothing on record" in light
    assert "nothing on record" in small
    assert cans.startswith("cans, 72 bad parts an hour")


def test_slices_of_pixels_are_told_by_the_pairs_of_earlier_rollouts(journal: Journal) -> None:
    """Light by what was measured; sizes only where that rollout had the same slice."""
    parts(journal, every_s=1.0, ng_every=50, hours=2.0, can_every=10)
    dark, bright = {"brightness": 30.0, "slices": []}, {"brightness": 120.0, "slices": []}
    earlier(journal, read_plan({}), dark, bright, bright, bright)
    rates = dict(forecast_of(PLAN, journal, NOW).defects_h)
    assert rates["low_light"] == pytest.approx(18.0)
    assert "small" not in rates


def test_a_slice_that_was_counted_under_another_name_is_known(journal: Journal) -> None:
    parts(journal, every_s=1.0, ng_every=50, hours=2.0, can_every=10)
    before = read_plan({"slices": {"tiny": {"box_area_below": 400, "min_defects": 7}}})
    earlier(journal, before, {"slices": ["tiny"]}, {"slices": []})
    assert dict(forecast_of(PLAN, journal, NOW).defects_h)["small"] == pytest.approx(36.0)


@pytest.mark.parametrize(
    ("body", "is_told"), [({"slices": []}, True), ({"brightness": "x"}, False)]
)
def test_each_dry_run_is_answered(journal: Journal, body: dict[str, object], is_told: bool) -> None:
    """Also where a record of these days cannot be read."""
    parts(journal, every_s=1.0, ng_every=50, hours=2.0, can_every=10)
    earlier(journal, read_plan({}), body)
    made: queue.SimpleQueue[ForecastMade] = queue.SimpleQueue()
    request = Request("r", Verb.ROLLOUT)
    Forecasts(journal, made.put, lambda: NOW).make(MakeForecast(request, PLAN))
    answer = made.get(timeout=60.0)
    assert answer.request == request
    assert (answer.refusal is None, bool(answer.forecast.lines)) == (is_told, is_told)
    assert is_told or answer.refusal.blames_box


def test_labels_tell_how_many_of_the_rejected_parts_are_bad(journal: Journal) -> None:
    parts(journal, every_s=1.0, ng_every=50, hours=2.0, can_every=10)
    words = tuple(
        FeedbackRow("f", NOW, "boot", n, "ng" if n % 2 else "ok", "operator", "kim", "ng")
        for n in range(ENOUGH_LABELS)
    )
    journal.commit(Entry(rollouts=RolloutsEntry(feedback=words)))
    told = forecast_of(PLAN, journal, NOW)
    assert dict(told.defects_h)[OVERALL] == pytest.approx(36.0)
    assert "10 of the 20 that were looked at were truly bad" in told.lines[0]


@given(
    hours=st.one_of(st.just(0.0), st.floats(BIN_S / 3600.0, 168.0)),
    counted=st.integers(0, 10**6).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, 500))
    ),
    shares=st.dictionaries(st.sampled_from(["low_light", "small", "cans"]), st.floats(0.0, 1.0)),
)
def test_whatever_the_rates_are_each_slice_has_its_sentence(
    hours: float, counted: tuple[int, int, int], shares: dict[str, float]
) -> None:
    """And no figure in them is endless or below zero."""
    total, rejected, verified = counted
    told = foretell(PLAN, Rates(hours, total, rejected, verified, verified // 2, shares))
    if not total or not hours:
        assert len(told.lines) == 1
        return
    assert len(told.lines) == 2 + len(PLAN.slices)
    assert all(line.endswith(".") and "nan" not in line for line in told.lines)
    assert all(rate >= 0.0 and math.isfinite(rate) for _, rate in told.defects_h)
