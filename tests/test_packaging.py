"""What is handed to container engines and dashboards: whole, confined, about metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon import config
from edge_daemon.host.metrics import Metrics
from tests.sim.http_server import http_server, respond

ROOT = Path(__file__).parents[1]
DOCKER, CONFIGS = ROOT / "docker", ROOT / "configs"
DASHBOARDS = sorted((CONFIGS / "grafana/dashboards").glob("*.json"))
ALERTS = CONFIGS / "prometheus/alerts.yml"


def _compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


@pytest.mark.parametrize("name", _compose()["services"])
def test_every_service_is_confined(name: str) -> None:
    """Nobody is root, the root is read-only, no capability and no new privilege, a pinned image."""
    service = _compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert re.search(r":\d+\.\d+", service["image"].replace(":v", ":"))


def test_what_is_mounted_is_there() -> None:
    """Every shipped file that a service mounts exists; only secrets and models are brought."""
    brought = ("./secrets/", "./models")
    for service in _compose()["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith(".") and not source.startswith(brought):
                assert (DOCKER / source).exists(), source


def test_only_the_broker_is_open_to_the_network() -> None:
    """Pages and dashboards listen on this box."""
    services = _compose()["services"]
    opened = {
        name
        for name, service in services.items()
        for port in service.get("ports", ())
        if not port.startswith("127.0.0.1:")
    }
    assert opened == {"mosquitto"}


@pytest.mark.parametrize("file", ["station/station.yaml", "k8s/base/settings.yaml"])
def test_a_containers_settings_are_valid_and_safe(file: str) -> None:
    """They are accepted, ask for signed bundles and a token, and keep to the mounted folders."""
    settings = config.load(DOCKER / file)
    assert settings.models.trust.required
    assert settings.models.trust.public_keys
    assert settings.http.token_file is not None
    assert (settings.models.store, settings.state_dir) == (Path("/models"), Path("/state"))


@pytest.mark.parametrize(
    ("settings", "desired"),
    [
        ("station/station.yaml", "station/desired/line3-cam1.yaml"),
        ("k8s/base/settings.yaml", "k8s/base/desired.yaml"),
        ("k8s/overlays/fleet/box-7.yaml", "k8s/overlays/fleet/desired/box-7.yaml"),
    ],
)
def test_what_is_desired_fits_the_station(settings: str, desired: str) -> None:
    """The shipped wishes are for models that the shipped settings link."""
    station = config.load(DOCKER / settings)
    assert station.desired is not None
    assert config.read_desired(DOCKER / desired, station.links)[1] == ()


def test_the_image_runs_as_nobody_and_is_asked_whether_it_judges() -> None:
    """Pinned dependencies, a user of its own in the last stage, a check of inference."""
    text = (DOCKER / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert "USER 10001:10001" in last
    assert 'VOLUME ["/models", "/state"]' in last
    assert "HEALTHCHECK" in last
    assert "pip" not in last
    assert re.findall(r"--require-hashes .*?(\w+\.lock)", text, re.DOTALL) == [
        "torch.lock",
        "requirements.lock",
    ]
    for source in re.findall(r"^COPY (?!--from)(\S+(?: \S+)*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_believes_the_daemon(status: int, healthy: bool) -> None:
    """0 where it judges, 1 where it does not; its words go to the engine."""
    with http_server(lambda to, _: respond(to, status, b"as it is")) as url:
        words = [sys.executable, DOCKER / "healthcheck.py", f"{url}/healthz"]
        done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode == 0) is healthy
    assert done.stdout == b"as it is"


def test_without_an_answer_it_is_not_healthy() -> None:
    """A daemon that does not listen is one that does not judge."""
    words = [sys.executable, DOCKER / "healthcheck.py", "http://127.0.0.1:1/healthz"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 1


def _objects(folder: Path) -> list[dict[str, Any]]:
    documents = [part for file in folder.glob("*.yaml") for part in _documents(file)]
    return [part for part in documents if "kind" in part]


def _documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def test_the_pod_is_confined() -> None:
    """As the restricted standard of Kubernetes asks, and never two with one memory."""
    (station,) = [part for part in _objects(DOCKER / "k8s/base") if part["kind"] == "StatefulSet"]
    assert station["spec"]["replicas"] == 1
    pod = station["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    made = {volume["name"] for volume in pod["volumes"]}
    made |= {claim["metadata"]["name"] for claim in station["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == made


def test_what_is_desired_changes_under_a_running_pod() -> None:
    """A ConfigMap whose name stays, mounted as a folder: only so the kubelet renews it."""
    (made,) = _documents(DOCKER / "k8s/base/kustomization.yaml")
    (desired,) = [each for each in made["configMapGenerator"] if each["name"] == "desired"]
    assert desired["options"] == {"disableNameSuffixHash": True}
    (station,) = [part for part in _objects(DOCKER / "k8s/base") if part["kind"] == "StatefulSet"]
    (container,) = station["spec"]["template"]["spec"]["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "desired"]
    assert "subPath" not in mount
    settings = config.load(DOCKER / "k8s/base/settings.yaml")
    assert settings.desired is not None
    assert str(settings.desired.file.parent) == mount["mountPath"]


def test_kustomizations_name_files_that_are_there() -> None:
    """Nothing that is listed is missing."""
    for file in (DOCKER / "k8s").rglob("kustomization.yaml"):
        document = yaml.safe_load(file.read_text())
        named = list(document.get("resources", ()))
        for generator in document.get("configMapGenerator", ()):
            named += [entry.rpartition("=")[2] for entry in generator["files"]]
        assert all((file.parent / name).exists() for name in named), named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
def test_the_overlay_builds() -> None:
    """kustomize puts base and k3s together, with the GPU and the box's own storage."""
    built = subprocess.run(
        ["kubectl", "kustomize", DOCKER / "k8s/overlays/k3s"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    parts = {part["kind"]: part for part in yaml.safe_load_all(built)}
    pod = parts["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
def test_the_fleet_builds() -> None:
    """A DaemonSet of the same pod, with its node's settings and folders."""
    overlay = DOCKER / "k8s/overlays/fleet"
    built = subprocess.run(
        ["kubectl", "kustomize", overlay], capture_output=True, text=True, check=True
    ).stdout
    parts = list(yaml.safe_load_all(built))
    (station,) = [part for part in parts if part["kind"] == "DaemonSet"]
    assert not {"StatefulSet", "PersistentVolumeClaim"} & {part["kind"] for part in parts}
    pod = station["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert {name for name, volume in volumes.items() if "hostPath" in volume} == {"models", "state"}
    file = container["env"][1]["value"].replace("$(NODE)", "box-7")
    maps = {part["metadata"]["name"]: part for part in parts if part["kind"] == "ConfigMap"}
    assert Path(file).name in maps[volumes["settings"]["configMap"]["name"]]["data"]
    settings = config.load(overlay / "box-7.yaml")
    assert settings.device == "box-7"
    assert settings.desired is not None
    assert settings.desired.file.name in maps["desired"]["data"]


def _series() -> set[str]:
    """The names of all series that a daemon has, before its first frame."""
    metrics = Metrics()
    described = re.findall(r"^# TYPE (\S+) (\w+)$", metrics.render().decode(), re.MULTILINE)
    names = set()
    for name, kind in described:
        names |= {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        assert kind
    return names


def _asked(text: str) -> set[str]:
    return set(re.findall(r"\bedge_[a-z0-9_]+", text))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.name)
def test_a_dashboard_shows_what_is_measured(file: Path) -> None:
    """It is JSON, its panels do not overlap, and every series that it asks for exists."""
    board = json.loads(file.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert _asked(" ".join(asked)) <= _series()
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_alerts_are_about_what_is_measured_and_say_what_to_do() -> None:
    """Every series exists; every alert has a severity, a sentence and a next step."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]:
        assert _asked(rule["expr"]) <= _series(), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "action"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")
def test_alerts_fire_when_they_should() -> None:
    """Prometheus' own tool reads the rules and tells the stories in alerts_test.yml."""
    folder = CONFIGS / "prometheus"
    for words in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = subprocess.run(
            ["promtool", *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
