"""The story that runs inside the booted system of scripts/test_systemd; standard library only.

Each chapter states what systemd and the daemon promise each other, and is timed. The first that
fails ends the story; the journal is kept beside its result.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.system.booted_fleet import CHAPTERS as FLEET
from tests.system.booted_tools import DAEMON, ETC, PYTHON, figures, measured, out, say, until

PACKAGES = Path("/opt/packages")
LIBRARIES = "/opt/edge-daemon-libraries"
STATE = Path("/var/lib/edge-daemon")
STOP_LIMIT_S = 30.0
MOMENTS = 6
"""How often a swap is cut off by a stop."""
MOST_EXPOSURE = 1.8

chance = random.Random()
kept: list[str] = []
"""The model that was confirmed when the package was removed."""

SETTINGS = """
device: {name}
camera: {{source: "conveyor:", fps: 4}}
models: {{trust: {{public_keys: [/etc/edge-daemon/ops.pub]}}, initial: {initial}}}
slots: {{threads: 1, device: cpu}}
links: {{BTL-500: bottle, CAN-330: can}}
gate: {{latency_ratio: 20, load_timeout_s: 120}}
trial: {{frames: 5, seconds: 1, latency_ratio: 20}}
http: {{listen: "127.0.0.1:{port}"}}
"""


def unit(name: str) -> str:
    return f"edge-daemon@{name}.service"


def shown(name: str, key: str) -> str:
    return out("systemctl", "show", "-P", key, unit(name)).strip()


def entries(name: str, *filters: str) -> list[dict[str, str]]:
    told = out("journalctl", "-u", unit(name), "-o", "json", "--no-pager", *filters, check=False)
    return [json.loads(line) for line in told.splitlines()]


def told(name: str, event: str) -> list[dict[str, str]]:
    return [entry for entry in entries(name) if entry.get("EDGE_EVENT") == event]


def state(name: str) -> dict[str, object]:
    text = out(DAEMON, "status", "--local", "--json", "--config", f"{ETC}/{name}.yaml")
    return dict(json.loads(text)["model"])


def active(name: str) -> dict[str, object]:
    found = state(name)["active"]
    assert isinstance(found, dict)
    return found


def judging(name: str, model: str) -> Callable[[], bool]:
    return lambda: (
        shown(name, "ActiveState") == "active"
        and shown(name, "StatusText").startswith(f"{model}, ")
        and "camera online" in shown(name, "StatusText")
    )


def ready_s(name: str) -> float:
    """Seconds from the start to READY, as systemd has them."""
    began, ended = (
        int(shown(name, f"{what}TimestampMonotonic")) for what in ("InactiveExit", "ActiveEnter")
    )
    return (ended - began) / 1e6


def installs() -> None:
    """The package brings user, folders, units and catalog; one command says what the box is."""
    out("dpkg", "-i", str(PACKAGES / "first.deb"))
    out("edge-daemon-platform", "cpu", "--at", LIBRARIES)
    assert "edge-daemon" in out("getent", "passwd", "edge-daemon")
    assert out("stat", "-c", "%a %U:%G", str(STATE)).strip() == "750 edge-daemon:edge-daemon"
    assert Path("/etc/systemd/system/edge-daemon@.service.d/10-cpu.conf").exists()
    assert "broker" in out("journalctl", "--list-catalog")


def prepare() -> None:
    """A key, signed bundles, two stations."""
    where = out(PYTHON, "-c", "import edge_daemon; print(edge_daemon.__path__[0])")
    package = Path(where.strip())
    store = STATE / "models"
    program = (
        "from pathlib import Path; from edge_daemon.models.trust import generate_keypair, sign\n"
        "private, public = generate_keypair(Path('/root'))\n"
        "Path('/etc/edge-daemon/ops.pub').write_bytes(public.read_bytes())\n"
        f"[sign(p.parent, private) for p in Path('{store}').glob('*/*/model.yaml')]\n"
    )
    shutil.copytree(package / "demo/bundles", store, dirs_exist_ok=True)
    out(PYTHON, "-c", program)
    out("chown", "-R", "edge-daemon:edge-daemon", str(store))
    for name, initial, port in (("line1", "bottle@1.0.0", 9464), ("line2", "can@1.0.0", 9465)):
        (ETC / f"{name}.yaml").write_text(SETTINGS.format(name=name, initial=initial, port=port))
    out("sh", "-c", "chown -R root:edge-daemon /etc/edge-daemon; chmod 640 /etc/edge-daemon/*")


def starts() -> None:
    """READY comes when frames are judged, and the STATUS line names the model."""
    out("systemctl", "start", unit("line1"))
    until("line1 judges with bottle@1.0.0", judging("line1", "bottle@1.0.0"))
    measured(f"READY of the first start: {ready_s('line1'):.1f} s")


def is_little_exposed() -> None:
    """systemd's own measure of the unit as it is installed, with its drop-in."""
    told = out("systemd-analyze", "security", "--no-pager", unit("line1"), check=False)
    found = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert found, told[-500:]
    measured(f"exposure: {found[1]}")
    assert float(found[1]) <= MOST_EXPOSURE


def is_confined() -> None:
    """No privileges, a filter of system calls, and the workers' own cage on top."""
    pid = shown("line1", "MainPID")
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status
    assert out("stat", "-c", "%U", f"/proc/{pid}").strip() == "edge-daemon"
    assert [entry["MESSAGE"] for entry in told("line1", "cage_incomplete")] == []


def two_do_not_meet() -> None:
    """A second station starts beside the first, and its stop does not touch it."""
    first = shown("line1", "MainPID")
    out("systemctl", "start", unit("line2"))
    until("line2 judges with can@1.0.0", judging("line2", "can@1.0.0"))
    measured(f"READY of a second station beside it: {ready_s('line2'):.1f} s")
    sockets = [Path(f"/run/edge-daemon/{name}/control.sock") for name in ("line1", "line2")]
    assert all(socket.is_socket() for socket in sockets)
    assert [active(name)["model"] for name in ("line1", "line2")] == [
        "bottle@1.0.0",
        "can@1.0.0",
    ]
    out("systemctl", "stop", unit("line2"))
    assert [socket.exists() for socket in sockets] == [True, False]
    assert shown("line2", "Result") == "success"
    assert shown("line1", "MainPID") == first
    assert json.loads(told("line2", "stopped")[-1]["MESSAGE"])["balanced"] is True


def killed_and_back() -> None:
    """SIGKILL: systemd starts it again, by itself."""
    before = shown("line1", "MainPID")
    out("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit("line1"))
    until("a new main process", lambda: shown("line1", "MainPID") not in (before, "0"))
    until("line1 judges again", judging("line1", "bottle@1.0.0"))
    measured(f"READY after SIGKILL: {ready_s('line1'):.1f} s")
    assert shown("line1", "NRestarts") == "1"


def confirmed_survives() -> None:
    """A model that passed its trial is what a restart after SIGKILL begins with."""
    out(DAEMON, "swap", "bottle@1.1.0", "--local", "--config", f"{ETC}/line1.yaml")
    until("the trial is over", lambda: bool(told("line1", "confirmed")))
    before = shown("line1", "MainPID")
    out("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit("line1"))
    until("a new main process", lambda: shown("line1", "MainPID") not in (before, "0"))
    until("line1 judges with bottle@1.1.0", judging("line1", "bottle@1.1.0"))


def hangs_and_back() -> None:
    """SIGSTOP: the watchdog notices, and systemd starts it again."""
    before = shown("line1", "MainPID")
    out("systemctl", "kill", "--kill-whom=main", "--signal=STOP", unit("line1"))
    took_s = until("a new main process", lambda: shown("line1", "MainPID") not in (before, "0"))
    until("line1 judges again", judging("line1", "bottle@1.1.0"))
    measured(f"SIGSTOP to a new process: {took_s:.1f} s; READY {ready_s('line1'):.1f} s after that")
    assert any("atchdog timeout" in entry["MESSAGE"] for entry in entries("line1"))


def speaks_to_the_journal() -> None:
    """A broker that goes is a warning there, with its own explanation under `journalctl -x`."""
    joined = len(told("line1", "broker_joined"))
    out("systemctl", "stop", "mosquitto")
    until("broker_lost", lambda: bool(told("line1", "broker_lost")))
    assert told("line1", "broker_lost")[-1]["PRIORITY"] == "4"
    assert told("line1", "started")[-1]["PRIORITY"] == "6"
    explained = out("journalctl", "-x", "-u", unit("line1"), "--no-pager", "-p", "warning")
    assert "Subject: The MQTT broker is away" in explained
    assert "Frames are judged as before" in explained
    out("systemctl", "start", "mosquitto")
    until("the broker again", lambda: len(told("line1", "broker_joined")) > joined)


def stops_amid_a_swap() -> None:
    """A stop at any moment of a swap stays within its limit, and the frames' books balance."""
    took_s = [stop_within_a_swap(chance.uniform(0.0, 4.0)) for _ in range(MOMENTS)]
    measured(f"the longest of {MOMENTS} stops within a swap: {max(took_s):.1f} s")


def stop_within_a_swap(moment_s: float) -> float:
    """Ask for the other version, stop that long afterwards, start again; seconds of the stop."""
    until("the trial is over", lambda: not active("line1")["trial"])
    other = "bottle@1.0.0" if active("line1")["model"] == "bottle@1.1.0" else "bottle@1.1.0"
    accepted = len(told("line1", "request_accepted"))
    ask = subprocess.Popen(
        [DAEMON, "swap", other, "--local", "--config", f"{ETC}/line1.yaml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until("the swap is under way", lambda: len(told("line1", "request_accepted")) > accepted)
    time.sleep(moment_s)
    began = time.monotonic()
    out("systemctl", "stop", unit("line1"))
    took_s = time.monotonic() - began
    ask.wait(60)
    assert took_s < STOP_LIMIT_S, (moment_s, took_s)
    assert shown("line1", "Result") == "success", (moment_s, shown("line1", "Result"))
    assert json.loads(told("line1", "stopped")[-1]["MESSAGE"])["balanced"] is True, moment_s
    out("systemctl", "start", unit("line1"))
    judges = [judging("line1", f"bottle@{version}") for version in ("1.0.0", "1.1.0")]
    until("it judges again", lambda: any(does() for does in judges))
    return took_s


def upgrades_amid_a_run() -> None:
    """A newer package comes while frames are judged: one restart, same model, settings kept."""
    conffile = Path("/etc/default/edge-daemon")
    conffile.write_text(conffile.read_text() + "# mine\n")
    before, model = shown("line1", "MainPID"), str(active("line1")["model"])
    stops, began = len(told("line1", "stopped")), time.monotonic()
    out("dpkg", "-i", str(PACKAGES / "newer.deb"))
    until(
        "it judges again", lambda: shown("line1", "MainPID") != before and judging("line1", model)()
    )
    measured(f"an upgrade, from dpkg to judging again: {time.monotonic() - began:.1f} s")
    assert Path("/usr/share/edge-daemon/NEWER").exists()
    assert out("dpkg-query", "-W", "-f", "${Version}", "edge-daemon").endswith("newer")
    assert conffile.read_text().endswith("# mine\n")
    ended = told("line1", "stopped")[stops:]
    assert [json.loads(entry["MESSAGE"])["balanced"] for entry in ended] == [True]
    assert shown("line2", "ActiveState") == "inactive"


def is_removed() -> None:
    """The program goes; state, bundles and settings stay."""
    until("the trial is over", lambda: not active("line1")["trial"])
    kept.append(str(active("line1")["model"]))
    out("dpkg", "-r", "edge-daemon")
    assert shown("line1", "ActiveState") in ("inactive", "failed")
    assert not Path("/opt/edge-daemon/bin").exists()
    assert (STATE / "line1/journal.db").exists()
    assert (STATE / "models/bottle/1.1.0/model.yaml").exists()
    assert (ETC / "line1.yaml").exists()


def comes_back() -> None:
    """Installed again, it goes on with the model that was confirmed."""
    out("dpkg", "-i", str(PACKAGES / "newer.deb"))
    out("systemctl", "start", unit("line1"))
    until(f"it judges with {kept[0]}", judging("line1", kept[0]))


def is_purged() -> None:
    """What the daemon made goes: state, logs, its torch; what people brought stays."""
    told_of = out("dpkg", "-P", "edge-daemon")
    assert "settings in /etc/edge-daemon stay" in told_of, told_of
    assert not (STATE / "line1").exists()
    assert (STATE / "models/bottle/1.1.0/model.yaml").exists()
    assert (ETC / "line1.yaml").exists()
    gone = ("/opt/edge-daemon", "/opt/edge-daemon-torch", "/etc/default/edge-daemon")
    assert [path for path in gone if Path(path).exists()] == []
    units = Path("/etc/systemd/system")
    assert not list(units.glob("edge-daemon@.service.d/*"))
    assert out("dpkg-query", "-W", "edge-daemon", check=False) == ""


def bad_settings_are_final() -> None:
    """Settings that cannot be right end with 78, and are not tried for ever."""
    (ETC / "wrong.yaml").write_text("device: wrong\ncamra: {}\n")
    out("chmod", "644", f"{ETC}/wrong.yaml")
    out("systemctl", "start", unit("wrong"), check=False)
    until("it has given up", lambda: shown("wrong", "ActiveState") == "failed")
    assert shown("wrong", "ExecMainStatus") == "78"
    assert shown("wrong", "NRestarts") == "0"


CHAPTERS = (
    installs,
    prepare,
    starts,
    is_little_exposed,
    is_confined,
    two_do_not_meet,
    killed_and_back,
    confirmed_survives,
    hangs_and_back,
    speaks_to_the_journal,
    stops_amid_a_swap,
    *FLEET,
    bad_settings_are_final,
    upgrades_amid_a_run,
    is_removed,
    comes_back,
    is_purged,
)


def main(results: Path, seed: int) -> int:
    chance.seed(seed)
    for chapter in CHAPTERS:
        began = time.monotonic()
        try:
            chapter()
        except Exception:  # the boundary: whatever went wrong is the result
            say(f"FAILED   {chapter.__doc__}")
            traceback.print_exc(file=sys.stdout)
            break
        say(f"{time.monotonic() - began:5.1f} s  {chapter.__doc__}")
    else:
        (results / "verdict").write_text("passed")
    for line in figures:
        say(f"         {line}")
    (results / "journal").write_text(out("journalctl", "-b", "--no-pager", check=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
