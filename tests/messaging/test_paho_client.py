"""One set-up of the library's client, for the daemon and for whoever asks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edge_daemon.config import MqttSettings
from edge_daemon.config.settings import TlsSettings
from edge_daemon.errors import ConfigurationError
from edge_daemon.messaging.paho_client import new_client, new_station_client

Make = Callable[[MqttSettings], paho.Client]
BOTH: list[Make] = [
    lambda settings: new_client(settings, "ops", paho.Client),
    lambda settings: new_station_client(settings, "cam1"),
]


@pytest.mark.parametrize("make", BOTH)
def test_a_key_file_that_is_none_is_a_wrong_setting(make: Make, tmp_path: Path) -> None:
    """Said with the setting's name, and not in the words of the TLS library."""
    ca = tmp_path / "ca.pem"
    ca.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"mqtt\.tls: a file cannot be used"):
        make(MqttSettings(tls=TlsSettings(ca=ca)))


@pytest.mark.parametrize("make", BOTH)
def test_who_logs_in_is_read_from_the_settings(make: Make, tmp_path: Path) -> None:
    """Name and password, and no timer that holds a small packet back."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    client = make(MqttSettings(username="ops", password_file=password))
    assert (client.username, client.password) == ("ops", "secret")
    assert client.on_socket_open is not None
