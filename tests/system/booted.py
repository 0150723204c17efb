"""The story that runs inside the booted system of scripts/test_systemd; standard library only.

Each chapter states what systemd and the daemon promise each other, and is timed. The first that
fails ends the story; the journal is kept beside its result.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

DAEMON = "/opt/edge-daemon/bin/edge-daemon"
PYTHON = "/opt/edge-daemon/bin/python"
ETC = Path("/etc/edge-daemon")
PATIENCE_S = 150.0
STOP_LIMIT_S = 30.0

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


def out(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def unit(name: str) -> str:
    return f"edge-daemon@{name}.service"


def shown(name: str, key: str) -> str:
    return out("systemctl", "show", "-P", key, unit(name)).strip()


def until(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_s:
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(0.25)
    return time.monotonic() - began


def entries(name: str, *filters: str) -> list[dict[str, str]]:
    told = out("journalctl", "-u", unit(name), "-o", "json", "--no-pager", *filters, check=False)
    return [json.loads(line) for line in told.splitlines()]


def told(name: str, event: str) -> list[dict[str, str]]:
    return [entry for entry in entries(name) if entry.get("EDGE_EVENT") == event]


def state(name: str) -> dict[str, object]:
    text = out(DAEMON, "status", "--local", "--json", "--config", f"{ETC}/{name}.yaml")
    return dict(json.loads(text)["model/state"])


def judging(name: str, model: str) -> Callable[[], bool]:
    return lambda: (
        shown(name, "ActiveState") == "active"
        and shown(name, "StatusText").startswith(f"{model}, ")
        and "camera online" in shown(name, "StatusText")
    )


def prepare() -> None:
    """Users, folders, a broker, a key, signed bundles, two stations."""
    out("systemd-sysusers")
    out("systemd-tmpfiles", "--create")
    where = out(PYTHON, "-c", "import edge_daemon; print(edge_daemon.__path__[0])")
    package = Path(where.strip())
    store = Path("/var/lib/edge-daemon/models")
    program = (
        "from pathlib import Path; from edge_daemon.models.trust import generate_keypair, sign\n"
        "private, public = generate_keypair(Path('/root'))\n"
        "Path('/etc/edge-daemon/ops.pub').write_bytes(public.read_bytes())\n"
        f"[sign(p.parent, private) for p in Path('{store}').glob('*/*/model.yaml')]\n"
    )
    shutil.copytree(package / "cli/demo/bundles", store, dirs_exist_ok=True)
    out(PYTHON, "-c", program)
    out("chown", "-R", "edge-daemon:edge-daemon", str(store))
    for name, initial, port in (("line1", "bottle@1.0.0", 9464), ("line2", "can@1.0.0", 9465)):
        (ETC / f"{name}.yaml").write_text(SETTINGS.format(name=name, initial=initial, port=port))
    out("sh", "-c", "chown -R root:edge-daemon /etc/edge-daemon; chmod 640 /etc/edge-daemon/*")


def starts() -> None:
    """READY comes when frames are judged, and the STATUS line names the model."""
    out("systemctl", "start", unit("line1"))
    until("line1 judges with bottle@1.0.0", judging("line1", "bottle@1.0.0"))


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
    out("systemctl", "stop", unit("line2"))
    assert shown("line2", "Result") == "success"
    assert shown("line1", "MainPID") == first
    assert json.loads(told("line2", "stopped")[-1]["MESSAGE"])["balanced"] is True


def killed_and_back() -> None:
    """SIGKILL: systemd starts it again, by itself."""
    before = shown("line1", "MainPID")
    out("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit("line1"))
    until("a new main process", lambda: shown("line1", "MainPID") not in (before, "0"))
    until("line1 judges again", judging("line1", "bottle@1.0.0"))
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
    until("a new main process", lambda: shown("line1", "MainPID") not in (before, "0"))
    until("line1 judges again", judging("line1", "bottle@1.1.0"))
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
    """A stop while a model loads stays within its limit, and the frames' books balance."""
    accepted = len(told("line1", "request_accepted"))
    ask = subprocess.Popen(
        [DAEMON, "swap", "bottle@1.0.0", "--local", "--config", f"{ETC}/line1.yaml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until("the swap is under way", lambda: len(told("line1", "request_accepted")) > accepted)
    began = time.monotonic()
    out("systemctl", "stop", unit("line1"))
    took_s = time.monotonic() - began
    ask.wait(30)
    assert took_s < STOP_LIMIT_S, took_s
    assert shown("line1", "Result") == "success", shown("line1", "Result")
    assert json.loads(told("line1", "stopped")[-1]["MESSAGE"])["balanced"] is True


def bad_settings_are_final() -> None:
    """Settings that cannot be right end with 78, and are not tried for ever."""
    (ETC / "wrong.yaml").write_text("device: wrong\ncamra: {}\n")
    out("chmod", "644", f"{ETC}/wrong.yaml")
    out("systemctl", "start", unit("wrong"), check=False)
    until("it has given up", lambda: shown("wrong", "ActiveState") == "failed")
    assert shown("wrong", "ExecMainStatus") == "78"
    assert shown("wrong", "NRestarts") == "0"


CHAPTERS = (
    prepare,
    starts,
    is_confined,
    two_do_not_meet,
    killed_and_back,
    confirmed_survives,
    hangs_and_back,
    speaks_to_the_journal,
    stops_amid_a_swap,
    bad_settings_are_final,
)


def main(results: Path) -> int:
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
    (results / "journal").write_text(out("journalctl", "-b", "--no-pager", check=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
