"""What a station keeps of campaigns is on disk before the broker may forget it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.config import FleetSettings
from edge_daemon.core.fleet.campaign import Campaign, canonical, digest
from edge_daemon.core.fleet.report import Measures, Phase
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.state import Durable, Rollout, SlotState, State
from edge_daemon.core.values import BundleRef, Request, StoredBundle
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import StateError
from edge_daemon.fleet import messages
from edge_daemon.fleet.follower import Context, FetchProgress, Follower
from edge_daemon.fleet.memory import MEMORY_FILE, MOST_WAITING, read_kept
from edge_daemon.messaging.messages import Incoming
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import START, campaign
from tests.sim.clock import SimClock
from tests.sim.fleet import NEW, OLD, digest_of


class Deliveries:
    """A courier that does what the test says."""

    def __init__(self) -> None:
        self.wanted: list[BundleRef | None] = []
        self.far = FetchProgress()

    def want(self, campaign: Campaign | None) -> None:
        self.wanted.append(None if campaign is None else campaign.model)

    def brought(self, campaign: Campaign) -> FetchProgress:
        return self.far


class Listing:
    """Freshness that the test sets: which digests are current, and why nothing is."""

    def __init__(self) -> None:
        self.current: set[str] = set()
        self.stale = ""
        self.heard: list[bytes] = []
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    def hear(self, timestamp: bytes) -> None:
        self.heard.append(timestamp)

    def why_not(self, _: str, sha256: str) -> str:
        return self.stale or ("" if sha256 in self.current else "it is none of them")

    def fresh_until(self) -> float | None:
        return None

    def problems(self) -> tuple[str, ...]:
        return ()


class Rig:
    """A follower, and what it asks for; the planner's state is a value that the test sets."""

    def __init__(
        self, folder: Path, *, fresh: bool = False, freshness: Listing | None = None
    ) -> None:
        self.folder, self.freshness = folder, freshness
        self.clock = SimClock(utc=START + 10.0)
        self.asked: list[Request] = []
        self.forgotten: list[str] = []
        self.broken: StateError | None = None
        self.measured: Callable[[Campaign, bool], Measures] = lambda *_: Measures()
        self.courier = Deliveries()
        bundles = tuple(
            StoredBundle(BundleRef(*each.split("@")), digest_of(each)) for each in (OLD, NEW)
        )
        self.state = State(
            "b1",
            (SlotState("a"),),
            available=bundles,
            durable=Durable(selected=(("bottle", "1.3.0"),), active=bundles[0]),
        )
        for name in ("ops", "release"):
            if not (folder / f"{name}.key").exists():
                generate_keypair(folder, name)
        keys = tuple(folder / f"{name}.pub" for name in ("ops", "release"))
        self.settings = FleetSettings.model_validate({"trust": {"keys": keys, "fresh": fresh}})
        self.follower = self.begin()

    def begin(self) -> Follower:
        """As after a start of the daemon."""
        context = Context(
            "cam1",
            self.folder,
            self.clock,
            self._state,
            lambda _: None,
            self._ask,
            self.freshness,
            self.courier,
            self._measured,
        )
        self.follower = Follower(self.settings, context)
        return self.follower

    def _state(self) -> State:
        if self.broken is not None:
            raise self.broken
        return self.state

    def _measured(self, made: Campaign, judges: bool) -> Measures:
        return self.measured(made, judges)

    def _ask(self, _: str, incoming: Incoming) -> None:
        assert isinstance(incoming.content, Request)
        self.asked.append(incoming.content)

    def hear(self, topic: str, body: bytes) -> Phase | None:
        """A message; returns the phase after it."""
        incoming = Incoming(
            topic, body, self.clock.now(), done=lambda: self.forgotten.append(topic)
        )
        self.follower.look([incoming])
        status = self.follower.campaign_status()
        return status.phase if status else None

    def signed(self, made: Campaign, *names: str) -> tuple[str, bytes]:
        content = None
        for name in names or ("ops", "release"):
            content = sign(canonical(made), messages.KIND, self.folder / f"{name}.key", content)
        assert content is not None
        return messages.campaign_topic(made.id), content


MADE = campaign(canaries=["cam1"])
OPEN = (messages.open_topic(MADE.id, 0), messages.opened("evaluator", START, {}))
STOP = (messages.stop_topic(MADE.id, "ops"), messages.stopped(START, "no", goes_back=False))


def test_it_asks_for_an_ordinary_swap_in_the_campaigns_name(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.hear(*OPEN) is None
    assert rig.hear(*rig.signed(MADE)) is Phase.WAITING
    (request,) = rig.asked
    assert (request.verb, str(request.model)) == (Verb.SWAP, NEW)
    assert request.by == f"fleet/{MADE.id}"


def test_with_a_plan_it_asks_for_a_rollout_when_that_model_judges(tmp_path: Path) -> None:
    """It compares with what judges now; and a person's own rollout stands."""
    rig = Rig(tmp_path)
    made = campaign(canaries=["cam1"], rollout={"canary_traffic": 0.2})
    durable = rig.state.durable
    can, bottle = StoredBundle(BundleRef("can", "1.0.0"), "c" * 64), rig.state.available[0]
    rig.state = replace(rig.state, slots=(SlotState("a", bundle=can),), active="a")
    rig.hear(*OPEN)
    assert rig.hear(*rig.signed(made)) is Phase.WAITING
    assert rig.asked == []
    by_hand = Rollout(
        "r-1", rig.state.available[1], bottle, read_plan({"canary_traffic": 0.1}), "d", "kim-1"
    )
    rig.state = replace(
        rig.state,
        slots=(SlotState("a", bundle=bottle),),
        durable=replace(durable, rollout=by_hand),
    )
    rig.follower.look([])
    assert rig.asked == []
    rig.state = replace(rig.state, durable=durable)
    rig.follower.look([])
    (request,) = rig.asked
    assert (request.verb, str(request.model)) == (Verb.ROLLOUT, NEW)
    assert made.rollout is not None
    assert read_plan(json.loads(request.plan)) == made.rollout


def test_what_it_measured_is_told_and_a_journal_that_cannot_be_read_ends_nothing(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    told = Measures({"dark": {"n": 5, "old": 5, "new": 4}})
    rig.measured = lambda made, judges: told if (made, judges) == (MADE, False) else Measures()
    rig.hear(*OPEN)
    rig.hear(*rig.signed(MADE))
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.measures == told

    def broken(*_: object) -> Measures:
        raise StateError("The journal cannot be read.")

    rig.measured = broken
    rig.follower.look([])
    status = rig.follower.campaign_status()
    assert status is not None
    assert (status.phase, status.measures) == (Phase.WAITING, Measures())


def test_what_was_heard_survives_a_restart_and_is_asked_under_the_same_id(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    rig.hear(*OPEN)
    rig.begin().look([])
    first, again = rig.asked
    assert first.id == again.id
    rig.hear(*STOP)
    rig.begin().look([])
    assert len(rig.asked) == 2
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.stopped


def test_the_broker_may_forget_only_what_is_on_disk(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.hear(*STOP)
    assert rig.forgotten == [STOP[0]]
    kept = read_kept((tmp_path / MEMORY_FILE).read_bytes())
    assert kept.memory.heard[MADE.id].is_stopped


def test_a_stop_that_came_while_the_disk_was_full_holds_and_is_kept_once_there_is_room(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    in_its_place = tmp_path / MEMORY_FILE
    in_its_place.unlink()
    (in_its_place / "full").mkdir(parents=True)  # no file can be put there
    rig.forgotten.clear()
    with pytest.raises(StateError):
        rig.hear(*STOP)
    with pytest.raises(StateError):
        rig.hear(*OPEN)
    assert rig.forgotten == []
    (in_its_place / "full").rmdir()
    in_its_place.rmdir()
    rig.follower.look([])
    assert rig.forgotten == [STOP[0], OPEN[0]]
    assert read_kept(in_its_place.read_bytes()).memory.heard[MADE.id].is_stopped
    assert rig.asked == []


def test_that_campaigns_are_not_followed_is_a_problem_for_as_long_as_it_lasts(
    tmp_path: Path,
) -> None:
    rig, pause = Rig(tmp_path), threading.Event()
    rig.hear(*rig.signed(MADE))
    rig.broken = StateError("The journal cannot be read.")
    rig.follower.start()
    rig.follower.begin()
    try:
        while not rig.follower.problems:
            pause.wait(0.02)
        (told,) = rig.follower.problems
        assert told == "campaigns are not followed: The journal cannot be read."
        rig.broken = None
        while rig.follower.problems:
            pause.wait(0.02)
    finally:
        rig.follower.stop()


def test_a_stop_that_came_while_the_station_could_not_be_looked_at_holds(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    rig.broken = StateError("The journal cannot be read.")
    with pytest.raises(StateError):
        rig.hear(*STOP)
    rig.broken = None
    rig.hear(*OPEN)
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.stopped
    assert rig.asked == []


@pytest.mark.parametrize("body", [b"{}", b"\xff", b"[]", b"null", b'{"payload": 1}'])
def test_a_bad_message_changes_nothing_and_is_done_with(tmp_path: Path, body: bytes) -> None:
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    before = rig.follower.campaign_status()
    for topic in (messages.campaign_topic(MADE.id), "fleet/timestamp", "fleet/c/pause/ops"):
        rig.hear(topic, body)
    assert rig.follower.campaign_status() == before
    assert len(rig.forgotten) == 4


def test_one_signature_starts_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.hear(*rig.signed(MADE, "ops")) is None
    assert rig.hear(*OPEN) is None
    assert not rig.asked


def test_a_key_that_was_taken_away_ends_its_campaign(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    trust = {"keys": (tmp_path / "ops.pub",)}
    rig.settings = FleetSettings.model_validate({"trust": trust})
    rig.begin()
    assert rig.hear(*OPEN) is None
    assert not rig.asked


def test_where_it_is_wanted_nothing_is_joined_without_a_fresh_word(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fresh=True)
    rig.hear(*rig.signed(MADE))
    assert rig.hear(*OPEN) is Phase.WAITING
    assert not rig.asked

    def stamp(at: float, expires: float, serial: int) -> bytes:
        text = messages.timestamp_text(messages.Timestamp(at, expires, serial))
        return sign(text, messages.TIMESTAMP_KIND, tmp_path / "ops.key")

    now = rig.clock.now().utc
    rig.hear("fleet/timestamp", stamp(now, now - 1.0, 118))
    assert not rig.asked
    rig.hear("fleet/timestamp", stamp(now + 1.0, now + 60.0, 119))  # there is a newer campaign
    assert not rig.asked
    rig.hear("fleet/timestamp", stamp(now, now + 60.0, 118))  # older than the last one
    assert not rig.asked
    rig.hear("fleet/timestamp", stamp(now + 2.0, now + 60.0, 118))
    assert len(rig.asked) == 1


def test_with_the_fleets_metadata_a_campaign_waits_until_it_is_listed(tmp_path: Path) -> None:
    listing = Listing()
    rig = Rig(tmp_path, freshness=listing)
    assert rig.hear(*rig.signed(MADE)) is None
    assert listing.asked == 0
    rig.hear(*OPEN)
    assert listing.asked == 1  # what is current is looked at again before it is joined
    rig.begin().look([])  # the broker may have forgotten it, the station did not
    assert rig.follower.campaign_status() is None
    listing.current.add(digest(MADE))
    rig.follower.look([])
    assert len(rig.asked) == 1


def test_a_campaign_that_is_not_listed_cannot_push_another_aside(tmp_path: Path) -> None:
    listing = Listing()
    listing.current.add(digest(MADE))
    rig = Rig(tmp_path, freshness=listing)
    rig.hear(*rig.signed(MADE))
    for serial in range(200, 220):
        stranger = campaign(id=f"c{serial}", serial=serial)
        assert rig.hear(*rig.signed(stranger)) is Phase.HAVE
    kept = read_kept((tmp_path / MEMORY_FILE).read_bytes())
    assert kept.memory.campaign == MADE
    assert len(kept.waiting) == MOST_WAITING
    rig.hear(*OPEN)
    assert len(rig.asked) == 1


def test_expiry_stops_joins_and_neither_a_stop_nor_the_way_back(tmp_path: Path) -> None:
    listing = Listing()
    listing.current.add(digest(MADE))
    rig = Rig(tmp_path, freshness=listing)
    rig.hear(*rig.signed(MADE))
    listing.stale = "no fresh word since yesterday"
    assert rig.hear(*OPEN) is Phase.WAITING
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.why == "no fresh word since yesterday"
    assert not rig.asked
    listing.stale = ""
    rig.follower.look([])
    assert [each.verb for each in rig.asked] == [Verb.SWAP]
    listing.stale = "no fresh word since yesterday"
    new = rig.state.available[1]
    rig.state = replace(
        rig.state, durable=replace(rig.state.durable, selected=(("bottle", "1.4.0"),), active=new)
    )
    topic = messages.stop_topic(MADE.id, "ops")
    rig.hear(topic, messages.stopped(START, "it misses caps", goes_back=True))
    assert [each.verb for each in rig.asked] == [Verb.SWAP, Verb.ROLLBACK]


def test_the_metadata_alone_vouches_where_no_keys_are_named(tmp_path: Path) -> None:
    listing = Listing()
    rig = Rig(tmp_path, freshness=listing)
    rig.settings = FleetSettings.model_validate({"trust": {"root": tmp_path / "root.json"}})
    rig.begin()
    rig.hear(*rig.signed(MADE, "ops"))
    rig.hear(*OPEN)
    assert not rig.asked
    listing.current.add(digest(MADE))
    rig.follower.look([])
    assert len(rig.asked) == 1


def test_both_kinds_of_timestamps_are_read_on_one_topic(tmp_path: Path) -> None:
    listing = Listing()
    listing.current.add(digest(MADE))
    rig = Rig(tmp_path, fresh=True, freshness=listing)
    rig.hear(*rig.signed(MADE))
    rig.hear(*OPEN)
    tuf = b'{"signatures": [], "signed": {"_type": "timestamp", "version": 7}}'
    rig.hear(messages.TIMESTAMP, tuf)
    assert not rig.asked  # the signers' own word is wanted here too
    now = rig.clock.now().utc
    text = messages.timestamp_text(messages.Timestamp(now, now + 60.0, 118), tuf)
    rig.hear(messages.TIMESTAMP, sign(text, messages.TIMESTAMP_KIND, tmp_path / "ops.key"))
    assert len(rig.asked) == 1
    assert listing.heard == [tuf, tuf]


def test_a_timestamp_of_tuf_is_no_word_where_only_keys_count(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fresh=True)
    rig.hear(*rig.signed(MADE))
    rig.hear(messages.TIMESTAMP, b'{"signatures": [], "signed": {"version": 7}}')
    rig.hear(*OPEN)
    assert not rig.asked


def test_a_station_that_is_held_does_not_ask(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.state = replace(rig.state, durable=replace(rig.state.durable, held=True))
    rig.hear(*rig.signed(MADE))
    assert rig.hear(*OPEN) is Phase.HELD
    assert not rig.asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"envelope": 3}', b"\xff"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_kept(content)
    (tmp_path / MEMORY_FILE).write_bytes(content)
    assert Rig(tmp_path).hear(*OPEN) is None
    assert json.loads((tmp_path / MEMORY_FILE).read_text())["asked"] == 0


def test_the_courier_brings_what_the_store_lacks_and_the_report_says_how_far_it_is(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    rig.state = replace(rig.state, available=rig.state.available[:1])
    made = campaign()
    assert rig.hear(*rig.signed(made, "ops", "release")) is Phase.FETCHING
    rig.follower.look([])
    assert rig.courier.wanted[-1] == made.model
    assert rig.follower.pinned() == {made.model}
    rig.courier.far = FetchProgress(why="no neighbour gives it", bytes={"origin": 7, "peers": 9})
    rig.follower.look([])
    status = rig.follower.campaign_status()
    assert status is not None
    assert (status.why, status.bytes) == ("no neighbour gives it", {"origin": 7, "peers": 9})
    rig.courier.far = FetchProgress(refused="Nobody signed it.")
    rig.follower.look([])
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.phase is Phase.REFUSED


def test_a_stopped_campaign_is_brought_and_kept_no_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    made = campaign()
    rig.hear(*rig.signed(made, "ops", "release"))
    rig.hear(messages.stop_topic(made.id, "ops"), b"{}")
    assert rig.courier.wanted[-1] is None
    assert rig.follower.pinned() == frozenset()


# --------------------------------------------------------------------------- clocks


def test_a_campaign_that_came_while_the_clock_was_far_ahead_is_taken_when_it_is_right(
    tmp_path: Path,
) -> None:
    """A box that starts in 2036 until it has heard the time: the broker does not send it again."""
    rig = Rig(tmp_path)
    rig.clock.step_wall(10 * 366 * 86_400.0)
    assert rig.hear(*rig.signed(MADE)) is None
    assert rig.hear(*OPEN) is None
    rig.clock.step_wall(-10 * 366 * 86_400.0)
    rig.follower.look([])
    assert len(rig.asked) == 1


def test_of_many_that_had_expired_the_newest_is_taken(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.clock.step_wall(10 * 366 * 86_400.0)
    for serial in range(200, 220):
        rig.hear(*rig.signed(campaign(id=f"c{serial}", serial=serial)))
    rig.clock.step_wall(-10 * 366 * 86_400.0)
    rig.follower.look([])
    status = rig.follower.campaign_status()
    assert status is not None
    assert status.serial == 219


def test_a_station_without_a_clock_begins_nothing_and_says_what_it_waits_for(
    tmp_path: Path,
) -> None:
    """In 1970 every campaign is of the future; when the time comes it goes on by itself."""
    rig = Rig(tmp_path)
    rig.clock.step_wall(-rig.clock.now().utc)
    rig.hear(*rig.signed(MADE))
    assert rig.hear(*OPEN) is Phase.HAVE
    status = rig.follower.campaign_status()
    assert status is not None
    assert "by this station's clock" in str(status.why)
    assert not rig.asked
    rig.clock.step_wall(START + 10.0)
    rig.follower.look([])
    assert len(rig.asked) == 1


def test_a_clock_that_goes_back_takes_nothing_back(tmp_path: Path) -> None:
    """Whoever has asked goes on, and a stop stays one, whatever the clock does then."""
    rig = Rig(tmp_path)
    rig.hear(*rig.signed(MADE))
    rig.hear(*OPEN)
    assert len(rig.asked) == 1
    rig.hear(*STOP)
    for seconds in (-3_600.0, 7_200.0, -86_400.0):
        rig.clock.step_wall(seconds)
        rig.follower.look([])
        status = rig.follower.campaign_status()
        assert status is not None
        assert status.stopped
