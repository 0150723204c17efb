"""The settings of the C allocator, for a process that runs for years.

glibc gives each thread an arena of its own and keeps freed memory in it: after thousands of bundles
and requests, tens of megabytes that nobody uses. Under one interpreter lock two arenas are enough,
and free memory is returned to the kernel now and then. Another C library is left as it is.
"""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # malloc.h
ARENAS = 2


def _glibc() -> ctypes.CDLL | None:
    here = ctypes.CDLL(None)
    return here if hasattr(here, "gnu_get_libc_version") else None


_LIBC = _glibc()


def share_arenas() -> bool:
    """Before the first thread starts; returns whether the allocator took it."""
    return _LIBC is not None and bool(_LIBC.mallopt(_M_ARENA_MAX, ARENAS))


def give_back() -> bool:
    """Return free memory to the kernel; any thread. Returns whether there was any."""
    return _LIBC is not None and bool(_LIBC.malloc_trim(0))
