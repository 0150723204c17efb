"""A plant's network on this machine: a bridge, and each station behind a link of a fixed rate.

Needs root, for network namespaces.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_daemon.cli.drill_run import quantile

ORIGIN = "10.77.0.1"
ASKER = "10.77.0.2"
PORT = 8080
_ARP_ROOM = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
"""Entries of all namespaces together: past it, a station finds no way to its neighbour."""


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Plant:
    """A bridge, the origin, one that shares nothing (`asker`), and each station.

    Rates are Mbit/s, in both directions.
    """

    def __init__(self, names: list[str], origin_mbit: float, station_mbit: float) -> None:
        self._arp_room = int(_ARP_ROOM.read_text())
        _ARP_ROOM.write_text(str(max(self._arp_room, 2 * (len(names) + 2) ** 2)))
        self._tag = f"sw{os.getpid() % 10_000}"
        self.hub = f"{self._tag}-hub"
        run("ip", "netns", "add", self.hub)
        self._in(self.hub, "ip", "link", "add", "br0", "type", "bridge")
        self._in(self.hub, "ip", "link", "set", "br0", "up")
        self.spaces = {
            "origin": self._join(0, ORIGIN, origin_mbit),
            "asker": self._join(999, ASKER, station_mbit),
        }
        self.addresses: dict[str, str] = {}
        for number, name in enumerate(names):
            address = f"10.77.{1 + number // 200}.{1 + number % 200}"
            self.addresses[name] = address
            self.spaces[name] = self._join(number + 1, address, station_mbit)

    def _in(self, space: str, *words: str) -> str:
        return run("ip", "netns", "exec", space, *words)

    def _join(self, number: int, address: str, mbit: float) -> str:
        space, port = f"{self._tag}-{number}", f"p{number}"
        run("ip", "netns", "add", space)
        self._in(
            self.hub, "ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", space
        )
        self._in(self.hub, "ip", "link", "set", port, "master", "br0", "up")
        for link in ("lo", "eth0"):
            self._in(space, "ip", "link", "set", link, "up")
        self._in(space, "ip", "addr", "add", f"{address}/16", "dev", "eth0")
        self._in(space, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        shape = ("root", "tbf", "rate", f"{mbit}mbit", "burst", "64kb", "latency", "100ms")
        self._in(space, "tc", "qdisc", "add", "dev", "eth0", *shape)
        self._in(self.hub, "tc", "qdisc", "add", "dev", port, *shape)
        return space

    def prefix(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.spaces[name])

    def counted(self, name: str, way: str) -> int:
        """Bytes that a station's interface sent (`tx`) or received (`rx`)."""
        return int(
            self._in(self.spaces[name], "cat", f"/sys/class/net/eth0/statistics/{way}_bytes")
        )

    def close(self) -> None:
        for space in (*self.spaces.values(), self.hub):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        _ARP_ROOM.write_text(str(self._arp_room))


SERVER = """
import sys
from http.server import ThreadingHTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from functools import partial
root = Path(sys.argv[1])
class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def log_message(self, *_): pass
    def do_GET(self):
        file = root / self.path.lstrip("/")
        if not file.is_file():
            return self.send_error(404)
        size = file.stat().st_size
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), min(size, int(last or size) + 1)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        try:
            with file.open("rb") as content:
                content.seek(start)
                while start < stop and (chunk := content.read(min(64 << 10, stop - start))):
                    start += len(chunk)
                    self.wfile.write(chunk)
        except OSError:
            pass
class Server(ThreadingHTTPServer):
    request_queue_size = 512
server = Server(("0.0.0.0", int(sys.argv[2])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def serving(root: Path, prefix: tuple[str, ...] = (), port: int = 0) -> Iterator[int]:
    """A web server with ranges, in a process of its own; its port, 0: any."""
    command = [*prefix, sys.executable, "-c", SERVER, str(root), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


_ANSWERS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7000))
while True:
    said, whom = s.recvfrom(999)
    s.sendto(said, whom)
"""
_ASKS = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
number = 0
while True:
    number += 1
    began = time.perf_counter()
    s.sendto(b"%08d" % number + b"x" * 192, (sys.argv[1], 7000))
    try:
        while s.recv(999)[:8] != b"%08d" % number:
            pass
        print((time.perf_counter() - began) * 1e3, flush=True)
    except OSError:
        print(1000.0, flush=True)
    time.sleep(0.01)
"""


class Echo:
    """A message of 200 bytes to a station and back, a hundred times a second, from one of the plant
    that shares nothing."""

    def __init__(self, plant: Plant, station: str) -> None:
        where = (plant.addresses[station],)
        self._there = self._begin(plant, station, _ANSWERS)
        self._here = self._begin(plant, "asker", _ASKS, *where)
        self._took_ms: list[float] = []
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _begin(plant: Plant, where: str, code: str, *words: str) -> subprocess.Popen[str]:
        command = [*plant.prefix(where), sys.executable, "-c", code, *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _read(self) -> None:
        assert self._here.stdout is not None
        for line in self._here.stdout:
            self._took_ms.append(float(line))

    def take(self) -> list[float]:
        """Milliseconds of the messages since this was asked last, in order."""
        taken, self._took_ms = self._took_ms, []
        return sorted(taken)

    def close(self) -> None:
        for each in (self._here, self._there):
            each.kill()
            each.wait()


def p99(found: list[float]) -> float:
    """0 without any."""
    return quantile(found, 0.99) or 0.0


def told(what: str, found: list[float]) -> str:
    """One line of an echo."""
    middle = statistics.median(found) if found else 0.0
    return f"  echo {what:<36} p50 {middle:6.2f} ms  p99 {p99(found):6.2f} ms  n {len(found)}"
