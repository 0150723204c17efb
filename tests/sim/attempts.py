"""What foreign files must not do, as attempts; most of them the shortest that show an open door.

`outcome` makes one, and tells whether it was denied. Each works where nothing confines it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import pwd
import resource
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TOO_MUCH_BYTES = 2 << 30
_F_SETOWN_EX, _FIOSETOWN = 15, 0x8901

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
        **_signals(loot.victim),
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
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)

    def through_a_link() -> None:
        alias = scratch / f"alias-{threading.get_native_id()}"
        alias.symlink_to(secret)
        alias.read_bytes()

    def out_of_scratch() -> None:
        (scratch / "booty").write_bytes(b"x")
        (scratch / "booty").rename(outside / "booty")

    def nameless() -> None:
        os.close(os.open(scratch, os.O_TMPFILE | os.O_WRONLY))

    def removed_while_open() -> None:
        path = scratch / "unseen"
        with path.open("wb"):
            path.unlink()

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
        "write_nameless_file": nameless,
        "write_removed_file": removed_while_open,
        "chmod": lambda: secret.chmod(0o4755),
        "chown": lambda: os.chown(secret, os.getuid(), os.getgid()),
        "set_times": lambda: os.utime(secret),
        "set_attribute": lambda: os.setxattr(secret, "user.x", b"x"),
        "make_pipe": lambda: os.mkfifo(scratch / "pipe"),
        "write_shared_memory": lambda: _litter(Path("/dev/shm")),
    }


def _litter(folder: Path) -> None:
    path = folder / ".edge-daemon-probe"
    path.write_bytes(b"x")
    with suppress(OSError):
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
        "ptrace": lambda: _libc("ptrace", 0x4206, victim, 0, 0),
        "read_memory": lambda: Path(f"/proc/{victim}/mem").open("rb").close(),
        "read_memory_by_call": lambda: _libc("process_vm_readv", victim, 0, 0, 0, 0, 0),
        "read_environment": lambda: Path(f"/proc/{victim}/environ").read_bytes(),
        "read_descriptor": lambda: os.readlink(f"/proc/{victim}/fd/0"),
        "renice": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "reschedule": lambda: os.sched_setscheduler(victim, os.SCHED_IDLE, os.sched_param(0)),
        "limit_other": lambda: resource.prlimit(victim, resource.RLIMIT_CORE, (0, 0)),
        "outlive_parent": lambda: _libc("prctl", 1, 0, 0, 0, 0),
    }


def _signals(victim: int) -> dict[str, Callable[[], object]]:
    """By call, and by the kernel itself, which signals whoever owns a descriptor."""

    def on_a_pipe(ask: Callable[[int], object]) -> Callable[[], None]:
        def attempt() -> None:
            ends = os.pipe()
            try:
                ask(ends[0])
            finally:
                for end in ends:
                    os.close(end)

        return attempt

    def lease() -> None:
        leased = Path(tempfile.gettempdir(), "leased")
        leased.write_bytes(b"x")
        with leased.open("rb") as reader:
            fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)

    owner = struct.pack("ii", 1, victim)  # F_OWNER_PID
    return {
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "signal_other": lambda: os.kill(victim, 0),
        "signal_group": lambda: os.kill(-os.getpgid(victim), 0),
        "signal_by_pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(victim), 0),
        "signal_by_descriptor": on_a_pipe(lambda fd: fcntl.fcntl(fd, fcntl.F_SETOWN, victim)),
        "signal_by_owner": on_a_pipe(lambda fd: fcntl.fcntl(fd, _F_SETOWN_EX, owner)),
        "signal_by_ioctl": on_a_pipe(lambda fd: fcntl.ioctl(fd, _FIOSETOWN, owner[4:])),
        "choose_signal": on_a_pipe(lambda fd: fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)),
        "signal_by_lease": lease,
        "join_group": lambda: os.setpgid(0, os.getpgid(victim)),
    }


def _exec_nonsense() -> None:
    tool = Path(tempfile.gettempdir(), "tool")
    descriptor = os.open(tool, os.O_CREAT | os.O_WRONLY, 0o700)
    os.write(descriptor, b"nonsense")
    os.close(descriptor)
    os.execv(tool, ["tool"])


def _kernel() -> dict[str, Callable[[], object]]:
    scratch = tempfile.gettempdir().encode()
    own = f"/proc/{os.getpid()}/ns/net"
    calls = {"io_uring": 425, "open_tree": 428, "clone3": 435}
    machine = os.uname().machine
    others = {"bpf": (321, 280), "perf_event": (298, 241), "userfaultfd": (323, 282)}
    others |= {"add_key": (248, 217), "reboot": (169, 142), "personality": (135, 92)}
    others |= {"set_clock": (227, 112), "watch_files": (294, 26)}
    others |= {"send_descriptors": (46, 211), "send_many_descriptors": (307, 269)}
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
        with Path(tempfile.gettempdir(), "large").open("wb") as file:
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
