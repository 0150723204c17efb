"""The library's client, configured; the daemon's own is bounded in what it reads.

paho reads a packet of any length into memory before it calls anybody, and MQTT 3.1.1 has no limit
that a client could announce: one request of 200 MB would cost half a gigabyte. Here the rest of
such a packet is read and dropped. The connection is kept: otherwise a broker would send the packet
again on the next one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_daemon.config import MqttSettings
from edge_daemon.errors import ConfigurationError

MAX_PACKET_BYTES = 1024 * 1024  # above the 256 KiB of a request, so that more can be answered
RECEIVE_MAXIMUM = 100  # requests and orders under way at once, not yet acknowledged
QUEUE_MESSAGES = 1000  # QoS 1 messages that wait for the broker's acknowledgement
_CHUNK_BYTES = 64 * 1024
_FULL_PAUSE_S = 0.002
_FULL_READ_S = 0.05


class BoundedClient(paho.Client):
    """A client that keeps the first `MAX_PACKET_BYTES` of a packet, and reads at its own pace.

    `is_full`: as many messages as it takes are not acknowledged yet. The receive maximum says so
    to the broker, but mosquitto 2.0.11 sends on. What is not read waits in the connection; it is
    not left there for long, as the answer to a ping may be behind it.
    """

    is_full: Callable[[], bool] = staticmethod(lambda: False)
    _read_at = 0.0

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.is_full() and time.monotonic() - self._read_at < _FULL_READ_S:
            time.sleep(_FULL_PAUSE_S)
            raise BlockingIOError
        self._read_at = time.monotonic()
        del self._in_packet["packet"][MAX_PACKET_BYTES:]
        return super()._sock_recv(min(bufsize, _CHUNK_BYTES))

    @property
    def packet_bytes(self) -> int:
        """The announced length of the packet in hand, for callbacks."""
        return self._in_packet["remaining_length"]


_Kind = TypeVar("_Kind", bound=paho.Client)


def new_client(settings: MqttSettings, client_id: str, kind: type[_Kind], **more: Any) -> _Kind:
    """A client of the library as every connection of ours needs it, without callbacks.

    Reads the password and the keys. `more`: arguments of the library's own.

    Raises:
        ConfigurationError: a file cannot be read or used.
    """
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5 if settings.protocol == 5 else paho.MQTTv311,
        **more,
    )
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.read_password())
    if settings.tls is not None:
        files = settings.tls.readable_files()
        try:
            client.tls_set(*files)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(
                f"mqtt.tls: a file cannot be used: {error}.",
                hint="Check that ca, certificate and key are readable PEM files.",
            ) from error
    client.on_socket_open = _send_at_once
    return client


def new_station_client(settings: MqttSettings, client_id: str) -> BoundedClient:
    """The daemon's: for one connection, bounded, with a session that the broker keeps.

    Raises:
        ConfigurationError: a file cannot be read or used.
    """
    client = new_client(
        settings,
        client_id,
        BoundedClient,
        clean_session=None if settings.protocol == 5 else False,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.max_queued_messages_set(QUEUE_MESSAGES)
    client.max_inflight_messages_set(RECEIVE_MAXIMUM)
    return client


def release(client: paho.Client) -> None:
    """Forget the callbacks of a connection that is over, so that its sockets are closed now.

    They hold their owner, and the owner holds the client: such a ring waits for the garbage
    collector, and so do the two sockets that wake the network thread. It may come after hundreds
    of connections, and select() takes no file descriptor above 1,023: nothing is heard from there.
    """
    client.on_connect = client.on_disconnect = None
    client.on_message = client.on_subscribe = client.on_publish = None


def _send_at_once(_client: paho.Client, _: Any, sock: Any) -> None:
    """TCP_NODELAY: without it a round trip through a broker waits for 40 ms timers."""
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
