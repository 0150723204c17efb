"""The ways in use today to change a model under a running camera, each as one would write it.

python -m bench_rig.field PATTERN --weights FILE …     one line, until its input says `stop`

    plain      judges with the model it was started with; the restart of this program is a pattern
    in_loop    stop, load in the frame loop, resume
    locked     load in a thread, swap under a lock
    lock_free  load in a thread, swap a reference, free the old model a little later

Input: `swap NAME FILE` or `stop`, a line each. Output: one line `ready`. Each judged frame is a
line in --record: number, captured, began, done, model.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"

import numpy as np
import torch
from ultralytics import YOLO

from edge_daemon.demo.conveyor import Conveyor

Load = Callable[[str], Any]


PICTURES = 30  # drawn before: drawing is Python, and would wait for the interpreter's lock


class Camera:
    """Frame n comes at epoch + n / fps into one of `places` buffers; when all wait, it is gone.

    As with a driver: what came while this thread did not run filled the buffers, then was lost.
    """

    def __init__(self, size: tuple[int, int], fps: float, epoch: float, places: int) -> None:
        conveyor = Conveyor(width=size[0], height=size[1])
        self._pictures = [np.zeros((size[1], size[0], 3), np.uint8) for _ in range(PICTURES)]
        for index, picture in enumerate(self._pictures):
            conveyor.draw(index * 7, "bottle", picture)
        self._places = places
        self._fps, self._epoch = fps, epoch
        self._free = deque(np.zeros((size[1], size[0], 3), np.uint8) for _ in range(places + 1))
        self._waiting: deque[tuple[int, float, Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = int((time.monotonic() - self._epoch) * self._fps) + 1
        while not self._closed:
            wait_s = self._epoch + number / self._fps - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            number += max(0, int(-wait_s * self._fps) - self._places)
            with self._changed:
                pixels = self._free.popleft() if self._free else None
            if pixels is not None:
                np.copyto(pixels, self._pictures[number % PICTURES])
                with self._changed:
                    self._waiting.append((number, time.monotonic(), pixels))
                    self._changed.notify()
            number += 1

    def read(self) -> tuple[int, float, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def give_back(self, pixels: Any) -> None:
        with self._changed:
            self._free.append(pixels)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


class Plain:
    """A program that is restarted for each model."""

    def __init__(self, load: Load, name: str, path: str) -> None:
        self._load = load
        self.name, self.model = name, load(path)

    def judge(self, predict: Callable[[Any], None]) -> str:
        predict(self.model)
        return self.name

    def swap(self, name: str, path: str) -> None:
        raise NotImplementedError


class InLoop(Plain):
    wanted: tuple[str, str] | None = None

    def judge(self, predict: Callable[[Any], None]) -> str:
        if self.wanted is not None:
            (name, path), self.wanted = self.wanted, None
            self.model = self._load(path)
            self.name = name
        return super().judge(predict)

    def swap(self, name: str, path: str) -> None:
        self.wanted = (name, path)


class Locked(Plain):
    lock = threading.Lock()

    def judge(self, predict: Callable[[Any], None]) -> str:
        with self.lock:
            return super().judge(predict)

    def swap(self, name: str, path: str) -> None:
        threading.Thread(target=self._swap, args=(name, path), daemon=True).start()

    def _swap(self, name: str, path: str) -> None:
        model = self._load(path)
        with self.lock:
            self.name, self.model = name, model


class LockFree(Plain):
    def __init__(self, load: Load, name: str, path: str) -> None:
        super().__init__(load, name, path)
        self.current = (name, self.model)

    def judge(self, predict: Callable[[Any], None]) -> str:
        name, model = self.current
        predict(model)
        return name

    def swap(self, name: str, path: str) -> None:
        threading.Thread(target=self._swap, args=(name, path), daemon=True).start()

    def _swap(self, name: str, path: str) -> None:
        left = self.current
        self.current = (name, self._load(path))
        threading.Timer(1.0, lambda: left).start()  # freed once no frame can use it any more


PATTERNS = {"plain": Plain, "in_loop": InLoop, "locked": Locked, "lock_free": LockFree}


def run(given: argparse.Namespace, record: TextIO) -> None:
    torch.set_num_threads(given.threads)

    def load(path: str) -> Any:
        return YOLO(path, task="detect")

    line = PATTERNS[given.pattern](load, given.name, given.weights)
    width, height = map(int, given.size.split("x"))
    camera = Camera((width, height), given.fps, given.epoch, given.places)
    threading.Thread(target=obey, args=(line, camera), daemon=True).start()
    print("ready", flush=True)
    while (frame := camera.read()) is not None:
        number, captured_at, pixels = frame
        began_at = 0.0

        def predict(model: Any, pixels: Any = pixels) -> None:
            nonlocal began_at
            began_at = time.monotonic()
            model.predict(pixels, imgsz=given.imgsz, conf=0.35, verbose=False, device=given.device)

        try:
            name = line.judge(predict)
        except Exception as error:  # a line that ended here would lose every frame to come
            print(f"failed {type(error).__name__}", file=sys.stderr)
        else:
            done_at = time.monotonic()
            record.write(f"{number} {captured_at:.6f} {began_at:.6f} {done_at:.6f} {name}\n")
        camera.give_back(pixels)


def obey(line: Plain, camera: Camera) -> None:
    for command in sys.stdin:
        word, *rest = command.split()
        if word == "stop":
            break
        line.swap(*rest)
    camera.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", choices=PATTERNS)
    for name in ("weights", "name", "size", "record", "device"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("fps", "epoch"):
        parser.add_argument(f"--{name}", type=float, required=True)
    for name in ("places", "imgsz", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    with open(given.record, "a", buffering=1, encoding="ascii") as record:
        run(given, record)
    os._exit(0)  # a thread that still loads would hold the exit up


if __name__ == "__main__":
    main()
