"""`edge-daemon fleet`: a campaign is signed by two people, tried, started, paused and stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.cli.checks.refusals import faults_in
from edge_daemon.config import load
from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.core.fleet.heard import Paused, Stopped
from edge_daemon.fleet import messages
from edge_daemon.fleet.campaign_file import load_campaign
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import Signers
from edge_daemon.models.trust import generate_keypair
from tests.sim.bundles import make_bundle
from tests.sim.campaigns import campaign
from tests.sim.command import command
from tests.sim.fleet import publish, retained_of, said, settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker
NOW = float(int(time.time()))
MADE = campaign(
    rules={"slices": {"low_light": 0.03}}, not_before=NOW - 60.0, expires=NOW + 86_400.0
)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, broker: Mosquitto) -> Path:
    """The settings of whoever starts campaigns, with the keys that stations trust beside them."""
    for name in ("ops", "release"):
        generate_keypair(tmp_path, name)
    trust = "fleet: {trust: {keys: [ops.pub, release.pub]}}\n"
    (tmp_path / "campaign.yaml").write_bytes(canonical(MADE))
    return settings_file(tmp_path, broker, trust)


def test_a_campaign_needs_two_signatures_before_it_starts(desk: Path) -> None:
    file = str(desk.parent / "campaign.yaml")
    ends, said = command("fleet", "start", file, config=desk)
    assert ends != 0
    assert "Nobody signed" in said
    for _ in range(2):  # the same key twice is one key
        ends, said = command("fleet", "sign", file, "--key", str(desk.parent / "ops.key"))
        assert (ends, "One key has signed it; stations want two" in said) == (0, True)
    ends, said = command("fleet", "start", file, config=desk)
    assert ends != 0
    assert "2 different ones must" in said
    ends, said = command("fleet", "sign", file, "--key", str(desk.parent / "release.key"))
    assert (ends, f"2 keys have signed it. Start it: edge-daemon fleet start {file}" in said) == (
        0,
        True,
    )
    ends, said = command("fleet", "pause", MADE.id, config=desk)
    assert f"But no campaign {MADE.id} is on this broker." in said
    assert command("fleet", "start", file, config=desk)[0] == 0
    words = ("--reason", "it misses caps")
    assert command("fleet", "pause", MADE.id, config=desk)[0] == 0
    ends, said = command("fleet", "stop", MADE.id, *words, "--rollback", config=desk)
    assert (ends, "But no campaign" in said) == (0, False)
    ends, said = command("fleet", "start", file, config=desk)
    assert ends == 1
    assert f"ops stopped {MADE.id}: it misses caps. A stop is final." in said
    told = command("fleet", "status", config=desk)[1]
    assert f"campaign {MADE.id}, {MADE.model}: stopped by ops: it misses caps" in told
    with Client.of(desk) as client:
        kept = client.all_retained(["fleet/#"])
    topic = messages.campaign_topic(MADE.id)
    signers = Signers([desk.parent / "ops.pub", desk.parent / "release.pub"])
    assert messages.read_signed_campaign(topic, kept.pop(topic), signers) == MADE
    pause, stop = (messages.read_message(*each) for each in sorted(kept.items()))
    assert isinstance(pause, Paused)
    assert stop == Stopped(MADE.id, "ops", "it misses caps", True)


def signed(desk: Path, *keys: str, **changes: Any) -> str:
    """The file of a campaign with the marks of these keys."""
    file = desk.parent / "another.yaml"
    file.write_bytes(canonical(replace(MADE, **changes)))
    for key in keys:
        told = command("fleet", "sign", str(file), "--key", str(desk.parent / f"{key}.key"))
        assert told[0] == 0, told
    return str(file)


@pytest.fixture
def empty(broker: Mosquitto, desk: Path) -> Iterator[Path]:
    """The desk; what its campaigns left on the broker is taken away."""
    yield desk
    if topics := campaigns_at(desk):
        publish(broker, dict.fromkeys(topics, b""))


def campaigns_at(desk: Path) -> set[str]:
    with Client.of(load(desk)) as client:
        return set(client.all_retained(["fleet/+/campaign"]))


def test_a_campaign_that_no_station_would_follow_is_not_started(empty: Path) -> None:
    """One that has expired, an old serial, a serial or an id that was used."""
    before = campaigns_at(empty)
    newest = Path(signed(empty, "ops", "release", id="newest", serial=500))
    for _ in range(2):  # what is there already may be said again
        assert command("fleet", "start", str(newest), config=empty)[0] == 0
    for why, changes in (
        ("it has expired", {"id": "late", "serial": 501, "expires": NOW - 1.0}),
        ("it is old: newest has serial 500", {"id": "old", "serial": 499}),
        ("newest has the same serial 500", {"id": "twin", "serial": 500}),
        ("the id newest was used for serial 500", {"id": "newest", "serial": 502}),
    ):
        file = signed(empty, "ops", "release", **changes)
        ends, said = command("fleet", "start", file, config=empty)
        assert (ends, f"No station would follow {changes['id']}: {why}" in said) == (1, True), said
    assert campaigns_at(empty) - before == {"fleet/newest/campaign"}
    file = signed(empty, "ops", "release", id="next", serial=503)
    assert command("fleet", "start", file, config=empty)[0] == 0


def test_what_a_stranger_put_there_keeps_no_campaign_from_starting(
    empty: Path, broker: Mosquitto
) -> None:
    """A larger serial that two trusted keys did not sign."""
    generate_keypair(empty.parent, "thief")
    forged = Path(signed(empty, "ops", "thief", id="forged", serial=9_000)).read_bytes()
    publish(broker, {messages.campaign_topic("forged"): forged})
    file = signed(empty, "ops", "release", id="honest", serial=600)
    ends, said = command("fleet", "start", file, config=empty)
    assert ends == 0, said


def test_a_name_that_is_no_topic_stops_nothing(desk: Path) -> None:
    for words in (("stop", "a/b", "--reason", "x"), ("pause", "c", "--who", "stranger")):
        assert command("fleet", *words, config=desk)[0] != 0


def test_the_rules_are_tried_before_they_must_hold(desk: Path) -> None:
    file = str(desk.parent / "campaign.yaml")
    ends, said = command("fleet", "simulate", file, "--n", "5", "--stations", "100", "--json")
    assert ends == 0
    found = json.loads(said)
    assert found["equal"] == {"stopped": 0, "done": 5, "beyond_first": 5, "had": 100.0}
    assert found["7 points worse"]["stopped"] == 5
    assert found["7 points worse"]["beyond_first"] == 0


def test_a_key_that_is_none_is_named_before_the_daemon_starts(desk: Path) -> None:
    (desk.parent / "release.pub").write_text("no key")
    (found,) = faults_in(desk)[1]
    assert found.key == "fleet.trust.keys[1]"


def test_a_campaign_of_a_folder_is_that_of_the_store(desk: Path) -> None:
    """Who starts campaigns needs no store; and no campaign's file is one sentence, not a fault."""
    (desk.parent / "store").mkdir()
    bundle = make_bundle(desk.parent / "made", "bottle@1.4.0")
    assert command("models", "add", str(bundle), config=desk)[0] == 0
    made = []
    for name in ("bottle@1.4.0", str(bundle)):
        out = desk.parent / "of.yaml"
        asked = ("fleet", "campaign", name, "--id", "c1", "--serial", "1", "--out", str(out))
        ends, said = command(*asked, config=desk)
        assert (ends, "Made without --swarm-ca: neighbours cannot share it" in said) == (0, True)
        made.append(load_campaign(out)[0])
    assert (made[0].model, made[0].sha256) == (made[1].model, made[1].sha256)
    for words in (("sign", "--key", str(desk.parent / "ops.key")), ("start",), ("simulate",)):
        ends, said = command("fleet", words[0], "no.yaml", *words[1:])
        assert (ends, "no.yaml" in said, "Traceback" in said) == (2, True, False)


def test_groups_are_taken_from_what_stations_report(desk: Path, broker: Mosquitto) -> None:
    """Nobody types the stations of a line again; too few waves for them are said before signing."""
    (desk.parent / "store").mkdir()
    bundle = make_bundle(desk.parent / "made", "bottle@1.4.0")
    assert command("models", "add", str(bundle), config=desk)[0] == 0
    line = [said(f"line3-cam{number}", group="line3") for number in range(3)]
    publish(broker, retained_of(*line, said("line4-cam0", group="line4")))
    out = desk.parent / "made.yaml"
    words = ("fleet", "campaign", "bottle@1.4.0", "--id", "c1", "--serial", "1", "--out", str(out))
    assert command(*words, config=desk)[0] == 0
    assert load_campaign(out)[0].groups == {}
    ends, text = command(*words, "--groups", config=desk)
    assert ends == 0, text
    made = load_campaign(out)[0]
    assert made.groups == {"line3": ("line3-cam0", "line3-cam1", "line3-cam2")}
    ends, text = command(*words, "--groups", "--waves", "10,100", config=desk)
    assert ends == 2
    assert "The group line3 has 3 stations for 2 waves" in text
    assert load_campaign(out)[0] == made


def test_a_pause_is_ended_by_a_clock_that_is_behind_the_one_that_began_it(
    desk: Path, broker: Mosquitto
) -> None:
    """Two boxes of ops, an hour apart: the end counts, for it is said after what is kept."""
    topic = messages.pause_topic("c7", "ops")
    publish(broker, {topic: messages.paused(time.time() + 3600.0, "lunch", is_on=True)})
    assert command("fleet", "pause", "c7", "--over", config=desk)[0] == 0
    with Client.of(desk) as client:
        said = messages.read_message(topic, client.all_retained([topic])[topic])
    assert isinstance(said, Paused)
    assert not said.is_on
    assert said.at > time.time() + 3590.0
