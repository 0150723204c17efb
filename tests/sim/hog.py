"""Engines that burden their worker: with memory, with threads, with files."""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from edge_daemon.models.decoding import Pixels
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult

_STEP_BYTES = 16 << 20
_STEPS = 256  # 4 GiB: it ends even where nothing bounds it


class PlainEngine:
    """Loads anything, and finds nothing."""

    def warm(self) -> None:
        pass

    def load(self, order: ModelOrder) -> ModelFacts:
        return ModelFacts(("bottle",), order.task)

    def infer(self, pixels: Pixels) -> RawResult:
        return RawResult(())

    def gpu_bytes(self) -> int:
        return 0


class HogEngine(PlainEngine):
    """Takes ever more memory at load: as `bytes`, as `arrays`, or as `native` code that never
    looks whether it got any. None of it is touched where it need not be."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._held: list[object] = []

    def load(self, order: ModelOrder) -> ModelFacts:
        for _ in range(_STEPS):
            if self._way == "native":
                malloc = ctypes.CDLL(None).malloc
                malloc.restype = ctypes.c_void_p
                ctypes.memset(malloc(ctypes.c_size_t(_STEP_BYTES)) or 0, 1, 1)
            elif self._way == "arrays":
                self._held.append(np.zeros(_STEP_BYTES, np.uint8))
            else:
                self._held.append(bytearray(_STEP_BYTES))
        return super().load(order)


class ThreadedEngine(PlainEngine):
    """Starts threads as it warms up, which stay."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def warm(self) -> None:
        for _ in range(self._threads):
            threading.Thread(target=threading.Event().wait, daemon=True).start()


class FillEngine(PlainEngine):
    """Fills its scratch folder at its first inference, which never ends: with `bytes`, with
    `files`, with folders ever `deeper`, or with one that may not be `listed`."""

    def __init__(self, way: str) -> None:
        self._way = way

    def infer(self, pixels: Pixels) -> RawResult:
        os.chdir(tempfile.gettempdir())
        if self._way == "bytes":
            take_bytes()
        elif self._way == "files":
            take_files()
        elif self._way == "deeper":
            for _ in range(2_000):
                os.mkdir("d")
                os.chdir("d")
        else:
            os.mkdir("d", 0o300)
        threading.Event().wait()
        return RawResult(())


def take_bytes() -> None:
    """320 MB of the current folder, or all that there are."""
    with suppress(OSError):
        for number in range(320):
            with open(f"{number}", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 1 << 20)


def take_files() -> None:
    """11,000 files in the current folder, or all that there may be."""
    with suppress(OSError):
        for number in range(11_000):
            open(f"{number}", "wb").close()


class ScratchEngine(PlainEngine):
    """Leaves a note in its scratch folder, and names the folder as its class."""

    def load(self, order: ModelOrder) -> ModelFacts:
        scratch = Path(tempfile.gettempdir())
        (scratch / "note").write_text("mine", encoding="utf-8")
        return ModelFacts((str(scratch),), order.task)
