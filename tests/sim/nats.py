"""A cluster of three nats-servers with JetStream and MQTT over TLS, on ports of this machine."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho

from tests.sim.mosquitto import free_port

PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs/nats/nats.conf"
HOST = "127.0.0.1"
NODES = range(3)


class Cluster:
    """The shipped file on three nodes, but for addresses and folders."""

    def __init__(self, folder: Path, *stations: str) -> None:
        self.ports = [free_port() for _ in NODES]
        self._clients = [free_port() for _ in NODES]
        self._routes = [free_port() for _ in NODES]
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._certificates = folder / "certs"
        make = [ROOT / "scripts/make_certificates", self._certificates, "--host", HOST, *stations]
        subprocess.run(make, check=True, capture_output=True)
        for node in NODES:
            (folder / f"{node}.conf").write_text(self._configuration(node))

    def _configuration(self, node: int) -> str:
        others = ", ".join(
            f'"nats://{HOST}:{port}"' for place, port in enumerate(self._routes) if place != node
        )
        text = re.sub(r"routes: \[.*\]", f"routes: [{others}]", SHIPPED.read_text())
        for shipped, ours in (
            ("node-1\n", f"node-{node}\n"),
            ("0.0.0.0:6222", f"{HOST}:{self._routes[node]}"),
            ("127.0.0.1:4222", f"{HOST}:{self._clients[node]}"),
            ("0.0.0.0:8883", f"{HOST}:{self.ports[node]}"),
            ("/var/lib/nats", f"{self._folder}/{node}"),
            ("/etc/nats/certs", str(self._certificates)),
        ):
            text = text.replace(shipped, ours)
        return text

    def start(self, node: int) -> None:
        assert PROGRAM is not None
        with (self._folder / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [PROGRAM, "-c", str(self._folder / f"{node}.conf")], stdout=log, stderr=log
            )

    def kill(self, node: int) -> None:
        process = self._processes.pop(node)
        process.kill()
        process.wait(10)

    def __enter__(self) -> Cluster:
        for node in NODES:
            self.start(node)
        return self

    def __exit__(self, *_: object) -> None:
        for node in list(self._processes):
            self.kill(node)

    def settings(self, node: int, role: str) -> str:
        """`mqtt` of the settings of this role at this node."""
        at = self._certificates
        tls = f"{{ca: {at}/ca.pem, certificate: {at}/{role}.pem, key: {at}/{role}.key}}"
        return f"{{host: {HOST}, port: {self.ports[node]}, protocol: 3.1.1, tls: {tls}}}"

    def is_ready(self, node: int) -> bool:
        """Whether a client is let in: without a majority none is."""
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        at = self._certificates
        context = ssl.create_default_context(cafile=str(at / "ca.pem"))
        context.load_cert_chain(at / "ops.pem", at / "ops.key")
        client.tls_set_context(context)
        let_in: list[bool] = []
        client.on_connect = lambda *given: let_in.append(not given[3].is_failure)
        with suppress(OSError):
            client.connect(HOST, self.ports[node])
            for _ in range(20):
                if let_in or client.loop(0.1) != paho.MQTT_ERR_SUCCESS:
                    break
            client.disconnect()
        return let_in == [True]
