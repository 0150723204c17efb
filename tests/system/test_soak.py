"""Turn-over with the process tree watched; a little here, much by `scripts/soak`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.sim.mosquitto import new_mosquitto
from tests.sim.proctree import Hold, look, slopes
from tests.sim.soak import Plan, Soak

pytestmark = pytest.mark.timeout(180)


@pytest.mark.broker
def test_swaps_and_failed_loads_leave_nothing_behind() -> None:
    """Each swap loads; no descriptor, thread or process stays, and the books balance."""
    with tempfile.TemporaryDirectory(prefix="edk-") as folder, new_mosquitto() as broker:
        soak = Soak(Path(folder), broker, Plan(swaps=26, failed_loads=4))
        try:
            reckoning = soak.run()
        finally:
            soak.close()
    assert reckoning.wrong == []
    assert reckoning.outcomes == {"succeeded": 26, "rejected": 4}
    first, last = reckoning.samples[1][1], reckoning.samples[-1][1]
    assert (last.descriptors, last.processes) == (first.descriptors, first.processes)


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
