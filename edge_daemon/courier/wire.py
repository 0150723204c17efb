"""What the daemon and the courier tell each other: msgpack, one packet a message, both bounded."""

from __future__ import annotations

import socket
from typing import Annotated, Any, Union

import msgspec

from edge_daemon.courier.election import FIRST_WAIT_S, WAIT_S
from edge_daemon.courier.site import MOST, Neighbour
from edge_daemon.courier.staging import Wanted

PACKET_BYTES = 160 << 10
SETTLE_S = 6.0
"""A word of a neighbour takes a second or two, and more where a whole plant has just got power."""

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class SourceSpec(msgspec.Struct, frozen=True):
    """A source of `fleet.sources`."""

    kind: str
    url: str
    ca: Union[str, None] = None
    metered: bool = False


class Share(msgspec.Struct, frozen=True):
    """`fleet.share`: where and how fast a station shares, and the PEM files that say who it is.

    `port` 0: any. `local`: whether neighbours are looked for in the local network as well.
    `settle_s`: see `delivery.DeliveryTools`; `first_wait_s`, `wait_s`: see `election.patience_s`.
    """

    interface: str
    certificate: str
    key: str
    ca: str
    port: int
    up_mbit: float
    down_mbit: float
    local: bool
    settle_s: float = SETTLE_S
    first_wait_s: float = FIRST_WAIT_S
    wait_s: float = WAIT_S


class FreshnessSpec(msgspec.Struct, frozen=True):
    """`fleet.trust`, and the folder in which the fleet's metadata is kept."""

    state_folder: str
    root: str
    metadata: Union[str, None] = None
    metadata_ca: Union[str, None] = None
    expires_grace_s: int = 0


class Setup(msgspec.Struct, tag="setup", frozen=True):
    """The first message to a courier: the station, its store, and where bundles come from."""

    device: str
    store: str
    keys: tuple[str, ...]
    required: bool
    sources: tuple[SourceSpec, ...]
    revoked: tuple[str, ...] = ()
    share: Union[Share, None] = None
    down_mbit: float = 80.0
    fresh: Union[FreshnessSpec, None] = None


class Want(msgspec.Struct, tag="want", frozen=True):
    """Bring this bundle, and give it to others until something else is said; None: nothing."""

    wanted: Union[Wanted, None] = None


class Neighbours(msgspec.Struct, tag="site", frozen=True):
    """All stations of the site that share."""

    places: Annotated[tuple[Neighbour, ...], msgspec.Meta(max_length=MOST)] = ()


class PauseTransfers(msgspec.Struct, tag="rest", frozen=True):
    """Take and give nothing while it is on."""

    on: bool


class Stamp(msgspec.Struct, tag="stamp", frozen=True):
    """A timestamp of the fleet's metadata that came as a message."""

    timestamp: Annotated[bytes, msgspec.Meta(max_length=16_384)]


class RefreshNow(msgspec.Struct, tag="look", frozen=True):
    """Look now which campaigns are current."""


class RefreshResult(msgspec.Struct, tag="looked", frozen=True):
    """How that ended: see `refresher.Refreshed`."""

    why: Text = ""
    is_refusal: bool = False
    where: Text = ""


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """How far the courier is. `phase`: idle, fetching, have or refused. Bytes are of this process;
    `at`: where neighbours reach it, empty where it does not share."""

    phase: str = "idle"
    why: Text = ""
    infohash: str = ""
    sha256: str = ""
    at: str = ""
    port: int = 0
    have: float = 0.0
    origin: Count = 0
    peers: Count = 0
    given: Count = 0
    neighbours: Count = 0


def changed_progress(progress: Progress, changed: dict[str, Any]) -> Progress:
    """The same with some fields changed; a reason is cut to what a packet takes."""
    if "why" in changed:
        changed["why"] = str(changed["why"])[:1000]
    return msgspec.structs.replace(progress, **changed)


ToCourier = Union[Setup, Want, Neighbours, PauseTransfers, Stamp, RefreshNow]
ToDaemon = Union[Progress, RefreshResult]
_encode = msgspec.msgpack.Encoder().encode
_decode_order = msgspec.msgpack.Decoder(ToCourier).decode
_decode_word = msgspec.msgpack.Decoder(ToDaemon).decode


def send(end: socket.socket, message: Any, *, waits: bool = True) -> None:
    """Raises OSError where the other end is gone, and BlockingIOError where there is no room for
    the message and nobody `waits` for it."""
    end.send(_encode(message), 0 if waits else socket.MSG_DONTWAIT)


def receive_order(end: socket.socket) -> ToCourier | None:
    """The next message to the courier; None: the daemon is gone. The daemon is trusted."""
    packet = end.recv(PACKET_BYTES)
    return _decode_order(packet) if packet else None


def receive_word(end: socket.socket) -> ToDaemon | None:
    """The courier's next word; None where it is gone. Raises ValueError for anything else."""
    try:
        packet = end.recv(PACKET_BYTES)
    except ConnectionResetError:  # it ended with words unread; its own last ones come after that
        packet = end.recv(PACKET_BYTES)
    return _decode_word(packet) if packet else None
