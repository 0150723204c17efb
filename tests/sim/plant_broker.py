"""The broker that is shipped, with its certificates and access list, on ports of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.sim.mosquitto import Mosquitto, free_port, new_mosquitto

ROOT = Path(__file__).parents[2]


class PlantBroker:
    """mosquitto with configs/mosquitto as it is, but for its folders and ports.

    Args:
        stations: who has a certificate.
        certificates: where they are; what is there already stays. None: in the broker's folder.
        named: stations that the access list names beside those of the example.
        changes: lines of the configuration that are replaced, by what they begin with.
    """

    def __init__(
        self,
        stations: Sequence[str],
        certificates: Path | None = None,
        named: Sequence[str] = (),
        changes: dict[str, str] | None = None,
    ) -> None:
        self.broker: Mosquitto = new_mosquitto()
        self.people_port = free_port()
        folder = self.broker.folder
        self.certificates = certificates or folder / "certs"
        subprocess.run(
            [
                ROOT / "scripts/make_certificates",
                self.certificates,
                "--host",
                self.broker.host,
                *stations,
            ],
            check=True,
            capture_output=True,
        )
        # mosquitto gives up being root before it reads it
        (self.certificates / "broker.key").chmod(0o644)
        shutil.copy(ROOT / "configs/mosquitto/acl", folder / "acl")
        with (folder / "acl").open("a") as access:
            access.write("".join(map(_rights, named)))
        self.broker.config.write_text(self._configuration(changes or {}))

    def _configuration(self, changes: dict[str, str]) -> str:
        host = self.broker.host
        text = (ROOT / "configs/mosquitto/mosquitto.conf").read_text()
        text = text.replace("/etc/mosquitto/certs", str(self.certificates))
        text = text.replace("listener 8883", f"listener {self.broker.port} {host}")
        text = text.replace("listener 8884", f"listener {self.people_port} {host}")
        text = text.replace("/etc/mosquitto/", f"{self.broker.folder}/")
        text = text.replace("/var/lib/mosquitto", str(self.broker.folder))
        lines = []
        for line in text.splitlines():
            wanted = [new for begin, new in changes.items() if line.startswith(begin)]
            lines.append(wanted[0] if wanted else line)
        return "\n".join(lines) + "\n"

    def tls(self, role: str) -> str:
        """`mqtt.tls` of the settings of this role."""
        at = self.certificates
        return f"{{ca: {at}/ca.pem, certificate: {at}/{role}.pem, key: {at}/{role}.key}}"


def _rights(station: str) -> str:
    """As the example gives them to each station by its name."""
    example = (ROOT / "configs/mosquitto/acl").read_text().split("user line3-cam2\n")[1]
    return f"\nuser {station}\n{example.partition(chr(10) * 2)[0]}\n"
