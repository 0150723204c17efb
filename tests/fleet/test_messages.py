"""The topics of campaigns: two keys or nothing, and a stop whatever it says."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from edge_daemon.core.fleet.campaign import Campaign, as_mapping, canonical
from edge_daemon.core.fleet.heard import Heard, Opened, Paused, Stopped, hear
from edge_daemon.courier.peers import peer, peer_topic
from edge_daemon.courier.wire import Progress
from edge_daemon.errors import SenderError
from edge_daemon.fleet import messages
from edge_daemon.fleet.campaign_file import load_campaign
from edge_daemon.fleet.saying import time_after
from edge_daemon.messaging import api
from edge_daemon.models.countersigned import Signers, sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import START, campaign

MADE = campaign()
TOPIC = messages.campaign_topic(MADE.id)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ops", "release", "stranger"):
        generate_keypair(folder, name)
    shutil.copy(folder / "ops.pub", folder / "ops-again.pub")
    return folder


@pytest.fixture(scope="module")
def trusted(keys: Path) -> Signers:
    return Signers([keys / f"{name}.pub" for name in ("ops", "ops-again", "release")])


def envelope(keys: Path, *names: str, made: Campaign = MADE, kind: str = messages.KIND) -> bytes:
    content = None
    for name in names:
        content = sign(canonical(made), kind, keys / f"{name}.key", content)
    assert content is not None
    return content


def test_two_different_trusted_keys_make_a_campaign(keys: Path, trusted: Signers) -> None:
    assert trusted.known == 2
    for names in (("ops", "release"), ("release", "ops"), ("stranger", "release", "ops")):
        read = messages.read_signed_campaign(TOPIC, envelope(keys, *names), trusted)
        assert read == MADE


@pytest.mark.parametrize("names", [("ops",), ("ops", "ops"), ("ops", "stranger"), ("stranger",)])
def test_fewer_keys_make_none(keys: Path, trusted: Signers, names: tuple[str, ...]) -> None:
    with pytest.raises(SenderError, match="2 different ones must"):
        messages.read_signed_campaign(TOPIC, envelope(keys, *names), trusted)


def test_one_mark_that_stands_twice_is_one(keys: Path, trusted: Signers) -> None:
    document = json.loads(envelope(keys, "ops"))
    document["signatures"] = [*document["signatures"], {**document["signatures"][0], "keyid": "x"}]
    with pytest.raises(SenderError):
        messages.read_signed_campaign(TOPIC, json.dumps(document).encode(), trusted)


def _changed(change: Callable[[dict[str, object]], None]) -> Callable[[bytes], bytes]:
    def make(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return make


def _wider(document: dict[str, object]) -> None:
    text = canonical(campaign(waves=[0.9, 0.95, 1.0]))
    document["payload"] = base64.b64encode(text).decode()


FORGED = {
    "other text": _changed(_wider),
    "other kind": _changed(lambda d: d.update(payloadType=messages.TIMESTAMP_KIND)),
    "more keys": _changed(lambda d: d.update(extra=1)),
    "no marks": _changed(lambda d: d.update(signatures=[])),
    "marks of no kind": _changed(lambda d: d.update(signatures="all")),
    "endless marks": _changed(lambda d: d.update(signatures=[{"sig": ""}] * 1000)),
    "cut": lambda content: content[:-9],
    "empty": lambda _: b"",
    "no text": lambda _: b"\xff\xfe\x00",
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_campaign_is_refused(keys: Path, trusted: Signers, how: str) -> None:
    content = FORGED[how](envelope(keys, "ops", "release"))
    with pytest.raises(SenderError):
        messages.read_signed_campaign(TOPIC, content, trusted)


def test_a_campaign_at_anothers_topic_is_refused(keys: Path, trusted: Signers) -> None:
    with pytest.raises(SenderError, match="lies at"):
        messages.read_signed_campaign(
            "fleet/other/campaign", envelope(keys, "ops", "release"), trusted
        )


def test_a_mark_of_another_kind_of_text_does_not_count(keys: Path, trusted: Signers) -> None:
    content = envelope(keys, "ops", "release", kind=messages.TIMESTAMP_KIND)
    with pytest.raises(SenderError):
        messages.read_signed_campaign(TOPIC, content, trusted)


def test_the_second_signer_signs_what_the_first_one_did(keys: Path) -> None:
    other = canonical(campaign(serial=119))
    with pytest.raises(SenderError, match="another text"):
        sign(other, messages.KIND, keys / "release.key", envelope(keys, "ops"))


def test_a_file_is_read_before_and_after_it_is_signed(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_bytes(canonical(MADE))
    assert load_campaign(file) == (MADE, None)
    signed = envelope(keys, "ops")
    file.write_bytes(signed + b"\n")
    assert load_campaign(file) == (MADE, signed)


def test_a_timestamp_needs_one_key_and_says_until_when(keys: Path, trusted: Signers) -> None:
    stamp = messages.Timestamp(START, START + 3600.0, 118)
    for name, is_good in (("ops", True), ("stranger", False)):
        text, key = messages.timestamp_text(stamp), keys / f"{name}.key"
        signed = sign(text, messages.TIMESTAMP_KIND, key)
        if is_good:
            assert messages.read_timestamp(signed, trusted) == stamp
        else:
            with pytest.raises(SenderError):
                messages.read_timestamp(signed, trusted)


def test_what_was_written_is_read_back() -> None:
    assert messages.read_message("fleet/c/open/3", messages.opened("a", START, {})) == Opened(
        "c", 3
    )
    body = messages.paused(START, "lunch", is_on=False)
    assert messages.read_message("fleet/c/pause/ops", body) == Paused("c", "ops", START, False)
    body = messages.stopped(START, "it misses caps", goes_back=True)
    found = messages.read_message("fleet/c/stop/andon", body)
    assert found == Stopped("c", "andon", "it misses caps", True)


@pytest.mark.parametrize(
    "topic",
    [
        *("fleet/c/open/-1", "fleet/c/open/16", "fleet/c/open/01", "fleet/c/open/all"),
        *("fleet/c/pause/stranger", "fleet/c/pause/", "fleet//open/1", "fleet/c/open/1/2"),
        *("other/c/open/1", "fleet/c/sing/1", "fleet/c/stop/\x1b[31m"),
    ],
)
def test_topics_of_nothing_are_refused(topic: str) -> None:
    with pytest.raises(SenderError):
        messages.read_message(topic, messages.paused(START, "", is_on=True))


@given(st.binary(max_size=200))
def test_a_stop_stops_whatever_it_says(body: bytes) -> None:
    found = messages.read_message("fleet/c/stop/ops", body)
    assert isinstance(found, Stopped)
    assert found.campaign == "c"


def test_a_pause_ends_though_the_clock_of_whoever_began_it_was_ahead() -> None:
    """The newest word of one counts: its end is said later than the pause that the broker keeps."""
    topic = messages.pause_topic("c", "ops")
    kept = messages.paused(START + 3600.0, "lunch", is_on=True)
    at = time_after(kept, topic, START)
    begun = messages.read_message(topic, kept)
    over = messages.read_message(topic, messages.paused(at, "", is_on=False))
    assert isinstance(begun, Paused)
    assert isinstance(over, Paused)
    heard = hear(hear(Heard(), over), begun)
    assert heard.paused_by == ()
    assert time_after(b"", topic, START) == time_after(b"{", topic, START) == START
    assert time_after(messages.paused(START - 9.0, "", is_on=True), topic, START) == START


# --------------------------------------------------------------------------- as documented


def stands_before(name: str, said: bytes | dict[str, Any]) -> bool:
    schema = api.schema(name)
    assert schema is not None
    return bool(
        Draft7Validator(schema).is_valid(json.loads(said) if isinstance(said, bytes) else said)
    )


def test_what_is_said_of_campaigns_is_what_the_document_says(keys: Path) -> None:
    known = {"answered": 2, "of": 2, "bad": 0, "slices": {"dark": {"n": 9, "old": 8, "new": 9}}}
    assert stands_before("OpenedWave", messages.opened("evaluator-a", START, known))
    assert stands_before(
        "OpenedWave", messages.opened("evaluator-a", START, {"answered": 0, "of": 0})
    )
    assert stands_before("PausedCampaign", messages.paused(START, "lunch", is_on=True))
    assert stands_before("StoppedCampaign", messages.stopped(START, "no", goes_back=True))
    assert not stands_before("StoppedCampaign", {"at": "2026", "why": "no", "scope": "explode"})
    assert stands_before("SignedText", envelope(keys, "ops", "release"))
    stamp = messages.Timestamp(START, START + 60.0, 118)
    assert stands_before("FreshText", messages.timestamp_text(stamp))
    assert stands_before("FreshText", messages.timestamp_text(stamp, b"{}"))
    progress = Progress(infohash="86" * 32, at="10.2.3.14", port=6882, have=0.42)
    assert stands_before("NeighbourWord", peer(progress, START))


def test_every_key_of_a_campaign_is_in_the_document_and_no_other() -> None:
    """The reader is the core's own, so the type that documents it is held against it."""
    made = campaign(
        canaries=["cam1"],
        groups={"line3": ["cam1", "cam2"]},
        window=["22:00-05:00"],
        manifest_sha256="4c" * 32,
        infohash="86" * 32,
        size=20_971_520,
        fetch="with_wave",
        rollout={"canary_traffic": 0.2},
        rules={"uninspected": 0.01, "slower": 1.2, "slices": {"dark": 0.03}},
    )
    text = as_mapping(made)
    assert stands_before("CampaignText", text)
    assert stands_before("CampaignText", as_mapping(MADE))
    schema = api.schema("CampaignText")
    assert schema is not None
    assert set(schema["definitions"]["CampaignText"]["properties"]) == set(text)
    assert set(schema["definitions"]["CampaignRules"]["properties"]) == set(text["rules"])
    for wrong in (
        {"waves": [0.0, 1.0]},
        {"sha256": "9f"},
        {"canaries": ["a/b"]},
        {"window": ["9-5"]},
    ):
        assert not stands_before("CampaignText", {**text, **wrong})


def test_topics_are_those_of_the_document() -> None:
    """A reader of the document finds the topics that stations and evaluators use."""
    channels = api.document()["channels"]
    assert channels["campaign"]["address"] == messages.campaign_topic("{campaign}")
    assert channels["campaignOpen"]["address"] == "fleet/{campaign}/open/{wave}"
    assert messages.open_topic("c", 3) == "fleet/c/open/3"
    assert channels["campaignPause"]["address"] == messages.pause_topic("{campaign}", "{who}")
    assert channels["campaignStop"]["address"] == messages.stop_topic("{campaign}", "{who}")
    assert channels["fleetTimestamp"]["address"] == messages.TIMESTAMP
    assert channels["neighbour"]["address"] == peer_topic("{site}", "{device}")
