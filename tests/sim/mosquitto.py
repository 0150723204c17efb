"""A real mosquitto on a free port of this machine, stopped and started by the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom

from tests.sim.folders import lent_folder

_GENEROUS_S = 60.0


def free_port() -> int:
    """Below those that the kernel gives to connections, so that nobody takes it meanwhile."""
    random = SystemRandom()
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """One broker process; `stop` and `start` again keep the port, and what it persisted."""

    def __init__(self, folder: Path, *settings: str) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise RuntimeError(
                "These tests need the mosquitto broker: install it with apt-get install mosquitto."
            )
        self._program = program
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.host = "127.0.0.1"
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        anonymous = () if "allow_anonymous false" in settings else ("allow_anonymous true",)
        self.config.write_text(
            "\n".join(
                (
                    f"listener {self.port} {self.host}",
                    *anonymous,
                    "set_tcp_nodelay true",
                    "persistence true",
                    f"persistence_location {folder}/",
                    "log_dest stderr",
                    *settings,
                )
            )
            + "\n"
        )

    def start(self) -> Mosquitto:
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self.config)], stderr=log, stdout=log
            )
        pause = threading.Event()
        for _ in range(int(_GENEROUS_S / 0.02)):
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection((self.host, self.port), timeout=1.0).close()
            except OSError:
                pause.wait(0.02)
            else:
                return self
        raise RuntimeError(
            f"mosquitto did not start: {(self.folder / 'mosquitto.log').read_text()[-500:]}"
        )

    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def cpu_s(self) -> float:
        """Processor time since this process of it began."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """In order, so that it writes what it persists."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_GENEROUS_S)
            self._process = None

    def save(self) -> None:
        """Ask it to write what it persists now, not at its own time."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    @contextmanager
    def held(self) -> Iterator[None]:
        """It does nothing meanwhile, as on a machine that has too much to do."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_GENEROUS_S)
            self._process = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def forget(self) -> None:
        """While it is stopped: whatever it persisted is gone."""
        assert self._process is None
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


def new_mosquitto(*settings: str) -> Mosquitto:
    """A broker with a folder of its own, which mosquitto's own user may write too."""
    folder = lent_folder("mosquitto")
    folder.chmod(0o777)
    return Mosquitto(folder, *settings)


@contextmanager
def scratch() -> Iterator[tuple[Path, Mosquitto]]:
    """A folder and a broker for one run; both go with it."""
    with tempfile.TemporaryDirectory(prefix="edk-") as folder, new_mosquitto() as broker:
        yield Path(folder), broker


def strict_broker(*rules: str) -> Mosquitto:
    """A broker whose access list says just this."""
    broker = new_mosquitto("acl_file FOLDER/acl")
    folder = broker.folder
    (folder / "acl").write_text("\n".join(rules) + "\n")
    (folder / "acl").chmod(0o644)
    broker.config.write_text(broker.config.read_text().replace("FOLDER", str(folder)))
    return broker
