"""Engines that make trouble for a fork server, or show what it hands on."""

from __future__ import annotations

import os
import random
import threading

import numpy as np

from edge_daemon.models.engine import ModelFacts, ModelOrder
from tests.sim.hog import PlainEngine


class ThreadedLibrary(PlainEngine):
    """A library that starts a thread as it is imported, and keeps it."""

    def prepare(self) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class BrokenLibrary(PlainEngine):
    """A library that cannot be imported before a fork."""

    def prepare(self) -> None:
        raise ImportError("libsomething.so.1 is missing")


class BadChild(PlainEngine):
    """A library that no forked process can go on with; where it was not forked, all is well."""

    def prepare(self) -> None:
        self._parent = os.getpid()

    def warm(self) -> None:
        if getattr(self, "_parent", os.getpid()) != os.getpid():
            raise RuntimeError("Cannot re-initialize in a forked process")


class Prepared(PlainEngine):
    """Says as its classes who prepared it, how often, and what numbers it draws."""

    def __init__(self) -> None:
        self._prepared_by: list[int] = []

    def prepare(self) -> None:
        self._prepared_by.append(os.getpid())
        np.random.random()  # its generator is seeded at its first use

    def load(self, order: ModelOrder) -> ModelFacts:
        numbers = (random.random(), float(np.random.random()))
        environment = os.environ.get("OMP_NUM_THREADS", "none")
        return ModelFacts((*map(str, (*self._prepared_by, *numbers)), environment), order.task)


class NamesItsThreads(PlainEngine):
    """As CUDA does, which fails where it may not."""

    def __init__(self, device: str) -> None:
        self._device = device

    def warm(self) -> None:
        path = f"/proc/self/task/{threading.get_native_id()}/comm"
        with open(path, "w", encoding="ascii") as file:
            file.write(self._device)

    def load(self, order: ModelOrder) -> ModelFacts:
        try:
            with open(f"/proc/{os.getppid()}/comm", "w", encoding="ascii") as file:
                file.write("hijacked")
        except OSError as error:
            return ModelFacts((type(error).__name__,), order.task)
        return ModelFacts(("it worked",), order.task)
