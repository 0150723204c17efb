"""Times in messages: written in one form, read in every form that ISO 8601 allows with a zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.messaging.times import iso_utc, parse_iso

TEN = 1_795_341_600.0  # 2026-11-22T10:00:00Z


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        (1_795_000_000.25, "2026-11-18T11:06:40.250Z"),
        (253_402_387_139.0, "9999-12-31T23:59:59.999Z"),
        (1e300, "9999-12-31T23:59:59.999Z"),
        (float("inf"), "9999-12-31T23:59:59.999Z"),
        (-1e300, "0001-01-01T00:00:00.000Z"),
        (float("nan"), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_any_time_can_be_written(utc: float, text: str) -> None:
    """A time that nobody lives to see must not keep the page from being shown."""
    assert iso_utc(utc) == text


@given(st.floats(min_value=0, max_value=4e9))
def test_times_survive_the_way_out_and_in(utc: float) -> None:
    """What we publish as a time is read back to the millisecond."""
    again = parse_iso(iso_utc(utc))
    assert again is not None
    assert abs(again - utc) <= 0.001


@pytest.mark.parametrize(
    ("text", "later_s"),
    [
        ("2026-11-22T10:00:00Z", 0.0),
        ("2026-11-22t10:00:00z", 0.0),
        ("2026-11-22 10:00Z", 0.0),
        ("2026-11-22T11:00:00+01:00", 0.0),
        ("2026-11-22T11:00:00+01", 0.0),
        ("2026-11-22T04:30:00-0530", 0.0),
        ("2026-11-22T10:00:00.25Z", 0.25),
        ("2026-11-22T10:00:00,123456789Z", 0.123456789),
    ],
)
def test_every_usual_form_is_read(text: str, later_s: float) -> None:
    """As programs of many languages write them."""
    assert parse_iso(text) == pytest.approx(TEN + later_s, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T10:00:00",  # whose clock?
        "2026-11-22T10:00:00 Europe/Berlin",
        "2026-02-30T10:00:00Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T10:00:00+99:00",
        "2026-11-22T10:00:00Z\n",
    ],
)
def test_what_is_no_time_with_a_zone_is_none(text: str) -> None:
    """A guess would begin a swap at the wrong hour."""
    assert parse_iso(text) is None
