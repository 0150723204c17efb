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

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when the thread that forked it ends.

    Returns False when `parent` is gone already: the signal would never come, so leave now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    return os.getppid() == parent


def hide_from_others() -> None:
    """Keep this process's memory, environment and descriptors from others of the same user.

    /proc shows them to workers where no Landlock does it otherwise. A program that this process
    starts is not hidden. There are no core dumps any more, and a debugger must be root's. Raises
    OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


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

    IDLE = "idle"
    """SCHED_IDLE: runs only while nobody else wants the processor, and is preempted at once; back
    needs CAP_SYS_NICE or RLIMIT_NICE >= 20 (LimitNICE=+0). A nice value would still take a tenth of
    a processor from the lane, and time slices at its worst moments."""
    BATCH = "batch"
    """SCHED_BATCH: never preempts a thread that wakes; anybody may leave it."""


_POLICIES = {Yielding.IDLE: os.SCHED_IDLE, Yielding.BATCH: os.SCHED_BATCH}


def possible_yielding() -> Yielding:
    """Try on a thread that ends at once whether there is a way back from SCHED_IDLE."""
    found = Yielding.BATCH

    def attempt() -> None:
        nonlocal found
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            found = Yielding.IDLE

    prober = threading.Thread(target=attempt, name="yielding-prober")
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
        _schedule_all(_POLICIES[self._way])

    def restore(self) -> None:
        """Take the usual place again, with every thread there is."""
        _schedule_all(os.SCHED_OTHER)


def _schedule_all(policy: int) -> None:
    for thread in _threads():
        with suppress(OSError):  # it may have ended since the listing
            os.sched_setscheduler(thread, policy, os.sched_param(0))


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]
