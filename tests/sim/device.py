"""A whole device in this process: the real daemon, a real broker, engines without a network.

with Device("bottle@1.0.0", "bottle@1.1.0") as device:
    device.config        # the settings file that its commands take
    device.await_active("bottle@1.0.0")
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
import yaml

from edge_daemon.app import Daemon
from edge_daemon.config import load
from tests.sim.bundles import make_bundle
from tests.sim.engine import Behaviour, SimEngine
from tests.sim.mosquitto import Mosquitto, free_port

ENGINE = "tests.sim.device:engine"
CLASSES = ("bottle", "scratch")
PATIENCE_S = 40.0


def engine(**_options: object) -> SimEngine:
    """The factory that slots call with the production engine's options."""
    return SimEngine()


def sim_bundle(store: Path, ref: str, behaviour: Behaviour = Behaviour.GOOD, **more: Any) -> Path:
    """A bundle whose weights `SimEngine` runs; it finds what its golden image expects."""

    def expect_what_it_finds(manifest: dict[str, Any]) -> None:
        manifest["limits"]["latency_ratio"] = 100.0  # microseconds against microseconds
        for entry in manifest["golden"]:
            entry["expect"] = [{"class": CLASSES[0], "box": [32, 0, 64, 48]}]
        if "products" in more:
            manifest["products"] = more["products"]

    weights = json.dumps({"classes": CLASSES, "task": "detect", "ref": ref}).encode()
    return make_bundle(
        store,
        ref,
        weights=weights,
        file=f"weights-{behaviour.value}.pt",
        classes=CLASSES,
        golden=1,
        edit=expect_what_it_finds,
        key=more.get("key"),
    )


class Device:
    """Settings, store, daemon; `broker` None: nobody answers at the configured port."""

    def __init__(
        self,
        *bundles: str,
        broker: Mosquitto | None = None,
        fps: float = 100.0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        # Short: a Unix socket's path has a limit of 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="eds-"))
        self.store = self.folder / "models"
        self.store.mkdir()
        for ref in bundles:
            sim_bundle(self.store, ref)
        self.config = self.folder / "cam1.yaml"
        document = {
            "device": "cam1",
            "mqtt": {"host": "127.0.0.1", "port": broker.port if broker else free_port()},
            "camera": {"source": "conveyor:", "fps": fps},
            "models": {
                "store": str(self.store),
                "trust": {"required": False},
                "initial": bundles[0] if bundles else None,
            },
            "slots": {"isolation": "thread", "spare": "off"},
            "links": {"BTL": "bottle", "CAN": "can"},
            "orders": [{"topic": "mes/orders", "preset": "flat"}],
            "gate": {"warm_up_inferences": 2, "memory_headroom_mb": 0, "latency_ratio": 100.0},
            "trial": {"frames": 5, "seconds": 0.1, "latency_ratio": 100.0},
            "http": {"listen": None},
            "state_dir": str(self.folder / "state"),
            **(settings or {}),
        }
        self.config.write_text(yaml.safe_dump(document))
        self.daemon: Daemon | None = None
        self.log = self.folder / "log.jsonl"
        """What the daemon says, a JSON object a line; commands have stdout for themselves."""
        self._usual = structlog.get_config()
        self._writing = self.log.open("a")

    def start(self) -> Device:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
            logger_factory=structlog.PrintLoggerFactory(self._writing),
            wrapper_class=structlog.make_filtering_bound_logger(0),  # whatever a command set
        )
        self.daemon = Daemon(load(self.config), engine=ENGINE)
        self.daemon.start()
        return self

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.stop()
            self.daemon = None
        structlog.configure(**self._usual)

    @property
    def active(self) -> str | None:
        assert self.daemon is not None
        model = self.daemon.control.reporter.model_state.active
        return model.model if model else None

    def await_active(self, ref: str, *, online: bool = False) -> None:
        daemon = self.daemon
        assert daemon is not None
        wait_until(
            lambda: self.active == ref and (not online or daemon.control.session.online),
            f"{ref} active",
        )

    def __enter__(self) -> Device:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._writing.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return as soon as it holds; fail with a sentence after a generous time."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {PATIENCE_S:.0f} s"
        pause.wait(0.01)
