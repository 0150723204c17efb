"""`edge-daemon fleet keys`: keys are made, changed by enough people, and a station is refreshed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.checks.refusals import faults_in
from edge_daemon.cli.main import app
from edge_daemon.config import load
from edge_daemon.core.fleet.campaign import canonical, digest
from edge_daemon.fleet import messages
from edge_daemon.fleet.freshness.refresh import recall
from edge_daemon.messaging.client import Client
from edge_daemon.models.trust import generate_keypair
from tests.sim.bundles import make_bundle
from tests.sim.campaigns import campaign
from tests.sim.command import command
from tests.sim.fleet import settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto


def refused(*words: str, config: Path | None = None) -> str:
    ends, said = command(*words, config=config)
    assert ends != 0
    return said


class Desk:
    """A publisher's folder, made by the command itself."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, folder / "keys"
        self.repository = folder / "shelf" / "_tuf"

    def key(self, name: str) -> tuple[str, str]:
        return "--key", str(self.keys / f"{name}.key")

    @property
    def online(self) -> tuple[str, str]:
        return "--online-key", str(self.keys / "online.key")

    def fleet_keys(self, verb: str, *words: str) -> str:
        """What it said; it must end well."""
        ends, said = command("fleet", "keys", verb, str(self.repository), *words)
        assert ends == 0, said
        return said

    def refused(self, verb: str, *words: str) -> str:
        """What it said; it must end badly."""
        return refused("fleet", "keys", verb, str(self.repository), *words)

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.fleet_keys("show", "--json"))
        return shown

    def names(self, role: str) -> list[str]:
        (found,) = (each for each in self.shown()["roles"] if each["role"] == role)
        return [key["name"] for key in found["keys"]]

    def new_key(self, name: str) -> str:
        return str(generate_keypair(self.keys, name)[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "shelf").mkdir()
    desk = Desk(folder)
    said = desk.fleet_keys("init", "--keys", str(desk.keys))
    assert "fleet.trust.root. Its SHA-256 is " in said
    return folder


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    shutil.copytree(made, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def test_init_makes_the_roles_and_their_keys(desk: Desk) -> None:
    assert desk.names("root") == desk.names("targets") == ["root-1", "root-2", "root-3"]
    assert desk.names("campaigns") == ["ops", "release"]
    assert (desk.names("bundles"), desk.names("timestamp")) == (["qa"], ["online"])
    assert (desk.keys / "root-1.key").stat().st_mode & 0o777 == 0o600
    ends, said = command("fleet", "keys", "show", str(desk.repository))
    assert ends == 0
    assert "2 of 3" in said
    assert "has a root already" in desk.refused("init", "--keys", str(desk.keys))


def test_init_waits_for_those_who_keep_their_keys_themselves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.keys.mkdir()
    private, _ = generate_keypair(desk.keys, "release")
    private.rename(tmp_path / "release.key")
    said = desk.fleet_keys("init", "--keys", str(desk.keys), "--qa", "2")
    assert "campaigns still needs 1 signature" in said
    elsewhere = ("--key", str(tmp_path / "release.key"))
    assert "Published" in desk.fleet_keys("sign", *elsewhere, *desk.online)
    assert desk.names("bundles") == ["qa-1", "qa-2"]


def test_a_root_key_is_rotated_by_two_people_one_after_the_other(desk: Desk) -> None:
    new = desk.new_key("root-4")
    said = desk.fleet_keys("rotate", "root", "root-3", new, *desk.key("root-1"))
    assert "root still needs 1 signature" in said
    assert desk.names("root") == ["root-1", "root-2", "root-3"]  # no station reads it yet
    said = desk.fleet_keys("sign", *desk.key("root-2"), *desk.online)
    assert "Published: root" in said
    assert desk.names("root") == desk.names("targets") == ["root-1", "root-2", "root-4"]


def test_a_key_is_carried_to_a_machine_without_a_network(desk: Desk, tmp_path: Path) -> None:
    stick = Desk(tmp_path / "stick")
    stick.keys = desk.keys
    desk.fleet_keys("revoke", "root", "root-3", *desk.key("root-1"))
    shutil.copytree(desk.repository, stick.repository)
    assert "waits: root, 1 signature missing" in desk.fleet_keys("show")
    assert "All have signed" in stick.fleet_keys("sign", *desk.key("root-2"))
    assert "waits: root, all have signed" in stick.fleet_keys("show")
    shutil.copytree(stick.repository / "staged", desk.repository / "staged", dirs_exist_ok=True)
    assert "Published: root" in desk.fleet_keys("sign", *desk.online)


def test_a_stolen_key_is_revoked_and_what_it_signed_is_signed_anew(desk: Desk) -> None:
    new = desk.new_key("release-2")
    roots = (*desk.key("root-1"), *desk.key("root-2"))
    said = desk.fleet_keys("rotate", "campaigns", "release", new, *roots)
    assert "To be signed: targets, campaigns." in said
    assert "campaigns still needs 2 signatures" in said
    signers = (*desk.key("ops"), *desk.key("release-2"))
    assert "Published: targets, campaigns." in desk.fleet_keys("sign", *signers, *desk.online)
    assert desk.names("campaigns") == ["ops", "release-2"]


def test_too_few_keys_are_never_left_and_strangers_sign_nothing(desk: Desk) -> None:
    assert "1 key, and 2 must sign" in desk.refused("revoke", "campaigns", "ops")
    assert "is not one of these keys: ops" in desk.refused("revoke", "campaigns", "nobody")
    assert "is no role" in desk.refused("add", "snapshots", str(desk.keys / "ops.pub"))
    assert "Nothing waits" in desk.refused("sign", *desk.key("ops"))
    desk.fleet_keys("add", "campaigns", desk.new_key("ops-2"))
    assert "signs nothing that waits" in desk.refused("sign", *desk.key("qa"))
    roots = (*desk.key("root-1"), *desk.key("root-2"))
    wrong = ("--online-key", str(desk.keys / "qa.key"))
    assert "not the online key" in desk.refused("sign", *roots, *wrong)
    assert desk.names("campaigns") == ["ops", "release"]


def test_the_online_key_is_rotated_with_the_new_one(desk: Desk) -> None:
    roots = (*desk.key("root-1"), *desk.key("root-2"))
    new = desk.new_key("online-2")
    online = ("--online-key", str(desk.keys / "online-2.key"))
    desk.fleet_keys("rotate", "online", "online", new, *roots, *online)
    assert desk.names("timestamp") == desk.names("snapshot") == ["online-2"]


def test_a_published_bundle_is_listed_when_qa_signed(desk: Desk) -> None:
    bundle = make_bundle(desk.folder / "store", "bottle@1.4.0")
    config = desk.folder / "publisher.yaml"
    config.write_text(
        "device: publisher\ncamera: {source: 'conveyor:'}\nmqtt: {host: localhost}\n"
        "models: {store: store, trust: {required: false}}\n"
    )
    words = ("fleet", "publish", str(bundle), "--to", str(desk.folder / "shelf"))
    ends, said = command(*words, config=config)
    assert ends == 0
    assert "bundles still needs 1 signature" in said
    ends, said = command(*words, *desk.key("qa"), *desk.online, config=config)
    assert ends == 0
    assert "Published: bundles" in said
    listed = json.loads((desk.repository / "metadata" / "2.bundles.json").read_bytes())
    assert list(listed["signed"]["targets"]) == ["bundles/bottle/1.4.0/model.yaml"]
    assert len(list((desk.repository / "targets").rglob("*.model.yaml"))) == 1


def test_a_program_that_publishes_signs_the_listing_too(desk: Desk) -> None:
    """With --json the same is done, and stdout is one document; what was signed is told beside."""
    bundle = make_bundle(desk.folder / "store", "bottle@1.4.0")
    config = desk.folder / "publisher.yaml"
    config.write_text(
        "device: publisher\ncamera: {source: 'conveyor:'}\nmqtt: {host: localhost}\n"
        "models: {store: store, trust: {required: false}}\n"
    )
    words = ["fleet", "publish", str(bundle), "--to", str(desk.folder / "shelf"), "--json"]
    words += [*desk.key("qa"), *desk.online, "--config", str(config)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model"] == "bottle@1.4.0"
    assert "Published: bundles" in done.stderr
    assert (desk.repository / "metadata" / "2.bundles.json").exists()
    now = float(int(time.time()))
    file = desk.folder / "campaign.yaml"
    file.write_bytes(canonical(campaign(not_before=now, expires=now + 86_400.0)))
    words = ["fleet", "sign", str(file), *desk.key("ops"), "--repository", str(desk.repository)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["keys"] == 1
    assert "campaigns still needs 1 signature" in done.stderr


# --------------------------------------------------------------------------- with a broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as made:
        yield made


@pytest.fixture
def station(desk: Desk, broker: Mosquitto) -> Path:
    """The settings of a station, beside the desk."""
    shutil.copy(desk.repository / "metadata" / "1.root.json", desk.folder / "fleet-root.json")
    return settings_file(desk.folder, broker, "fleet: {trust: {root: fleet-root.json}}\n")


@pytest.mark.broker
def test_a_campaign_starts_when_the_metadata_lists_it(desk: Desk, station: Path) -> None:
    now = float(int(time.time()))
    campaigns = campaign(not_before=now, expires=now + 86_400.0)
    file = desk.folder / "campaign.yaml"
    file.write_bytes(canonical(campaigns))
    where = ("--repository", str(desk.repository))
    assert command("fleet", "sign", str(file), *desk.key("ops"), *where)[0] == 0
    words = ("fleet", "start", str(file), *where, *desk.online)
    assert "does not say yet" in refused(*words, config=station)
    ends, said = command("fleet", "sign", str(file), *desk.key("release"), *where)
    assert (ends, f"start {file} --repository {desk.repository} --online-key KEY" in said) == (
        0,
        True,
    )
    for _ in range(2):  # again, as after a broken line
        assert command(*words, config=station)[0] == 0
    signed = ("fleet", "sign", str(file), *desk.key("release"), *where)
    assert command(*signed)[0] == 0  # it is listed already, and the file takes the mark
    with Client.of(station) as client:
        kept = client.all_retained(["fleet/#"])
    assert messages.campaign_topic(campaigns.id) in kept
    assert messages.is_tuf(kept[messages.TIMESTAMP])
    # By USB stick, as the settings name no place.
    metadata = str(desk.repository / "metadata")
    assert "Nothing says where from" in refused("fleet", "keys", "refresh", config=station)
    ends, said = command("fleet", "keys", "refresh", "--from", metadata, config=station)
    assert ends == 0
    assert f"Current campaigns: {campaigns.id}." in said
    current = recall(load(station).state_folder).current
    assert current is not None
    assert dict(current.campaigns) == {campaigns.id: digest(campaigns)}


@pytest.mark.broker
def test_one_topic_carries_the_word_for_both_kinds_of_stations(desk: Desk, station: Path) -> None:
    both = ("--serial", "118", *desk.key("ops"), "--repository", str(desk.repository))
    assert command("fleet", "timestamp", *both, *desk.online, config=station)[0] == 0
    with Client.of(station) as client:
        body = client.all_retained([messages.TIMESTAMP])[messages.TIMESTAMP]
    assert not messages.is_tuf(body)
    held = json.loads(messages.tuf_timestamp_in(body))
    assert held["signed"]["version"] == 2
    for words in (both[:2], both[4:], ()):
        refused("fleet", "timestamp", *words, config=station)


def test_a_pinned_root_that_is_none_is_named_before_the_daemon_starts(
    desk: Desk, station: Path
) -> None:
    assert not [each for each in faults_in(station)[1] if "fleet" in each.key]
    (desk.folder / "fleet-root.json").write_text("no root")
    (found,) = faults_in(station)[1]
    assert found.key == "fleet.trust.root"
