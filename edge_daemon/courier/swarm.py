"""Pieces from neighbours and for them: a closed BitTorrent v2 swarm of one plant.

Peers show each other certificates of the plant's own authority, or they get no byte. Nothing is
looked for outside: no trackers, no DHT, no peer exchange, no port mapping; neighbours are found in
the local network (LSD) or named by the daemon. What leaves this box and what comes is capped, and
marked as what may wait (RFC 8622).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libtorrent as lt

from edge_daemon.courier.torrent import Torrent
from edge_daemon.courier.wire import Share
from edge_daemon.errors import BoxError

_BYTES_IN_MBIT = 125_000
_LOWER_EFFORT = 1
"""DSCP of RFC 8622, in the six bits of the field."""
_CLOSED = (
    *("enable_dht", "enable_upnp", "enable_natpmp", "enable_incoming_tcp", "enable_outgoing_tcp"),
    *("allow_multiple_connections_per_ip", "announce_to_all_trackers", "use_dht_as_fallback"),
    # Who has just got the last piece would be left before it says so, and only met again later.
    "close_redundant_connections",
)
MOST_PEERS = 64


@dataclass(frozen=True)
class Counts:
    """Bytes of pieces that came from neighbours and went to them, and how many are connected; what
    was found to be wrong did not come."""

    peers_bytes: int = 0
    given_bytes: int = 0
    peers: int = 0


class Swarm:
    """One station in one swarm at a time; one thread at a time, but for `rest`.

    `address`: of the plant's network, to listen on.

    Raises BoxError where it cannot listen.
    """

    def __init__(self, address: str, share: Share) -> None:
        self._address, self._share = address, share
        self._session = lt.session(_settings(address, share))
        self._limit_local_peers()
        self._handle: lt.torrent_handle | None = None
        self._torrent: Torrent | None = None
        self.port = self._listening()

    def _limit_local_peers(self) -> None:
        """Put all peers into the class that has the caps; libtorrent spares local ones else."""
        everybody = lt.ip_filter()
        bits = 1 << self._session.global_peer_class_id
        everybody.add_rule("0.0.0.0", "255.255.255.255", bits)  # noqa: S104 - a range
        everybody.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", bits)
        self._session.set_peer_class_filter(everybody)

    def _listening(self) -> int:
        for _ in range(300):  # a box that starts has other things to do
            if port := self._session.ssl_listen_port():
                return int(port)
            self._session.wait_for_alert(100)
            for alert in self._session.pop_alerts():
                if isinstance(alert, lt.listen_failed_alert):
                    raise BoxError(
                        f"The courier cannot listen on {self._address}: {alert.error.message()}.",
                        hint="Correct fleet.share.interface.",
                    )
        raise BoxError(
            f"The courier cannot listen on {self._address}.",
            hint="Correct fleet.share.interface.",
        )

    # ------------------------------------------------------------------ one bundle

    def fetch(self, torrent: Torrent, above: Path) -> None:
        """Begin to fill the folder `above/<torrent.name>`; what is there of it counts."""
        self._join(torrent, above, lt.torrent_flags.default_flags)

    def give(self, torrent: Torrent, above: Path) -> None:
        """Give from the complete folder `above/<torrent.name>`, which is never written.

        Who has just fetched it stays connected to its neighbours.
        """
        if self._is_moved(torrent, above):
            return
        flags = lt.torrent_flags.seed_mode | lt.torrent_flags.upload_mode
        self._join(torrent, above, flags)

    def _is_moved(self, torrent: Torrent, above: Path) -> bool:
        """Read it from there from now on; whether that was possible."""
        handle = self._handle
        if handle is None or self._torrent != torrent or not handle.status().is_seeding:
            return False
        handle.set_flags(lt.torrent_flags.upload_mode)
        if handle.status().save_path == str(above):
            return True
        handle.move_storage(str(above), lt.move_flags_t.reset_save_path_unchecked)
        heard = self._heard(lt.storage_moved_alert, lt.storage_moved_failed_alert)
        return isinstance(heard, lt.storage_moved_alert)

    def flush(self) -> None:
        """Return when what came is in its files: a piece counts as there a little before it is.

        Raises BoxError where the disk takes too long for it.
        """
        if self._handle is None:
            return
        self._handle.flush_cache()
        if self._heard(lt.cache_flushed_alert) is None:
            raise BoxError("The disk is slow to write what came.", hint="Look at its health.")

    def _heard(self, *kinds: type) -> Any:
        """The next alert of these kinds; None: there is none in time."""
        for _ in range(300):
            self._session.wait_for_alert(100)
            for alert in self._session.pop_alerts():
                if isinstance(alert, kinds):
                    return alert
        return None

    def leave(self) -> None:
        """Have no part in it any more; the files are closed when this returns."""
        handle, self._handle, self._torrent = self._handle, None, None
        if handle is not None:
            self._session.remove_torrent(handle)
            self._heard(lt.torrent_removed_alert)

    def _join(self, torrent: Torrent, above: Path, flags: int) -> None:
        self.leave()
        params = lt.load_torrent_buffer(torrent.content)
        params.save_path = str(above)
        wrong = (
            lt.torrent_flags.auto_managed | lt.torrent_flags.disable_pex
            | lt.torrent_flags.disable_dht | lt.torrent_flags.paused
        )  # fmt: skip
        closed = lt.torrent_flags.disable_pex | lt.torrent_flags.disable_dht
        params.flags = (flags & ~wrong) | closed | lt.torrent_flags.paused
        params.trackers, params.url_seeds, params.http_seeds = [], [], []
        handle = self._session.add_torrent(params)
        # It reads the files' content now; a certificate that is renewed counts from the next one.
        handle.set_ssl_certificate(self._share.certificate, self._share.key, "")
        handle.set_max_connections(MOST_PEERS)
        handle.clear_error()
        handle.resume()
        self._handle, self._torrent = handle, torrent

    def meet(self, peers: Iterable[tuple[str, int]]) -> None:
        """Neighbours by address and port; those who are connected already stay."""
        for address, port in list(peers)[:MOST_PEERS]:
            if self._handle is not None and (address, port) != (self._address, self.port):
                self._handle.connect_peer((address, port))

    # ------------------------------------------------------------------ pieces

    def missing(self) -> list[int]:
        """The pieces that are not there; all of them while what is there is still checked."""
        if self._handle is None:
            return []
        have = self._handle.status(lt.torrent_handle.query_pieces).pieces
        if len(have) < self.pieces:
            return list(range(self.pieces))
        return [piece for piece in range(self.pieces) if not have[piece]]

    @property
    def pieces(self) -> int:
        """Of the bundle; 0 without one."""
        return self._torrent.pieces if self._torrent else 0

    @property
    def is_checking(self) -> bool:
        """Whether what is there is still being looked at."""
        status = self._status()
        states = lt.torrent_status.states
        return status is None or status.state in (
            states.checking_files,
            states.checking_resume_data,
        )

    @property
    def is_whole(self) -> bool:
        """Whether all is there, on the disk."""
        status = self._status()
        return status is not None and status.is_seeding

    def nobody_has(self, pieces: list[int]) -> list[int]:
        """Those of these pieces that no connected neighbour has."""
        if self._handle is None:
            return pieces
        counts = self._handle.piece_availability()
        return [piece for piece in pieces if piece >= len(counts) or not counts[piece]]

    def put(self, piece: int, content: bytes) -> None:
        """A piece that came another way, and was checked."""
        if self._handle is not None:
            self._handle.add_piece(piece, content, 0)

    def counts(self) -> Counts:
        """Since it joined this swarm."""
        status = self._status()
        if status is None:
            return Counts()
        came = int(status.total_payload_download) - int(status.total_failed_bytes)
        return Counts(max(0, came), int(status.total_payload_upload), status.num_peers)

    def faults(self) -> tuple[list[str], list[int]]:
        """What went wrong since this was asked last: errors of the disk, and pieces that were not
        what was signed, for a neighbour gave some of it: they are missing again."""
        alerts = self._session.pop_alerts()
        errors = [str(each.message()) for each in alerts if isinstance(each, lt.file_error_alert)]
        wrong = [int(each.piece_index) for each in alerts if isinstance(each, lt.hash_failed_alert)]
        return errors, wrong

    def rest(self, *, is_on: bool) -> None:
        """Take and give nothing while it is on."""
        if is_on:
            self._session.pause()
        else:
            self._session.resume()

    def take_at_most(self, bytes_s: int) -> None:
        """Of neighbours, while something else takes its share of the cap."""
        self._session.apply_settings({"download_rate_limit": max(1, bytes_s)})

    def _status(self) -> lt.torrent_status | None:
        return None if self._handle is None else self._handle.status()


def _settings(address: str, share: Share) -> Any:
    listening = f"[{address}]" if ":" in address else address
    mask = lt.alert.category_t
    return {
        "listen_interfaces": f"{listening}:{share.port}s",
        "outgoing_interfaces": address,
        "upload_rate_limit": int(share.up_mbit * _BYTES_IN_MBIT),
        "download_rate_limit": int(share.down_mbit * _BYTES_IN_MBIT),
        "rate_limit_ip_overhead": True,
        "peer_dscp": _LOWER_EFFORT,
        "urlseed_max_request_bytes": 512 << 10,
        "max_allowed_in_request_queue": 500,
        "connections_limit": MOST_PEERS,
        "unchoke_slots_limit": 16,
        "request_timeout": 10,
        "peer_timeout": 30,
        "min_reconnect_time": 3,
        "max_failcount": 10,
        # What else is on the link waits 5 ms longer at p99, and 17 ms with the default of 100 ms.
        "utp_target_delay": 2,
        # Each piece is written once it is checked, or a kill would cost what the library's cache
        # holds: up to 100 MB of pieces that count as there and are in no file.
        "disk_io_write_mode": int(lt.io_buffer_mode_t.write_through),
        "tick_interval": 100,  # finer than the default of 500; with 20 low caps let nothing pass
        "alert_mask": mask.error_notification
        | mask.status_notification
        | mask.storage_notification,
        "user_agent": "edge-daemon",
        **dict.fromkeys(_CLOSED, False),
        "enable_lsd": share.local,
        "enable_incoming_utp": True,
        "enable_outgoing_utp": True,
    }
