"""What all lines under test have in common, and the field's lines, each in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench_rig.records import Change, Run, Seen
from edge_daemon.host.gpu import open_gpu

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
FAULTS_S = {"corrupt": 3.0, "raises": 4.0, "hangs": 14.0}
"""How long a line is watched after a bad model was asked for."""


@dataclass(frozen=True)
class Setup:
    """What all lines have in common."""

    fps: float
    size: str
    imgsz: int
    threads: int
    weights: Path  # the folder of `weights`
    places: int  # frames that the field's camera buffers
    folder: Path  # for what this line writes
    device: str = "cpu"


def private_bytes(pid: int) -> int:
    """Anonymous memory of a process and its children; 0 when it is gone."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) << 10
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += private_bytes(int(child))
    except OSError:
        pass
    return total


def device_bytes(device: str) -> int | None:
    """Memory in use on a GPU, of all programs together; None on a CPU."""
    gpu = open_gpu(device, os.environ)
    memory = gpu.memory() if gpu else None
    if gpu:
        gpu.close()
    return memory.used if memory else None


def weights_of(model: str, folder: Path) -> Path:
    return next(folder.glob(f"{model.rstrip('0123456789')}.*"))


@dataclass
class FieldLine:
    """A pattern of `field`; `restart` is the plain program, ended and started for each model."""

    pattern: str
    setup: Setup
    model: str = "same"
    _process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self._epoch = time.monotonic()
        self._record = self.setup.folder / f"{self.pattern}.{time.monotonic_ns()}.txt"
        self._said = (self.setup.folder / "field.log").open("a")
        self._start(self.model)

    def _start(self, model: str) -> None:
        given = self.setup
        command = [sys.executable, "-W", "ignore", "-m", "bench_rig.field"]
        command += ["plain" if self.pattern == "restart" else self.pattern]
        options = {
            "weights": weights_of(model, given.weights), "name": model, "fps": given.fps,
            "size": given.size, "imgsz": given.imgsz, "threads": given.threads,
            "device": given.device, "places": given.places, "epoch": self._epoch,
            "record": self._record,
        }  # fmt: skip
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        path = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
        environment = os.environ | {"PYTHONPATH": path, "YOLO_CONFIG_DIR": str(given.folder)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
            env=environment,
        )  # fmt: skip

    def await_ready(self) -> None:
        """Until it judges frames."""
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._await(self.model, time.monotonic() + START_S)  # its first inference takes seconds

    def swap(self, kind: str, model: str, timeout_s: float) -> Change:
        """Ask for a model and wait until it judges, or the time is over."""
        asked_at = time.monotonic()
        if self.pattern == "restart":
            self._process.terminate()
            self._process.wait()
            self._start(model)
        else:
            self._tell(f"swap {model} {weights_of(model, self.setup.weights)}")
        return Change(kind, model, asked_at, outcome=self._await(model, asked_at + timeout_s))

    def _tell(self, words: str) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it ended: the records show it

    def _await(self, model: str, deadline_at: float) -> str:
        """Until the model judges a frame."""
        while time.monotonic() < deadline_at:
            if self._last() == model:
                return "active"
            time.sleep(0.02)
        return "not active"

    def _last(self) -> str:
        try:
            with self._record.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 200))
                lines = file.read().decode().splitlines()
        except OSError:
            return ""
        whole = [line.split() for line in lines if len(line.split()) == 5]
        if not whole:
            return ""
        _, _, _, done_at, name = whole[-1]
        return name if time.monotonic() - float(done_at) < 0.5 else ""

    def memory_bytes(self) -> int:
        return private_bytes(self._process.pid)

    def revive(self, model: str) -> bool:
        """End it and start it anew where it judges nothing; returns whether that was needed."""
        if self._last():
            return False
        self._process.kill()
        self._process.wait()
        self._start(model)
        self._await(model, time.monotonic() + START_S)
        return True

    def finish(self) -> Run:
        """Stop the camera, judge what waits, end."""
        ended_at = time.monotonic() - 0.1
        self._tell("stop")
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()
        return Run(self.setup.fps, self._read(), self._epoch, ended_at)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()

    def _read(self) -> list[Seen]:
        seen = []
        for text in self._record.read_text().splitlines():
            parts = text.split()
            if len(parts) == 5:
                captured_at, began_at, done_at = map(float, parts[1:4])
                seen.append(Seen(int(parts[0]), captured_at, began_at, done_at, parts[4]))
        return seen
