"""A whole station without processes: the real control room and lane, simulated slots and broker.

    with Station(tmp_path) as station:
        station.run()                                # bottle@1.0.0 judges
        outcome = station.ask("swap", model="bottle@2.0.0")

The camera captures a frame every two milliseconds. A second station on the same folder and broker
is the restart of the first.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from edge_daemon.config import GateSettings, MqttSettings, SlotsSettings
from edge_daemon.config.settings import OrderSource
from edge_daemon.control.block_scheduler import BlockScheduler
from edge_daemon.control.driver import Driver
from edge_daemon.control.driver_services import DriverServices
from edge_daemon.control.durable import decode_durable
from edge_daemon.control.feedback_handler import FeedbackHandler, FeedbackTools
from edge_daemon.control.forecasts import Forecasts
from edge_daemon.control.gate_runner import GateRunner
from edge_daemon.control.loader import Loader, LoaderTools
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.control.order_handler import OrderHandler
from edge_daemon.control.order_intake import OrderIntake
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.outbox import Outbox
from edge_daemon.control.proofs import Proofs
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.recorder import Recorder
from edge_daemon.control.reporter import Reporter, stock
from edge_daemon.control.request_intake import RequestIntake
from edge_daemon.control.rollout_evaluator import RolloutEvaluator
from edge_daemon.control.rollout_plans import RolloutPlans
from edge_daemon.control.rollout_recorder import EvaluatorTools
from edge_daemon.control.rows import Rows
from edge_daemon.control.store_scan import Newcomers, StoreScan
from edge_daemon.core.events import SlotLost, SnapshotTaken, StoreChanged
from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.blocks import Meter
from edge_daemon.core.rollout.values import Bounds, Split
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import Detection, Instant, ModelChoice, Request
from edge_daemon.errors import EdgeDaemonError, StateError
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.ring import Ring
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.memory import FrameShape
from edge_daemon.host.metrics import Metrics
from edge_daemon.messaging.messages import Handlers
from edge_daemon.messaging.mqtt import SessionSpec
from edge_daemon.messaging.orders import compile_source
from edge_daemon.messaging.payloads import Info
from edge_daemon.messaging.topics import Topics
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.frame_control import ShadowTally
from edge_daemon.slots.slot import LoadOrder
from tests.sim.broker import Packet, SimBroker, SimSession
from tests.sim.bundles import make_bundle
from tests.sim.slot import Script, SimSlot

TOPICS = Topics("edge/cam1")
SHAPE = FrameShape(48, 64)
GENEROUS_S = 30.0
OUTCOMES = {"succeeded", "rejected", "failed", "superseded", "expired", "interrupted"}


class ShiftedClock:
    """The system's clock, set forward as a test says."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._ahead_s = 0.0

    def now(self) -> Instant:
        now = self._clock.now()
        return Instant(now.at + self._ahead_s, now.utc + self._ahead_s)

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds


class BreakableJournal(Journal):
    """A real journal on a disk that a test fills up."""

    is_full = False
    is_unreadable = False
    keeps_proofs = True
    commits = 0
    order_commits = 0
    """Those that put an order on record."""

    def commit(self, entry: Entry) -> None:
        if self.is_full or (entry.proofs and not self.keeps_proofs):
            raise StateError("There is no room left on the disk.", hint="Free space.")
        super().commit(entry)
        self.commits += 1
        self.order_commits += any(row.kind == "order" for row in entry.audit)

    def find_request(self, id: str) -> Any:  # noqa: A002 - the contract's word
        if self.is_unreadable:
            raise StateError("The disk cannot be read.", hint="Replace it.")
        return super().find_request(id)


def sees_golden(order: LoadOrder, path: Path) -> tuple[Detection, ...]:
    """What the first golden image of every made bundle asks for."""
    return (Detection(order.classes[-1], 0.9, (8.0, 8.0, 24.0, 24.0)),)


@dataclass
class Plan:
    """How the station is set up."""

    bundles: tuple[str, ...] = ("bottle@1.0.0", "bottle@2.0.0", "can@1.0.0")
    slots: int = 2
    initial: str | None = "bottle@1.0.0"
    places: int = 512
    trial: TrialLimits = field(default_factory=lambda: TrialLimits(5, 0.0))
    load_timeout_s: float = GENEROUS_S
    gpu: str | None = None
    gate: dict[str, Any] = field(default_factory=dict)
    box: dict[str, str] = field(default_factory=lambda: {"device": "cpu", "torch": "2.10.0"})
    links: tuple[tuple[str, str], ...] = (("BTL", "bottle"), ("CAN", "can"))
    protocol: Literal[5, 4] = 5
    floor: float | None = None  # down to which models report what counts for nothing
    bounds: Bounds = field(default_factory=Bounds)
    audit: float = 0.0  # of the passed parts, those that a person is to look at


class Station:
    """Every part that the daemon has between the session and the slots."""

    def __init__(
        self, folder: Path, plan: Plan | None = None, broker: SimBroker | None = None
    ) -> None:
        self.plan = plan or Plan()
        self.folder = folder
        self.clock = ShiftedClock()
        self.script = Script(detect_file=sees_golden)
        self.broker = broker or SimBroker()
        self.boot = uuid.uuid4().hex[:8]
        self.results: list[Judged] = []
        self.may_look = threading.Event()  # at the whole store
        self.may_look.set()
        self.looks = 0
        """At the whole store, for the sake of a request."""
        self.rollout_states: list[bytes] = []
        self.meter = Meter()
        self.evaluator_puts: list[Any] = []
        """What the rollout's evaluator would tell the driver."""
        self.shadowed: Callable[[], ShadowTally] = ShadowTally
        """What the candidate did not see."""
        self.splits: list[Split | None] = []
        """What the line was told to do with a candidate, in order."""
        self.snapshot_error: EdgeDaemonError | None = None
        self._heard: list[Packet] = []
        self._by_topic: dict[str, list[tuple[int, Packet]]] = {}  # each with its place in `_heard`
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._camera_paused = threading.Event()
        for ref in self.plan.bundles:
            if not (folder / "store" / ref.replace("@", "/")).exists():
                make_bundle(folder / "store", ref, golden=1)
        self._build()
        self.broker.subscribe(f"ops-{self.boot}", ("#",), self._hear)

    # ------------------------------------------------------------------ parts

    def _build(self) -> None:
        plan = self.plan
        self.mailbox = Mailbox()
        self.journal = BreakableJournal.open(self.folder / "state")
        self.store = Store(self.folder / "store", self.folder / "state")
        self.ring = Ring(plan.places, opened=False)
        slots = {name: SimSlot(name, script=self.script) for name in "ABCD"[: plan.slots]}
        self.active_slot = ActiveSlot(slots, self.ring.wake)
        self.ledger = Ledger()
        outlets = Outlets(
            self._publish,
            lambda judged, captured: None,
            self.mailbox.put,
            lambda load, why: self.mailbox.put(SlotLost(load, why)),
        )
        self.line = LiveLine(self.ring, self.ledger, self.clock, outlets)
        self.lane = Lane(self.ring, self.active_slot, self.line, self.clock.now)
        spec = SessionSpec(
            MqttSettings(protocol=self.plan.protocol), TOPICS, "cam1", ("mes/orders",)
        )
        self.session = SimSession(self.broker, spec, self.clock)
        self.outbox = Outbox(self.journal, self.session)
        self._build_control()
        self._threads = [
            threading.Thread(target=self.lane.run, name="lane", daemon=True),
            threading.Thread(target=self._capture, name="camera", daemon=True),
        ]

    def _build_control(self) -> None:
        plan = self.plan
        gate = GateSettings(memory_headroom_mb=0, load_timeout_s=plan.load_timeout_s, **plan.gate)
        headroom = {"host": 1 << 30}
        runner = GateRunner(gate, self.line, self.active_slot, lambda: headroom)
        scratch = self.folder / "scratch"
        slots = SlotsSettings(count=plan.slots)
        trust = Trust((), required=False)
        proofs = Proofs(self.journal, gate, lambda: plan.box, lambda: self.clock.now().utc)
        bench = LoaderTools(
            self.store,
            trust,
            gate,
            slots,
            scratch,
            runner,
            self.clock,
            gpu=plan.gpu,
            proofs=proofs,
            floor_of=lambda _: plan.floor,
        )
        self.loader = Loader(bench, self.active_slot, self.mailbox.put, self._incumbent)
        loader = self.loader
        self.receipts = Receipts(
            self.boot,
            self.line,
            loader.proof_of,
            loader.recipe_of,
            self.journal.audit_head,
        )
        self.metrics = Metrics()
        rows = Rows(self.boot, TOPICS, self.clock)
        self.recorder = Recorder(
            self.journal, rows, self.session, self.receipts, self.metrics, self.outbox.wake
        )
        self.feedback = FeedbackHandler(
            FeedbackTools(
                self.journal, rows, self.session, self.metrics, self.boot, self.outbox.wake
            )
        )
        self.rollouts = RolloutEvaluator(
            EvaluatorTools(
                self.journal,
                self.evaluator_puts.append,
                self.rollout_states.append,
                lambda: self.ledger.counts().captured,
                self.metrics,
                self.clock,
                blocks=BlockScheduler(self.active_slot.turns, lambda: self.meter),
                audit=plan.audit,
                shadowed=self._shadowed,
            ),
            self.feedback,
        )
        """Its threads are not started: see `evaluate`."""
        info = Info(
            device="cam1",
            version="1",
            boot=self.boot,
            started="",
            verbs=(),
            slots=self.plan.slots,
            hardware="cpu",
            camera="sim:",
        )
        self.reporter = Reporter(self.session, TOPICS, info)
        readers = (compile_source(OrderSource(topic="mes/orders", preset="flat")),)
        self.intake = OrderIntake(readers, self.line, self.mailbox.put)
        memory = OrderMemory(self.journal.orders())
        self.orders = OrderHandler(readers, memory, self.recorder, self.clock)
        services = DriverServices(
            intake=RequestIntake(self.journal, self.recorder, self.session, self.metrics),
            recorder=self.recorder,
            loader=self.loader,
            active_slot=self.active_slot,
            line=self.line,
            receipts=self.receipts,
            clock=self.clock,
            orders=self.orders,
            store_scan=StoreScan(
                Newcomers(self.folder / "store", self.clock), self._look_again, self.mailbox.call
            ),
            publish=self.reporter.model,
            take_snapshot=self._take_snapshot,
            foretell=Forecasts(self.journal, self.mailbox.put, lambda: self.clock.now().utc).make,
            plan_of=RolloutPlans(self.store, plan.bounds, plan.audit).of,
            split=self.splits.append,
            stepped=self.rollouts.recorder.stepped,
            quarantine_changed=lambda _: None,
        )
        self.driver = Driver(self.mailbox, services, self._first_state(), plan.trial)

    def evaluate(self) -> None:
        """One turn of each of the rollout's threads: all that came is recorded and decided."""
        self.rollouts.recorder.record()
        self.rollouts.answer()
        for _ in range(2):  # the labels, and their write
            self.rollouts.recorder.record()
        self.rollouts.decide()
        self.rollouts.recorder.record()

    def _shadowed(self) -> ShadowTally:
        return self.shadowed()

    def _first_state(self) -> State:
        initial = self.plan.initial
        return State(
            boot=self.boot,
            slots=tuple(SlotState(name) for name in self.active_slot.slots),
            links=self.plan.links,
            initial=ModelChoice(*initial.split("@")) if initial else None,
            available=self.store.available(),
            durable=decode_durable(self.journal.state()),
        )

    def _look_again(self) -> StoreChanged:
        self.looks += 1
        assert self.may_look.wait(GENEROUS_S)
        return stock(self.store.offer())

    def _incumbent(self) -> Manifest | None:
        known = self.active_slot.pointer.known
        return self.store.manifest(known.ref) if known else None

    def _take_snapshot(self, request: Request) -> None:
        self.mailbox.put(SnapshotTaken(request))

    # ------------------------------------------------------------------ running

    def start(self) -> Station:
        rollout = self.driver.state.durable.rollout
        self.recorder.interrupt_open(rollout.request_id if rollout is not None else None)
        self.session.start(Handlers(self.mailbox.put_request, self.intake.came))
        self.outbox.start()
        for thread in self._threads:
            thread.start()
        self.driver.start()
        return self

    def run(self, model: str | None = None) -> Station:
        """Start, and go on once the model judges frames."""
        self.start()
        self.until_active(model or self.plan.initial or "")
        return self

    def stop(self, *, abruptly: bool = False) -> None:
        """In order; or as a power cut leaves it: what is under way ends nowhere."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.script.open_loads()
        if abruptly:
            self.session.cut()
        self.driver.stop(GENEROUS_S)
        self.ring.close()
        self.lane.give_up()
        self.outbox.stop()
        self.loader.close()
        self.session.stop()
        self.journal.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(GENEROUS_S)
        self.broker.leave(f"ops-{self.boot}", [])
        assert self.driver.failure is None, self.driver.failure

    def restarted(self, *, abruptly: bool = False) -> Station:
        """The next start on the same folder, with the same broker."""
        self.stop(abruptly=abruptly)
        return Station(self.folder, self.plan, self.broker)

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The driver is at something else meanwhile: whatever arrives waits."""
        begun, over = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert over.wait(GENEROUS_S)

        self.mailbox.call(work)
        assert begun.wait(GENEROUS_S)
        try:
            yield
        finally:
            over.set()

    def pause_camera(self) -> None:
        self._camera_paused.set()

    def resume_camera(self) -> None:
        self._camera_paused.clear()

    def _capture(self) -> None:
        while not self._stopping.wait(0.002):
            if not self._camera_paused.is_set():
                lease = self.ring.begin(SHAPE)
                lease.pixels.fill(7)
                self.ring.commit(lease, self.clock.now())

    # ------------------------------------------------------------------ asking

    def send(self, verb: str, *, retain: bool = False, **document: Any) -> str:
        """Publish a request; returns its id."""
        document.setdefault("id", uuid.uuid4().hex)
        body = json.dumps(document).encode()
        self.broker.publish(Packet(TOPICS.request(verb), body, 1, retain))
        return str(document["id"])

    def send_correlated(self, verb: str, correlation: bytes, response_topic: str) -> None:
        """Publish a request without an id of its own, as MQTT 5 libraries do."""
        self.broker.publish(
            Packet(
                TOPICS.request(verb),
                b"{}",
                1,
                response_topic=response_topic,
                correlation=correlation,
            )
        )

    def ask(self, verb: str, **document: Any) -> dict[str, Any]:
        """Publish a request and wait for its outcome."""
        return self.outcome(self.send(verb, **document))

    def order(
        self, product: str, status: str = "running", order: str = "WO-1", *, retain: bool = False
    ) -> None:
        self.tell({"workOrder": order, "productCode": product, "status": status}, retain=retain)

    def tell(self, order: Any, *, retain: bool = False) -> None:
        """Publish whatever a MES might; bytes as they are."""
        body = order if isinstance(order, bytes) else json.dumps(order).encode()
        self.broker.publish(Packet("mes/orders", body, 1, retain))

    # ------------------------------------------------------------------ listening

    def _hear(self, packet: Packet) -> None:
        with self._changed:
            self._by_topic.setdefault(packet.topic, []).append((len(self._heard), packet))
            self._heard.append(packet)
            self._changed.notify_all()

    def _publish(self, judged: Judged) -> None:
        with self._changed:
            self.results.append(judged)
            self._changed.notify_all()

    def heard(self) -> list[Packet]:
        """Everything that the broker was given so far."""
        with self._changed:
            return list(self._heard)

    def until(self, condition: Callable[[], bool]) -> None:
        """Until something heard or judged makes it true."""
        with self._changed:
            assert self._changed.wait_for(condition, GENEROUS_S), self.story()

    def answers(self, request_id: str, verb: str = "") -> list[dict[str, Any]]:
        """Everything that was answered to this request, in order; to one verb, where given."""
        place = f"edge/cam1/response/{verb}"
        with self._changed:
            topics = [topic for topic in self._by_topic if topic.startswith(place)]
            heard = sorted(pair for topic in topics for pair in self._by_topic[topic])
        return [body for _, packet in heard if (body := _read(packet))["id"] == request_id]

    def replies(self, topic: str) -> list[dict[str, Any]]:
        """What came to a sender's own address."""
        with self._changed:
            return [_read(packet) for _, packet in self._by_topic.get(topic, ())]

    def outcome(self, request_id: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [a for a in self.answers(request_id) if a["status"] in OUTCOMES]

        self.until(lambda: bool(found()))
        return found()[-1]

    def until_answer(self, request_id: str, **parts: object) -> None:
        """Until an answer to this request has these parts."""
        self.until(lambda: any(parts.items() <= a.items() for a in self.answers(request_id)))

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The events of these kinds, in order; all without a kind."""
        with self._changed:
            heard = [_read(packet) for _, packet in self._by_topic.get(TOPICS.model_event, ())]
        return [event for event in heard if not kinds or event["type"] in kinds]

    def until_event(self, kind: str, **parts: object) -> dict[str, Any]:
        self.until(lambda: any(parts.items() <= e.items() for e in self.events(kind)))
        return next(e for e in self.events(kind) if parts.items() <= e.items())

    @property
    def model_state(self) -> dict[str, Any]:
        """The retained one, as a stranger reads it."""
        packet = self.broker.retained.get(TOPICS.model_state)
        return _read(packet) if packet else {}

    def until_active(self, model: str) -> None:
        self.until(lambda: bool(self.results) and str(self.results[-1].model) == model)

    def until_frames(self, count: int) -> None:
        """So many more verdicts."""
        goal = len(self.results) + count
        self.until(lambda: len(self.results) >= goal)

    def models(self) -> list[str]:
        """The models that judged, each run of frames once."""
        runs: list[str] = []
        for judged in tuple(self.results):
            name = str(judged.model or (judged.reason and judged.reason.value))
            if not runs or runs[-1] != name:
                runs.append(name)
        return runs

    def story(self) -> str:
        told = [(p.topic, p.payload[:200]) for p in self._heard if "status" not in p.topic]
        return f"{self.models()[-6:]}\n{self.driver.state}\n" + "\n".join(map(str, told[-12:]))

    @property
    def has_lost_nothing(self) -> bool:
        """Frames so far: each one verdict, in order, all inspected."""
        counts = self.ledger.counts()
        return self.ledger.first_violation is None and counts.balanced and not counts.dropped


def _read(packet: Packet) -> dict[str, Any]:
    return dict(_parsed(packet.payload))


@lru_cache(maxsize=4096)
def _parsed(payload: bytes) -> dict[str, Any]:
    """Each frame asks again what was said so far."""
    read = json.loads(payload)
    assert isinstance(read, dict)
    return read
