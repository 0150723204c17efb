"""The evaluator of campaigns and the fleet's timestamp, as systemd runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.system.booted_tools import DAEMON, ETC, PYTHON, measured, out, until

EVALUATOR = "edge-daemon-fleet.service"
TIMESTAMP = "edge-daemon-fleet-timestamp"
REPOSITORY = Path("/srv/models/_tuf")
KEYS = Path("/root/fleet-keys")
SETTINGS = """
device: {name}
mqtt: {{host: 127.0.0.1}}
camera: {{source: "conveyor:"}}
models: {{trust: {{required: false}}}}
fleet: {{trust: {{keys: [/etc/edge-daemon/ops.pub, /etc/edge-daemon/release.pub]}}}}
"""
BEGIN = """
import time
from pathlib import Path
from edge_daemon.core.fleet.campaign import canonical, read_campaign
from edge_daemon.fleet import messages
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
now, envelope = time.time(), None
made = read_campaign({"id": "c1", "serial": 1, "model": "bottle@2.0.0", "sha256": "9f" * 32,
    "waves": [1e-9, 1.0], "canaries": ["cam1"], "not_before": now, "expires": now + 3600.0})
for name in ("ops", "release"):
    private, public = generate_keypair(Path("/root"), name)
    Path("/etc/edge-daemon", public.name).write_bytes(public.read_bytes())
    envelope = sign(canonical(made), messages.KIND, private, envelope)
"""
SAY = """
import sys
from pathlib import Path
from edge_daemon.fleet.saying import say
from edge_daemon.messaging.client import Client
with Client.of(Path("/etc/edge-daemon/fleet.yaml")) as client:
    say(client, sys.argv[1], sys.stdin.buffer.read())
"""
KEPT = """
from pathlib import Path
from edge_daemon.messaging.client import Client
with Client.of(Path("/etc/edge-daemon/fleet.yaml")) as client:
    print("\\n".join(sorted(client.all_retained(["fleet/#"]))))
"""
CONFIRMED = {
    "device": "cam1",
    "boot": "b1",
    "seq": 1,
    "time": "2026-01-01T00:00:00Z",
    "every_s": 60,
    "version": "0",
    "campaign": "c1",
    "serial": 1,
    "phase": "confirmed",
    "wave": 0,
}


def shown(key: str, unit: str = EVALUATOR) -> str:
    return out("systemctl", "show", "-P", key, unit).strip()


def kept() -> set[str]:
    """The topics of campaigns that the broker has."""
    return set(out(PYTHON, "-c", KEPT).split())


def say(topic: str, text: str) -> None:
    """Retained, as somebody with the right to write there."""
    subprocess.run((PYTHON, "-c", SAY, topic), input=text, text=True, check=True)


def waits() -> bool:
    """Whether it looked at the campaign, and knows whom it waits for."""
    return "have not answered: cam1" in shown("StatusText")


def evaluator_starts() -> None:
    """The evaluator is READY, fed, and opens the first wave of a signed campaign."""
    program = BEGIN + "print(envelope.decode())"
    envelope = out(PYTHON, "-c", program).strip()
    (ETC / "fleet.yaml").write_text(SETTINGS.format(name="fleet"))
    (ETC / "inventory.txt").write_text("cam1\ncam2\n")
    out("sh", "-c", f"chown root:edge-daemon {ETC}/*; chmod 640 {ETC}/*")
    say("fleet/c1/campaign", envelope)
    out("systemctl", "start", EVALUATOR)
    assert shown("ActiveState") == "active"
    seconds = until("the first wave is open", lambda: "fleet/c1/open/0" in kept())
    measured(f"evaluator: first wave {seconds:.1f} s after READY")
    until("it says whom it waits for", waits)


def evaluator_is_confined() -> None:
    """As nobody in particular, without privileges, and with a filter of system calls."""
    status = Path(f"/proc/{shown('MainPID')}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status


def other_than(pid: str) -> Callable[[], bool]:
    return lambda: shown("MainPID") not in (pid, "0")


def evaluator_is_killed() -> None:
    """SIGKILL, twice: it comes back by itself, and opens nothing before the answer is there."""
    for number in (1, 2):
        before = shown("MainPID")
        out("systemctl", "kill", "--kill-whom=main", "--signal=KILL", EVALUATOR)
        until("a new main process", other_than(before))
        until("it looks again", waits)
        assert shown("NRestarts") == str(number)
    assert kept() == {"fleet/c1/campaign", "fleet/c1/open/0"}
    say("edge/cam1/fleet", json.dumps(CONFIRMED))
    seconds = until("the second wave is open", lambda: "fleet/c1/open/1" in kept())
    measured(f"evaluator: second wave {seconds:.1f} s after the last answer")


def evaluator_ends() -> None:
    """A stop ends it in order."""
    out("systemctl", "stop", EVALUATOR)
    assert shown("Result") == "success"


def timestamp_is_renewed() -> None:
    """The timer is set for within the hour; what it runs says a fresh word to the broker."""
    out(DAEMON, "fleet", "keys", "init", str(REPOSITORY), "--keys", str(KEYS))
    keys = ETC / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "online.key").write_bytes((KEYS / "online.key").read_bytes())
    (ETC / "publisher.yaml").write_text(SETTINGS.format(name="publisher"))
    out("chown", "-R", "edge-daemon:edge-daemon", str(REPOSITORY), str(keys))
    out("sh", "-c", f"chown root:edge-daemon {ETC}/*.yaml; chmod 640 {ETC}/*.yaml")
    out("systemctl", "enable", "--now", f"{TIMESTAMP}.timer")
    assert shown("ActiveState", f"{TIMESTAMP}.timer") == "active"
    assert shown("NextElapseUSecRealtime", f"{TIMESTAMP}.timer")
    out("systemctl", "start", f"{TIMESTAMP}.service")
    assert shown("Result", f"{TIMESTAMP}.service") == "success"
    assert "fleet/timestamp" in kept()
    out("systemctl", "disable", "--now", f"{TIMESTAMP}.timer")


CHAPTERS = (
    evaluator_starts,
    evaluator_is_confined,
    evaluator_is_killed,
    evaluator_ends,
    timestamp_is_renewed,
)
