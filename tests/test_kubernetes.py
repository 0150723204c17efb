"""The fleet overlay, laid out as the kubelet does it, and read as the daemon reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon import config
from edge_daemon.config.fleet import ShareSettings
from edge_daemon.control.desired_state import DesiredContext, DesiredState, Pace
from tests.sim.station import Plan, Station

OVERLAY = Path("docker/k8s/overlays/fleet")
NODE = "box-7"
WISH = "models: {BTL-500: bottle@2.0.0, CAN-330: can@1.0.0}\nreason: week 48\n"

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not on this machine"
)


class Pod:
    """The files of one node's pod below a folder: each ConfigMap as the kubelet mounts it."""

    def __init__(self, folder: Path, parts: list[dict[str, Any]]) -> None:
        self._folder, self._generation = folder, 0
        self.flip_in(parts)

    def flip_in(self, parts: list[dict[str, Any]]) -> None:
        """A folder of the new content, one rename of a link, and the content before is gone."""
        self._generation += 1
        (station,) = [part for part in parts if part["kind"] == "DaemonSet"]
        self.template = station["spec"]["template"]
        maps = {p["metadata"]["name"]: p["data"] for p in parts if p["kind"] == "ConfigMap"}
        named = {each["name"]: each for each in self.template["spec"]["volumes"]}
        for mount in self._container["volumeMounts"]:
            source = named[mount["name"]].get("configMap")
            if source is not None:
                self._lay_out(self.at(mount["mountPath"]), maps[source["name"]])

    def at(self, path: str | Path) -> Path:
        """Where a path of the container lies here."""
        return self._folder / str(path).lstrip("/")

    @property
    def settings(self) -> Path:
        """The file that the daemon is started with on this node."""
        told = {each["name"]: each for each in self._container["env"]}
        assert told["NODE"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
        return self.at(told["EDGE_DAEMON_CONFIG"]["value"].replace("$(NODE)", NODE))

    @property
    def _container(self) -> dict[str, Any]:
        (container,) = self.template["spec"]["containers"]
        return dict(container)

    def _lay_out(self, mount: Path, data: dict[str, str]) -> None:
        inside = mount / f"..2026_{self._generation}"
        inside.mkdir(parents=True)
        for name, text in data.items():
            (inside / name).write_text(text)
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")
        (mount / "..data_tmp").symlink_to(inside.name)
        os.replace(mount / "..data_tmp", mount / "..data")
        shutil.rmtree(mount / f"..2026_{self._generation - 1}", ignore_errors=True)


def built(docker: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` sends."""
    done = subprocess.run(
        ["kubectl", "kustomize", docker.parent / OVERLAY],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A copy of what is shipped, to be edited as an operator edits it."""
    shipped = Path(__file__).parents[1] / "docker/k8s"
    shutil.copytree(shipped, tmp_path / "docker/k8s")
    return tmp_path / "docker"


def test_a_wish_of_the_overlay_becomes_a_swap_in_the_running_pod(
    tmp_path: Path, docker: Path
) -> None:
    """The pod is the same one before and after; the swap is one of the desired state, once."""
    pod = Pod(tmp_path / "node", built(docker))
    settings = config.load(pod.settings)
    assert (settings.device, settings.desired is not None) == (NODE, True)
    assert settings.desired is not None
    file = pod.at(settings.desired.file)
    before = pod.template
    wished, findings = config.read_desired(file, settings.links)
    assert findings == ()
    assert wished is not None
    bundles = (*map(str, wished.models), "bottle@2.0.0")
    plan = Plan(bundles=bundles, initial="bottle@1.0.0", links=tuple(settings.links.items()))
    with Station(tmp_path / "station", plan) as station:
        station.run()
        desired = following(station, file)
        (docker / "k8s/overlays/fleet/desired/box-7.yaml").write_text(WISH)
        pod.flip_in(built(docker))
        station.until_active("bottle@2.0.0")
        told = station.until_event("swapped", model="bottle@2.0.0")
        desired.stop()
        assert (told["receipt"]["by"], told["receipt"]["reason"]) == ("desired-state", "week 48")
        assert station.has_lost_nothing
    assert pod.template == before


def test_a_pod_that_follows_campaigns_can_fill_its_store(docker: Path) -> None:
    """Not as shipped; the component opens the store, and the ports of origin and neighbours."""
    assert store_mount(built(docker))["readOnly"] is True
    file = docker.parent / OVERLAY / "kustomization.yaml"
    overlay = yaml.safe_load(file.read_text())
    overlay["components"] = ["../../components/campaigns"]
    file.write_text(yaml.safe_dump(overlay))
    parts = built(docker)
    assert not store_mount(parts).get("readOnly")
    (network,) = [part["spec"] for part in parts if part["kind"] == "NetworkPolicy"]
    swarm = {"port": ShareSettings.model_fields["port"].default, "protocol": "UDP"}
    assert all(swarm in ports(network[way]) for way in ("ingress", "egress"))
    assert {"port": 443} in ports(network["egress"])


def store_mount(parts: list[dict[str, Any]]) -> dict[str, Any]:
    (station,) = [part for part in parts if part["kind"] == "DaemonSet"]
    (container,) = station["spec"]["template"]["spec"]["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "models"]
    return dict(mount)


def ports(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [port for rule in rules for port in rule["ports"]]


def following(station: Station, file: Path) -> DesiredState:
    """Follows the file as the daemon does; its looks are answers to events alone."""
    context = DesiredContext(
        station.clock,
        lambda: station.driver.state,
        station.journal.find_request,
        station.mailbox.put_request,
    )
    desired = DesiredState(file, station.folder / "state", context, Pace(0.02, 0.02, 3600.0))
    desired.start()
    station.mailbox.call(desired.begin)
    return desired
