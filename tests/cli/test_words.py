"""Figures as people read them: the unit that fits, and a dash where nothing was measured."""

from __future__ import annotations

import time

import pytest

from edge_daemon.cli.words import NOTHING, duration, milliseconds, moment, size, sparkline
from edge_daemon.messaging.times import iso_utc

NOON = 1_795_348_800.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.00 ms"),
        (0.4, "0.40 ms"),
        (1.25, "1.2 ms"),
        (12.4, "12 ms"),
        (999.4, "999 ms"),
        (1250, "1.25 s"),
        (None, NOTHING),
        ("12", NOTHING),
    ],
)
def test_milliseconds_have_two_digits_and_no_more_than_they_need(value: object, said: str) -> None:
    """A pause of 0.4 ms and a load of 12 s stand in one table."""
    assert milliseconds(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (3_599.0, "59 min"),
        (7_500.0, "2 h 5 min"),
        (4 * 86_400.0 + 3 * 3_600.0, "4 d 3 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, said: str) -> None:
    """A clock that was set back makes no negative one."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (6_540_000, "6.54 MB"), (1.2e9, "1.2 GB"), (3e12, "3 TB")],
)
def test_sizes_are_told_as_disks_are_sold(count: float, said: str) -> None:
    """By thousands."""
    assert size(count) == said


def test_a_time_without_a_local_form_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """West of Greenwich the first hours of the year 1 are before it; a message may say anything."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        assert moment("0001-01-01T00:00:00Z", NOON) == NOTHING
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_moment_says_how_long_it_is_ago() -> None:
    """Without the date where it was today."""
    said = moment(iso_utc(NOON - 90.0), NOON)
    assert said.endswith("(1 min ago)")
    assert "-" not in said


def test_a_moment_of_another_day_has_its_date() -> None:
    """Else 23:59 would be taken for a minute ago."""
    assert moment(iso_utc(NOON - 3 * 86_400.0), NOON, ago=False).startswith("2026-11-1")


def test_a_moment_that_is_to_come_is_not_called_past() -> None:
    """A swap at a time; or a clock that was set back."""
    assert "ago" not in moment(iso_utc(NOON + 600.0), NOON)


@pytest.mark.parametrize("iso", [None, "", "yesterday", 7])
def test_what_is_no_time_is_a_dash(iso: object) -> None:
    """Of a station that is older, say."""
    assert moment(iso, NOON) == NOTHING


def test_a_sparkline_has_a_bar_for_each_value() -> None:
    """The largest is the highest; nothing is the lowest, not a gap."""
    bars = sparkline([0.0, 1.0, 2.0, 4.0])
    assert len(bars) == 4
    assert list(bars) == sorted(bars)
    assert bars[3] == max(bars)
    assert len(set(sparkline([0.0, 0.0]))) == 1
    assert sparkline([]) == ""
