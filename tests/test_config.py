"""Settings say what is wrong, where, and what would be right; and they never change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from typer.testing import CliRunner

from edge_daemon import config
from edge_daemon.cli.main import app
from edge_daemon.config.fields import is_loopback
from edge_daemon.core.values import ModelChoice
from edge_daemon.documents import DocumentError, parse
from edge_daemon.errors import ConfigurationError

LEAST = """\
device: line3-cam1
camera: {source: "conveyor:"}
models: {trust: {public_keys: [line3.pub]}}
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "line3-cam1.yaml"
        path.write_text(text)
        return path

    return _write


def said(path: Path) -> list[tuple[int, str, str]]:
    return [
        (finding.line, finding.key, f"{finding.message} {finding.hint}".strip())
        for finding in config.examine(path)[1]
    ]


def test_device_camera_and_models_are_enough(write: Write, tmp_path: Path) -> None:
    """Everything else has the contract's defaults."""
    settings = config.load(write(LEAST))
    assert settings.root == "edge/line3-cam1"
    assert settings.state_folder == Path("/var/lib/edge-daemon/line3-cam1")
    assert settings.http.address == ("127.0.0.1", 9464)
    assert settings.models.trust.public_keys == (tmp_path / "line3.pub",)
    assert (settings.slots.count, settings.slots.isolation, settings.slots.spare) == (
        None,
        "process",
        "warm",
    )


def test_the_contracts_own_example_is_accepted(write: Write) -> None:
    """The file that users were shown first works as it stands."""
    settings = config.load(
        write(
            """\
device: line3-cam1
mqtt: {host: 127.0.0.1, port: 1883, protocol: 5, root: edge/line3-cam1,
       username: null, password_file: null, tls: null}
camera: {source: "rtsp://cam/1", policy: lossless, buffer_frames: 64}
models: {store: /var/lib/edge-daemon/models, trust: {public_keys: [line3.pub], required: true},
         initial: bottle@1.3.0}
slots: {count: 2, isolation: process, device: "cuda:0", spare: warm}
links: {BTL-500: bottle, CAN-330: can}
orders:
  - {topic: "mes/line3/work_orders", preset: flat}
  - {topic: "acme/+/line3/orders", fields: {order: workOrder, product: "item.code", status: state}}
gate: {load_timeout_s: 60, latency_ratio: 1.5, memory_headroom_mb: 512}
trial: {frames: 300, seconds: 10, latency_ratio: 1.5, max_error_rate: 0.0}
results: {publish: all, ng_images: {folder: ng, quota_mb: 512}}
http: {listen: "127.0.0.1:9464"}
state_dir: /var/lib/edge-daemon
"""
        )
    )
    assert settings.models.initial == ModelChoice("bottle", "1.3.0")


def test_several_faults_are_named_at_once_with_line_key_and_cure(write: Write) -> None:
    """One run of the validator is enough to repair the file."""
    path = write(
        """\
device: line3-cam1
camera:
  source: "conveyor:"
  polcy: latest
models: {trust: {public_keys: [a.pub]}}
mqtt:
  port: 99999
slots: {isolation: proces}
"""
    )
    assert said(path) == [
        (4, "camera.polcy", "is no known key Did you mean policy?"),
        (7, "mqtt.port", "should be less than or equal to 65535, but it is 99999"),
        (
            8,
            "slots.isolation",
            "should be 'process' or 'thread', but it is 'proces' Did you mean process?",
        ),
    ]
    assert str(config.examine(path)[1][0]) == (
        f"{path}:4: camera.polcy: is no known key. Did you mean policy?"
    )
    with pytest.raises(ConfigurationError, match=r"line3-cam1\.yaml:4: camera\.polcy(.|\n)*:7:"):
        config.load(path)


@pytest.mark.parametrize(
    ("extra", "key", "words"),
    [
        ("models: {}", "models", "requires signed bundles"),
        ("models: {trust: {required: true}}", "models.trust", "public_keys"),
        ("mqtt: {root: a/+/b}", "mqtt.root", "without + and #"),
        ("mqtt: {root: /a}", "mqtt.root", "no empty level"),
        ("mqtt: {root: a//b}", "mqtt.root", "no empty level"),
        ("mqtt: {root: $SYS/a}", "mqtt.root", "no $ at its start"),
        ("mqtt: {protocol: 3.1}", "mqtt.protocol", "5 or 3.1.1"),
        ("mqtt: {password_file: x}", "mqtt", "username"),
        ("mqtt: {tls: {certificate: x}}", "mqtt.tls", "together"),
        ("mqtt: [1]", "mqtt", "should be a group of keys"),
        ("device: a b", "device", "letter"),
        ("device: ..", "device", "letter"),
        ("camera: {source: rtps://x}", "camera.source", "rtsp://"),
        ("camera: {}", "camera.source", "is missing"),
        ("camera: {source: x, size: [1920, 1080]}", "camera", "size is for other sources"),
        ("camera: {source: rtsp://x, exposure_us: 9}", "camera", "exposure_us is for other"),
        ("camera: {source: http://x, transport: udp}", "camera", "transport is for other"),
        ("camera: {source: /dev/video0, transport: udp}", "camera", "transport is for other"),
        ("camera: {source: /dev/video0, size: [1920]}", "camera.size[1]", "is missing"),
        ("camera: {source: /dev/video0, format: MJPEG}", "camera.format", "pattern"),
        ("camera: {source: /dev/video0, controls: {Gain: 1}}", "camera.controls.Gain", "pattern"),
        (
            "camera: {source: /dev/video0, controls: {gain: 1.5}}",
            "camera.controls.gain",
            "whole number",
        ),
        ("camera: {source: x, rotate: 45}", "camera.rotate", "90"),
        ("camera: {source: x, roi: [0, 0, 0, 9]}", "camera.roi[2]", "greater than or equal to 1"),
        ("camera: {source: x, buffer_frames: lots}", "camera.buffer_frames", "integer"),
        ("slots: {count: 0}", "slots.count", "greater than or equal to 1"),
        ("slots: {count: 9}", "slots.count", "less than or equal to 8"),
        ("slots: {device: gpu}", "slots.device", "cuda:0"),
        ("links: {A: a b}", "links.A", "letter"),
        ("orders: [{topic: a}]", "orders[0]", "either a preset or fields"),
        (
            "orders: [{topic: a, preset: flat, fields: {product: p}}]",
            "orders[0]",
            "either a preset or fields",
        ),
        (
            "orders: [{topic: a, fields: {product: p, sttus: s}}]",
            "orders[0].fields.sttus",
            "status?",
        ),
        ("orders: [{topic: a, preset: flatt}]", "orders[0].preset", "Did you mean flat?"),
        ("orders: [{topic: a+, preset: flat}]", "orders[0].topic", "whole level"),
        ("orders: [{topic: a/#/b, preset: flat}]", "orders[0].topic", "last level"),
        ("orders: [{topic: a#, preset: flat}]", "orders[0].topic", "last level"),
        ("orders: [{topic: a+/b, preset: flat}]", "orders[0].topic", "whole level"),
        ("orders: [{topic: a, fields: {product: a..b}}]", "orders[0].fields.product", "JMESPath"),
        (
            "orders: [{topic: a, fields: {product: p}, words: {running: [completed]}}]",
            "orders[0].words",
            "stands twice",
        ),
        ("http: {listen: 9464}", "http.listen", "should be text"),
        ('http: {listen: "9464"}', "http.listen", "host:port"),
        ('http: {listen: "h:70000"}', "http.listen", "host:port"),
        ('http: {listen: "0.0.0.0:9464"}', "http.listen", "token"),
        ("state_dir: /s\nmodels: {store: /s/line3-cam1}", "models.trust", "public key"),
        ("gate: {latency_ratio: .nan}", "gate.latency_ratio", "number"),
        ("hold: true", "hold", "Known here"),
    ],
)
def test_a_wrong_value_is_named(write: Write, extra: str, key: str, words: str) -> None:
    """Each rule has its key and a sentence that says what would be right."""
    groups = {line.split(":")[0]: line for line in LEAST.splitlines()}
    groups.update({line.split(":")[0]: line for line in extra.splitlines()})
    found = said(write("\n".join(groups.values())))
    assert any(where in (key, f"{key}.trust") and words in what for _, where, what in found), found


def test_state_never_goes_into_the_store(write: Write) -> None:
    """A device that is named as the store's folder would mix the two."""
    text = LEAST.replace("line3-cam1", "models")
    assert said(write(text))[0][1] == "state_dir"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1,\n", 3, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tag"),
        ("a: !!python/name:os.system x\n", 1, "tag"),
        ("? [1, 2]\n: x\n", 1, "not a word"),
        ("a: b:\n", 1, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("- " * 2_000 + "x", 1, "nested too deeply"),
        ("x: " + "y" * 300_000, 1, "larger"),
        ("a: &a [*a]\n", 1, "grows too large"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n"
                for a, b in zip("abcdef", "bcdefg", strict=True)
            ),
            1,
            "grows too large",
        ),
    ],
    ids=[
        *("unfinished", "tab", "twice", "apply", "name", "odd key", "colon", "two documents"),
        *("deep", "large", "circle", "laughs"),
    ],
)
def test_hostile_or_broken_yaml_is_one_sentence(text: str, line: int, words: str) -> None:
    """Nothing is built, nothing grows, and the line is right."""
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert (caught.value.line, words in caught.value.message) == (line, True), caught.value.message


def test_yaml_holds_no_surprises() -> None:
    """Words stay words and keys stay as written; numbers are numbers."""
    text = "{a: off, b: no, c: 12:30, d: 2026-11-22, e: 1_0, 0500: 0500, f: 1e3, g: .5, h: ~}"
    assert parse(text).value == {
        "a": "off",
        "b": "no",
        "c": "12:30",
        "d": "2026-11-22",
        "e": "1_0",
        "0500": 500,
        "f": 1000.0,
        "g": 0.5,
        "h": None,
    }


def test_the_words_that_yaml_bends_mean_what_they_say(write: Write) -> None:
    """`spare: off` is a word, `loop: no` a refusal, `3.1.1` a version, 0500 a product."""
    settings = config.load(
        write(
            LEAST
            + "slots: {spare: off}\nmqtt: {protocol: 3.1.1}\nlinks: {0500: bottle}\n"
            + "http: {listen: null}\n"
        )
    )
    assert settings.slots.spare == "off"
    assert settings.mqtt.protocol == 4
    assert settings.links == {"0500": "bottle"}
    assert settings.http.address is None
    assert config.load(write(LEAST.replace('"conveyor:"', "x.mp4, loop: no"))).camera.loop is False


def test_a_relative_path_means_beside_the_file(write: Write, tmp_path: Path) -> None:
    """Wherever the daemon was started from."""
    text = LEAST.replace('"conveyor:"', "belt.mp4") + "state_dir: state\n"
    settings = config.load(write(text))
    assert settings.camera.source == str(tmp_path / "belt.mp4")
    assert settings.state_dir == tmp_path / "state"


@pytest.mark.parametrize(
    ("text", "count"), [("", None), ("slots: {count: auto}", None), ("slots: {count: 3}", 3)]
)
def test_the_number_of_slots_may_be_left_to_the_box(
    write: Write, text: str, count: int | None
) -> None:
    """`auto` is the default, and what is shown of it can be read again."""
    settings = config.load(write(f"{LEAST}{text}\n"))
    assert settings.slots.count == count
    assert settings.redacted()["slots"]["count"] == (count or "auto")
    assert settings.workers.start == "auto"


def test_settings_are_frozen(write: Write) -> None:
    """Nobody changes a setting after it was read."""
    settings: Any = config.load(write(LEAST))
    with pytest.raises(pydantic.ValidationError):
        settings.slots.count = 3


def test_secrets_are_read_at_use_and_never_shown(write: Write, tmp_path: Path) -> None:
    """A password lies in its own file; a URL's credentials do not leave the box."""
    text = LEAST.replace("conveyor:", "rtsp://kim:hunter2@cam/1?token=hunter2")
    text += "mqtt: {username: kim, password_file: pw}\nhttp: {token_file: token}\n"
    settings = config.load(write(text))
    assert "hunter2" not in json.dumps(settings.redacted())
    assert settings.redacted()["camera"]["source"] == "rtsp://cam/1"
    with pytest.raises(ConfigurationError, match=r"mqtt\.password_file: .*pw cannot be read"):
        settings.mqtt.read_password()
    (tmp_path / "pw").write_text("hunter2\n")
    (tmp_path / "token").write_text("\n")
    assert settings.mqtt.read_password() == "hunter2"
    with pytest.raises(ConfigurationError, match="is empty"):
        settings.http.read_token()


def test_the_file_is_found_in_the_order_that_was_promised(tmp_path: Path) -> None:
    """--config, then the environment, then the device's file, then the only one there is."""
    environ = {"EDGE_DAEMON_CONFIG": "/e.yaml"}

    def find(given: Path | None, name: str | None, env: dict[str, str]) -> Path:
        return config.find_config(given, name, environ=env, folder=tmp_path)

    assert find(Path("/g.yaml"), "n", environ) == Path("/g.yaml")
    assert find(None, "n", environ) == Path("/e.yaml")
    assert find(None, "n", {}) == tmp_path / "n.yaml"
    with pytest.raises(ConfigurationError, match="no settings file"):
        find(None, None, {})
    (tmp_path / "a.yaml").touch()
    assert find(None, None, {}) == tmp_path / "a.yaml"
    (tmp_path / "b.yaml").touch()
    with pytest.raises(ConfigurationError, match="several devices: a, b"):
        find(None, None, {})


# -------------------------------------------------------------------------- commands


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["config", *arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def test_validate_answers_with_the_promised_exit_code(write: Write) -> None:
    """0 for a good file, 78 for a bad one, 78 for none at all."""
    good = write(LEAST)
    assert run("validate", str(good)) == (0, f"{good} is valid.\n")
    bad = write("device: x\n")
    code, text = run("validate", str(bad))
    assert code == 78
    assert f"{bad}:1: camera: is missing" in text
    code, text = run("validate", "/nowhere.yaml", "--json")
    assert code == 78
    assert json.loads(text)["findings"][0]["message"].startswith("cannot be read")


def test_the_schema_explains_every_key() -> None:
    """Each value has a description; groups are closed."""
    code, text = run("schema")
    assert code == 0
    schema: dict[str, Any] = json.loads(text)
    for name, group in schema["$defs"].items():
        assert group["additionalProperties"] is False, name
        for key, value in group["properties"].items():
            assert "description" in value, f"{name}.{key}"


def test_what_show_prints_may_be_used_as_a_file(write: Write, tmp_path: Path) -> None:
    """Its YAML is valid and means the same."""
    path = write(LEAST + "orders: [{topic: a, fields: {product: p, status: s}}]\n")
    code, text = run("show", "--config", str(path))
    assert code == 0
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert config.load(again) == config.load(path)
    assert run("show", "--config", "/nowhere.yaml")[0] == 78


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        *(("localhost", True), ("127.0.0.2", True), ("::1", True)),
        *(("localhost.example.com", False), ("127.0.0.1.nip.io", False), ("10.0.0.1", False)),
    ],
)
def test_this_machine_is_known_by_its_whole_name(host: str, is_near: bool) -> None:
    """A password goes in the clear to what only begins like it."""
    assert is_loopback(host) is is_near


# -------------------------------------------------------------------------- what `run` would say


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        (r'mqtt: {root: "edge/x\n"}', "mqtt.root"),
        (f"mqtt: {{root: {'线' * 400}}}", "mqtt.root"),
        ('device: "cam1\\n"', "device"),
        (r'orders: [{topic: "mes/\0x", preset: flat}]', "orders[0].topic"),
        (f"orders: [{{topic: a, fields: {{product: '{'(' * 999}'}}}}]", "orders[0].fields.product"),
        ("orders: [{topic: $share/g/mes/x, preset: flat}]", "orders[0].topic"),
        ("orders: [{topic: $queue/mes/x, preset: flat}]", "orders[0].topic"),
        ("orders: [{topic: $exclusive/mes/x, preset: flat}]", "orders[0].topic"),
        ('orders: [{topic: a, fields: {product: p}, words: {running: [" "]}}]', "orders[0].words"),
        ('links: {"": bottle}', "links.''"),
        ('links: {" BTL-500 ": bottle}', "links.' BTL-500 '"),
        (r'links: {"BTL\t500": bottle}', "links.'BTL\\t500'"),
        ('mqtt: {host: "mqtt://10.0.0.1"}', "mqtt.host"),
        ('mqtt: {host: "10.0.0.1:1883"}', "mqtt.host"),
        ('mqtt: {host: "[::1]"}', "mqtt.host"),
        ('mqtt: {host: "my broker"}', "mqtt.host"),
        ('mqtt: {host: "kim@broker"}', "mqtt.host"),
        (r'mqtt: {username: "kim\r"}', "mqtt.username"),
        ('http: {listen: "http://0.0.0.0:9464"}', "http.listen"),
        (r'state_dir: "/s\0"', "state_dir"),
        (r'camera: {source: "rtsp://cam/1\n"}', "camera.source"),
        ('camera: {source: "conveyor:?scane=can"}', "camera.source"),
        ("mqtt: {username: kim, password_file: empty}", "mqtt.password_file"),
        ("http: {token_file: empty}", "http.token_file"),
        ("models: {trust: {public_keys: [empty]}}", "models.trust.public_keys[0]"),
    ],
)
def test_validate_refuses_what_run_would_refuse(
    write: Write, tmp_path: Path, extra: str, key: str
) -> None:
    """78, and the key that is wrong: nothing of it is found only once the station is to start."""
    groups = {line.split(":")[0]: line for line in [*LEAST.splitlines(), extra]}
    (tmp_path / "empty").touch()
    code, text = run("validate", str(write("\n".join(groups.values()))), "--json")
    assert code == 78
    findings = json.loads(text)["findings"]
    assert [finding["key"] for finding in findings] == [key], findings


@pytest.mark.parametrize("host", ["localhost", "broker.line3.example", "::1", "fe80::1%eth0"])
def test_hosts_and_addresses_are_taken(write: Write, host: str) -> None:
    """Names, IPv4 and IPv6, with a zone too."""
    assert config.load(write(LEAST + f"mqtt: {{host: '{host}'}}\n")).mqtt.host == host


def test_files_that_only_the_station_has_are_no_fault_elsewhere(write: Write) -> None:
    """Settings are validated where they are written; `check` asks for the files on the station."""
    text = LEAST + "mqtt: {username: kim, password_file: /nowhere/password}\n"
    assert run("validate", str(write(text)))[0] == 0
