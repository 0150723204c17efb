"""The demo's stage: an embedded broker, signed bundles, and the daemon as in production.

The daemon is a process of its own, with the worker processes, the MQTT topics and the gate that
a line has; only the camera is drawn and the broker is small.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from edge_daemon.config import dump, parse
from edge_daemon.demo.barrier import WINDOW
from edge_daemon.demo.conveyor import Belt
from edge_daemon.demo.conveyor_camera import change_line, source_of
from edge_daemon.errors import BoxError
from edge_daemon.host import interpreter
from edge_daemon.models.trust import generate_keypair, sign

BUNDLES = Path(__file__).parent / "bundles"
DEVICE = "demo"
BELT = Belt(speed=36.0, pitch=270.0, jitter=12.0, empty=0.0, defects=0.06, even=True, stretch=150)
"""Four parts a second at 30 frames a second, mostly good; every 25 s the light is low for 5 s."""

AT_FIRST = ("bottle/1.0.0", "bottle/1.1.0", "can/1.0.0")
"""The versions that are in the store from the start; others come in while the line runs."""

DEADLINE_MS = 1000.0
"""From the trigger to the part's verdict, or five frames' time where that is longer."""

_BROKER = """
id = 0
[router]
id = 0
max_connections = 50
max_outgoing_packet_count = 500
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
"""


@dataclass(frozen=True)
class Plan:
    """What runs on the conveyor, and how its parts are told."""

    fps: float
    belt: Belt = BELT
    by: Literal["trigger", "track"] = "trigger"
    """Of the settings' `parts`; the trigger is the demo's light barrier."""
    initial: str = "bottle@1.0.0"


StageT = TypeVar("StageT", bound="Stage")


class Stage:
    """Everything that is set up, and taken down again in reverse order."""

    def __init__(self, plan: Plan) -> None:
        self._stack = ExitStack()
        self.fps = plan.fps
        self._plan = plan
        self.deadline_ms = max(DEADLINE_MS, 5e3 / plan.fps)
        self.port = free_port()
        self.page = f"127.0.0.1:{free_port()}"
        self.config: Path
        self._process: subprocess.Popen[bytes]

    def __enter__(self: StageT) -> StageT:
        with self._stack:
            self._set_up()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------------ parts

    def _set_up(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="edge-daemon-demo-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.store = folder / "models"
        self.key, public = generate_keypair(folder)
        self.cover, self._changes = folder / "cover", folder / "changes"
        for each in AT_FIRST:
            self.publish(BUNDLES / each)
        self._start_broker(folder)
        self.config = folder / "demo.yaml"
        self.config.write_text(dump(self._settings(folder, public)), encoding="utf-8")
        self.log = folder / "daemon.log"
        self._start_daemon()

    def publish(
        self,
        source: Path,
        version: str | None = None,
        weights: Path | None = None,
        **changes: object,
    ) -> str:
        """Put a signed copy of a bundle into the store, under another version, with other weights
        or with other keys of its manifest where given; returns its `name@version`."""
        if version is not None:
            changes["version"] = version
        return publish_copy(source, self.store, self.key, changes, weights)

    def change_belt(self, place: int, *, defects: float, dim_every: int) -> None:
        """From this place on, which must not be in view yet, the line carries other parts."""
        with self._changes.open("a", encoding="utf-8") as changes:  # a line is one write
            changes.write(change_line(place, defects=defects, dim_every=dim_every))

    def _start_broker(self, folder: Path) -> None:
        try:
            from iotcore import Broker  # noqa: PLC0415 - an extra of the demo
        except ImportError as error:
            raise BoxError(
                "The demo needs its embedded broker.",
                hint="Install it: pip install 'edge-daemon[demo]'",
            ) from error
        path = folder / "broker.toml"
        path.write_text(_BROKER.format(port=self.port), encoding="utf-8")
        broker = Broker(config_path=str(path))
        broker.start()
        self._stack.callback(broker.stop)
        _await(lambda: answers(self.port), 10.0, "The embedded broker did not start.")

    def _settings(self, folder: Path, public: Path) -> dict[str, object]:
        return {
            "device": DEVICE,
            "mqtt": {"port": self.port},
            "camera": {
                "source": source_of(
                    self._plan.belt, fps=self.fps, cover=self.cover, changes=self._changes
                ),
                "buffer_frames": 256,
            },
            "models": {
                "store": str(self.store),
                "trust": {"public_keys": [str(public)], "required": True},
                "initial": self._plan.initial,
            },
            "parts": {"by": self._plan.by, "deadline_ms": self.deadline_ms} | self._frames(),
            "results": {
                "ng_images": {"folder": str(folder / "rejected")},
                "pictures": {"folder": str(folder / "pictures"), "ok_share": 0.02},
            },
            "slots": {"count": 3},
            "links": {"BTL-500": "bottle", "CAN-330": "can"},
            "orders": [{"topic": "mes/demo/work_orders", "preset": "flat"}],
            "trial": {"frames": 60, "seconds": 2.0},
            "http": {"listen": self.page},
            "state_dir": str(folder / "state"),
        }

    def _frames(self) -> dict[str, object]:
        """Which frames show a part."""
        if self._plan.by == "track":
            return {"zone": "station"}
        return {"frames": {"max": 3}, "window_ms": [0, WINDOW * 1e3 / self.fps]}

    def _start_daemon(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                interpreter.module_command("edge_daemon", "run", "--config", str(self.config)),
                cwd=interpreter.FOLDER,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"EDGE_DAEMON_CONFIG": str(self.config)},
                start_new_session=True,  # Ctrl-C is for the story, which stops the daemon in order
            )
        self._stack.callback(self.stop_daemon)

    def stop_daemon(self) -> int:
        """End the daemon as systemd would; returns its exit status, also when called again."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def check_alive(self) -> None:
        """Raises BoxError when the daemon has ended by itself."""
        if self._process.poll() is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            raise BoxError(
                f"The daemon ended by itself with status {self._process.returncode}.",
                hint=f"Its last words: {' '.join(tail)[:500]}",
            )


def publish_copy(
    source: Path,
    store: Path,
    key: Path,
    changes: Mapping[str, object],
    weights: Path | None = None,
) -> str:
    """Put a copy of a bundle into a store, signed and whole at once; returns its `name@version`.

    `changes` replace keys of its manifest, `weights` its own.
    """
    manifest = {**parse((source / "model.yaml").read_text(encoding="utf-8")).value, **changes}
    name, version = manifest["name"], manifest["version"]
    place, incoming = store / name / version, store / ".incoming" / f"{name}-{version}"
    shutil.copytree(source, incoming)
    if weights is not None:
        shutil.copy(weights, incoming / manifest["weights"]["file"])
        content = weights.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["weights"] |= {"sha256": digest, "size": len(content)}
    (incoming / "model.yaml").write_text(dump(manifest), encoding="utf-8")
    sign(incoming, key)
    place.parent.mkdir(parents=True, exist_ok=True)
    incoming.rename(place)
    return f"{name}@{version}"


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens at this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
    deadline_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_at:
            raise BoxError(failure, hint="Look whether something else uses its port.")
        time.sleep(0.05)
