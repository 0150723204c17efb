"""The courier's program; the daemon starts it.

    python -m edge_daemon.courier --fd N --parent PID

It dies with the daemon, runs only while nobody else wants the processor, and knows no secret but
the key of its own swarm certificate. Exit codes: 0 the daemon closed its end, 70 it cannot go on.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_daemon.core.values import BundleRef
from edge_daemon.courier import wire
from edge_daemon.courier.delivery import Delivery, DeliveryTools
from edge_daemon.courier.election import patience_s
from edge_daemon.courier.origin import TIMEOUT_S, WebOrigin
from edge_daemon.courier.site import Site, address_of
from edge_daemon.courier.staging import Wanted
from edge_daemon.courier.torrent import normal
from edge_daemon.errors import BoxError, EdgeDaemonError
from edge_daemon.host.clock import SystemClock
from edge_daemon.models.bundle import vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.slots.kernel import die_with_parent, hide_from_others, name_process
from edge_daemon.sources.http import Http
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.source import Source
from edge_daemon.sources.web import WebSource

if TYPE_CHECKING:
    from edge_daemon.courier.swarm import Swarm
    from edge_daemon.fleet.freshness.refresher import Refreshed, Refresher

EXIT_LOST = 70
DATA_BYTES = 1 << 30
"""Memory of its own that it may take; files that are mapped do not count."""


def main() -> int:
    """Serve until the daemon's end is closed."""
    arguments = _arguments()
    if not die_with_parent(arguments.parent):
        return EXIT_LOST
    os.setpgrp()  # Ctrl-C at a terminal is for the daemon alone
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    name_process("edge-courier", "edge_daemon.courier")
    os.umask(0o077)
    with suppress(OSError):
        hide_from_others()
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    end = socket.socket(fileno=arguments.fd)
    setup = wire.receive_order(end)
    if not isinstance(setup, wire.Setup):
        return EXIT_LOST
    refresher = _refresher(setup.fresh, end) if setup.fresh is not None else None
    try:
        courier = Courier(setup, end, refresher)
    except EdgeDaemonError as error:
        wire.send(end, wire.Progress(phase="broken", why=error.message))
        if refresher is not None:  # each time it is started again
            refresher.look()
        return EXIT_LOST
    with suppress(BrokenPipeError, ConnectionResetError):
        courier.serve()
    return 0


class Courier:
    """Takes the daemon's words, and runs one delivery at a time.

    Raises EdgeDaemonError where the settings cannot be followed on this box.
    """

    def __init__(self, setup: wire.Setup, end: socket.socket, refresher: Refresher | None) -> None:
        self._setup, self._end, self._refresher = setup, end, refresher
        self._site = Site(setup.device)
        self._resting = threading.Event()
        self._delivery: Delivery | None = None
        self._wanted: Wanted | None = None
        self._trust = Trust([Path(key) for key in setup.keys], setup.required, setup.revoked)
        self._store = Store(Path(setup.store), read=vouched_reader(self._trust))
        self._authority, self._at = b"", ""
        self._swarm: Swarm | None = None
        if setup.share is not None:
            self._swarm = self._joined(setup.share)

    def _joined(self, share: wire.Share) -> Swarm:
        try:
            from edge_daemon.courier.swarm import Swarm  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise BoxError(
                "libtorrent is not installed, so nothing can be shared.",
                hint="Install edge-daemon[fleet], or set fleet.share: none.",
            ) from error
        self._at = address_of(share.interface)
        self._authority = normal(_read(Path(share.ca)))
        for needed in (share.certificate, share.key):
            _read(Path(needed))
        return Swarm(self._at, share)

    def serve(self) -> None:
        """Return when the daemon is gone."""
        self._tell(wire.Progress())
        if self._refresher is not None:
            self._refresher.start()
        while (order := wire.receive_order(self._end)) is not None:
            if isinstance(order, wire.Want):
                self._want(order.wanted)
            elif isinstance(order, wire.Neighbours):
                self._site.know(order.places)
            elif isinstance(order, wire.PauseTransfers):
                self._rest(is_on=order.on)
            elif isinstance(order, wire.Stamp) and self._refresher is not None:
                self._refresher.hear(order.timestamp)
            elif isinstance(order, wire.RefreshNow) and self._refresher is not None:
                self._refresher.ask()

    def _rest(self, *, is_on: bool) -> None:
        (self._resting.set if is_on else self._resting.clear)()
        if self._swarm is not None:
            self._swarm.rest(is_on=is_on)

    def _want(self, wanted: Wanted | None) -> None:
        if wanted == self._wanted:
            return
        if self._delivery is not None:
            self._delivery.cancel()
        if self._swarm is not None:
            self._swarm.leave()
        self._wanted, self._delivery = wanted, None
        if wanted is None:
            self._tell(wire.Progress())
            return
        self._delivery = Delivery(wanted, self._means(wanted))
        self._delivery.start()

    def _means(self, wanted: Wanted) -> DeliveryTools:
        origins = [_origin(each, wanted.ref) for each in self._setup.sources if each.kind == "http"]
        share = self._setup.share
        return DeliveryTools(
            self._site, self._store, self._trust, origins,
            [_directly(each, wanted.ref) for each in self._setup.sources],
            self._swarm, self._authority, self._setup.down_mbit,
            share.settle_s if share is not None else 0.0, self._patience_s(), self._resting.is_set,
            self._tell,
        )  # fmt: skip

    def _patience_s(self) -> Callable[[int], float]:
        share = self._setup.share
        if share is None:
            return patience_s
        return partial(patience_s, first_s=share.first_wait_s, more_s=share.wait_s)

    def _tell(self, progress: wire.Progress) -> None:
        port = self._swarm.port if self._swarm is not None else 0
        told = wire.changed_progress(progress, {"at": self._at, "port": port})
        with suppress(OSError):  # `serve` ends by itself then
            wire.send(self._end, told)


def _refresher(fresh: wire.FreshnessSpec, end: socket.socket) -> Refresher:
    """Who pins no root needs nothing of it, and starts sooner."""
    from edge_daemon.config.fleet import FleetTrust  # noqa: PLC0415
    from edge_daemon.fleet.freshness.refresher import Refresher  # noqa: PLC0415

    trust = FleetTrust(
        root=Path(fresh.root),
        metadata=fresh.metadata,
        metadata_ca=Path(fresh.metadata_ca) if fresh.metadata_ca is not None else None,
        expires_grace_s=fresh.expires_grace_s,
    )

    def tell(refreshed: Refreshed) -> None:
        why = refreshed.why[:1000]
        with suppress(OSError):  # the daemon is gone, and so is this soon
            wire.send(end, wire.RefreshResult(why, refreshed.is_refusal, refreshed.where[:1000]))

    return Refresher(trust, Path(fresh.state_folder), SystemClock(), tell)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BoxError(
            f"{file} cannot be read: {error.strerror}.",
            hint="scripts/make_certificates makes it; let the daemon's user read it.",
        ) from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The courier of edge-daemon; not for people.")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    return parser.parse_args()


def _origin(source: wire.SourceSpec, ref: BundleRef) -> WebOrigin:
    http = Http(source.url, lambda: source.ca, timeout_s=TIMEOUT_S)
    return WebOrigin(http, ref, is_metered=source.metered)


def _directly(source: wire.SourceSpec, ref: BundleRef) -> tuple[Source, str]:
    """One of `fleet.sources`, and its name of a bundle: a version or `repository/name:version`."""
    if source.kind == "http":
        return WebSource(Http(source.url, lambda: source.ca)), ref.version
    parts = urlsplit(source.url)
    above = parts.path.strip("/")
    repository = f"{above}/{ref.name}" if above else ref.name
    registry = OciSource(f"{parts.scheme}://{parts.netloc}", lambda: source.ca)
    return registry, f"{repository}:{ref.version.replace('+', '_')}"


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # libtorrent's threads may take their time
