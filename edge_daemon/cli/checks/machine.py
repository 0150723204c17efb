"""The machine: libraries that match the GPU, memory, disk, clock, and the workers' cage."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.words import size
from edge_daemon.config import Settings, kind_of
from edge_daemon.core.text import number_of
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host import interpreter
from edge_daemon.host.box import available_memory_bytes
from edge_daemon.host.gpu import open_gpu
from edge_daemon.slots.cage import facilities
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start

PROBE_S = 120.0
OLDEST_UTC = 1_767_225_600.0
"""The beginning of 2026: a clock before it was never set."""
_SCARCE_BYTES, _LITTLE_BYTES = 200_000_000, 2_000_000_000
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised

_PROBE = """
import json, sys
said = {}
try:
    import torch
    said.update(torch=torch.__version__, cuda=torch.version.cuda)
    device = sys.argv[1]
    if device.startswith("cuda"):
        said["devices"] = torch.cuda.device_count()
        torch.zeros(8, device=device).sum().item()
        properties = torch.cuda.get_device_properties(device)
        said.update(gpu=properties.name, capability=f"{properties.major}.{properties.minor}")
except Exception as error:
    said["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
for name in ("ultralytics", "cv2", "av"):
    try:
        module = __import__(name)
        if name == "cv2":
            known = module.videoio_registry
            said["backends"] = [known.getBackendName(b) for b in known.getBackends()]
        said[name] = module.__version__
    except Exception as error:
        said[name + "_error"] = " ".join(str(error).split())[:300]
print("\\n" + json.dumps(said))
"""


def check_machine(settings: Settings) -> list[Finding]:
    """Everything below; the libraries are imported in another process, so that nothing hangs."""
    device = settings.slots.device
    found = [ok("python", f"Python {platform.python_version()} on {platform.machine()}.")]
    found.append(_processors())
    found += judge_libraries(ask_libraries(device), settings)
    found += _gpu(settings)
    found.append(judge_memory(available_memory_bytes(), settings.gate.memory_headroom_mb))
    found += disks(settings)
    found += judge_clock(time.time(), _synchronised())
    found += _workers(settings)
    return found


def _processors() -> Finding:
    count = len(os.sched_getaffinity(0))
    if count < 2:
        return warning(
            "processors",
            "There is one processor: the live picture waits while a model is loaded.",
            "Give this station two or more.",
        )
    return ok("processors", f"{number_of(count, 'processor')}.")


# --------------------------------------------------------------------------- libraries, GPU


def ask_libraries(device: str) -> Mapping[str, Any]:
    """The versions of torch, ultralytics and OpenCV; `{"error": …}` if they fail."""
    environment = {
        **os.environ,
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own text in our own interpreter
            interpreter.code_command(_PROBE, device),
            cwd=interpreter.FOLDER,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"importing the libraries took longer than {PROBE_S:.0f} s"}
    with suppress(ValueError, IndexError):
        said = json.loads(done.stdout.strip().splitlines()[-1])
        if isinstance(said, dict):
            return said
    last = (done.stderr.strip().splitlines() or ["no word"])[-1]
    return {"error": f"the process ended with {done.returncode}: {last[:200]}"}


def judge_libraries(said: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """Is everything there, and does torch fit the device in the settings?"""
    device = settings.slots.device
    if "torch" not in said:
        remedy = (
            "With the package: edge-daemon-platform cpu, gpu or jetson; else: pip install torch"
        )
        yield error("torch", f"torch cannot be used: {said.get('error')}.", remedy)
    elif "error" in said:
        yield error(
            "torch",
            f"torch {said['torch']} cannot use {device}: {said['error']}.",
            _gpu_remedy(said, device),
        )
    else:
        built = f"built for CUDA {said['cuda']}" if said.get("cuda") else "built for the CPU"
        gpu = f", {said['gpu']} (compute {said['capability']})" if said.get("gpu") else ""
        yield ok("torch", f"torch {said['torch']}, {built}{gpu}.")
    if "ultralytics" in said:
        yield ok("ultralytics", f"ultralytics {said['ultralytics']}.")
    elif "torch" in said:
        why = said.get("ultralytics_error", "no word")
        remedy = "pip install ultralytics-opencv-headless"
        yield error("ultralytics", f"ultralytics cannot be imported: {why}.", remedy)
    yield from _backends(said, settings.camera.source)


def _gpu_remedy(said: Mapping[str, Any], device: str) -> str:
    if said.get("cuda") is None:
        return "This torch was built for the CPU: install the CUDA build, or set slots.device: cpu."
    if not said.get("devices"):
        return "Is the driver loaded (nvidia-smi), and may this user use /dev/nvidia*?"
    return f"There are {said['devices']} devices; does {device} exist, is the driver new enough?"


def _backends(said: Mapping[str, Any], source: str) -> Iterator[Finding]:
    if "cv2" not in said:
        why = said.get("cv2_error", "no word")
        yield error("opencv", f"OpenCV cannot be imported: {why}.", "Install it anew.")
        return
    backends = list(dict.fromkeys(said.get("backends") or ()))
    module, part = kind_of(source).needs or ("", "")
    if module == "cv2" and part not in backends:
        yield error(
            "opencv",
            f"This OpenCV has no {part}, which the camera needs.",
            "Install the wheel opencv-python-headless, which has it.",
        )
    else:
        yield ok("opencv", f"OpenCV {said['cv2']} with {', '.join(backends)}.")
    if module in said and module != "cv2":
        yield ok(module, f"{module} {said[module]} reads the camera.")
    elif module not in ("", "cv2"):
        why = said.get(f"{module}_error", "no word")
        told = f"{module}, which the camera needs, cannot be imported: {why}."
        yield error(module, told, f"pip install {module}")


def _gpu(settings: Settings) -> Iterator[Finding]:
    device = settings.slots.device
    if not device.startswith("cuda:"):
        return
    gpu = open_gpu(device, os.environ)
    if gpu is None:
        yield error(
            "gpu",
            f"The driver knows no {device}.",
            "Install the NVIDIA driver and look at nvidia-smi, or set slots.device: cpu.",
        )
        return
    with closing(gpu):
        memory = gpu.memory()
    if memory is None:
        yield skipped("gpu", f"{gpu.name} shares the host's memory, driver {gpu.driver}.")
    elif memory.free >> 20 < settings.gate.memory_headroom_mb:
        yield error(
            "gpu",
            f"{gpu.name} has {size(memory.free)} of {size(memory.total)} free.",
            "End what else uses it (nvidia-smi), or lower gate.memory_headroom_mb.",
        )
    else:
        yield ok("gpu", f"{gpu.name}, driver {gpu.driver}, {size(memory.free)} free.")


# --------------------------------------------------------------------------- memory, disk, clock


def judge_memory(available: int, headroom_mb: int) -> Finding:
    """Is there room for a second model beside the first, with the headroom of the gate?"""
    if available >> 20 < headroom_mb:
        return error(
            "memory",
            f"{size(available)} are available; the gate wants {headroom_mb} MB to stay free.",
            "End other programs, lower gate.memory_headroom_mb, or set slots.isolation: thread.",
        )
    return ok("memory", f"{size(available)} of memory are available.")


def disks(settings: Settings) -> Iterator[Finding]:
    """Whether the folders of the settings are there, writable and have room."""
    places = {"state_dir": settings.state_folder, "models.store": settings.models.store}
    if settings.results.ng_images is not None:
        places["results.ng_images.folder"] = settings.results.ng_images.folder
    if settings.results.pictures is not None:
        places["results.pictures.folder"] = settings.results.pictures.folder
    if settings.collect is not None:
        places["collect.folder"] = settings.collect.folder
    for key, path in places.items():
        # `Path.exists` raises where a folder above may not be entered.
        there = next(each for each in (path, *path.parents) if os.path.exists(each))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            yield error(
                key,
                f"{path} cannot be written by this user.",
                f"Make it and give it to the daemon's user: install -d -o edge-daemon {path}",
            )
            continue
        yield judge_disk(key, path, shutil.disk_usage(there).free)


def judge_disk(key: str, path: Path, free: int) -> Finding:
    """Little room is a warning, next to none an error: the journal must be written."""
    if free < _SCARCE_BYTES:
        return error(key, f"The disk of {path} has {size(free)} left.", "Free space there now.")
    if free < _LITTLE_BYTES:
        return warning(key, f"The disk of {path} has {size(free)} left.", "Free space there soon.")
    return ok(key, f"The disk of {path} has {size(free)} left.")


def judge_clock(utc: float, synchronised: bool | None) -> Iterator[Finding]:
    """Expiry and schedules of requests go by this clock."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(utc))
    if utc < OLDEST_UTC:
        yield error(
            "clock",
            f"The clock says {shown}, which is past: requests with an expiry never end.",
            "Set the clock: timedatectl set-ntp true",
        )
    elif synchronised is False:
        yield warning(
            "clock",
            f"The clock ({shown} UTC) is not synchronised: expiries and schedules drift.",
            "timedatectl set-ntp true, or chrony with a server of the plant.",
        )
    elif synchronised is None:
        yield skipped("clock", f"{shown} UTC; whether it is synchronised cannot be told here.")
    else:
        yield ok("clock", f"{shown} UTC, synchronised.")


def _synchronised() -> bool | None:
    """What the kernel knows of its clock; None if it may not be asked."""
    buffer = ctypes.create_string_buffer(512)  # struct timex with modes 0: only read
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


# --------------------------------------------------------------------------- workers


def _workers(settings: Settings) -> Iterator[Finding]:
    """Whether a worker becomes ready, and keeps a model's code from the network and the files."""
    if settings.slots.isolation == "thread":
        yield warning(
            "isolation",
            "isolation: thread runs models inside the daemon: a crash of one ends all.",
            "Set slots.isolation: process where memory allows.",
        )
        return
    yield from ask_worker(settings.slots.device, Start(settings.workers.start))
    lacking = [each for each in facilities() if not each.available]
    if not lacking:
        yield ok("isolation", "Landlock and seccomp keep a model's code in its worker.")
        return
    yield warning(
        "isolation",
        f"A worker is not locked in: {'; '.join(each.note for each in lacking)}.",
        "A kernel with Landlock (5.13 or newer) and seccomp closes these doors.",
    )


def ask_worker(device: str, start: Start) -> Iterator[Finding]:
    """Does the device work inside the cage, and how are workers started here?

    A driver may need what the cage forbids.
    """
    pool = SparePool(WorkerSpec(ENGINE, {"device": device}), start, standing=0)
    try:
        began = time.monotonic()
        first_s = _one_worker(pool)
        server = pool.fork_server
        if server is None or not server.is_ready:
            yield ok("worker", f"A worker was ready on {device} in {first_s:.1f} s, spawned.")
        else:
            warm_s = time.monotonic() - began
            ready_ms = _one_worker(pool) * 1e3
            yield ok(
                "worker",
                f"A worker was ready on {device} in {ready_ms:.0f} ms, forked from a process that "
                f"was warm after {warm_s:.1f} s.",
            )
        if start is Start.AUTO and server is not None and server.trouble:
            yield warning(
                "workers",
                f"Workers cannot be forked here: {server.trouble}.",
                "They are spawned, which takes seconds and memory; workers.start: spawn says so.",
            )
    except EdgeDaemonError as fault:
        remedy = "If torch is well above, set slots.isolation: thread, and report this."
        yield error("worker", f"A worker cannot use {device}: {fault.message}", remedy)
    finally:
        pool.close()


def _one_worker(pool: SparePool) -> float:
    """Seconds until a new worker was ready; it is ended again."""
    began = time.monotonic()
    worker = pool.take()
    try:
        worker.await_ready(PROBE_S)
        return time.monotonic() - began
    finally:
        worker.end()
        worker.await_end()
