"""The stations of a site that share with this one, as the daemon hears of them from the broker."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.errors import BoxError

MOST = 512
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Neighbour:
    """A station, where it gives, which swarm it is in, and the share of the bundle that it has."""

    device: str
    address: str
    port: int
    infohash: str = ""
    have: float = 0.0


class Site:
    """The neighbours that are known now; any thread."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._lock = threading.Lock()
        self._known: dict[str, Neighbour] = {}

    def know(self, neighbours: Iterable[Neighbour]) -> None:
        """These are all."""
        known = {each.device: each for each in neighbours if each.device != self.device}
        with self._lock:
            self._known = dict(list(known.items())[:MOST])

    @property
    def has_neighbours(self) -> bool:
        with self._lock:
            return bool(self._known)

    def having(self, infohash: str, own: float, *, is_new: bool = False) -> dict[str, float]:
        """The share that each has who is in this swarm, this station included.

        `is_new`: also those who have not said so yet, as with nothing of it: all of a site hear of
        a bundle at the same time, and of each other a little later.
        """
        with self._lock:
            known = list(self._known.values())
        there = {each.device: each.have for each in known if each.infohash == infohash}
        others = {each.device: 0.0 for each in known} if is_new else {}
        return {**others, **there, self.device: own}

    def places(self, infohash: str) -> list[tuple[str, int]]:
        """Where those are who are in this swarm."""
        with self._lock:
            there = [each for each in self._known.values() if each.infohash == infohash]
        return [(each.address, each.port) for each in there]


def is_address(text: str) -> bool:
    """Whether a neighbour may be called there."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or address.is_reserved)


def address_of(interface: str) -> str:
    """The IPv4 address of a network interface; an address stays as it is. Raises BoxError."""
    if is_address(interface):
        return interface
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            name = struct.pack("256s", interface.encode()[:15])
            return socket.inet_ntoa(fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, name)[20:24])
        except OSError as error:
            raise BoxError(
                f"The interface {interface} has no address: {error.strerror}.",
                hint="Correct fleet.share.interface, or connect it.",
            ) from error
