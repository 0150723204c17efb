"""What Linux does for a worker: its end, its priority, its memory.

The kernel keeps priorities by thread, so a whole process is treated thread by thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import suppress
from enum import Enum

_PR_SET_PDEATHSIG = 1
_BACKGROUND_NICE = 10


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when the thread that forked it ends.

    Returns False when `parent` is gone already: the signal would never come, so leave now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    return os.getppid() == parent


def resident_bytes(pid: int | None = None) -> int:
    """Private memory that process `pid` (None: this one) holds; 0 when it is gone.

    Anonymous pages only: the libraries' files and the frames are shared with others.
    """
    path = f"/proc/{'self' if pid is None else pid}/status"
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


class Yielding(str, Enum):
    """How a process gives way to others, and can take its place back."""

    NICE = "nice"  # nice 10; back to 0 needs CAP_SYS_NICE or RLIMIT_NICE >= 20 (LimitNICE=+0)
    BATCH = "batch"  # SCHED_BATCH: never preempts a thread that wakes; anybody may leave it


def possible_yielding() -> Yielding:
    """Try on a thread that ends at once whether a nice value can be taken back."""
    found = Yielding.BATCH

    def attempt() -> None:
        nonlocal found
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, usual + 1)
            os.setpriority(os.PRIO_PROCESS, 0, usual)
            found = Yielding.NICE

    prober = threading.Thread(target=attempt, name="nice-prober")
    prober.start()
    prober.join()
    return found


class Priority:
    """This process's place in the queue for the processors: background, or its usual one."""

    def __init__(self) -> None:
        self._way = possible_yielding()
        self._usual_nice = os.getpriority(os.PRIO_PROCESS, 0)

    @property
    def way(self) -> Yielding:
        return self._way

    @property
    def usual_nice(self) -> int:
        return self._usual_nice

    def lower(self) -> None:
        """Give way to the rest of the box; threads started later inherit it."""
        if self._way is Yielding.NICE:
            self._nice_all(self._usual_nice + _BACKGROUND_NICE)
        else:
            self._schedule_all(os.SCHED_BATCH)

    def restore(self) -> None:
        """Take the usual place again, with every thread there is."""
        if self._way is Yielding.NICE:
            self._nice_all(self._usual_nice)
        else:
            self._schedule_all(os.SCHED_OTHER)

    def _nice_all(self, value: int) -> None:
        for thread in _threads():
            with suppress(OSError):  # it may have ended since the listing
                os.setpriority(os.PRIO_PROCESS, thread, value)

    def _schedule_all(self, policy: int) -> None:
        for thread in _threads():
            with suppress(OSError):
                os.sched_setscheduler(thread, policy, os.sched_param(0))


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]
