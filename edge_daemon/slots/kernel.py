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

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
_ARG_START, _ARG_END = 48, 49  # fields of proc_pid_stat(5); the first after the name is field 3

libc = ctypes.CDLL(None, use_errno=True)


def last_error() -> OSError:
    """What the last call of `libc` on this thread failed with."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def prctl(option: int, value: int) -> None:
    """See prctl(2); raises OSError."""
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise last_error()


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when the thread that forked it ends.

    Returns False when `parent` is gone already: the signal would never come, so leave now.
    """
    with suppress(OSError):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return os.getppid() == parent
    return False


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has ended. Raises OSError."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str, *words: str) -> None:
    """What `ps` shows of this process: its name (15 bytes) and its command line.

    A forked process has those of its parent. The words take the place of the old command line, cut
    to its length. Never raises: a name is not worth a worker.
    """
    libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    with suppress(OSError, ValueError, IndexError), open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b") ")[2].split()
        begin, end = (int(fields[at - 3]) for at in (_ARG_START, _ARG_END))
        if 0 < begin < end:
            size = end - begin
            ctypes.memmove(begin, "\0".join(words).encode()[: size - 1].ljust(size, b"\0"), size)


def hide_from_others() -> None:
    """Keep this process's memory, environment and descriptors from others of the same user.

    /proc shows them to workers where no Landlock does it otherwise. A program that this process
    starts is not hidden. There are no core dumps any more, and a debugger must be root's. Raises
    OSError.
    """
    prctl(_PR_SET_DUMPABLE, 0)


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


def private_bytes() -> int:
    """Memory that this process shares with no other; only the process itself may ask for it.

    `resident_bytes` counts what a forked process still shares with its parent, so that it does not
    grow where a shared page becomes its own.
    """
    with suppress(OSError), open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        dirty = (line for line in lines if line.startswith("Private_Dirty:"))
        return int(next(dirty).split()[1]) * 1024
    return resident_bytes()


def thread_count() -> int:
    """How many threads this process has, those of native code included."""
    return len(_threads())


class Yielding(str, Enum):
    """How a process gives way to others, and can take its place back."""

    IDLE = "idle"
    """SCHED_IDLE: runs only while no other thread wants the processor, and is preempted at once;
    back needs CAP_SYS_NICE or RLIMIT_NICE >= 20 (LimitNICE=+0). A nice value would still take a
    tenth of a processor from the lane, and time slices at its worst moments."""
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
        self.way = possible_yielding()
        self.usual_nice = os.getpriority(os.PRIO_PROCESS, 0)

    def lower(self) -> None:
        """Give way to the rest of the box; threads started later inherit it."""
        _schedule_all(_POLICIES[self.way])

    def restore(self) -> None:
        """Take the usual place again, with every thread there is."""
        _schedule_all(os.SCHED_OTHER)


def _schedule_all(policy: int) -> None:
    for thread in _threads():
        with suppress(OSError):  # it may have ended since the listing
            os.sched_setscheduler(thread, policy, os.sched_param(0))


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]
