"""Turn-over with the process tree watched; a little here, much by `scripts/soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

from tests.sim.mosquitto import scratch
from tests.sim.proctree import Hold, look, slopes
from tests.sim.soak import Soak
from tests.sim.soak_kills import frames_lost
from tests.sim.soak_plan import Plan, Reckoning


def soaked(plan: Plan) -> Reckoning:
    """What came of it."""
    with scratch() as (folder, broker), closing(Soak(folder, broker, plan)) as soak:
        return soak.run()


@pytest.mark.broker
def test_swaps_and_failed_loads_leave_nothing_behind() -> None:
    """Each swap loads; no descriptor, thread or process stays, and the books balance."""
    reckoning = soaked(Plan(swaps=26, failed_loads=4))
    assert reckoning.wrong == []
    assert reckoning.outcomes == {"succeeded": 26, "rejected": 4}
    first, last = reckoning.samples[1][1], reckoning.samples[-1][1]
    assert (last.descriptors, last.processes) == (first.descriptors, first.processes)


@pytest.mark.broker
def test_a_kill_after_each_swap_loses_no_frame() -> None:
    """Of the judging worker, the fork server and a prepared worker, in turns."""
    reckoning = soaked(Plan(swaps=6, kills=6))
    assert reckoning.wrong == []
    assert reckoning.outcomes == {"succeeded": 6}
    assert set(reckoning.faults.values()) == {2}
    assert len(reckoning.faults) == 3


def test_a_frame_that_no_model_judged_is_lost() -> None:
    page = """edge_frames_captured_total{device="c"} 90.0
edge_frames_uninspected_total{device="c",reason="stopped"} 0.0
edge_frames_uninspected_total{device="c",reason="inference_failed"} 2.0
edge_frames_dropped_total{device="c",reason="buffer_full"} 1.0
"""
    assert frames_lost(page) == {"inference_failed": 2, "buffer_full": 1}


def test_a_tree_of_processes_is_seen_whole() -> None:
    """A child that holds files counts for its parent; once it is gone nothing of it does."""
    before = look(os.getpid())
    code = "import sys; held = [open('/dev/null') for _ in range(50)]; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        while look(os.getpid()).descriptors < before.descriptors + 50:
            assert child.poll() is None
        assert look(os.getpid()).processes == before.processes + 1
        child.communicate()
    assert look(os.getpid()).processes == before.processes


def test_a_slope_is_the_growth_of_what_is_steady() -> None:
    """The beginning, while all warms up, does not count; a leak does."""
    leaking = [(float(n), Hold(100.0 if n < 3 else 50.0 + 2.0 * n, 10, 5, 1)) for n in range(10)]
    assert slopes(leaking) == {
        "memory_mb": pytest.approx(2.0),
        "descriptors": 0.0,
        "threads": 0.0,
        "processes": 0.0,
    }
