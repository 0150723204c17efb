"""Priority: taken down and up again, thread by thread, also without privileges."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge_daemon.slots.kernel import resident_bytes

PROGRAM = """
import os, sys, threading
from edge_daemon.slots.kernel import Priority
if sys.argv[1] != "same":
    os.setuid(int(sys.argv[1]))
stop = threading.Event()
other = threading.Thread(target=stop.wait)
other.start()
places = lambda: {  # not those of the thread that tried the way back, and may still be ending
    (os.getpriority(os.PRIO_PROCESS, t), os.sched_getscheduler(t))
    for t in (os.getpid(), other.native_id)
}
usual = places()
priority = Priority()
priority.lower()
lower = places()
priority.restore()
print(priority.way.value, usual == places(), lower != usual, len(lower))
stop.set()
"""


def _priorities(user: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, user],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.split()


def test_every_thread_gives_way_and_comes_back() -> None:
    """Lowered, all threads of the process yield; restored, all are where they were."""
    _, restored, lowered, kinds = _priorities("same")
    assert (restored, lowered, kinds) == ("True", "True", "1")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_without_privileges_the_way_back_is_still_open() -> None:
    """Not everybody may leave SCHED_IDLE again: such a worker takes another way to yield."""
    assert _priorities("65534") == ["batch", "True", "True", "1"]


def test_memory_of_a_process_that_is_gone_is_none() -> None:
    """Asking after a dead worker is harmless."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert resident_bytes(gone.pid) == 0
    assert resident_bytes() > 1 << 20
