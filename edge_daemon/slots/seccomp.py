"""seccomp: a filter of system calls, written by hand, for every thread of this process at once.

It refuses what a process that only computes never needs. A library that tries gets an ordinary
error and goes on; nothing is killed for trying. Numbers are those of x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from typing import Final

from edge_daemon.slots.kernel import last_error, libc

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_TSYNC = 1
_RET_ERRNO: Final = 0x00050000
_RET_ALLOW: Final = 0x7FFF0000
_RET_KILL_PROCESS: Final = 0x80000000

# Classic BPF: load a word of the call's description, compare, return.
_LOAD, _EQUALS, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_NEWEST_CALL = 470  # a call that is newer than this table does not exist for the worker

_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # other programs, other processes
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "tkill": (200, 130),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "ioprio_set": (251, 30),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "setpgid": (109, 154),
    "setsid": (112, 157),
    # a pair of datagram sockets can send to any named socket, so not even that
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    # what the kernel counts for a whole user, the daemon with it: descriptors in flight, watches
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    # what Landlock does not cover
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "truncate": (76, 45),
    "mknod": (133, None), "mknodat": (259, 33), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "personality": (135, 92), "syslog": (103, 116), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "vhangup": (153, 58),
    "lookup_dcookie": (212, 18), "memfd_secret": (447, 447),
    # memory and queues that outlive a process, or belong to another
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190),
    "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}  # fmt: skip

_WEIGHED: Final[dict[str, tuple[int, int]]] = {
    "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "prctl": (157, 167),
    "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "prlimit64": (302, 261), "ioctl": (16, 29), "fcntl": (72, 25),
    "memfd_create": (319, 279), "seccomp": (317, 277),
}  # fmt: skip

# What is open and has no name any more fills a disk and is seen by nobody: so a worker keeps what
# it wrote, and whoever watches its folder sees all of it.
_REMOVALS: Final[dict[str, tuple[int | None, int | None]]] = {
    "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None),
    "renameat": (264, 38), "renameat2": (316, 276),
}  # fmt: skip
_NAMELESS = os.O_TMPFILE & ~os.O_DIRECTORY

# Where Landlock is lacking: nothing is made, renamed or removed, and nothing opened for writing.
_CHANGES: Final[dict[str, tuple[int | None, int | None]]] = {
    "creat": (85, None), "mkdir": (83, None), "mkdirat": (258, 34), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
}  # fmt: skip
_OPENING: Final[dict[str, tuple[int | None, int | None, int]]] = {
    "open": (2, None, 1), "openat": (257, 56, 2),
}  # fmt: skip
_OPENAT2 = 437  # its flags lie in memory, where the filter cannot look
_OPEN_TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NAMELESS

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020080  # mount, cgroup, UTS, IPC, user, PID, network and time namespaces
_PRIO_PROCESS = 0
# death signal, dumpable, keepcaps, securebits, mm, ptracer
_PRCTL_DENIED = (1, 4, 8, 28, 35, 0x59616D61)
# The kernel itself signals the owner of a descriptor, whoever that is; before Linux 6.12, Landlock
# does not see it. FIOSETOWN and SIOCSPGRP name the owner as F_SETOWN does.
# SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY
_FCNTL_DENIED = (8, 10, 15, 1024, 1026)
# typing into, drawing on, turning and taking a terminal, its process group; FIOSETOWN, SIOCSPGRP
_IOCTL_DENIED = (0x5412, 0x541C, 0x5423, 0x540E, 0x5410, 0x8901, 0x8902)


@dataclass(frozen=True)
class ProcessFacts:
    """What the filter must know of the process: who it is, and its usual nice value.

    Args:
        gpu: it may make memory files, and open files (its devices) to read and write.
        writes: whether it may change files at all; False where nothing else confines it.
        removes: whether it may remove and rename them.
        forks: it makes workers, which are not held to a filter of their own yet: it may fork, and
            do to itself what a worker does on its way into its cage.
    """

    pid: int
    usual_nice: int = 0
    gpu: bool = False
    writes: bool = True
    removes: bool = False
    forks: bool = False


def calls() -> dict[str, tuple[int | None, int | None]]:
    """Every call that the filter names, with its number on x86_64 and on aarch64."""
    opening = {name: numbers[:2] for name, numbers in _OPENING.items()}
    return {**_DENIED, **_WEIGHED, **_REMOVALS, **_CHANGES, **opening}


def available() -> bool:
    """Whether this kernel filters system calls for the architecture of this box."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        return False
    action = ctypes.c_uint32(_RET_ERRNO)
    return _seccomp(_GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0


def install(own: ProcessFacts) -> None:
    """Hold every thread to the filter, for good. Needs no_new_privs; raises OSError."""
    steps = program(own, os.uname().machine)
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = _Program(len(steps), ctypes.cast(buffer, ctypes.c_void_p))
    result = _seccomp(_SET_MODE_FILTER, _TSYNC, ctypes.byref(filter_))
    if result > 0:  # the number of a thread that did not take it
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    if result < 0:
        raise last_error()


Step = tuple[int, int, int, int]
"""One BPF instruction: code, jump if true, jump if false, operand."""


def program(own: ProcessFacts, machine: str) -> list[Step]:
    """The filter for one architecture."""
    column, architecture = _ARCHITECTURES[machine]
    steps: list[Step] = [
        _load(_ARCHITECTURE_AT),
        (_EQUALS, 1, 0, architecture),
        _return(_RET_KILL_PROCESS),  # calls of another architecture mean something else
        _load(_NUMBER_AT),
        (_AT_LEAST, 0, 1, _NEWEST_CALL + 1),
        _errno(errno.ENOSYS),
    ]
    steps += _refused(_DENIED, column, errno.EPERM)
    if not own.writes:
        steps += _refused({**_CHANGES, **_REMOVALS}, column, errno.EROFS)
        steps += _opened_without(column, _OPEN_TO_WRITE | (0 if own.gpu else os.O_RDWR))
    elif not own.removes:
        steps += _refused(_REMOVALS, column, errno.EPERM)
        steps += _opened_without(column, _NAMELESS)
    weighed = _weighed_of_parent(own) if own.forks else _weighed(own)
    for name, block in weighed.items():
        steps += [(_EQUALS, 0, len(block), _WEIGHED[name][column]), *block]
    return [*steps, _return(_RET_ALLOW)]


def _refused(calls: dict[str, tuple[int | None, int | None]], column: int, code: int) -> list[Step]:
    numbers = [numbers[column] for numbers in calls.values()]
    pairs = [((_EQUALS, 0, 1, n), _errno(code)) for n in numbers if n is not None]
    return [step for pair in pairs for step in pair]


def _opened_without(column: int, flags: int) -> list[Step]:
    steps: list[Step] = [(_EQUALS, 0, 1, _OPENAT2), _errno(errno.ENOSYS)]
    for *numbers, position in _OPENING.values():
        number = numbers[column]
        if number is not None:
            block = [_argument(position), (_HAS_BIT, 0, 1, flags), _errno(errno.EROFS)]
            steps += [(_EQUALS, 0, 4, number), *block, _return(_RET_ALLOW)]
    return steps


def _weighed_of_parent(own: ProcessFacts) -> dict[str, list[Step]]:
    """Calls that a process that forks workers does not need either, whatever its children do."""
    everybody = ("clone3", "ioctl", "fcntl", "sched_setaffinity", "memfd_create")
    blocks = _weighed(own)
    no_namespace = [_argument(0), (_HAS_BIT, 0, 1, _CLONE_NEW), _errno(errno.EPERM)]
    return {
        "clone": [*no_namespace, _return(_RET_ALLOW)],
        **{name: blocks[name] for name in everybody},
    }


def _weighed(own: ProcessFacts) -> dict[str, list[Step]]:
    """Calls that are judged by their arguments; each block ends in a return."""
    only_mine = _only(0, own.pid)
    return {
        # glibc falls back to clone, whose flags the filter can see
        "clone3": [_errno(errno.ENOSYS)],
        "clone": [_argument(0), (_HAS_BIT, 0, 1, _CLONE_THREAD), *_verdict()],
        "kill": only_mine,
        "tgkill": only_mine,
        "rt_sigqueueinfo": only_mine,
        "rt_tgsigqueueinfo": only_mine,
        "prctl": _none_of(0, _PRCTL_DENIED),
        "ioctl": _none_of(1, _IOCTL_DENIED),
        "fcntl": _none_of(1, _FCNTL_DENIED),
        # back to the usual priority, which is harmless whoever gets it
        "setpriority": [
            _argument(0),
            (_EQUALS, 0, 3, _PRIO_PROCESS),
            _argument(2),
            (_EQUALS, 0, 1, own.usual_nice & 0xFFFFFFFF),
            *_verdict(),
        ],
        "sched_setscheduler": _only(1, os.SCHED_OTHER),
        # A library that pins its own threads by number is left to believe it did: whether a number
        # is a thread of ours cannot be seen from here.
        "sched_setaffinity": [_argument(0), (_EQUALS, 1, 0, 0), _errno(0), _return(_RET_ALLOW)],
        "prlimit64": [
            _argument(0),
            (_EQUALS, 1, 0, 0),
            (_EQUALS, 0, 1, own.pid),
            *_verdict(),
        ],
        "memfd_create": [_return(_RET_ALLOW) if own.gpu else _errno(errno.EPERM)],
    }


def _only(position: int, value: int) -> list[Step]:
    return [_argument(position), (_EQUALS, 0, 1, value), *_verdict()]


def _none_of(position: int, values: tuple[int, ...]) -> list[Step]:
    last = len(values)
    tests: list[Step] = [(_EQUALS, last - place, 0, value) for place, value in enumerate(values)]
    return [_argument(position), *tests, _return(_RET_ALLOW), _errno(errno.EPERM)]


def _verdict() -> list[Step]:
    """Allowed when the test before it held, else refused."""
    return [_return(_RET_ALLOW), _errno(errno.EPERM)]


def _argument(position: int) -> Step:
    return _load(_ARGUMENTS_AT + 8 * position)  # its low half: both architectures little-endian


def _load(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _return(value: int) -> Step:
    return (_RETURN, 0, 0, value)


def _errno(code: int) -> Step:
    return _return(_RET_ERRNO | code)


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _seccomp(operation: int, flags: int, argument: object) -> int:
    column, _ = _ARCHITECTURES[os.uname().machine]
    number = ctypes.c_long(_WEIGHED["seccomp"][column])
    return int(libc.syscall(number, ctypes.c_uint(operation), ctypes.c_uint(flags), argument))
