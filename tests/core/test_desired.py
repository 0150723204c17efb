"""What a file wishes becomes requests: each once, one at a time, and never against a later word."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.desired import (
    Answer,
    Ask,
    Desired,
    Memory,
    Open,
    Plan,
    Situation,
    begin,
    plan,
    request_ids,
)
from edge_daemon.core.values import BundleRef, Status
from edge_daemon.core.verbs import Verb

BOTTLE_1, BOTTLE_2 = BundleRef("bottle", "1.0.0"), BundleRef("bottle", "2.0.0")
CAN_1, CAN_2 = BundleRef("can", "1.0.0"), BundleRef("can", "2.0.0")
JAR_1, JAR_2 = BundleRef("jar", "1.0.0"), BundleRef("jar", "2.0.0")
ALL = frozenset({BOTTLE_1, BOTTLE_2, CAN_1, CAN_2, JAR_1, JAR_2})
USUAL = Situation(
    line="bottle",
    active=BOTTLE_1,
    selected=(BOTTLE_1, CAN_1, JAR_1),
    available=ALL,
    linked=frozenset({"bottle", "can", "jar"}),
)


def wish(*models: BundleRef, hold: bool | None = None, digest: str = "") -> Desired:
    return Desired(models, hold, "", digest or f"{hash((models, hold)) & 0xFFFFFFFF:08x}")


def look(
    wished: Desired, situation: Situation = USUAL, memory: Memory | None = None, **answers: Answer
) -> Plan:
    """One look; `answers` by the bundle name, or `hold`."""
    memory = begin(memory or Memory(), wished)
    ids = request_ids(memory, wished, situation)
    known = {ids.get(f"model {key}", ids.get(key, "")): answer for key, answer in answers.items()}
    return plan(memory, wished, situation, known)


def test_the_running_product_is_changed_at_once() -> None:
    """A version that differs, of the model that the line uses, is a swap for now."""
    ask = look(wish(BOTTLE_2)).ask
    assert ask is not None
    assert (ask.verb, ask.model, ask.next_order) == (Verb.SWAP, BOTTLE_2, False)


def test_another_product_waits_for_its_order() -> None:
    """The line goes on with what it makes; the other model comes with its own order."""
    ask = look(wish(BOTTLE_1, CAN_2)).ask
    assert ask is not None
    assert (ask.model, ask.next_order) == (CAN_2, True)


def test_what_is_as_desired_asks_nothing() -> None:
    """Nothing differs: no request, no remark."""
    seen = look(wish(BOTTLE_1, CAN_1))
    assert (seen.ask, seen.remarks, seen.waits) == (None, (), False)


def test_a_bundle_that_is_not_there_yet_is_waited_for() -> None:
    """The file may come before the model: it is asked for when it lies in the store."""
    absent = replace(USUAL, available=ALL - {BOTTLE_2})
    seen = look(wish(BOTTLE_2), absent)
    assert seen.ask is None
    assert seen.waits
    assert seen.remarks == ("the desired bottle@2.0.0 is not in the store",)
    assert look(wish(BOTTLE_2), USUAL, seen.memory).ask is not None


def test_a_held_station_is_left_alone() -> None:
    """Somebody froze what changes by itself, and this file is such a thing."""
    seen = look(wish(BOTTLE_2), replace(USUAL, held=True))
    assert seen.ask is None
    assert seen.remarks == ("the desired bottle@2.0.0 waits: the station is held",)


def test_hold_and_release_go_first() -> None:
    """`hold: false` frees the station before its models are asked for."""
    ask = look(wish(BOTTLE_2, hold=False), replace(USUAL, held=True)).ask
    assert ask is not None
    assert ask.verb is Verb.RELEASE
    ask = look(wish(hold=True)).ask
    assert ask is not None
    assert ask.verb is Verb.HOLD


def test_nobody_else_is_overtaken() -> None:
    """While a request of somebody's is open, the file waits."""
    assert look(wish(BOTTLE_2), replace(USUAL, open=(Open("kim-1", CAN_1),))).ask is None


def test_an_operators_later_word_stands() -> None:
    """Superseded by a request for the same model: the file is not asked again until it changes."""
    first = look(wish(BOTTLE_2))
    seen = look(
        wish(BOTTLE_2),
        replace(USUAL, open=(Open("kim-1", BOTTLE_1),)),
        first.memory,
        bottle=Answer(Status.SUPERSEDED),
    )
    assert dict(seen.memory.settled) == {"model bottle": "superseded"}
    later = look(wish(BOTTLE_2), USUAL, seen.memory, bottle=Answer(Status.SUPERSEDED))
    assert later.ask is None
    assert later.remarks == ("bottle@2.0.0 is desired, but bottle@1.0.0 is selected",)


def test_what_a_restart_cut_off_is_asked_again_under_another_id() -> None:
    """Interrupted is nobody's will; the first id would only be answered with that."""
    first = look(wish(BOTTLE_2))
    again = look(wish(BOTTLE_2), USUAL, first.memory, bottle=Answer(Status.INTERRUPTED))
    assert first.ask is not None
    assert again.ask is not None
    assert again.ask.id == f"{first.ask.id}-2"


def test_a_refusal_is_final_for_this_content() -> None:
    """What the gate refused is shown with its reason, and asked again only by another content."""
    first = look(wish(BOTTLE_2))
    refused = {"bottle": Answer(Status.REJECTED, "it finds no scratches")}
    seen = look(wish(BOTTLE_2), USUAL, first.memory, **refused)
    assert seen.ask is None
    assert seen.remarks == (
        "the desired bottle@2.0.0 was asked for and rejected: it finds no scratches",
    )
    assert look(wish(BOTTLE_2, digest="another"), USUAL, seen.memory).ask is not None


def test_a_content_that_comes_back_asks_anew() -> None:
    """Going back in the fleet's history is a change like any other."""
    first = look(wish(BOTTLE_2))
    back = look(wish(BOTTLE_1), replace(USUAL, active=BOTTLE_2, selected=(BOTTLE_2,)), first.memory)
    again = look(wish(BOTTLE_2), USUAL, back.memory)
    ids = [seen.ask.id for seen in (first, back, again) if seen.ask]
    assert len(set(ids)) == 3


def test_the_announced_product_comes_first() -> None:
    """Of two models that wait for orders, the one whose order is announced is asked for."""
    announced = replace(USUAL, announced=("jar",))
    seen = look(wish(CAN_2, JAR_2), announced)
    assert seen.ask is not None
    assert seen.ask.model == JAR_2


def test_an_announcement_overtakes_our_own_waiting_request() -> None:
    """The can waits for its order; a jar is announced: the jar's model takes the place."""
    first = look(wish(CAN_2, JAR_2))
    assert first.ask is not None
    waiting = replace(USUAL, announced=("jar",), open=(Open(first.ask.id, CAN_2, parked=True),))
    seen = look(wish(CAN_2, JAR_2), waiting, first.memory, can=Answer(None))
    assert seen.ask is not None
    assert seen.ask.model == JAR_2


def test_a_wish_that_was_taken_back_does_not_come_true() -> None:
    """An earlier content's request still waits for its order; what is selected is asked for."""
    first = look(wish(CAN_2))
    assert first.ask is not None
    waiting = replace(USUAL, open=(Open(first.ask.id, CAN_2, parked=True),))
    for newer in (wish(BOTTLE_1), wish(CAN_1)):
        ask = look(newer, waiting, first.memory).ask
        assert ask is not None
        assert (ask.model, ask.next_order) == (CAN_1, True)


def test_a_station_without_orders_has_one_line() -> None:
    """Nothing is linked: the one model that is desired is swapped to, whatever judges now."""
    alone = replace(USUAL, linked=frozenset(), line="old")
    ask = look(wish(BOTTLE_2), alone).ask
    assert ask is not None
    assert not ask.next_order


# --------------------------------------------------------------------------- long random lives

VERSIONS = {"bottle": (BOTTLE_1, BOTTLE_2), "can": (CAN_1, CAN_2), "jar": (JAR_1, JAR_2)}
WISHES = st.builds(
    lambda picks, hold: wish(*(VERSIONS[name][n] for name, n in picks.items()), hold=hold),
    st.dictionaries(st.sampled_from(sorted(VERSIONS)), st.integers(0, 1)),
    st.sampled_from([None, False, True]),
)
HAPPENINGS = st.one_of(
    st.tuples(st.just("file"), WISHES),
    st.tuples(st.just("order"), st.sampled_from(sorted(VERSIONS))),
    st.tuples(st.just("announce"), st.sampled_from(sorted(VERSIONS))),
    st.tuples(st.just("kim"), st.sampled_from(sorted(ALL))),
    st.tuples(st.just("outcome"), st.sampled_from(["good", "good", "good", "bad"])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("look"), st.none()),
)


@dataclass
class World:
    """A station that carries out what is asked, as the planner would: one place to wait."""

    situation: Situation = USUAL
    memory: Memory = field(default_factory=Memory)
    wished: Desired = field(default_factory=Desired)
    journal: dict[str, Answer] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    waits: bool = True

    def look(self) -> Ask | None:
        memory = begin(self.memory, self.wished)
        ids = request_ids(memory, self.wished, self.situation)
        known = {each: self.journal[each] for each in ids.values() if each in self.journal}
        seen = plan(memory, self.wished, self.situation, known)
        self.memory, self.waits = seen.memory, seen.waits
        if seen.ask is not None:
            self.take(seen.ask)
        return seen.ask

    def take(self, ask: Ask) -> None:
        assert ask.id not in self.journal, "an id was used twice"
        foreign = [each for each in self.situation.open if each.id.startswith("kim")]
        assert ask.model is None or not foreign, "somebody was overtaken"
        self.asked.append(ask)
        if ask.model is None:
            self.journal[ask.id] = Answer(Status.SUCCEEDED)
            self.situation = replace(self.situation, held=ask.verb is Verb.HOLD)
            return
        assert not self.situation.held, "a held station was changed"
        assert ask.model in self.situation.available
        self.put(Open(ask.id, ask.model, parked=ask.next_order))

    def put(self, newer: Open) -> None:
        for each in self.situation.open:
            self.journal[each.id] = Answer(Status.SUPERSEDED)
        self.journal[newer.id] = Answer(None)
        self.situation = replace(self.situation, open=(newer,))

    def end(self, *, good: bool) -> None:
        """What is not waiting for an order comes to its outcome."""
        for each in self.situation.open:
            if each.parked:
                continue
            self.journal[each.id] = Answer(Status.SUCCEEDED if good else Status.REJECTED)
            if good:
                self.activate(each.ref)
            self.situation = replace(self.situation, open=())

    def activate(self, ref: BundleRef) -> None:
        others = [old for old in self.situation.selected if old.name != ref.name]
        self.situation = replace(self.situation, active=ref, line=ref.name, selected=(*others, ref))

    def order(self, name: str) -> None:
        """The line makes this from now on; what waited for it is due."""
        chosen = self.situation.selected_of(name)
        for each in self.situation.open:
            due = each.parked and each.ref.name == name
            if due:
                self.situation = replace(self.situation, open=(replace(each, parked=False),))
            elif not each.parked:
                self.journal[each.id] = Answer(Status.SUPERSEDED)
                self.situation = replace(self.situation, open=())
        announced = tuple(n for n in self.situation.announced if n != name)
        self.situation = replace(
            self.situation, line=name, bound=True, active=chosen, announced=announced
        )

    def restart(self) -> None:
        for each in self.situation.open:
            self.journal[each.id] = Answer(Status.INTERRUPTED)
        self.situation = replace(self.situation, open=())

    def happen(self, kind: str, what: object) -> None:
        if kind == "file":
            assert isinstance(what, Desired)
            self.wished = what
        elif kind == "order":
            self.order(str(what))
        elif kind == "announce":
            self.situation = replace(self.situation, announced=(str(what),))
        elif kind == "kim":
            assert isinstance(what, BundleRef)
            if not self.situation.bound or what.name == self.situation.line:
                self.put(Open(f"kim-{len(self.journal)}", what))
        elif kind == "outcome":
            self.end(good=what == "good")
        elif kind == "restart":
            self.restart()
        elif kind == "hold":
            self.situation = replace(self.situation, held=bool(what))
        else:
            self.look()


@settings(max_examples=300, deadline=None)
@given(st.lists(HAPPENINGS, max_size=40))
def test_whatever_happens_each_id_is_used_once_and_nobody_is_overtaken(
    life: list[tuple[str, object]],
) -> None:
    """The asserts of the world hold in every life; and once settled, a content stays silent."""
    world = World()
    for kind, what in life:
        settled = kind != "file" and not world.waits and world.memory.digest == world.wished.digest
        world.happen(kind, what)
        if settled and world.memory.turn:
            before = len(world.asked)
            world.look()
            assert [ask for ask in world.asked[before:] if ask.model is not None] == []


@settings(max_examples=200, deadline=None)
@given(st.lists(HAPPENINGS, max_size=25), WISHES)
def test_when_all_goes_well_the_last_content_comes_true(
    life: list[tuple[str, object]], last: Desired
) -> None:
    """Every order comes round, every swap succeeds, nobody holds: the line is as desired."""
    world = World()
    for kind, what in life:
        world.happen(kind, what)
    world.restart()  # nobody's request is open any more
    world.situation = replace(world.situation, held=False)
    world.happen("file", replace(last, hold=None, digest="the last one"))
    for _ in range(3):
        for name in VERSIONS:
            for _ in range(4):
                world.look()
                world.end(good=True)
            world.order(name)
            world.end(good=True)
    world.look()
    assert not world.waits
    for ref in last.models:
        assert world.situation.selected_of(ref.name) == ref
