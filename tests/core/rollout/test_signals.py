"""What is usual is learnt, a change is told once, and a wander that was there before is none."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.rollout.signals import Rules, Signal, Watched, read_watched, scaled

RULES = Rules(learn=200, run_length=1e5, tolerance=0.02)


def after(watched: Watched, values: Iterable[float]) -> Watched:
    for value in values:
        watched = watched.after(value)
    return watched


def good(count: int, seed: int = 1, mean: float = 0.5) -> list[float]:
    luck = random.Random(seed)
    return [luck.gauss(mean, 0.02) for _ in range(count)]


def test_nothing_is_said_before_it_is_known_what_is_usual() -> None:
    learning = after(Watched(RULES), good(199))
    assert (learning.drift, learning.log10_evidence) == (None, 0.0)
    known = after(learning, good(1))
    assert known.drift is not None
    assert known.drift.usual.low < 0.5 < known.drift.usual.high


def test_a_change_is_told_soon_and_is_over_after_a_quiet_time() -> None:
    known = after(Watched(RULES), good(200))
    calm = after(known, good(3000, seed=2))
    assert calm.alarm is None
    changed = after(calm, good(100, seed=3, mean=0.3))
    assert changed.alarm is not None
    assert not changed.alarm.is_upwards
    assert after(changed, good(100, seed=4)).alarm is not None, "it stays for a while"
    assert after(changed, good(400, seed=5)).alarm is None
    assert after(changed, good(400, seed=6, mean=0.3)).alarm is not None, "it goes on"


def test_what_wandered_in_the_good_time_may_wander_later() -> None:
    """Daylight: each unit is near the one before, so that their mean moves without a fault."""

    def day(units: int, begin: int = 0) -> list[float]:
        return [0.5 + 0.1 * math.sin((begin + n) / 40.0) for n in range(units)]

    known = after(Watched(Rules(learn=2000, run_length=1e5)), day(2000))
    assert after(known, day(5000, begin=2000)).alarm is None


@pytest.mark.parametrize("usual", [0.0, 0.01, 1.0])
def test_signals_at_the_end_of_the_scale_are_signals_too(usual: float) -> None:
    luck = random.Random(1)
    known = after(Watched(RULES), (float(luck.random() < usual) for _ in range(200)))
    changed = after(known, [1.0 - usual] * 100)
    assert changed.alarm is not None


def test_the_scales_keep_their_order() -> None:
    assert scaled(Signal.BRIGHTNESS, 255.0) == 1.0
    assert scaled(Signal.CONTRAST, 64.0) == 0.5
    sharp = [scaled(Signal.SHARPNESS, value) for value in (-1.0, 0.0, 10.0, 100.0, 1e9)]
    assert sharp == sorted(sharp)
    assert sharp[0] == 0.0
    assert sharp[-1] <= 1.0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=400), st.integers(0, 399))
def test_a_restart_changes_nothing_and_no_value_breaks_it(values: list[float], cut: int) -> None:
    rules = Rules(learn=100, run_length=1000.0)
    before = after(Watched(rules), values[:cut])
    again = read_watched(rules, json.loads(json.dumps(before.as_mapping())))
    assert again == before
    assert after(again, values[cut:]) == after(before, values[cut:])


def test_what_is_no_signal_is_refused_and_another_run_length_counts_from_now_on() -> None:
    known = after(Watched(RULES), good(250))
    other = read_watched(Rules(200, 1e9, 0.02), known.as_mapping())
    assert other.drift is not None
    assert known.drift is not None
    assert other.drift.usual.low == known.drift.usual.low
    assert other.drift.evidence == 0.0
    for broken in ({}, {**known.as_mapping(), "drift": {"usual": []}}):
        with pytest.raises((ValueError, KeyError)):
            read_watched(RULES, broken)
