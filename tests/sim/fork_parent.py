"""Many lives of the real daemon: each a process, forked from one that has imported everything.

    with ForkParent(folder / "log") as fork_parent:
        life = fork_parent.start(config)
        life.send(signal.SIGKILL)
        life.until_over()

Starting one so takes a third of a second instead of two; nothing else is shared between lives.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import edge_daemon.app  # noqa: F401 - what each life would import for a second
from tests.sim import daemon

GENEROUS_S = 60.0


@dataclass(frozen=True)
class Birth:
    """How a life begins; `environ` is added to the fork_parent's own."""

    config: str
    engine: str = daemon.ENGINE
    forgetful: bool = False
    environ: tuple[tuple[str, str], ...] = ()
    trap: str = ""
    """Where it is to fail, as `tests.sim.steps` writes it."""
    plant: str = ""
    """The fault that is built into it, by its name in `tests.sim.plants`."""


class Life:
    """One daemon process, from outside."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = os.pidfd_open(pid)  # None: it is over

    @property
    def is_over(self) -> bool:
        return self.until_over(0.0)

    def send(self, number: signal.Signals) -> None:
        if not self.is_over and self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)

    def until_over(self, within_s: float = GENEROUS_S) -> bool:
        """Whether it ended in time."""
        if self._pidfd is not None:
            poll = select.poll()  # `select` itself takes no descriptor from 1,024 on
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(within_s * 1e3):
                os.close(self._pidfd)
                self._pidfd = None
        return self._pidfd is None

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.send(number)
        assert self.until_over(), f"the daemon does not end after {number.name}"


class ForkParent:
    """The process that the daemons are forked from."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.sim.fork_parent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._lives: list[Life] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, config: Path, environ: Mapping[str, str] = {}, **how: str | bool) -> Life:
        """Fork a daemon with this settings file; `how` as in `Birth`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        birth = {"config": str(config), "environ": [*environ.items()], **how}
        self._process.stdin.write(json.dumps(birth).encode() + b"\n")
        self._process.stdin.flush()
        life = Life(int(self._process.stdout.readline()))
        self._lives.append(life)
        return life

    def __enter__(self) -> ForkParent:
        return self

    def __exit__(self, *_: object) -> None:
        for life in self._lives:
            life.end()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Fork one daemon for each line of the standard input, and say its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    for line in iter(sys.stdin.buffer.readline, b""):
        given = json.loads(line)
        given["environ"] = tuple((name, value) for name, value in given["environ"])
        birth = Birth(**given)
        pid = os.fork()
        if pid == 0:
            _be_born(birth)
        os.write(1, b"%d\n" % pid)


def _be_born(birth: Birth) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        faulthandler.register(signal.SIGUSR1)  # where each thread is, into the log
        os.environ.update(birth.environ)
        if birth.forgetful:
            daemon.forget_requests()
        if birth.trap:
            from tests.sim import steps  # noqa: PLC0415 - most lives need none

            steps.set_trap(birth.trap)
        if birth.plant:
            from tests.sim import plants  # noqa: PLC0415 - likewise

            plants.PLANTS[birth.plant]()
        daemon.live(Path(birth.config), birth.engine)
        code = 0
    except BaseException:  # the boundary of a process: its last words go to the log
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
