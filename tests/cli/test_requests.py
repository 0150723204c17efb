"""`swap` and its kin: asked by either way, waited for, told in words, exit code by the outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from edge_daemon.cli import requests
from edge_daemon.cli.main import COMMANDS, app, loaded
from edge_daemon.core.verbs import Verb
from edge_daemon.messaging.asks import REQUESTS
from tests.sim.command import command
from tests.sim.device import Device, sim_bundle, wait_until
from tests.sim.engine import Behaviour
from tests.sim.mosquitto import Mosquitto, new_mosquitto

B1, B2, BAD = "bottle@1.0.0", "bottle@1.1.0", "bottle@2.0.0"


@pytest.fixture
def device(broker: Mosquitto) -> Iterator[Device]:
    with Device(B1, B2, broker=broker) as device:
        sim_bundle(device.store, BAD, Behaviour.NAN)
        device.await_active(B1, online=True)
        yield device


@pytest.fixture
def lonely() -> Iterator[Device]:
    """A station whose broker is away."""
    with Device(B1, B2) as device:
        device.await_active(B1)
        yield device


def run(device: Device, *arguments: str) -> tuple[int, str]:
    return command(*arguments, config=device.config)


@pytest.mark.broker
def test_a_swap_ends_with_its_receipt_in_words(device: Device) -> None:
    """From which to which, at which frame, how long the line paused."""
    code, output = run(device, "swap", B2, "--by", "kim", "--reason", "better")
    assert code == 0, output
    assert f"{B1} → {B2} from frame" in output
    assert "the line paused for" in output
    device.await_active(B2)


@pytest.mark.broker
def test_a_swap_as_json_tells_each_answer(device: Device) -> None:
    """One object a line, the last is the outcome with the receipt."""
    code, output = run(device, "swap", B2, "--json", "--id", "r-1")
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert code == 0
    assert [answers[0]["status"], answers[-1]["status"]] == ["accepted", "succeeded"]
    assert answers[-1]["receipt"]["to"] == B2
    assert {answer["id"] for answer in answers} == {"r-1"}
    again = run(device, "swap", B2, "--json", "--id", "r-1")[1]
    assert json.loads(again.splitlines()[-1]) == answers[-1]


@pytest.mark.broker
def test_a_refusal_says_why_what_to_do_and_which_checks_failed(device: Device) -> None:
    """The error's sentence, its hint, the failing checks; exit 1."""
    code, output = run(device, "swap", BAD)
    assert code == 1
    assert "The swap was rejected" in output
    assert "×" in output  # noqa: RUF001 - the sign of a failed check
    assert device.active == B1


@pytest.mark.broker
def test_an_unknown_model_is_refused_with_what_there_is(device: Device) -> None:
    """Exit 1, the code, and the versions that the store has."""
    code, output = run(device, "swap", "bottle@9.9.9")
    assert code == 1
    assert "unknown_model" in output
    assert "1.1.0" in output


@pytest.mark.broker
def test_prepare_confirm_rollback_hold_release(device: Device) -> None:
    """Every other verb, each waited for."""
    assert run(device, "prepare", B2)[0] == 0
    assert device.active == B1
    assert run(device, "swap", B2)[0] == 0
    run(device, "confirm")  # its trial may be over by itself
    code, output = run(device, "rollback", "--to", B1)
    assert code == 0, output
    device.await_active(B1)
    code, output = run(device, "hold")
    assert code == 0
    assert "Held" in output
    assert run(device, "release")[0] == 0
    code, output = run(device, "swap", B2)
    assert code == 1
    assert "quarantined" in output
    assert f"models unquarantine {B2}" in output


@pytest.mark.broker
def test_a_dry_run_changes_nothing(device: Device) -> None:
    """Loaded, warmed and checked; the active model stays."""
    code, output = run(device, "swap", B2, "--dry-run")
    assert (code, device.active) == (0, B1)
    assert "passed its checks" in output


@pytest.mark.broker
def test_a_frame_can_be_named(device: Device) -> None:
    """`--at frame:N` cuts exactly there."""
    frame = 100_000
    code, output = run(device, "swap", B2, "--at", f"frame:{frame}", "--within", "0.5", "--json")
    assert code == 1
    assert json.loads(output.splitlines()[-1])["status"] == "expired"


@pytest.mark.broker
def test_an_outcome_that_takes_too_long_is_said_to_go_on(device: Device) -> None:
    """Exit 1 after --timeout, and the sentence says that the daemon continues."""
    code, output = run(device, "swap", B2, "--at", "frame:100000", "--timeout", "1")
    assert code == 1
    assert "the daemon continues with it" in output


def test_local_needs_no_broker(lonely: Device) -> None:
    """Through the control socket: the same answers, the same words."""
    code, output = run(lonely, "swap", B2, "--local")
    assert code == 0
    assert f"{B1} → {B2}" in output


def test_without_a_broker_the_socket_is_asked_instead(lonely: Device) -> None:
    """The broker is away: said on stderr, and done all the same."""
    code, output = run(lonely, "swap", B2)
    assert code == 0
    assert "control socket" in output


@pytest.mark.broker
def test_nothing_is_left_at_the_broker_for_a_daemon_that_is_away(broker: Mosquitto) -> None:
    """A request for an absent daemon is refused here: it would be carried out at its return."""
    with new_mosquitto() as own:
        device = Device(B1, B2, broker=own).start()
        device.await_active(B1, online=True)
        device.stop()
        code, output = run(device, "swap", B2)
        assert code == 69
        assert "is stopped" in output
        device.start()
        device.await_active(B1, online=True)
        wait_until(lambda: device.active == B1, "the same model")
        device.stop()


@pytest.mark.parametrize(
    "arguments",
    [
        ("swap",),
        ("swap", "a@1", "--at", "frame:x"),
        ("swap", "a@1", "--at", "frame:²"),
        ("swap", "a@1", "--expires", "2030-01-01T00:00:00Z", "--within", "3"),
        ("swap", "a@1", "--timeout", "soon"),
        ("swap", "a@1", "--at", "tomorrow"),
        ("swap", "a@1", "--expires", "2030-01-01"),
        ("swap", "a@1", "--expect", "a"),
        ("snapshot", "--output", "/nowhere/now.jpg"),
    ],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """What cannot be meant is refused before anything is asked."""
    code, _ = run(Device(B1), *arguments)
    assert code == 2


TAKES_A_MODEL = (
    ("prepare",),
    ("swap",),
    ("rollback", "--to"),
    ("models", "show"),
    ("models", "verify"),
    ("models", "quarantine"),
    ("models", "unquarantine"),
    ("models", "optimize"),
    ("models", "sign", "--key", "/dev/null"),
    ("drill", "--models", "a@1"),
)


@pytest.mark.parametrize("words", TAKES_A_MODEL, ids=" ".join)
@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("best.pt", "best.pt is a file; a model is NAME"),
        ("runs/train/weights/best.pt", "is a file"),
        ("models/bottle", "is a path"),
        ("notes.txt", "notes.txt is a file"),
        ("bottle@", "bottle@ is no model"),
        ("a b@1", "is no model"),
        ("\x1b[31m", "is no model"),
    ],
)
def test_what_is_no_model_is_said_before_anything_is_read(
    words: tuple[str, ...],
    given: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence with the forms that there are; no settings are read, nobody is connected."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    nowhere = str(tmp_path / "none.yaml")
    result = CliRunner().invoke(app, [*words, given, "--config", nowhere])
    assert result.exit_code == 2
    assert why in result.stderr
    assert "NAME@VERSION" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb_is_a_command_with_an_option_for_each_field(verb: Verb) -> None:
    """What may be sent may be typed; a model that may be left out is `--to`."""
    command = loaded(verb.value)
    if COMMANDS[verb.value].module != requests.__name__:
        return  # it does more than ask, and has options of its own
    given = {parameter.name for parameter in command.params}
    fields = {field.name for field in msgspec.structs.fields(REQUESTS[verb])}
    if "to" in given:
        fields = fields - {"model"} | {"to"}
    if verb is Verb.TRIGGER:
        fields = fields - {"at"}  # it is typed when the part is there
    assert fields <= given


def test_a_version_that_ends_like_a_file_is_a_model(tmp_path: Path) -> None:
    """`best.pt@1.0.0` can only be meant as a model; so can a name that a folder here has too."""
    nowhere = str(tmp_path / "none.yaml")
    for given in ("best.pt@1.0.0", "bottle", "bottle_v1.5"):
        code = CliRunner().invoke(app, ["swap", given, "--config", nowhere]).exit_code
        assert code == 78, given


def test_exit_codes_and_no_traceback_from_a_real_process(tmp_path: Path) -> None:
    """As a shell sees it: 78 for bad settings, 69 for nobody there, one line on stderr."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("device: cam1\ncamera: {source: 3}\n")
    good = Device(B1).config
    for file, code in ((bad, 78), (tmp_path / "none.yaml", 78), (good, 69)):
        done = subprocess.run(
            [sys.executable, "-m", "edge_daemon", "swap", "a@1", "--config", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


def test_help_is_quick_to_load() -> None:
    """`--help` imports none of the heavy libraries."""
    probe = (
        "import sys\nfrom edge_daemon.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'paho', 'uvicorn', 'starlette', 'numpy', 'ultralytics', "
        "'model_signing', 'sqlite3', 'watchdog'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "support-bundle" in done.stdout
