"""Landlock: a process gives up file, TCP and signal rights, for good and without privileges.

Only the thread that calls `confine` and those that it starts later are held; so it is called
while there is one thread. A right that the running kernel does not know is left out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from edge_daemon.slots.kernel import last_error, libc

# System calls 444-446 have the same number on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_SYM, _REFER, _TRUNCATE, IOCTL_DEV = 1 << 12, 1 << 13, 1 << 14, 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR
# Folders, files and symbolic links; no device, socket or pipe.
WRITE = (READ | WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM) | (
    _REFER | _TRUNCATE
)
OVERWRITE = WRITE_FILE | _TRUNCATE
USE_DEVICE = READ | WRITE_FILE | IOCTL_DEV

NETWORK_ABI = 4
SCOPE_ABI = 6
_RIGHTS_BY_ABI = ((1, 13), (2, 14), (3, 15), (5, 16))  # ABI -> how many file rights it has
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True)
class Rule:
    """The rights that remain at `path` and below it; a path that is not there grants nothing."""

    path: str
    access: int


def abi() -> int:
    """The version that this kernel offers; raises OSError where it has none or may not use it."""
    return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))


def confine(rules: Iterable[Rule], newest: int | None = None) -> int:
    """Give up every right that is not in `rules`, TCP, and signals to the outside.

    Needs no_new_privs. Returns the ABI in force; raises OSError where Landlock is lacking. No ABI
    beyond `newest` is used: so it is seen what holds on an older kernel (0: one without Landlock).
    """
    version = abi() if newest is None else min(abi(), newest)
    if version == 0:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    handled = (1 << max(count for since, count in _RIGHTS_BY_ABI if since <= version)) - 1
    attributes = _Ruleset(
        handled,
        (_BIND_TCP | _CONNECT_TCP) if version >= NETWORK_ABI else 0,
        (_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS) if version >= SCOPE_ABI else 0,
    )
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint32(0))
    try:
        for rule in rules:
            _allow(ruleset, rule, handled)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, rule: Rule, handled: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
        try:
            access = rule.access & handled
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                access &= _OF_FILES
            beneath = _PathBeneath(access, place)
            _call(
                _ADD_RULE,
                ctypes.c_int(ruleset),
                ctypes.c_int(_RULE_PATH_BENEATH),
                ctypes.byref(beneath),
                ctypes.c_uint32(0),
            )
        finally:
            os.close(place)


def _call(number: int, *arguments: object) -> int:
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise last_error()
    return result
