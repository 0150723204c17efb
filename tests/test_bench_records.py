"""The bench's ruler: what it calls lost, late, a gap and a first inference."""

from __future__ import annotations

import math

from bench_rig.records import Change, Run, Seen, measure, spread

FPS = 100.0


def seen(number: int, *, late_ms: float = 2.0, model: str = "old", took_ms: float = 1.0) -> Seen:
    due_at = number / FPS
    done_at = due_at + late_ms / 1e3
    return Seen(number, due_at + 0.0005, done_at - took_ms / 1e3, done_at, model)


def line(*frames: Seen) -> Run:
    return Run(FPS, frames, origin=0.0)


def test_a_frame_without_a_verdict_is_lost_wherever_it_went() -> None:
    """Dropped by the camera's buffer or failed in the model: the number is missing."""
    run = line(*(seen(n) for n in range(100) if n not in {40, 41, 70}))
    assert run.lost(0.0, 0.99) == 3
    assert run.lost(0.5, 0.99) == 1


def test_latency_counts_from_when_the_frame_was_due() -> None:
    """Open loop: a camera that is late itself does not hide the wait."""
    run = line(seen(0), seen(1, late_ms=35.0), seen(2))
    assert [round(ms) for ms in run.latencies_ms(-1.0, 1.0)] == [2, 35, 2]


def test_the_schedule_is_found_by_the_earliest_frame() -> None:
    """Where a line says only when it captured, the least late frame gives the schedule."""
    frames = [Seen(n, n / FPS + (0.0 if n == 5 else 0.004), 0.0, n / FPS + 0.01, "old")
              for n in range(10)]  # fmt: skip
    assert math.isclose(Run(FPS, frames).origin, 0.0, abs_tol=1e-9)


def test_a_gap_is_what_exceeds_the_frame_interval() -> None:
    """Three frames lost in a row: 30 ms beyond the usual 10; a line that ends has one too."""
    run = line(*(seen(n) for n in range(60) if not 20 <= n < 23))
    assert round(run.longest_gap_ms(0.1, 0.4)) == 30
    assert round(run.longest_gap_ms(0.1, 0.9)) == 298


def test_a_swap_is_measured_from_the_request_to_the_new_models_first_result() -> None:
    """Its pause, its first inference over its own steady one, the frames that waited."""
    old = [seen(n) for n in range(50)]
    new = [seen(n, model="new", took_ms=3.0 if n == 50 else 1.0, late_ms=4.0 if n == 50 else 2.0)
           for n in range(50, 100)]  # fmt: skip
    found = measure(line(*old, *new), Change("same", "new", asked_at=0.301))
    assert found is not None
    assert found.lost == 0
    assert round(found.pause_ms, 3) == 2.0
    assert round(found.first_ratio, 3) == 3.0
    assert round(found.active_ms) == 203
    assert found.frames_waited == 19
    assert measure(line(*old), Change("same", "new", asked_at=0.3)) is None


def test_a_spread_of_nothing_says_so() -> None:
    """No figure is made up."""
    assert spread([]) == {"n": 0, "p50": None, "p99": None, "p99.9": None, "max": None}
