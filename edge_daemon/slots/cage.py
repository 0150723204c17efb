"""The worker is a cage: what foreign files can reach once they run.

    enter   at the worker's first line, while it has one thread: no new privileges, no
            capabilities, files / TCP / signals by Landlock, first to die when memory is short
    close   when it is warm, before the first foreign file: bounded memory, files and descriptors,
            and a filter of system calls for every thread

The process that workers are forked from enters the same cage, and closes what it can
(`close_parent`); each worker then goes further in. A right that the parent gave up, no worker has.

Each layer is left out where the kernel or the container lacks it, and said to be lacking; so is
it in `edge-daemon check`. A thread slot lives in the daemon's own process and has no cage.
Standard library only: numpy starts threads when it is imported, and a thread that exists before
`enter` would stay outside.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import resource
import site
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_daemon.slots import landlock, seccomp
from edge_daemon.slots.kernel import hide_from_others, last_error, libc, prctl
from edge_daemon.slots.landlock import Rule

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_READ_SEARCH = 1 << 2  # root may keep reading a venv in somebody's home; Landlock bounds it
_SYS_NICE = 1 << 23  # back to the usual nice value; the filter of system calls bounds it
_RLIMIT_NICE = 13
_NICE_0 = 20  # as RLIMIT_NICE counts

_DESCRIPTORS = 1024
_FILE_BYTES = 64 << 20
_LARGE_FILE_BYTES = 4 << 30  # where engines are made
_MORE_TASKS = 512  # for this user, beyond those there are
_ADDRESS_SLACK = 1 << 30  # stacks and arenas that are reserved and never touched
_LEAST_MEMORY = 1 << 30
_DIES_FIRST = 500  # oom_score_adj

_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/sys", "/proc", "/opt/nvidia",
    "/opt/intel", "/dev/zero", "/dev/random", "/dev/urandom",
)  # fmt: skip
_SETTINGS = (
    "alternatives", "debian_version", "fonts", "group", "gai.conf", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "lsb-release", "mime.types", "nsswitch.conf", "nv_tegra_release",
    "OpenCL", "os-release", "passwd", "pki/tls/openssl.cnf", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
_GPU_DEVICES = (
    "/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu*", "/dev/host1x-fence",
    "/dev/nvsciipc", "/dev/dri",
)  # fmt: skip


@dataclass(frozen=True)
class Cage:
    """What one worker needs of its box.

    Args:
        scratch: the only folder that it may write to.
        readable: what it may read beside the system's libraries.
        listable: folders whose names it may list, as Python's import does.
        gpu: whether it may use the devices of an NVIDIA GPU.
        memory_bytes: how much it may grow from where it is warm; 0: half of the box's memory.
        large_files: whether it may write files of gigabytes, as a worker that makes engines must.
        landlock: the newest ABI to use, as on an older kernel; None: the kernel's own.
        forks: it is a parent's: what each child will need of its own folder below /proc stays open.
    """

    scratch: str
    readable: tuple[str, ...] = ()
    listable: tuple[str, ...] = ()
    gpu: bool = False
    memory_bytes: int = 0
    large_files: bool = False
    landlock: int | None = None
    forks: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cage:
        plain = json.loads(text)
        folders = {name: tuple(plain[name]) for name in ("readable", "listable")}
        return cls(**{**plain, **folders})


@dataclass(frozen=True)
class Facility:
    """One mechanism of confinement: whether it is there, and what its absence leaves open."""

    name: str
    available: bool
    note: str = ""


# --------------------------------------------------------------------------- from outside


def code_roots(path: Iterable[str], private: Iterable[str]) -> tuple[str, ...]:
    """The folders that Python runs from: the interpreter's own, and those on its import path.

    One that holds a `private` folder (somebody's home, the daemon's state) is left out: an
    interpreter that was started there must not open it to foreign files.
    """
    held = [Path(p).resolve() for p in private]
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()}
    own.add(str(Path(__file__).resolve().parents[1]))
    own.update(filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)))
    for entry in path:
        root = Path(entry or ".").resolve()
        if not any(root == folder or root in folder.parents for folder in held):
            own.add(str(root))
    return tuple(sorted(root for root in own if root != "/"))


def facilities() -> tuple[Facility, ...]:
    """What this kernel and this container offer to confine a worker."""
    try:
        version, why = landlock.abi(), ""
    except OSError as error:
        version, why = 0, f" ({error.strerror})"
    files, calls = version >= 1, seccomp.available()
    return (
        Facility("landlock", files, "" if files else f"there is no Landlock{why}: {_OPEN_FILES}"),
        Facility("seccomp", calls, "" if calls else f"there is no seccomp: {_OPEN_CALLS}"),
    )


_OPEN_FILES = "a model's code could read whatever the daemon's user may"
_OPEN_CALLS = "a model's code could open sockets and start programs"


# --------------------------------------------------------------------------- inside


def enter(cage: Cage) -> tuple[Facility, ...]:
    """Apply the layers that hold for everything that this process loads, its libraries included."""
    os.umask(0o077)
    one = len(os.listdir("/proc/self/task")) == 1
    layers = [
        _try("dies_first", _die_first),
        _try("no_new_privileges", lambda: prctl(_PR_SET_NO_NEW_PRIVS, 1)),
    ]
    if not seccomp.available():
        layers.append(_try("network_namespace", isolate_network))
    confined = _try("landlock", lambda: landlock.confine(_rules(cage), cage.landlock))
    layers.append(confined if one else Facility("landlock", False, "a thread stayed outside"))
    layers.append(_try("no_capabilities", lambda: _drop_capabilities(confined.available)))
    layers.append(_try("not_dumpable", hide_from_others))
    return tuple(layers)


def close(cage: Cage, usual_nice: int, entered: tuple[Facility, ...] = ()) -> tuple[Facility, ...]:
    """Apply the layers that only a warm worker can bear; from here on foreign files may run.

    Returns them with those that were `entered`. Where Landlock is not among them, the filter lets
    nothing be written at all.
    """
    confined = any(layer.name == "landlock" and layer.available for layer in entered)
    own = seccomp.ProcessFacts(
        os.getpid(), usual_nice, gpu=cage.gpu, writes=confined, removes=cage.large_files
    )
    return (
        *entered,
        _try("limits", lambda: _limit(cage)),
        _try("seccomp", lambda: seccomp.install(own)),
    )


def close_parent(cage: Cage, entered: tuple[Facility, ...] = ()) -> tuple[Facility, ...]:
    """The layers that a process bears that forks workers; returns them with those `entered`.

    It may fork, and its children may still go into cages of their own.
    """
    own = seccomp.ProcessFacts(os.getpid(), gpu=cage.gpu, removes=cage.large_files, forks=True)
    return (
        *entered,
        _try("limits", lambda: _limit_files(cage)),
        _try("seccomp", lambda: seccomp.install(own)),
    )


def isolate_network() -> None:
    """Leave every network; raises OSError if the box does not allow it."""
    if libc.unshare(_CLONE_NEWNET) != 0 and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise last_error()


def _try(name: str, layer: Callable[[], object]) -> Facility:
    try:
        layer()
    except (OSError, ValueError) as error:
        return Facility(name, False, str(error))
    return Facility(name, True)


def _rules(cage: Cage) -> list[Rule]:
    readable = [*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS), *cage.readable]
    rules = [Rule(path, landlock.READ) for path in readable]
    rules += [Rule(path, landlock.READ_DIR) for path in cage.listable]
    rules.append(Rule(cage.scratch, landlock.WRITE))
    rules.append(Rule("/dev/null", landlock.READ | landlock.WRITE_FILE))
    if cage.gpu:
        devices = [path for pattern in _GPU_DEVICES for path in glob.glob(pattern)]
        rules += [Rule(path, landlock.USE_DEVICE) for path in devices]
        # CUDA writes the names of its threads there, and does not start where it may not.
        tasks = "/proc" if cage.forks else "/proc/self/task"
        rules.append(Rule(tasks, landlock.OVERWRITE))
    return rules


def _die_first() -> None:
    """A forked worker inherits it, and may not be able to write there."""
    score = Path("/proc/self/oom_score_adj")
    if int(score.read_text(encoding="ascii")) != _DIES_FIRST:
        score.write_text(str(_DIES_FIRST), encoding="ascii")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _drop_capabilities(confined: bool) -> None:
    """Root without its powers; the way back to the usual nice value stays open."""
    kept = _DAC_READ_SEARCH if confined else 0
    try:
        resource.setrlimit(_RLIMIT_NICE, (_NICE_0, _NICE_0))
    except (OSError, ValueError):
        kept |= _SYS_NICE if seccomp.available() else 0
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise last_error()
    kept &= sets[1]
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise last_error()


def _limit(cage: Cage) -> None:
    """Limits relative to the warm worker's use.

    Address space is limited on a CPU only: a GPU's driver reserves far more than there is.
    """
    grown = cage.memory_bytes or max(_LEAST_MEMORY, _box_bytes() // 2)
    _limit_files(cage)
    _lower(resource.RLIMIT_DATA, _own_bytes("VmData") + grown)
    if not cage.gpu:
        _lower(resource.RLIMIT_AS, _own_bytes("VmSize") + grown + _ADDRESS_SLACK)
    _lower(resource.RLIMIT_NPROC, _tasks_of_user() + _MORE_TASKS)


def _limit_files(cage: Cage) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _lower(resource.RLIMIT_FSIZE, _LARGE_FILE_BYTES if cage.large_files else _FILE_BYTES)


def _lower(which: int, limit: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (bound, bound))


def _box_bytes() -> int:
    """The memory of the box, or of the control group where that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total


def _own_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _tasks_of_user() -> int:
    """How many threads this user runs, as RLIMIT_NPROC counts them."""
    count = 0
    for path in glob.glob("/proc/[0-9]*"):
        with suppress(OSError):
            if os.stat(path).st_uid == os.getuid():
                count += len(os.listdir(f"{path}/task"))
    return count
