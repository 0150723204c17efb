"""The planner's rules that a story is too slow for: told event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.core.effects import (
    ApplyTuning,
    AskCutover,
    Effect,
    Prepare,
    Restore,
    Stamp,
    Verify,
)
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    CutoverDone,
    Event,
    LinksChanged,
    OrderReceived,
    QuarantineChanged,
    RequestReceived,
    SlotLost,
    StageReached,
    Started,
    StoreChanged,
    TimePassed,
    TrialJudged,
)
from edge_daemon.core.golden import Expectation, ExpectedBox, Golden
from edge_daemon.core.health import CALM_S
from edge_daemon.core.job_orders import (
    JobOrder,
    OrderState,
)
from edge_daemon.core.jobs import RETRY_S
from edge_daemon.core.planner import step
from edge_daemon.core.records import Announce, Record, Reply
from edge_daemon.core.state import TRIES, Durable, Kind, State
from edge_daemon.core.values import (
    Adjustable,
    AtNextOrder,
    AtTime,
    BundleRef,
    Detection,
    Instant,
    ModelChoice,
    Recipe,
    Refusal,
    Request,
    Rule,
    Status,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code
from tests.sim.planner_world import B1, B2, BOX, C1, GATE, NOW, start_state


class Scenario:
    """A state, and what it was told to do last."""

    def __init__(self, slots: int = 2, durable: Durable | None = None) -> None:
        self.state: State = start_state(slots, durable or Durable())
        self.effects: tuple[Effect, ...] = ()
        self.records: tuple[Record, ...] = ()
        self.tell(Started())

    def tell(self, event: Event, at: float = 0.0) -> Scenario:
        self.state, self.effects, self.records = step(self.state, event, Instant(at, at))
        return self

    def proven(self) -> Scenario:
        """The bundle that is being prepared passes."""
        job = next(a for a in self.effects if isinstance(a, (Prepare, Restore)))
        return self.tell(BundleProven(job.token))

    def crossed(self) -> Scenario:
        ask = next(a for a in self.effects if isinstance(a, AskCutover))
        return self.tell(CutoverDone(ask.token))

    def running(self) -> Scenario:
        """With the configured version active."""
        return self.proven().crossed()

    def swapped(self) -> Scenario:
        return self.tell(swap("b@2")).proven().crossed()

    @property
    def active(self) -> str:
        return str(self.state.active_bundle.ref) if self.state.active_bundle else ""

    def announced(self) -> list[str]:
        return [a.event for a in self.records if isinstance(a, Announce)]


def running(product: str) -> OrderReceived:
    return OrderReceived(JobOrder(product, OrderState.RUNNING, NOW, id=f"wo-{product}"))


def prepared(scenario: Scenario) -> list[StoredBundle]:
    return [action.target for action in scenario.effects if isinstance(action, Prepare)]


def swap(model: str, number: int = 1) -> RequestReceived:
    return RequestReceived(Request(f"r{number}", Verb.SWAP, ModelChoice(*model.split("@"))))


def test_the_same_step_gives_the_same_answer() -> None:
    """No clock, no chance, no memory: state, event and moment are all."""
    one, other = Scenario().running(), Scenario().running()
    answer = step(one.state, swap("b@2"), NOW)
    assert answer == step(other.state, swap("b@2"), NOW)
    assert any(isinstance(effect, Prepare) for effect in answer[1])


def test_the_configured_version_needs_no_trial() -> None:
    """The operator's file counts as a confirmation, once."""
    scenario = Scenario().running()
    assert scenario.active == "b@1"
    assert scenario.state.durable.confirmed == (B1.ref,)
    assert scenario.state.durable.trial is None


def test_a_swap_starts_a_trial_and_selects() -> None:
    """Orders of its product use it from the cutover on."""
    scenario = Scenario().running().swapped()
    assert scenario.state.durable.trial is not None
    assert dict(scenario.state.durable.selected) == {"b": "2"}
    assert scenario.state.durable.confirmed == (B1.ref,)


def test_losses_and_restarts_of_a_trial_are_counted_together() -> None:
    """A version on trial has three starts in all, whoever died: its worker or the daemon."""
    scenario = Scenario().running().swapped()
    slot = scenario.state.slot(scenario.state.active or "")
    scenario.tell(SlotLost(slot.token, "segfault"))  # its first start came to nothing
    scenario = Scenario(
        durable=scenario.state.durable
    ).running()  # the daemon died under the second
    assert scenario.active == "b@2"
    slot = scenario.state.slot(scenario.state.active or "")
    scenario.tell(SlotLost(slot.token, "segfault"), at=1000.0)
    assert scenario.state.quarantine_reason(B2.ref) is not None
    assert scenario.state.op is not None
    assert scenario.state.op.target == B1


def test_a_rollback_may_be_asked_for_before_anything_judges() -> None:
    """The power was away, and somebody presses the button before the model is back: it is known
    which one judged last, and which was confirmed before it."""
    scenario = Scenario(durable=Scenario().running().swapped().state.durable)
    start = scenario.effects
    scenario.tell(RequestReceived(Request("r", Verb.ROLLBACK)))
    assert [a.status for a in scenario.records if isinstance(a, Reply)] == [Status.ACCEPTED]
    scenario.effects = (*start, *scenario.effects)
    scenario.proven().crossed()
    assert scenario.active == "b@2"
    scenario.proven().crossed()
    assert scenario.active == "b@1"
    assert scenario.state.quarantine_reason(B2.ref) is not None


def test_a_version_that_kills_the_daemon_before_it_judges_is_left() -> None:
    """An order brings a version whose load ends the daemon: it is tried three times in all."""
    durable = Scenario().running().tell(running("Q")).state.durable
    for _ in range(TRIES - 1):
        scenario = Scenario(durable=durable)
        assert prepared(scenario) == [C1]
        durable = scenario.state.durable
    scenario = Scenario(durable=durable)
    assert prepared(scenario) == []
    assert scenario.state.quarantine_reason(C1.ref) is not None


def test_a_confirmed_version_that_the_daemon_dies_under_rests() -> None:
    """Nothing else is there: it is tried again later, for the power may have failed instead."""
    durable = Scenario().running().state.durable
    for _ in range(TRIES):
        scenario = Scenario(durable=durable)
        assert prepared(scenario) == [B1]
        durable = scenario.state.durable
    scenario = Scenario(durable=durable)
    assert prepared(scenario) == []
    assert scenario.state.quarantine_reason(B1.ref) is None
    scenario.tell(TimePassed(), at=CALM_S)
    assert prepared(scenario) == [B1]
    scenario.proven().crossed()
    assert scenario.state.durable.begun == ()


def test_an_announced_order_is_prepared_though_nothing_fit_is_active() -> None:
    """The versions of one name are bad or must wait; the next order's model needs neither."""
    scenario = Scenario()
    for refusal in (GATE, BOX):
        job = next(a for a in scenario.effects if isinstance(a, Prepare))
        scenario.tell(BundleRefused(job.token, refusal))
    scenario.tell(OrderReceived(JobOrder("Q", OrderState.DISPATCHED, NOW, id="wo")))
    assert prepared(scenario) == [C1]


def test_new_links_count_for_the_product_that_is_made() -> None:
    """Its frames need the other model from now on; the same links change nothing."""
    scenario = Scenario().running().tell(running("P"))
    epoch = scenario.state.line.epoch
    scenario.tell(LinksChanged((("P", "b"), ("Q", "c"), ("R", "c"))))
    assert (scenario.state.line.epoch, scenario.state.line.requires) == (epoch, "b")
    scenario.tell(LinksChanged((("P", "c"),)))
    assert scenario.state.line.requires == "c"
    assert prepared(scenario) == [C1]
    scenario.tell(LinksChanged(()))
    assert not scenario.state.line.linked


def test_a_trial_that_sees_too_many_starts_is_over() -> None:
    """Tries fall with each start, and at none left the version is quarantined."""
    durable = Scenario().running().swapped().state.durable
    for left in range(TRIES - 1, 0, -1):
        scenario = Scenario(durable=durable)
        durable = scenario.state.durable
        assert durable.tries == left
        assert scenario.state.op is not None
        assert scenario.state.op.target == B2
    scenario = Scenario(durable=durable)
    assert scenario.state.quarantine_reason(B2.ref) is not None
    assert scenario.state.op is not None
    assert scenario.state.op.target == B1


def test_a_worker_lost_over_and_over_on_trial_condemns_the_version() -> None:
    """The third loss in a row leads back to the confirmed version."""
    scenario = Scenario().running().swapped()
    for _ in range(TRIES - 1):
        scenario.tell(SlotLost(scenario.state.slot(str(scenario.state.active)).token, "killed"))
        assert any(isinstance(a, Restore) for a in scenario.effects)
        scenario.proven()
    scenario.tell(SlotLost(scenario.state.slot(str(scenario.state.active)).token, "killed"))
    assert "trial_failed" in scenario.announced()
    assert scenario.crossed().active == "b@1"


def test_a_version_quarantined_while_the_lane_crosses_is_left_again() -> None:
    """The cutover cannot be taken back any more; it is neither confirmed nor selected."""
    scenario = Scenario().proven()
    scenario.tell(QuarantineChanged(B1.ref, "a recall"))
    scenario.tell(CutoverDone(scenario.state.op.token if scenario.state.op else 0))
    assert scenario.state.durable.confirmed == ()
    assert "b" not in dict(scenario.state.durable.selected)
    assert scenario.state.unfit
    assert scenario.state.op is not None
    assert scenario.state.op.target == B2


def revoked(scenario: Scenario, bundle: StoredBundle) -> Scenario:
    """A key or a digest was taken away: the store does not offer it any more, and says why."""
    left = tuple(known for known in scenario.state.available if known != bundle)
    why = Refusal(Code.NOT_TRUSTED, "It was revoked on this device.")
    return scenario.tell(StoreChanged(left, ((bundle.ref, why),)))


def outcomes(scenario: Scenario) -> list[tuple[str, str]]:
    replies = [action for action in scenario.records if isinstance(action, Reply)]
    return [(r.status.value, str(r.refusal.code) if r.refusal else "") for r in replies]


def test_what_waits_for_its_time_does_not_judge_once_it_is_revoked() -> None:
    """Resident, proven, accepted: it is refused when its time comes."""
    scenario = Scenario().running()
    request = Request("r1", Verb.SWAP, ModelChoice("b", "2"), at=AtTime(50.0))
    scenario.tell(RequestReceived(request)).proven()
    assert scenario.state.parked is not None
    revoked(scenario, B2).tell(TimePassed(), at=60.0)
    assert outcomes(scenario) == [("rejected", "not_trusted")]
    assert scenario.active == "b@1"


def test_what_is_revoked_while_it_is_proven_does_not_judge() -> None:
    """Its key was good when the job began."""
    scenario = Scenario().running().tell(swap("b@2"))
    jobs = scenario.effects
    revoked(scenario, B2)
    scenario.effects = jobs
    assert outcomes(scenario.proven()) == [("rejected", "not_trusted")]
    assert scenario.active == "b@1"


def test_nobody_goes_back_to_what_was_revoked() -> None:
    """Though it is resident still, and was confirmed."""
    scenario = Scenario().running().swapped()
    revoked(scenario, B1)
    back = RequestReceived(Request("r9", Verb.ROLLBACK))
    assert outcomes(scenario.tell(back)) == [("rejected", "nothing_to_roll_back")]
    assert outcomes(scenario.tell(swap("b@1", 3))) == [("rejected", "not_trusted")]
    assert scenario.active == "b@2"


def test_what_failed_for_this_boxs_sake_is_tried_again_later() -> None:
    """After a while, not at once and not never."""
    scenario = Scenario(1)
    job = next(a for a in scenario.effects if isinstance(a, Prepare))
    scenario.state = replace(scenario.state, available=(B1,))
    scenario.tell(BundleRefused(job.token, BOX))
    assert scenario.state.op is None
    scenario.tell(TimePassed(), at=RETRY_S - 1)
    assert scenario.state.op is None
    scenario.tell(TimePassed(), at=RETRY_S)
    assert any(isinstance(a, Prepare) for a in scenario.effects)


def test_an_announced_order_is_prepared_once_and_not_while_held() -> None:
    """`dispatched` is a hint, not a command."""
    order = JobOrder("Q", OrderState.DISPATCHED, NOW, "wo")
    scenario = Scenario().running().tell(OrderReceived(order))
    assert scenario.state.op is not None
    assert scenario.state.op.kind is Kind.PREFETCH
    held = Scenario().running().tell(RequestReceived(Request("h", Verb.HOLD)))
    held.tell(OrderReceived(order))
    assert (held.effects, held.records) == ((), ())


def test_an_order_is_stamped_from_its_arrival_on() -> None:
    """The boundary is the moment it came in, however late the planner hears of it."""
    scenario = Scenario().running()
    scenario.tell(OrderReceived(JobOrder("Q", OrderState.RUNNING, Instant(7.0, 7.0), "wo")), at=9.0)
    stamp = next(a for a in scenario.effects if isinstance(a, Stamp))
    assert stamp.since_at == 7.0
    assert (stamp.assignment.requires, stamp.assignment.job_order) == ("c", "wo")


def test_an_order_that_was_held_over_a_start_of_the_machine_counts_from_the_release_on() -> None:
    """The clock of its arrival was another one, and may be days ahead."""
    order = JobOrder("Q", OrderState.RUNNING, Instant(1e6, 7.0), "wo")
    scenario = Scenario(durable=Durable(held=True, held_orders=(order,))).running()
    scenario.tell(RequestReceived(Request("r", Verb.RELEASE)), at=9.0)
    stamp = next(a for a in scenario.effects if isinstance(a, Stamp))
    assert (stamp.since_at, stamp.assignment.job_order) == (9.0, "wo")


def test_the_same_order_said_twice_is_one() -> None:
    """A MES that repeats itself starts nothing anew."""
    event = OrderReceived(JobOrder("Q", OrderState.RUNNING, NOW, "wo"))
    scenario = Scenario().running().tell(event)
    before = scenario.state
    assert scenario.tell(event).state == before
    assert (scenario.effects, scenario.records) == ((), ())


@pytest.mark.parametrize("verb", Verb)
def test_what_comes_after_its_expiry_is_rejected_whatever_it_asks(verb: Verb) -> None:
    """At that very moment too; nothing is changed."""
    scenario = Scenario().running()
    before = scenario.state
    request = Request("r", verb, ModelChoice("b", "2"), expires_utc=9.0)
    assert scenario.tell(RequestReceived(request), at=9.0).state == before
    (reply,) = scenario.records
    assert isinstance(reply, Reply)
    assert reply.refusal is not None
    assert (reply.status, reply.refusal.code) == (Status.REJECTED, Code.EXPIRED)
    assert scenario.effects == ()


def test_no_trial_is_confirmed_before_its_version_is_loaded_again() -> None:
    """After a start the version on trial is still being loaded: nothing can be said of it."""
    scenario = Scenario(durable=Scenario().running().swapped().state.durable)
    assert scenario.state.durable.trial is not None
    scenario.tell(RequestReceived(Request("c", Verb.CONFIRM)))
    (reply,) = (each for each in scenario.records if isinstance(each, Reply))
    assert reply.status is Status.REJECTED
    assert scenario.state.durable.confirmed == (B1.ref,)


def test_a_late_judgement_of_another_trial_changes_nothing() -> None:
    """Only the trial that is on can end."""
    scenario = Scenario().running().swapped()
    before = scenario.state
    assert scenario.tell(TrialJudged("t-0", False, "late")).state == before


def test_who_asked_hears_how_far_the_work_is_and_nothing_of_an_older_job() -> None:
    scenario = Scenario().running().tell(swap("b@2"))
    job = next(a for a in scenario.effects if isinstance(a, Prepare))
    scenario.tell(StageReached(job.token, "load"))
    (reply,) = (each for each in scenario.records if isinstance(each, Reply))
    assert (reply.request.id, reply.status, reply.stage) == ("r1", Status.PROGRESS, "load")
    assert scenario.tell(StageReached(job.token - 1, "gate")).records == ()


def test_a_verb_that_is_not_about_orders_lifts_no_hold() -> None:
    """A picture is asked for while the line is held: taken, and the hold stays."""
    scenario = Scenario().running().tell(RequestReceived(Request("h", Verb.HOLD)))
    request = Request("n", Verb.SNAPSHOT)
    scenario.tell(RequestReceived(request))
    assert scenario.state.durable.held
    assert scenario.announced() == []


def test_an_order_that_wakes_a_swap_answers_the_request_that_waited() -> None:
    """Both wait for the daemon's own changeover, and one place is for one: the older one ends."""
    scenario = Scenario(3).running()
    later = Request("later", Verb.SWAP, ModelChoice("b", "2"), at=AtNextOrder())
    scenario.tell(RequestReceived(later)).proven()
    scenario.tell(running("Q"))
    scenario.tell(RequestReceived(Request("waits", Verb.PREPARE, ModelChoice("b", "2"))))
    scenario.tell(running("P"))
    ended = [(a.request.id, a.status) for a in scenario.records if isinstance(a, Reply)]
    assert ("waits", Status.SUPERSEDED) in ended


def test_what_an_operator_quarantines_is_not_confirmed_by_its_trial() -> None:
    """It judges on until something else is active; its trial is over."""
    scenario = Scenario().running().swapped()
    trial = scenario.state.durable.trial or ""
    scenario.tell(QuarantineChanged(B2.ref, "a recall"))
    assert scenario.announced() == ["trial_failed", "quarantined"]
    scenario.tell(TrialJudged(trial, True, "good"))
    assert scenario.state.durable.confirmed == (B1.ref,)
    assert (scenario.state.durable.trial, scenario.active) == (None, "b@2")


def test_a_line_without_orders_falls_back_to_what_was_confirmed_of_the_configured_name() -> None:
    """The configured version and the model that was swapped to are bad; a good one is there."""
    scenario = Scenario(3).running().swapped()
    scenario.tell(TrialJudged(scenario.state.durable.trial or "", True, "good"))
    scenario.tell(QuarantineChanged(B1.ref, "a recall"))
    scenario.tell(swap("c@1", 2)).proven()
    asked = scenario.state.op
    assert asked is not None
    scenario.tell(QuarantineChanged(C1.ref, "a recall")).tell(CutoverDone(asked.token))
    assert scenario.active == "c@1"
    assert scenario.crossed().active == "b@2"


def test_a_version_that_is_broken_on_disk_does_not_hide_the_one_before_it() -> None:
    """The newest of a name that was never judged by is refused: the next older one is tried."""
    newer = StoredBundle(BundleRef("c", "2"), "c@2")
    scenario = Scenario(1).running().tell(StoreChanged((B1, B2, C1, newer))).tell(running("Q"))
    check = next(a for a in scenario.effects if isinstance(a, Verify))
    assert check.target == newer
    scenario.tell(BundleRefused(check.token, Refusal(Code.DIGEST_MISMATCH, "other bytes")))
    assert [a.target for a in scenario.effects if isinstance(a, Verify)] == [C1]


SCRATCH = Recipe(
    rules=(Rule("scratch", "scratch", 0.4, at_most=0),),
    adjustable=(Adjustable("scratch.confidence", 0.3, 0.6),),
)


def tune(value: float, name: str = "b") -> RequestReceived:
    changes = (("scratch.confidence", value),)
    request = Request(f"t{value}{name}", Verb.TUNE, ModelChoice(name), changes=changes)
    return RequestReceived(request, 0, SCRATCH)


def test_a_tuning_outlives_another_product_and_no_other_version() -> None:
    """Its model is back with its order, tuned as it was; another version of it begins anew."""
    scenario = Scenario(3).running().tell(tune(0.5))
    assert [type(effect) for effect in scenario.effects] == [ApplyTuning]
    assert scenario.announced() == ["tuned"]
    held = scenario.state.durable.tunings
    assert [(each.target, each.changes) for each in held] == [(B1, (("scratch.confidence", 0.5),))]
    scenario.tell(OrderReceived(JobOrder("Q", OrderState.RUNNING, NOW, id="q"))).proven().crossed()
    assert (scenario.active, scenario.state.durable.tunings) == ("c@1", held)
    scenario.tell(tune(0.5))
    assert scenario.effects == (), "only what judges is tuned"
    scenario.tell(OrderReceived(JobOrder("P", OrderState.RUNNING, NOW, id="p"))).crossed()
    assert (scenario.active, scenario.state.durable.tunings) == ("b@1", held)
    scenario.tell(OrderReceived(JobOrder(None, OrderState.COMPLETED, NOW, id="p")))
    scenario.swapped()
    assert (scenario.active, scenario.state.durable.tunings) == ("b@2", ())


def test_the_same_tuning_again_moves_nothing() -> None:
    """It is answered well; nothing is announced, and nobody is named anew."""
    scenario = Scenario().running().tell(tune(0.5))
    before = scenario.state
    scenario.tell(tune(0.5), at=5.0)
    assert (scenario.state, scenario.effects, scenario.announced()) == (before, (), [])
    assert [each.status for each in scenario.records if isinstance(each, Reply)] == [
        Status.ACCEPTED,
        Status.SUCCEEDED,
    ]


def test_a_tuning_that_lets_a_golden_defect_pass_is_refused() -> None:
    """The bounds allow it and the proof does not: nothing is moved, and the check is named."""
    box = (0.0, 0.0, 9.0, 9.0)
    shown = Expectation("all", (ExpectedBox("scratch", box),))
    golden = (Golden(shown, (Detection("scratch", 0.45, box),)),)
    scenario = Scenario().running().tell(replace(tune(0.42), golden=golden))
    held = scenario.state.durable.tunings
    assert scenario.announced() == ["tuned"]
    scenario.tell(replace(tune(0.5), golden=golden))
    assert (scenario.state.durable.tunings, scenario.effects) == (held, ())
    (reply,) = (each for each in scenario.records if isinstance(each, Reply))
    assert reply.refusal is not None
    assert reply.refusal.code is Code.PRECONDITION_FAILED
    assert "golden.escape would fail on the golden images: 1.0 where the limit is 0.0" in (
        reply.refusal.message
    )


def test_what_failed_and_was_accepted_forbids_no_tuning() -> None:
    """The signed values fail the same check: a person has accepted that."""
    shown = Expectation("all", (ExpectedBox("scratch", (0.0, 0.0, 9.0, 9.0)),))
    scenario = Scenario().running().tell(replace(tune(0.5), golden=(Golden(shown, ()),)))
    assert scenario.announced() == ["tuned"]
