"""`edge-daemon init`: a settings file by options or by questions, checked before it is told."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge_daemon.cli import init_questions
from edge_daemon.cli.init_text import Answers, scalar, settings_text, split_broker
from edge_daemon.cli.main import app
from edge_daemon.config import VARIABLE, load, parse
from edge_daemon.frames.v4l2 import Mode, Offer, PixelFormat, Size
from edge_daemon.models.trust import generate_keypair
from tests.sim.iotcore import EmbeddedBroker
from tests.sim.mosquitto import free_port


@pytest.fixture(scope="module")
def broker() -> Any:
    served = EmbeddedBroker(5).start()
    yield served
    served.stop()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(init_questions, "LOOK_S", 0.1)
    return tmp_path


def init(*words: str, typed: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["init", "--config", "cam1.yaml", *words], input=typed)
    assert "Traceback" not in result.output
    return result


def flags(broker: EmbeddedBroker) -> tuple[str, ...]:
    return (
        *("--device", "cam1", "--camera", "conveyor:?fps=100"),
        *("--broker", f"127.0.0.1:{broker.port}", "--model", "bottle", "--product", "500"),
    )


def test_options_alone_write_a_station(here: Path, broker: EmbeddedBroker) -> None:
    """No terminal and no question; the file is the daemon's, and says what comes next."""
    done = init(*flags(broker), "--parts", "trigger", "--yes", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["warnings"] == []
    assert said["next"] == [
        f"edge-daemon models pack best.pt --name bottle --version 1.0.0 --reject DEFECT,..."
        f" --key {here}/cam1.key --add --config {here}/cam1.yaml",
        f"edge-daemon check --config {here}/cam1.yaml",
    ]
    settings = load(here / "cam1.yaml")
    assert (settings.device, settings.camera.source) == ("cam1", "conveyor:?fps=100")
    assert settings.mqtt.port == broker.port
    assert settings.links == {"500": "bottle"}, "a product is text, whatever it looks like"
    assert settings.parts is not None
    assert settings.parts.by == "trigger"
    assert settings.models.store == here / "models"
    assert settings.models.trust.public_keys == (here / "cam1.pub",)
    assert stat.S_IMODE((here / "cam1.yaml").stat().st_mode) & 0o007 == 0
    comments = [line for line in (here / "cam1.yaml").read_text().splitlines() if "#" in line]
    assert len(comments) > 15


def test_a_file_that_is_there_stays(here: Path, broker: EmbeddedBroker) -> None:
    """Until somebody says so; the pair of keys is used again."""
    (here / "cam1.yaml").write_text("mine: true\n")
    refused = init(*flags(broker), "--yes")
    assert refused.exit_code == 1
    assert "--overwrite" in refused.output
    assert (here / "cam1.yaml").read_text() == "mine: true\n"
    assert [path.name for path in here.iterdir()] == ["cam1.yaml"]
    assert init(*flags(broker), "--yes", "--overwrite").exit_code == 0
    key = (here / "cam1.key").read_bytes()
    assert init(*flags(broker), "--yes", "--overwrite").exit_code == 0
    assert (here / "cam1.key").read_bytes() == key
    assert load(here / "cam1.yaml").device == "cam1"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (("--device", "a b"), "--device 'a b' should begin with a letter or digit"),
        (("--camera", "ftp://x"), "--camera 'ftp://x' should be an rtsp://"),
        (("--camera", "conveyor:?speed=x"), "--camera 'conveyor:?speed=x'"),
        (("--broker", "mqtt://x"), "without a scheme such as mqtt://"),
        (("--broker", "x:99999"), "with a port from 1 to 65535"),
        (("--key", "none.pub"), "names no file"),
        (("--key", "."), "names no file"),
        (("--model", "a b@1"), "should be name@version"),
        (("--product", " 500"), None),
        (("--parts", "box"), "should be one of frame, trigger, track, none"),
    ],
)
def test_a_wrong_option_is_told_with_its_reason(
    here: Path, broker: EmbeddedBroker, wrong: tuple[str, str], reason: str | None
) -> None:
    """Nothing is written; spaces that somebody typed around an answer are no fault."""
    done = init(*flags(broker), *wrong, "--yes")
    if reason is None:
        assert done.exit_code == 0, done.output
        return
    assert done.exit_code == 2, done.output
    assert reason in done.output.replace("\n", " ")
    assert list(here.iterdir()) == []


def test_the_next_command_signs_where_signed_models_are_wanted(
    here: Path, broker: EmbeddedBroker
) -> None:
    """Whoever keeps the private key elsewhere names it; no file that is not there is named."""
    private, _ = generate_keypair(here, "cam1")
    private.rename(here / "elsewhere.key")
    for words in ((), ("--key", "cam1.pub", "--overwrite")):
        said = json.loads(init(*flags(broker), *words, "--yes", "--json").stdout)
        assert said["key"] is None
        assert " --key KEY --add" in said["next"][0]


def test_a_private_key_is_no_public_one(here: Path, broker: EmbeddedBroker) -> None:
    """What `config validate` would refuse of the file is refused at the question."""
    private, public = generate_keypair(here, "ops")
    done = init(*flags(broker), "--key", str(private), "--yes")
    assert done.exit_code == 2, done.output
    assert "ops.key" in done.output
    assert init(*flags(broker), "--key", "ops.pub", "--yes").exit_code == 0
    assert load(here / "cam1.yaml").models.trust.public_keys == (public,)


def test_a_wrong_answer_is_asked_again(here: Path, broker: EmbeddedBroker) -> None:
    """With the reason; what was given by an option is not asked, unless it is wrong."""
    (here / "models/bottle/1.0.0").mkdir(parents=True)
    (here / "models/bottle/1.0.0/model.yaml").write_text("")
    silent = free_port()
    answers = ["cam 1", "cam1", "/nowhere.mp4", "no", "conveyor:?fps=100"]
    answers += [f"127.0.0.1:{silent}", "n", f"127.0.0.1:{broker.port}"]
    answers += ["", "none", "", "BTL-500", "parts", "track", ""]
    done = init("--key", "elsewhere.pub", typed="\n".join(answers))
    assert done.exit_code == 0, done.output
    for said in (
        "--device 'cam 1' should begin with",
        "/nowhere.mp4",
        "Use it anyway?",
        "No broker answers",
        "--key 'elsewhere.pub' names no file",
        "bottle is in the store",
        "--parts 'parts' should be one of",
        f"edge-daemon run --config {here}/cam1.yaml",
    ):
        assert said in done.output.replace("\n", " "), said
    settings = load(here / "cam1.yaml")
    assert settings.links == {"BTL-500": "bottle"}
    assert not settings.models.trust.required
    assert settings.parts is not None
    assert settings.parts.by == "track"


def test_where_nobody_answers_the_option_is_named(here: Path) -> None:
    """A pipe that ends, or no terminal at all."""
    done = init(typed="")
    assert done.exit_code == 2
    assert "--device" in done.output
    assert "--yes" in done.output
    assert list(here.iterdir()) == []


def test_what_does_not_answer_yet_is_a_warning_by_options(here: Path) -> None:
    """A station is often set up before its camera is hung and its broker runs."""
    done = init(
        *("--device", "cam1", "--camera", "/nowhere.mp4", "--key", "none"),
        *("--broker", f"127.0.0.1:{free_port()}", "--yes", "--json"),
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert len(said["warnings"]) == 2
    assert load(here / "cam1.yaml").camera.source == "/nowhere.mp4"


def test_a_device_is_offered_and_opened_at_its_largest(
    here: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV would open it at VGA; nodes that give no picture are left out."""
    offer = Offer(
        "Line Camera",
        Mode(640, 480, "YUYV", 30.0),
        (
            PixelFormat("YUYV", "", (Size(640, 480, ()),)),
            PixelFormat("MJPG", "", (Size(640, 480, ()), Size(1920, 1080, ()))),
        ),
        (),
    )

    def offered(source: str) -> Offer | None:
        if source.endswith("video0"):
            return offer
        if source.endswith("video1"):
            raise OSError(25, "no ioctl")
        return None

    monkeypatch.setattr(init_questions, "offered", offered)
    for name in ("video0", "video1", "null"):
        (here / name).write_text("")
    assert init_questions.cameras_here(here) == [
        (str(here / "video0"), "Line Camera, up to 1920 x 1080")
    ]
    size, fourcc = init_questions.largest_mode("/dev/video0")
    text = settings_text(Answers(camera="/dev/video0", size=size, format=fourcc))
    settings, faults = init_questions.faults_of(text)
    assert [fault for fault in faults if fault.key.startswith("camera")] == []
    assert "size: [1920, 1080]" in text
    assert settings is not None
    assert settings.camera.format == "MJPG"


@pytest.mark.parametrize("text", ["500", "yes", "~", "a: b", "#1", "null", "ß", 'a"b', "conveyor:"])
def test_what_was_typed_is_read_back_as_it_was(text: str) -> None:
    """YAML makes numbers, truths and comments of some texts."""
    assert parse(f"key: {scalar(text)} # comment\n").value == {"key": text}


def test_brokers_are_told_by_host_and_port() -> None:
    """IPv6 addresses have brackets where a port follows."""
    assert split_broker("mq.plant") == ("mq.plant", 1883)
    assert split_broker("mq.plant:8883") == ("mq.plant", 8883)
    assert split_broker("[fd00::1]:1884") == ("fd00::1", 1884)
