"""A burglar in the cage: tries what foreign files must not do, and tells what was denied.

    python -m edge_daemon.slots.probe

It is an engine like any other, loaded into a real worker, so it stands exactly where a model's
code stands. Each attempt is made twice: by the thread that loads, and by one that the engine
started while it warmed up, as torch starts its pools. What it attacks is its own: a listener, a
folder and a process that the probe made for it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import pwd
import queue
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.host import interpreter
from edge_daemon.models.engine import ModelFacts, ModelOrder, Pixels, Sight
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool

_ENGINE = "edge_daemon.slots.probe:Burglar"
_MEMORY_BYTES = 256 << 20
_TOO_MUCH_BYTES = 2 << 30
_TIMEOUT_S = 60.0

# What a refusal looks like. Any other error means that the door was open and the room empty; a
# connection that is refused does not, for the probe's listeners are there: the network is another.
_REFUSALS = {
    errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EXDEV, errno.EROFS, errno.ENETUNREACH,
    errno.ECONNREFUSED, errno.ENOMEM, errno.EFBIG, errno.EMFILE,
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One forbidden action; `how` names the error that came back, or what was reached."""

    name: str
    denied: bool
    how: str


@dataclass(frozen=True)
class Loot:
    """What the burglar is sent after; all of it made by `probe`."""

    folder: str  # writable by this user, outside the worker's scratch; holds `secret` and `tool`
    port: int
    socket_path: str
    abstract: str
    victim: int  # a process of the same user, as the daemon is


def probe() -> tuple[Finding, ...]:
    """Send the burglar into a worker like any other; raises SlotLost where none can be started."""
    with bait() as loot, tempfile.TemporaryDirectory(prefix="edge-daemon-probe-") as home:
        weights = Path(home) / "loot.json"
        weights.write_text(json.dumps(asdict(loot)), encoding="utf-8")
        spec = WorkerSpec(_ENGINE, readable=(home,), memory_bytes=_MEMORY_BYTES)
        pool = SparePool(spec, standing=0)
        slot = ProcessSlot("probe", pool)
        try:
            order = LoadOrder(
                BundleRef("probe", "1"), "", Path(home), weights, "detect", (), 64, 0.5
            )
            lines = slot.load(order, _TIMEOUT_S).classes
        finally:
            slot.close()
            pool.close()
    return tuple(Finding(**json.loads(line)) for line in lines)


@contextmanager
def bait() -> Iterator[Loot]:
    """Lay out what the burglar is sent after, and clear it away."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-daemon-loot-"))
        for name in ("secret", "tool"):
            Path(folder, name).write_text("#!/nonsense\n", encoding="utf-8")
            Path(folder, name).chmod(0o777)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(f"{folder}/socket")
        unix.listen()
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind("")  # the kernel picks an abstract name
        abstract.listen()
        victim = subprocess.Popen(  # noqa: S603 - our own text in our own interpreter
            interpreter.code_command("input()"),
            cwd=interpreter.FOLDER,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, victim)
        yield Loot(
            folder,
            tcp.getsockname()[1],
            f"{folder}/socket",
            abstract.getsockname().decode(),
            victim.pid,
        )


def _end(victim: subprocess.Popen[bytes]) -> None:
    victim.kill()
    victim.communicate()


class Burglar:
    """An engine whose weights say what to steal, and whose classes are the findings."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def warm(self) -> None:
        """Start the accomplice, a thread that is older than the closed cage."""
        threading.Thread(target=self._help, daemon=True).start()

    def load(self, order: ModelOrder) -> ModelFacts:
        loot = Loot(**json.loads(order.weights.read_text(encoding="utf-8")))
        found = []
        for name, attempt in attempts(loot).items():
            mine, other = outcome(name, attempt), self._outcome_of_accomplice(name, attempt)
            found.append(other if mine.denied else mine)
        return ModelFacts(tuple(json.dumps(asdict(finding)) for finding in found), order.task)

    def infer(self, pixels: Pixels) -> Sight:  # noqa: ARG002 - the protocol gives it
        return Sight(())

    def gpu_bytes(self) -> int:
        return 0

    def _help(self) -> None:
        while True:
            self._tasks.get()()

    def _outcome_of_accomplice(self, name: str, attempt: Callable[[], object]) -> Finding:
        answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
        self._tasks.put(lambda: answers.put(outcome(name, attempt)))
        return answers.get()


def outcome(name: str, attempt: Callable[[], object]) -> Finding:
    """Make one attempt in this thread."""
    try:
        attempt()
    except MemoryError:
        return Finding(name, True, "MemoryError")
    except (OSError, ValueError) as error:  # ValueError: a limit that may not be raised
        code = error.errno if isinstance(error, OSError) else errno.EPERM
        return Finding(name, code in _REFUSALS, errno.errorcode.get(code or 0, str(error)[:80]))
    return Finding(name, False, "it worked")


# --------------------------------------------------------------------------- the attempts


def attempts(loot: Loot) -> dict[str, Callable[[], object]]:
    """Every forbidden action by name; one that returns was not denied."""
    return {
        **_network(loot),
        **_files(Path(loot.folder), Path(tempfile.gettempdir())),
        **_processes(loot.victim),
        **_resources(),
        **_kernel(),
    }


def _network(loot: Loot) -> dict[str, Callable[[], object]]:
    address = ("127.0.0.1", loot.port)
    return {
        "tcp_connect": lambda: socket.create_connection(address, 1.0).close(),
        "tcp_listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "udp_send": lambda: _socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address),
        "netlink": lambda: _socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "packet_socket": lambda: _socket(socket.AF_PACKET, socket.SOCK_RAW),
        "unix_connect": lambda: _socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(
            loot.socket_path
        ),
        "abstract_connect": lambda: _socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(
            loot.abstract
        ),
        "datagram_pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    }


def _files(outside: Path, scratch: Path) -> dict[str, Callable[[], object]]:
    secret = outside / "secret"
    alias = scratch / "alias"
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)

    def through_a_link() -> None:
        alias.unlink(missing_ok=True)
        alias.symlink_to(secret)
        alias.read_bytes()

    def out_of_scratch() -> None:
        (scratch / "booty").write_bytes(b"x")
        (scratch / "booty").rename(outside / "booty")

    return {
        "read_file": secret.read_bytes,
        "read_shadow": lambda: Path("/etc/shadow").read_bytes(),
        "list_folder": lambda: os.listdir(outside),
        "write_file": lambda: _litter(outside),
        "write_home": lambda: _litter(home if home.is_dir() else outside),
        "write_cwd": lambda: _litter(Path.cwd()),
        "overwrite_file": lambda: secret.open("r+b").close(),
        "truncate_file": lambda: os.truncate(secret, 1),
        "delete_file": secret.unlink,
        "make_folder": (outside / "folder").mkdir,
        "read_through_symlink": through_a_link,
        "hardlink_into_scratch": lambda: os.link(secret, scratch / "hard"),
        "rename_out_of_scratch": out_of_scratch,
        "chmod": lambda: secret.chmod(0o4755),
        "chown": lambda: os.chown(secret, os.getuid(), os.getgid()),
        "set_times": lambda: os.utime(secret),
        "set_attribute": lambda: os.setxattr(secret, "user.x", b"x"),
        "make_pipe": lambda: os.mkfifo(scratch / "pipe"),
        "write_shared_memory": lambda: _litter(Path("/dev/shm")),  # noqa: S108 - meant to fail
    }


def _litter(folder: Path) -> None:
    path = folder / ".edge-daemon-probe"
    path.write_bytes(b"x")
    path.unlink()


def _processes(victim: int) -> dict[str, Callable[[], object]]:
    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    return {
        "fork": fork,
        "spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        # A real program would take the burglar's place; nonsense only shows that it could.
        "exec": _exec_nonsense,
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "signal_other": lambda: os.kill(victim, 0),
        "signal_group": lambda: os.kill(-os.getpgid(victim), 0),
        "signal_by_pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(victim), 0),
        "ptrace": lambda: _libc("ptrace", 0x4206, victim, 0, 0),
        "read_memory": lambda: Path(f"/proc/{victim}/mem").open("rb").close(),
        "read_memory_by_call": lambda: _libc("process_vm_readv", victim, 0, 0, 0, 0, 0),
        "read_environment": lambda: Path(f"/proc/{victim}/environ").read_bytes(),
        "renice": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "reschedule": lambda: os.sched_setscheduler(victim, os.SCHED_IDLE, os.sched_param(0)),
        "limit_other": lambda: resource.prlimit(victim, resource.RLIMIT_CORE, (0, 0)),
        "outlive_parent": lambda: _libc("prctl", 1, 0, 0, 0, 0),
    }


def _exec_nonsense() -> None:
    tool = Path(tempfile.gettempdir(), "tool")
    descriptor = os.open(tool, os.O_CREAT | os.O_WRONLY, 0o700)
    os.write(descriptor, b"nonsense")
    os.close(descriptor)
    os.execv(tool, ["tool"])  # noqa: S606 - meant to fail


def _kernel() -> dict[str, Callable[[], object]]:
    scratch = tempfile.gettempdir().encode()
    own = f"/proc/{os.getpid()}/ns/net"
    calls = {"io_uring": 425, "open_tree": 428, "clone3": 435}
    machine = os.uname().machine
    others = {"bpf": (321, 280), "perf_event": (298, 241), "userfaultfd": (323, 282)}
    others |= {"add_key": (248, 217), "reboot": (169, 142), "personality": (135, 92)}
    others |= {"set_clock": (227, 112)}
    for name, numbers in others.items():
        calls[name] = numbers[machine == "aarch64"]
    return {
        "mount": lambda: _libc("mount", b"none", scratch, b"no such type", 0, None),
        "unshare": lambda: _libc("unshare", 0x04000000),
        "setns": lambda: _libc("setns", os.open(own, os.O_RDONLY), 0),
        "chroot": lambda: os.chroot("/"),
        "shared_segment": lambda: _libc("shmget", 0, 4096, 0o1600),
        **{name: _calling(number) for name, number in calls.items()},
    }


def _resources() -> dict[str, Callable[[], object]]:
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

    def many_descriptors() -> None:
        opened: list[int] = []
        try:
            while len(opened) < 100_000:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def large_file() -> None:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, 128 << 20)

    def raise_a_limit() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_DATA, (hard + 1, hard + 1))

    return {
        "private_memory": lambda: mmap.mmap(-1, _TOO_MUCH_BYTES, flags=private).close(),
        "shared_memory": lambda: mmap.mmap(-1, _TOO_MUCH_BYTES).close(),
        "memory_file": lambda: os.close(os.memfd_create("x")),
        "large_file": large_file,
        "many_descriptors": many_descriptors,
        "raise_a_limit": raise_a_limit,
    }


def _socket(family: int, kind: int) -> socket.socket:
    return socket.socket(family, kind)


_c = ctypes.CDLL(None, use_errno=True)


def _libc(name: str, *arguments: object) -> None:
    if getattr(_c, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _calling(number: int) -> Callable[[], None]:
    """A call with nothing in its arguments: one that gets as far as looking at them is open."""
    return lambda: _libc("syscall", ctypes.c_long(number), 0, 0, 0, 0, 0, 0)


def main() -> int:
    """Print every finding; 1 when something was not denied."""
    findings = probe()
    for finding in findings:
        word = "denied" if finding.denied else "NOT DENIED"
        sys.stdout.write(f"{finding.name:24} {word:11} {finding.how}\n")
    return 0 if all(finding.denied for finding in findings) else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
