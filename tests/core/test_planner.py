"""The planner's rules that a story is too slow for: told event by event."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core.effects import AskCutover, Effect, Prepare, Restore, Retune, Stamp, Verify
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
    Started,
    StoreChanged,
    TimePassed,
    TrialJudged,
)
from edge_daemon.core.health import CALM_S
from edge_daemon.core.planner import RETRY_S, step
from edge_daemon.core.records import Announce, Record, Reply
from edge_daemon.core.state import TRIES, Durable, Kind, State
from edge_daemon.core.values import (
    Adjustable,
    AtNextOrder,
    AtTime,
    BundleRef,
    Instant,
    JobOrder,
    Known,
    ModelChoice,
    OrderState,
    Recipe,
    Refusal,
    Request,
    Rule,
    Status,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code
from tests.sim.planner_world import B1, B2, BOX, C1, GATE, NOW, start_state


class Tale:
    """A state, and what it was told to do last."""

    def __init__(self, slots: int = 2, durable: Durable | None = None) -> None:
        self.state: State = start_state(slots, durable or Durable())
        self.effects: tuple[Effect, ...] = ()
        self.records: tuple[Record, ...] = ()
        self.tell(Started())

    def tell(self, event: Event, at: float = 0.0) -> Tale:
        self.state, self.effects, self.records = step(self.state, event, Instant(at, at))
        return self

    def proven(self) -> Tale:
        """The bundle that is being prepared passes."""
        job = next(a for a in self.effects if isinstance(a, (Prepare, Restore)))
        return self.tell(BundleProven(job.token))

    def crossed(self, frame: int = 1) -> Tale:
        ask = next(a for a in self.effects if isinstance(a, AskCutover))
        return self.tell(CutoverDone(ask.token, frame))

    def running(self) -> Tale:
        """With the configured version active."""
        return self.proven().crossed()

    def swapped(self) -> Tale:
        return self.tell(swap("b@2")).proven().crossed()

    @property
    def active(self) -> str:
        return str(self.state.active_bundle.ref) if self.state.active_bundle else ""

    def announced(self) -> list[str]:
        return [a.event for a in self.records if isinstance(a, Announce)]


def running(product: str) -> OrderReceived:
    return OrderReceived(JobOrder(product, OrderState.RUNNING, NOW, id=f"wo-{product}"))


def prepared(tale: Tale) -> list[Known]:
    return [action.target for action in tale.effects if isinstance(action, Prepare)]


def swap(model: str, number: int = 1) -> RequestReceived:
    return RequestReceived(Request(f"r{number}", Verb.SWAP, ModelChoice(*model.split("@"))))


def test_the_same_step_gives_the_same_answer() -> None:
    """No clock, no chance, no memory: state, event and moment are all."""
    tale = Tale().running()
    assert step(tale.state, swap("b@2"), NOW) == step(tale.state, swap("b@2"), NOW)


def test_the_configured_version_needs_no_trial() -> None:
    """The operator's file counts as a confirmation, once."""
    tale = Tale().running()
    assert tale.active == "b@1"
    assert tale.state.durable.confirmed == (B1.ref,)
    assert tale.state.durable.trial is None


def test_a_swap_starts_a_trial_and_selects() -> None:
    """Orders of its product use it from the cutover on."""
    tale = Tale().running().swapped()
    assert tale.state.durable.trial is not None
    assert dict(tale.state.durable.selected) == {"b": "2"}
    assert tale.state.durable.confirmed == (B1.ref,)


def test_losses_and_restarts_of_a_trial_are_counted_together() -> None:
    """A version on trial has three starts in all, whoever died: its worker or the daemon."""
    tale = Tale().running().swapped()
    slot = tale.state.slot(tale.state.active or "")
    tale.tell(SlotLost(slot.token, "segfault"))  # its first start came to nothing
    tale = Tale(durable=tale.state.durable).running()  # the daemon died under the second
    assert tale.active == "b@2"
    slot = tale.state.slot(tale.state.active or "")
    tale.tell(SlotLost(slot.token, "segfault"), at=1000.0)
    assert tale.state.quarantine_reason(B2.ref) is not None
    assert tale.state.op is not None
    assert tale.state.op.target == B1


def test_a_rollback_may_be_asked_for_before_anything_judges() -> None:
    """The power was away, and somebody presses the button before the model is back: it is known
    which one judged last, and which was confirmed before it."""
    tale = Tale(durable=Tale().running().swapped().state.durable)
    start = tale.effects
    tale.tell(RequestReceived(Request("r", Verb.ROLLBACK)))
    assert [a.status for a in tale.records if isinstance(a, Reply)] == [Status.ACCEPTED]
    tale.effects = (*start, *tale.effects)
    tale.proven().crossed()
    assert tale.active == "b@2"
    tale.proven().crossed()
    assert tale.active == "b@1"
    assert tale.state.quarantine_reason(B2.ref) is not None


def test_a_version_that_kills_the_daemon_before_it_judges_is_left() -> None:
    """An order brings a version whose load ends the daemon: it is tried three times in all."""
    durable = Tale().running().tell(running("Q")).state.durable
    for _ in range(TRIES - 1):
        tale = Tale(durable=durable)
        assert prepared(tale) == [C1]
        durable = tale.state.durable
    tale = Tale(durable=durable)
    assert prepared(tale) == []
    assert tale.state.quarantine_reason(C1.ref) is not None


def test_a_confirmed_version_that_the_daemon_dies_under_rests() -> None:
    """Nothing else is there: it is tried again later, for the power may have failed instead."""
    durable = Tale().running().state.durable
    for _ in range(TRIES):
        tale = Tale(durable=durable)
        assert prepared(tale) == [B1]
        durable = tale.state.durable
    tale = Tale(durable=durable)
    assert prepared(tale) == []
    assert tale.state.quarantine_reason(B1.ref) is None
    tale.tell(TimePassed(), at=CALM_S)
    assert prepared(tale) == [B1]
    tale.proven().crossed()
    assert tale.state.durable.begun == ()


def test_an_announced_order_is_prepared_though_nothing_fit_is_active() -> None:
    """The versions of one name are bad or must wait; the next order's model needs neither."""
    tale = Tale()
    for refusal in (GATE, BOX):
        job = next(a for a in tale.effects if isinstance(a, Prepare))
        tale.tell(BundleRefused(job.token, refusal))
    tale.tell(OrderReceived(JobOrder("Q", OrderState.DISPATCHED, NOW, id="wo")))
    assert prepared(tale) == [C1]


def test_new_links_count_for_the_product_that_is_made() -> None:
    """Its frames need the other model from now on; the same links change nothing."""
    tale = Tale().running().tell(running("P"))
    epoch = tale.state.line.epoch
    tale.tell(LinksChanged((("P", "b"), ("Q", "c"), ("R", "c"))))
    assert (tale.state.line.epoch, tale.state.line.requires) == (epoch, "b")
    tale.tell(LinksChanged((("P", "c"),)))
    assert tale.state.line.requires == "c"
    assert prepared(tale) == [C1]
    tale.tell(LinksChanged(()))
    assert not tale.state.line.linked


def test_a_trial_that_sees_too_many_starts_is_over() -> None:
    """Tries fall with each start, and at none left the version is quarantined."""
    durable = Tale().running().swapped().state.durable
    for left in range(TRIES - 1, 0, -1):
        tale = Tale(durable=durable)
        durable = tale.state.durable
        assert durable.tries == left
        assert tale.state.op is not None
        assert tale.state.op.target == B2
    tale = Tale(durable=durable)
    assert tale.state.quarantine_reason(B2.ref) is not None
    assert tale.state.op is not None
    assert tale.state.op.target == B1


def test_a_worker_lost_over_and_over_on_trial_condemns_the_version() -> None:
    """The third loss in a row leads back to the confirmed version."""
    tale = Tale().running().swapped()
    for _ in range(TRIES - 1):
        tale.tell(SlotLost(tale.state.slot(str(tale.state.active)).token, "killed"))
        assert any(isinstance(a, Restore) for a in tale.effects)
        tale.proven()
    tale.tell(SlotLost(tale.state.slot(str(tale.state.active)).token, "killed"))
    assert "trial_failed" in tale.announced()
    assert tale.crossed().active == "b@1"


def test_a_version_quarantined_while_the_lane_crosses_is_left_again() -> None:
    """The cutover cannot be taken back any more; it is neither confirmed nor selected."""
    tale = Tale().proven()
    tale.tell(QuarantineChanged(B1.ref, "a recall"))
    tale.tell(CutoverDone(tale.state.op.token if tale.state.op else 0, 1))
    assert tale.state.durable.confirmed == ()
    assert "b" not in dict(tale.state.durable.selected)
    assert tale.state.unfit
    assert tale.state.op is not None
    assert tale.state.op.target == B2


def revoked(tale: Tale, bundle: Known) -> Tale:
    """A key or a digest was taken away: the store does not offer it any more, and says why."""
    left = tuple(known for known in tale.state.available if known != bundle)
    why = Refusal(Code.NOT_TRUSTED, "It was revoked on this device.")
    return tale.tell(StoreChanged(left, ((bundle.ref, why),)))


def outcomes(tale: Tale) -> list[tuple[str, str]]:
    replies = [action for action in tale.records if isinstance(action, Reply)]
    return [(r.status.value, str(r.refusal.code) if r.refusal else "") for r in replies]


def test_what_waits_for_its_time_does_not_judge_once_it_is_revoked() -> None:
    """Resident, proven, accepted: it is refused when its time comes."""
    tale = Tale().running()
    request = Request("r1", Verb.SWAP, ModelChoice("b", "2"), at=AtTime(50.0))
    tale.tell(RequestReceived(request)).proven()
    assert tale.state.parked is not None
    revoked(tale, B2).tell(TimePassed(), at=60.0)
    assert outcomes(tale) == [("rejected", "not_trusted")]
    assert tale.active == "b@1"


def test_what_is_revoked_while_it_is_proven_does_not_judge() -> None:
    """Its key was good when the job began."""
    tale = Tale().running().tell(swap("b@2"))
    jobs = tale.effects
    revoked(tale, B2)
    tale.effects = jobs
    assert outcomes(tale.proven()) == [("rejected", "not_trusted")]
    assert tale.active == "b@1"


def test_nobody_goes_back_to_what_was_revoked() -> None:
    """Though it is resident still, and was confirmed."""
    tale = Tale().running().swapped()
    revoked(tale, B1)
    back = RequestReceived(Request("r9", Verb.ROLLBACK))
    assert outcomes(tale.tell(back)) == [("rejected", "nothing_to_roll_back")]
    assert outcomes(tale.tell(swap("b@1", 3))) == [("rejected", "not_trusted")]
    assert tale.active == "b@2"


def test_what_failed_for_this_boxs_sake_is_tried_again_later() -> None:
    """After a while, not at once and not never."""
    tale = Tale(1)
    job = next(a for a in tale.effects if isinstance(a, Prepare))
    tale.state = replace(tale.state, available=(B1,))
    tale.tell(BundleRefused(job.token, BOX))
    assert tale.state.op is None
    tale.tell(TimePassed(), at=RETRY_S - 1)
    assert tale.state.op is None
    tale.tell(TimePassed(), at=RETRY_S)
    assert any(isinstance(a, Prepare) for a in tale.effects)


def test_an_announced_order_is_prepared_once_and_not_while_held() -> None:
    """`dispatched` is a hint, not a command."""
    order = JobOrder("Q", OrderState.DISPATCHED, NOW, "wo")
    tale = Tale().running().tell(OrderReceived(order))
    assert tale.state.op is not None
    assert tale.state.op.kind is Kind.PREFETCH
    held = Tale().running().tell(RequestReceived(Request("h", Verb.HOLD)))
    held.tell(OrderReceived(order))
    assert (held.effects, held.records) == ((), ())


def test_an_order_is_stamped_from_its_arrival_on() -> None:
    """The boundary is the moment it came in, however late the planner hears of it."""
    tale = Tale().running()
    tale.tell(OrderReceived(JobOrder("Q", OrderState.RUNNING, Instant(7.0, 7.0), "wo")), at=9.0)
    stamp = next(a for a in tale.effects if isinstance(a, Stamp))
    assert stamp.since_at == 7.0
    assert (stamp.assignment.requires, stamp.assignment.job_order) == ("c", "wo")


def test_the_same_order_said_twice_is_one() -> None:
    """A MES that repeats itself starts nothing anew."""
    event = OrderReceived(JobOrder("Q", OrderState.RUNNING, NOW, "wo"))
    tale = Tale().running().tell(event)
    before = tale.state
    assert tale.tell(event).state == before
    assert (tale.effects, tale.records) == ((), ())


def test_a_late_judgement_of_another_trial_changes_nothing() -> None:
    """Only the trial that is on can end."""
    tale = Tale().running().swapped()
    before = tale.state
    assert tale.tell(TrialJudged("t-0", False, "late")).state == before


def test_a_verb_that_is_not_about_orders_lifts_no_hold() -> None:
    """A picture is asked for while the line is held: taken, and the hold stays."""
    tale = Tale().running().tell(RequestReceived(Request("h", Verb.HOLD)))
    request = Request("n", Verb.SNAPSHOT)
    tale.tell(RequestReceived(request))
    assert tale.state.durable.held
    assert tale.announced() == []


def test_an_order_that_wakes_a_swap_answers_the_request_that_waited() -> None:
    """Both wait for the daemon's own changeover, and one place is for one: the older one ends."""
    tale = Tale(3).running()
    later = Request("later", Verb.SWAP, ModelChoice("b", "2"), at=AtNextOrder())
    tale.tell(RequestReceived(later)).proven()
    tale.tell(running("Q"))
    tale.tell(RequestReceived(Request("waits", Verb.PREPARE, ModelChoice("b", "2"))))
    tale.tell(running("P"))
    ended = [(a.request.id, a.status) for a in tale.records if isinstance(a, Reply)]
    assert ("waits", Status.SUPERSEDED) in ended


def test_what_an_operator_quarantines_is_not_confirmed_by_its_trial() -> None:
    """It judges on until something else is active; its trial is over."""
    tale = Tale().running().swapped()
    trial = tale.state.durable.trial or ""
    tale.tell(QuarantineChanged(B2.ref, "a recall"))
    assert tale.announced() == ["trial_failed", "quarantined"]
    tale.tell(TrialJudged(trial, True, "good"))
    assert tale.state.durable.confirmed == (B1.ref,)
    assert (tale.state.durable.trial, tale.active) == (None, "b@2")


def test_a_line_without_orders_falls_back_to_what_was_confirmed_of_the_configured_name() -> None:
    """The configured version and the model that was swapped to are bad; a good one is there."""
    tale = Tale(3).running().swapped()
    tale.tell(TrialJudged(tale.state.durable.trial or "", True, "good"))
    tale.tell(QuarantineChanged(B1.ref, "a recall"))
    tale.tell(swap("c@1", 2)).proven()
    asked = tale.state.op
    assert asked is not None
    tale.tell(QuarantineChanged(C1.ref, "a recall")).tell(CutoverDone(asked.token, 9))
    assert tale.active == "c@1"
    assert tale.crossed().active == "b@2"


def test_a_version_that_is_broken_on_disk_does_not_hide_the_one_before_it() -> None:
    """The newest of a name that was never judged by is refused: the next older one is tried."""
    newer = Known(BundleRef("c", "2"), "c@2")
    tale = Tale(1).running().tell(StoreChanged((B1, B2, C1, newer))).tell(running("Q"))
    check = next(a for a in tale.effects if isinstance(a, Verify))
    assert check.target == newer
    tale.tell(BundleRefused(check.token, Refusal(Code.DIGEST_MISMATCH, "other bytes")))
    assert [a.target for a in tale.effects if isinstance(a, Verify)] == [C1]


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
    tale = Tale(3).running().tell(tune(0.5))
    assert [type(effect) for effect in tale.effects] == [Retune]
    assert tale.announced() == ["tuned"]
    held = tale.state.durable.tunings
    assert [(each.target, each.changes) for each in held] == [(B1, (("scratch.confidence", 0.5),))]
    tale.tell(OrderReceived(JobOrder("Q", OrderState.RUNNING, NOW, id="q"))).proven().crossed()
    assert (tale.active, tale.state.durable.tunings) == ("c@1", held)
    tale.tell(tune(0.5))
    assert tale.effects == (), "only what judges is tuned"
    tale.tell(OrderReceived(JobOrder("P", OrderState.RUNNING, NOW, id="p"))).crossed()
    assert (tale.active, tale.state.durable.tunings) == ("b@1", held)
    tale.tell(OrderReceived(JobOrder(None, OrderState.COMPLETED, NOW, id="p")))
    tale.swapped()
    assert (tale.active, tale.state.durable.tunings) == ("b@2", ())


def test_the_same_tuning_again_moves_nothing() -> None:
    """It is answered well; nothing is announced, and nobody is named anew."""
    tale = Tale().running().tell(tune(0.5))
    before = tale.state
    tale.tell(tune(0.5), at=5.0)
    assert (tale.state, tale.effects, tale.announced()) == (before, (), [])
    assert [each.status for each in tale.records if isinstance(each, Reply)] == [
        Status.ACCEPTED,
        Status.SUCCEEDED,
    ]
