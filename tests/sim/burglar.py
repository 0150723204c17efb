"""A burglar in the cage: tries what foreign files must not do, and tells what was denied.

It is an engine like any other, loaded into a real worker, so it stands exactly where a model's
code stands. Each attempt is made twice: by the thread that loads, and by one that the engine
started while it warmed up, as torch starts its pools. What it attacks is its own: a listener, a
folder and a process that the probe made for it.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.host import interpreter
from edge_daemon.models.decoding import Pixels
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.attempts import Finding, Loot, attempts, outcome

_ENGINE = "tests.sim.burglar:Burglar"
_MEMORY_BYTES = 256 << 20
_TIMEOUT_S = 60.0
_VICTIM = """
from edge_daemon.slots.kernel import hide_from_others
hide_from_others()
print(flush=True)
input()
"""


def probe(landlock: int | None = None, start: Start = Start.AUTO) -> tuple[Finding, ...]:
    """Send the burglar into a worker like any other; raises SlotLost where none can be started.

    `landlock` is the newest ABI to use, to see what is denied on an older kernel; `start` says how
    the worker begins.
    """
    with bait() as loot, tempfile.TemporaryDirectory(prefix="edge-daemon-probe-") as home:
        weights = Path(home) / "loot.json"
        weights.write_text(json.dumps(asdict(loot)), encoding="utf-8")
        spec = WorkerSpec(_ENGINE, readable=(home,), memory_bytes=_MEMORY_BYTES, landlock=landlock)
        pool = SparePool(spec, start, standing=0)
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
        victim = subprocess.Popen(
            interpreter.code_command(_VICTIM),
            cwd=interpreter.FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, victim)
        assert victim.stdout is not None
        victim.stdout.readline()  # it is as the daemon is
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

    def infer(self, pixels: Pixels) -> RawResult:
        return RawResult(())

    def gpu_bytes(self) -> int:
        return 0

    def _help(self) -> None:
        while True:
            self._tasks.get()()

    def _outcome_of_accomplice(self, name: str, attempt: Callable[[], object]) -> Finding:
        answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
        self._tasks.put(lambda: answers.put(outcome(name, attempt)))
        return answers.get()
