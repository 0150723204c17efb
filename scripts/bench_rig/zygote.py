"""Couriers that are forked from one that has imported everything, each in its network namespace.

So fifty of them begin in a second, and share the memory of their code. What runs is the courier's
own `main`, as after `python -m edge_daemon.courier`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from edge_daemon.courier import wire
from edge_daemon.courier.child import CourierProcess

ROOT = Path(__file__).resolve().parents[2]
_NEW_NETWORK = 0x40000000
_BYTES = 4096


class Zygote:
    """The process that the couriers are forked from; any thread."""

    def __init__(self) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        code = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'scripts')]!r}; "
        code += "from bench_rig.zygote import serve; serve(int(sys.argv[1]))"
        with theirs:
            command = [sys.executable, "-c", code, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))

    def fork(self, space: str, end: socket.socket) -> int:
        """A courier in this namespace that speaks at this end; its pid."""
        with self._lock:
            socket.send_fds(self._end, [space.encode()], [end.fileno()])
            return int(self._end.recv(_BYTES))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class _Forked:
    """As much of a `Popen` as is used of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.02)
        return -1


class ForkedCourier(CourierProcess):
    """The last word of `prefix` is the name of its namespace."""

    zygote: Zygote

    def __init__(self, setup: wire.Setup, prefix: Sequence[str]) -> None:
        super().__init__(setup)
        self._space = prefix[-1]

    def _begin(self, ours: socket.socket, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with theirs, self._lock:
            forked = _Forked(self.zygote.fork(self._space, theirs))
            process = cast("subprocess.Popen[bytes]", forked)
            for message in (self._setup, self._site, self._rest, self._want):
                wire.send(ours, message)
            self._end, self._process = ours, process
        return process


def serve(fd: int) -> None:
    """Fork one for each message, until the rig is gone."""
    import libtorrent  # noqa: F401 - once for all

    from edge_daemon.courier import __main__ as courier
    from edge_daemon.courier import swarm  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    end, parent = socket.socket(fileno=fd), os.getpid()
    while True:
        said, fds, _, _ = socket.recv_fds(end, _BYTES, 1)
        if not said:
            return
        if pid := os.fork():
            os.close(fds[0])
            end.send(str(pid).encode())
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end.close()
        _enter(said.decode())
        sys.argv[1:] = ["--fd", str(fds[0]), "--parent", str(parent)]
        os._exit(courier.main())


def _enter(space: str) -> None:
    libc: Any = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/run/netns/{space}", os.O_RDONLY)
    if libc.setns(fd, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no such namespace", space)
    os.close(fd)
