"""The worker is a cage: what is tried in it is denied, and what models need still works."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, Code, SlotLost
from edge_daemon.slots import seccomp
from edge_daemon.slots.cage import Cage, code_roots, facilities
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.burglar import bait, probe

GENEROUS_S = 60.0
RETURN = 0x06  # BPF
HARMLESS_CAPABILITIES = 1 << 2 | 1 << 23  # reading as root, and the usual nice value
NOT_IN_EVERY_KERNEL = {"bpf", "userfaultfd", "io_uring", "netlink", "packet_socket", "setns"}
WHOLE = all(facility.available for facility in facilities())
whole = pytest.mark.skipif(not WHOLE, reason="this kernel cannot build the whole cage")


NO_LANDLOCK = {"list_folder", "read_file", "read_shadow"}
"""What no filter of system calls can deny: to read what the daemon's user may read."""


@whole
@pytest.mark.parametrize("start", [Start.SPAWN, Start.FORK])
@pytest.mark.parametrize(
    ("landlock", "open_doors"), [(0, NO_LANDLOCK), (1, {}), (2, {}), (4, {}), (None, {})]
)
def test_everything_forbidden_is_denied_in_a_real_worker(
    landlock: int | None, open_doors: set[str], start: Start
) -> None:
    """No network, no files but its own, no programs, no other process, no more memory: every
    attempt is denied on kernels old and new, to the loading thread and to one that is older than
    the closed cage."""
    findings = probe(landlock, start)
    assert len(findings) > 65
    assert {finding.name for finding in findings if not finding.denied} <= set(open_doors)


IN_A_PROCESS = """
import json, os, sys, tempfile
from edge_daemon.slots import cage, landlock, seccomp
from tests.sim import attempts

lacking, scratch = json.loads(sys.argv[1]), sys.argv[3]
loot = attempts.Loot(**json.loads(sys.argv[2]))

def lack(*_):
    raise OSError(95, "not in this kernel")

if "landlock" in lacking:
    landlock.confine = lack
if "seccomp" in lacking:
    seccomp.install, seccomp.available = lack, lambda: False
tempfile.tempdir = scratch
bars = cage.Cage(scratch, cage.code_roots(sys.path, ()), tuple(sys.path), memory_bytes=256 << 20)
layers = ()
if "cage" not in lacking:
    layers = cage.close(bars, 0, cage.enter(bars))
found = [attempts.outcome(name, attempt) for name, attempt in attempts.attempts(loot).items()]
print(json.dumps([[f.name for f in found if f.denied], [f.name for f in found if not f.denied],
                  [layer.name for layer in layers if not layer.available]]))
sys.stdout.flush()
os._exit(0)
"""


def _attempts(tmp_path: Path, *lacking: str) -> tuple[set[str], set[str], list[str]]:
    """(denied, done, layers that are told as lacking) in a process whose cage lacks some layers."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    with bait() as loot:
        arguments = [json.dumps(lacking), json.dumps(vars(loot)), str(scratch)]
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
    assert done.returncode == 0, done.stderr
    denied, worked, told = json.loads(done.stdout)
    return set(denied), set(worked), told


@pytest.mark.skipif(os.getuid() != 0, reason="a user is denied much by the box itself")
def test_the_probe_measures_the_cage_and_not_the_box(tmp_path: Path) -> None:
    """Without a cage the very same attempts succeed, so a denial is the cage's work."""
    denied, worked, _ = _attempts(tmp_path, "cage")
    assert denied <= {"many_descriptors", *NOT_IN_EVERY_KERNEL}
    assert len(worked) > 50


@whole
def test_without_landlock_nothing_can_be_written(tmp_path: Path) -> None:
    """An older kernel leaves files readable, says that it lacks Landlock, and gives up no more."""
    _, worked, told = _attempts(tmp_path, "landlock")
    assert worked <= NO_LANDLOCK
    assert told == ["landlock"]


@whole
def test_without_a_filter_files_tcp_and_signals_stay_denied(tmp_path: Path) -> None:
    """A container that forbids seccomp is told so; what Landlock and the limits do still holds."""
    denied, _, told = _attempts(tmp_path, "seccomp")
    assert told[-1] == "seccomp"
    assert denied >= {
        "tcp_connect", "abstract_connect", "read_file", "write_file", "rename_out_of_scratch",
        "exec", "signal_parent", "ptrace", "read_memory", "private_memory", "large_file",
    }  # fmt: skip


# --------------------------------------------------------------------------- a worker's life


@pytest.fixture
def order(tmp_path: Path) -> LoadOrder:
    weights = tmp_path / "weights-good.sim"
    weights.write_text('{"classes": ["bottle"], "task": "detect"}', encoding="utf-8")
    ref = BundleRef("bottle", "1.0.0")
    return LoadOrder(ref, "00", tmp_path, weights, "detect", ("bottle",), 320, 0.25)


@pytest.fixture(params=[Start.SPAWN, Start.FORK], ids=["spawn", "fork"])
def make_slot(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., ProcessSlot]]:
    pools: list[SparePool] = []

    def made(engine: str, **options: object) -> ProcessSlot:
        spec = WorkerSpec(engine, options, readable=(str(tmp_path),), memory_bytes=256 << 20)
        pools.append(SparePool(spec, request.param, standing=0))
        return ProcessSlot("A", pools[-1])

    yield made
    for pool in pools:
        pool.close()


MakeSlot = Callable[..., ProcessSlot]


@pytest.mark.parametrize("way", ["bytes", "arrays"])
def test_a_memory_hog_is_refused_for_want_of_memory(
    make_slot: MakeSlot, order: LoadOrder, way: str
) -> None:
    """A model that takes ever more memory is told that there is none; the box keeps its own."""
    slot = make_slot("tests.sim.hog:HogEngine", way=way)
    with pytest.raises(BoxError) as refused:
        slot.load(order, GENEROUS_S)
    assert refused.value.code is Code.NO_MEMORY
    assert slot.pid is None


def test_a_hog_that_swallows_every_error_ends_by_itself(
    make_slot: MakeSlot, order: LoadOrder
) -> None:
    """Native code that cannot bear a failed allocation takes its own worker down, nothing else."""
    slot = make_slot("tests.sim.hog:HogEngine", way="native")
    with pytest.raises(SlotLost, match=r"SIGSEGV|SIGABRT"):
        slot.load(order, GENEROUS_S)


def test_every_thread_of_a_worker_is_filtered_and_without_new_privileges(
    make_slot: MakeSlot, order: LoadOrder
) -> None:
    """Threads that were started before the cage was closed are held by it as well."""
    slot = make_slot("tests.sim.hog:ThreadedEngine", threads=5)
    slot.load(order, GENEROUS_S)
    held = [_held(task) for task in Path(f"/proc/{slot.pid}/task").iterdir()]
    slot.close()
    assert len(held) >= 6
    assert {(h["Seccomp"], h["NoNewPrivs"]) for h in held} == {("2", "1")}
    assert {int(h["CapEff"], 16) & ~HARMLESS_CAPABILITIES for h in held} == {0}


def test_a_worker_writes_to_a_scratch_of_its_own_which_goes_with_it(
    make_slot: MakeSlot, order: LoadOrder
) -> None:
    """Each worker has a scratch folder that the next one neither sees nor inherits."""
    slots = [make_slot("tests.sim.hog:ScratchEngine") for _ in range(2)]
    scratches = [Path(slot.load(order, GENEROUS_S).classes[0]) for slot in slots]
    assert scratches[0] != scratches[1]
    assert all((scratch / "note").is_file() for scratch in scratches)
    for slot in slots:
        slot.close()
    assert not any(_stays(scratch) for scratch in scratches)


def test_a_worker_goes_first_when_memory_is_short(make_slot: MakeSlot, order: LoadOrder) -> None:
    """The kernel takes a worker before the daemon."""
    slot = make_slot("tests.sim.engine:SimEngine")
    slot.load(order, GENEROUS_S)
    assert int(Path(f"/proc/{slot.pid}/oom_score_adj").read_text(encoding="ascii")) == 500
    slot.close()


def test_a_whole_cage_is_not_worth_a_warning(make_slot: MakeSlot, order: LoadOrder) -> None:
    """A warning names each layer that is lacking, and comes only then."""
    with capture_logs() as lines:
        slot = make_slot("tests.sim.engine:SimEngine")
        slot.load(order, GENEROUS_S)
        slot.close()
    assert any(line["event"] == "cage_incomplete" for line in lines) is not WHOLE


def _held(task: Path) -> dict[str, str]:
    lines = (task / "status").read_text(encoding="utf-8").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _stays(folder: Path) -> bool:
    """Whether it is still there once the clearing, which follows the worker's end, is over."""
    deadline_at = time.monotonic() + GENEROUS_S
    while folder.exists() and time.monotonic() < deadline_at:
        threading.Event().wait(0.01)
    return folder.exists()


# --------------------------------------------------------------------------- the parts


def test_code_roots_leave_private_folders_out(tmp_path: Path) -> None:
    """An interpreter started in somebody's home or in the state folder does not open it."""
    library, home = tmp_path / "library", tmp_path / "home"
    state = tmp_path / "state" / "scratch"
    path = [str(library), str(home), str(state.parent), str(state), "/"]
    roots = code_roots(path, [str(home), str(state)])
    assert str(library) in roots
    assert not {str(home), str(state.parent), str(state), "/"} & set(roots)


def test_a_cage_travels_as_json() -> None:
    """What the daemon says of the cage is what the worker builds."""
    cage = Cage("/s", ("/a", "/b"), ("/c",), gpu=True, memory_bytes=5)
    for each in (cage, replace(cage, landlock=0, forks=True)):
        assert Cage.from_json(each.to_json()) == each


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    "own",
    [
        seccomp.ProcessFacts(7),
        seccomp.ProcessFacts(7, -5, gpu=True, writes=False),
        seccomp.ProcessFacts(7, removes=True),
        seccomp.ProcessFacts(7, forks=True),
    ],
)
def test_the_filter_ends_in_a_return_on_every_path(machine: str, own: seccomp.ProcessFacts) -> None:
    """Every jump lands inside the program, and the last step is a return, as kernels ask."""
    steps = seccomp.program(own, machine)
    for place, (code, when_true, when_false, _) in enumerate(steps):
        assert place + 1 + max(when_true, when_false) <= len(steps) - (code != RETURN)
    assert steps[-1][0] == RETURN
    assert len(steps) < 4096


@pytest.mark.parametrize(
    ("machine", "number", "arguments", "verdict"),
    [
        ("x86_64", 41, (2, 1), "EPERM"),  # socket
        ("aarch64", 198, (2, 1), "EPERM"),
        ("x86_64", 0, (), "allowed"),  # read
        ("aarch64", 63, (), "allowed"),
        ("x86_64", 56, (0x3D0F00,), "allowed"),  # clone as pthread_create does
        ("x86_64", 56, (0x1200011,), "EPERM"),  # clone as fork does
        ("aarch64", 220, (0x4111,), "EPERM"),
        ("x86_64", 435, (), "ENOSYS"),  # clone3
        ("x86_64", 62, (7, 9), "allowed"),  # kill: itself
        ("x86_64", 62, (8, 9), "EPERM"),
        ("x86_64", 62, (0xFFFFFFFF, 9), "EPERM"),  # kill(-1)
        ("x86_64", 141, (0, 3, 0), "allowed"),  # setpriority: back to the usual
        ("x86_64", 141, (0, 3, 19), "EPERM"),
        ("x86_64", 141, (2, 0, 0), "EPERM"),  # of a whole user
        ("x86_64", 144, (3, 0), "allowed"),  # sched_setscheduler: SCHED_OTHER
        ("x86_64", 144, (3, 5), "EPERM"),
        ("x86_64", 203, (0,), "allowed"),  # sched_setaffinity: the calling thread
        ("x86_64", 203, (99,), "pretended"),
        ("x86_64", 302, (7,), "allowed"),  # prlimit64
        ("x86_64", 302, (8,), "EPERM"),
        ("x86_64", 157, (1,), "EPERM"),  # prctl: the death signal
        ("x86_64", 157, (15,), "allowed"),  # prctl: a thread's name
        ("x86_64", 16, (0, 0x5412), "EPERM"),  # ioctl: typing into a terminal
        ("x86_64", 16, (0, 0x8901), "EPERM"),  # ioctl: whom a descriptor's signals go to
        ("x86_64", 16, (0, 0x5401), "allowed"),
        ("x86_64", 87, (0,), "EPERM"),  # unlink
        ("aarch64", 276, (0,), "EPERM"),  # renameat2
        ("x86_64", 257, (0, 0, os.O_CREAT | os.O_WRONLY), "allowed"),  # openat
        ("x86_64", 257, (0, 0, os.O_TMPFILE | os.O_WRONLY), "EROFS"),
        ("x86_64", 46, (3,), "EPERM"),  # sendmsg: descriptors in flight count for the whole user
        ("x86_64", 47, (3,), "allowed"),  # recvmsg
        ("x86_64", 44, (3,), "allowed"),  # sendto
        ("x86_64", 72, (0, 8, 99), "EPERM"),  # fcntl: the same
        ("aarch64", 25, (0, 15, 0), "EPERM"),
        ("x86_64", 72, (0, 10, 9), "EPERM"),  # fcntl: which signal it is
        ("x86_64", 72, (0, 1030, 0), "allowed"),  # fcntl: F_DUPFD_CLOEXEC
        ("x86_64", 471, (), "ENOSYS"),
        ("x86_64", 0x40000029, (), "ENOSYS"),  # socket by its x32 number
        ("i386", 102, (), "killed"),
    ],
)
def test_calls_are_judged_as_meant(
    machine: str, number: int, arguments: tuple[int, ...], verdict: str
) -> None:
    """The filter, run step by step as a kernel does, on calls of both architectures."""
    program = seccomp.program(seccomp.ProcessFacts(7), "x86_64" if machine == "i386" else machine)
    assert _judge(program, machine, number, arguments) == verdict


@pytest.mark.parametrize(
    ("number", "arguments", "verdict"),
    [
        (56, (0x1200011,), "allowed"),  # clone as fork does
        (56, (0x10000011,), "EPERM"),  # clone: a user namespace
        (59, (), "EPERM"),  # execve
        (41, (2, 1), "EPERM"),  # socket
        (46, (3,), "EPERM"),  # sendmsg
        (157, (1,), "allowed"),  # prctl: a worker's death signal
        (101, (), "EPERM"),  # ptrace
    ],
)
def test_the_parent_of_workers_may_fork_and_little_else(
    number: int, arguments: tuple[int, ...], verdict: str
) -> None:
    """What a worker does on its way into its own cage stays open; programs and networks do not."""
    program = seccomp.program(seccomp.ProcessFacts(7, forks=True), "x86_64")
    assert _judge(program, "x86_64", number, arguments) == verdict


def _judge(steps: list[seccomp.Step], machine: str, number: int, arguments: tuple[int, ...]) -> str:
    architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}[machine]
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    words = {0: number, 4: architecture, **{16 + 8 * i: a for i, a in enumerate(padded)}}
    place = word = 0
    while True:
        code, when_true, when_false, operand = steps[place]
        if code == RETURN:
            break
        if code == 0x20:
            word, jump = words[operand], 0
        else:
            holds = {0x15: word == operand, 0x35: word >= operand, 0x45: bool(word & operand)}
            jump = when_true if holds[code] else when_false
        place += 1 + jump
    if operand & 0xFFFF0000 == 0x00050000:
        return errno.errorcode.get(operand & 0xFFFF, "pretended")
    return {0x7FFF0000: "allowed", 0x80000000: "killed"}[operand]


def test_this_box_says_what_it_lacks() -> None:
    """Each facility has a name of its own, and one that is lacking says why that matters."""
    found = facilities()
    assert len({facility.name for facility in found}) == len(found)
    assert all(facility.note for facility in found if not facility.available)


_UNIFIED = 424
"""From this number on a call has the same one on every architecture."""
_LIBSECCOMP_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@pytest.mark.skipif(find_library("seccomp") is None, reason="no libseccomp")
@pytest.mark.parametrize("machine", _LIBSECCOMP_ARCHITECTURES)
def test_the_numbers_of_the_calls_are_those_that_libseccomp_gives(machine: str) -> None:
    """Each name by libseccomp's own table; what it is too old to know has a unified number."""
    library = ctypes.CDLL(find_library("seccomp"))
    column = list(_LIBSECCOMP_ARCHITECTURES).index(machine)
    token = ctypes.c_uint32(_LIBSECCOMP_ARCHITECTURES[machine])
    known = 0
    for name, numbers in seccomp.calls().items():
        given = library.seccomp_syscall_resolve_name_arch(token, name.encode())
        if given == _UNKNOWN:
            assert numbers[0] == numbers[1] is not None, name
            assert (numbers[0] or 0) >= _UNIFIED, name
        else:
            assert (numbers[column] if numbers[column] is not None else given) == given, name
            assert (numbers[column] is None) == (given < 0), name
            known += 1
    assert known > 100


_UNKNOWN = -1  # __NR_SCMP_ERROR; other negative numbers: not on this architecture
