"""The embedded broker of the demo (rumqttd), on a free port, for MQTT 3.1.1 or 5."""

from __future__ import annotations

from iotcore import Broker

from tests.sim.folders import lent_folder
from tests.sim.mosquitto import free_port

_CONFIG = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[{version}.1]
name = "{version}-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


class EmbeddedBroker:
    """One broker process; a restart forgets everything."""

    def __init__(self, protocol: int) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        path = lent_folder("iotcore") / "rumqttd.toml"
        path.write_text(_CONFIG.format(version="v5" if protocol == 5 else "v4", port=self.port))
        self._path = path
        self._broker = Broker(config_path=str(path))

    def start(self) -> EmbeddedBroker:
        self._broker.start(60.0)  # by default it gives up after 10 s, which a busy machine takes
        return self

    def stop(self) -> None:
        self._broker.stop()

    def kill(self) -> None:
        self._broker.stop()
