"""The composition root: builds every part of one device, starts and stops it in order.

The only place that knows all rooms. Data: camera -> ring -> lane -> publisher. Commands: session
-> driver -> loader -> crossing. What starts later stops earlier.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import structlog

from edge_daemon import __version__
from edge_daemon.app.box import available_memory_bytes, runtime_folder, usual_threads
from edge_daemon.app.glance import Seen
from edge_daemon.app.keeper import Keeper, Watched
from edge_daemon.app.pulse import Body, Pulse
from edge_daemon.app.recall import recall
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.reload import compare, merge
from edge_daemon.app.window import Window
from edge_daemon.config import Settings
from edge_daemon.control import payloads
from edge_daemon.control.arrivals import LaneCrossed, OrderArrived, RequestArrived
from edge_daemon.control.connection import SessionSpec
from edge_daemon.control.desk import Desk, Exchange
from edge_daemon.control.driver import Driver, Rooms
from edge_daemon.control.durable import encode_durable
from edge_daemon.control.gate_runner import GateRunner
from edge_daemon.control.inquiries import Inquiries
from edge_daemon.control.loader import Bench, Loader
from edge_daemon.control.local_socket import LocalSocket
from edge_daemon.control.messages import Handlers, Incoming
from edge_daemon.control.mqtt import Session
from edge_daemon.control.orders import compile_source
from edge_daemon.control.outbox import Outbox
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.reporter import VERBS, Reporter, stock
from edge_daemon.control.topics import Topics
from edge_daemon.core.events import Event, SlotLost, StoodIn
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import BundleRef, Judged, Refusal, Request, Verdict
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.camera import Camera, open_camera
from edge_daemon.frames.capture import Capture, Patience
from edge_daemon.frames.conveyor_camera import ConveyorCamera
from edge_daemon.frames.images import Pictures
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.publisher import Publisher
from edge_daemon.frames.rejected import RejectedFolder
from edge_daemon.frames.ring import Ring
from edge_daemon.host import logs
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.host.gpu import open_gpu
from edge_daemon.host.journal import Journal
from edge_daemon.host.metrics import Metrics
from edge_daemon.host.systemd import Notifier
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.store import Offer, Store
from edge_daemon.models.trust import Trust
from edge_daemon.models.watch import StoreWatch
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.crossing import Crossing
from edge_daemon.slots.process import ENGINE, ProcessSlot
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.thread import ThreadSlot
from edge_daemon.slots.twin import Twins, TwinSlot

_log = structlog.get_logger(__name__)

SLOT_NAMES = "ABCDEFGH"


class Daemon:
    """One device, from its settings to its last frame."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, engine: str = ENGINE
    ) -> None:
        clock = clock or SystemClock()
        self._engine = engine
        folder = settings.state_folder
        self._closing = ExitStack()
        self._settings = settings
        self._clock = clock
        self._started = clock.now()
        self._quiet: Callable[[], AbstractContextManager[None]] = nullcontext
        self._failure: BaseException | None = None
        self._twins: Twins | None = None
        self.boot = uuid.uuid4().hex[:12]
        self._journal = Journal.open(folder)
        self._closing.callback(self._journal.close)
        try:
            self._build(folder)
        except BaseException:
            self._closing.close()
            raise

    # ------------------------------------------------------------------ building

    def _build(self, folder: Path) -> None:
        settings = self._settings
        self._topics = Topics(settings.root)
        self._metrics = Metrics()
        self._gpu = open_gpu(settings.slots.device, os.environ)
        self._store = Store(settings.models.store, folder)
        self._trust = Trust(settings.models.trust.public_keys, settings.models.trust.required)
        # The private copies' folder is there before the workers that may read in it, and stays.
        self._scratch = folder / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)
        self._build_frames()
        self._build_control()

    def _build_frames(self) -> None:
        settings = self._settings
        latest = settings.camera.policy == "latest"
        self._ring = Ring(settings.camera.buffer_frames, latest=latest, opened=False)
        self._crossing = Crossing(self._make_slots(), self._ring.wake)
        self._ledger = Ledger()
        ng = settings.results.ng_images
        self._rejected = RejectedFolder(ng.folder, ng.quota_mb << 20) if ng else None
        self._pictures = Pictures(self._ring, self._rejected)
        self._publisher = Publisher(self._tell_result, self._metrics.frame)
        self._line = LiveLine(
            self._ring,
            self._ledger,
            self._clock,
            Outlets(
                self._publisher.put,
                self._pictures.offer,
                lambda crossed: self._driver.post(LaneCrossed(crossed)),
                self._slot_lost,
            ),
        )
        self._lane = Lane(self._ring, self._crossing, self._line, self._clock.now)
        self._line.attach(self._lane)
        self._lane_thread = threading.Thread(target=self._run_lane, name="lane", daemon=True)
        self._conveyor: ConveyorCamera | None = None

    def _make_slots(self) -> dict[str, Slot]:
        slots = self._settings.slots
        names = SLOT_NAMES[: slots.count]
        options = {"threads": slots.threads or usual_threads(), "device": slots.device}
        if slots.isolation == "thread":
            return {name: ThreadSlot(name, self._engine, options) for name in names}
        standing = 0 if slots.spare == "off" else 1
        spec = WorkerSpec(self._engine, options, readable=(str(self._scratch),))
        spares = SparePool(spec, standing=standing)
        self._closing.callback(spares.close)
        self._quiet = spares.quiet
        if slots.spare != "hot":
            return {name: ProcessSlot(name, spares) for name in names}
        twins = {
            name: TwinSlot(partial(ProcessSlot, name, spares), self._stood_in) for name in names
        }
        self._twins = Twins(twins.values(), lambda: self._crossing.pointer.slot)
        return dict(twins)

    def _make_camera(self) -> Camera:
        camera = open_camera(self._settings.camera)
        if isinstance(camera, ConveyorCamera):
            self._conveyor = camera
            self._follow_order(self._driver.state.line.requires)
        return camera

    def _build_control(self) -> None:
        """Commands, from the broker's edge inwards; then those who watch the whole."""
        handlers = self._build_edges()
        self._build_driver()
        self._build_watchers(handlers)

    def _build_edges(self) -> Handlers:
        """Broker, outbox, control socket."""
        settings = self._settings
        handlers = Handlers(
            lambda verb, incoming: self._driver.post(RequestArrived(verb, incoming)),
            self._order_came,
            self._online,
        )
        filters = tuple(source.topic for source in settings.orders)
        spec = SessionSpec(settings.mqtt, self._topics, settings.device, filters)
        self._session = Session(spec, handlers, self._clock, Random())  # noqa: S311 - jitter
        self._outbox = Outbox(self._journal, self._session)
        self._socket = LocalSocket(
            runtime_folder(settings) / "control.sock",
            handlers.on_request,
            lambda: payloads.encode(self._desk.model_state),
            self._clock,
            lambda: uuid.uuid4().hex,
            Inquiries(
                self._journal,
                lambda: self._reporter.said(),  # noqa: PLW0108 - the reporter comes later
                lambda order: self._driver.post(order),  # noqa: PLW0108 - so does the driver
                lambda *answer: self._socket.deliver(*answer),  # noqa: PLW0108 - and so does it
            ),
        )
        return handlers

    def _build_driver(self) -> None:
        """Loader, receipts, desk, driver."""
        settings = self._settings
        readers = tuple(compile_source(source) for source in settings.orders)
        runner = GateRunner(settings.gate, self._line, self._crossing, self._free_memory)
        bench = Bench(
            self._store,
            self._trust,
            settings.gate,
            settings.slots,
            self._scratch,
            runner,
            self._quiet,
        )
        self._loader = Loader(
            bench,
            self._crossing,
            self._job_told,
            self._incumbent,
        )
        receipts = Receipts(self.boot, self._line, self._loader.dossier_of)
        exchange = Exchange(
            boot=self.boot,
            topics=self._topics,
            journal=self._journal,
            carrier=self._session,
            receipts=receipts,
            metrics=self._metrics,
            clock=self._clock,
            wake_outbox=self._outbox.wake,
            deliver=self._deliver,
            take_snapshot=self._take_snapshot,
        )
        self._desk = Desk(exchange, lambda state: encode_durable(state.durable))
        rooms = Rooms(
            desk=self._desk,
            loader=self._loader,
            crossing=self._crossing,
            line=self._line,
            receipts=receipts,
            clock=self._clock,
            read_order=lambda source, incoming: readers[source].read(
                incoming.payload, incoming.received
            ),
            follow_order=self._follow_order,
            look_again=lambda: stock(self._store.offer()),
            quarantine_changed=self._retell_offer,
        )
        limits = TrialLimits(**settings.trial.model_dump())
        self._driver = Driver(rooms, self._first_state(), limits)

    def _build_watchers(self, handlers: Handlers) -> None:
        """Reporter, store watch, housekeeping, camera, page."""
        self._reporter = Reporter(
            self._session, self._topics, self._info(), lambda: self._desk.model_state
        )
        self._watch = StoreWatch(self._store, self._store_changed)
        self._notifier = Notifier.from_environ(os.environ)
        body = Body(
            self._ledger,
            self._clock,
            lambda: self._driver.state,
            lambda: self._capture.state,
            lambda: self._session.online,
        )
        pulse = Pulse(body)
        watched = Watched(
            boot=self.boot,
            ring=self._ring,
            ledger=self._ledger,
            slots=self._crossing.slots,
            journal=self._journal,
            session=self._session,
            gpu=self._gpu,
            camera=body.camera,
            state=body.state,
            is_healthy=lambda: pulse.health().good,
        )
        self._keeper = Keeper(watched, self._reporter, self._metrics, self._notifier, self._clock)
        self._capture = Capture(
            self._make_camera,
            self._ring,
            self._clock.now,
            self._keeper,
            Patience.of(self._settings.camera),
        )
        self._window = self._make_window(handlers, body, pulse)

    def _make_window(self, handlers: Handlers, body: Body, pulse: Pulse) -> Window:
        seen = Seen(
            settings=self._settings,
            boot=self.boot,
            started=self._started,
            clock=self._clock,
            ledger=self._ledger,
            slots=self._crossing.slots,
            journal=self._journal,
            session=self._session,
            rejects=Rejects(self._rejected, self._rejecting),
            pulse=pulse,
            camera=body.camera,
            state=body.state,
            model_state=lambda: self._desk.model_state,
            problems=self._keeper.problems,
        )
        return Window(seen, self._pictures, self._metrics, handlers.on_request)

    def _first_state(self) -> State:
        settings = self._settings
        return State(
            boot=self.boot,
            slots=tuple(SlotState(name) for name in self._crossing.slots),
            links=tuple(settings.links.items()),
            initial=settings.models.initial,
            available=self._store.available(),
            durable=recall(self._journal, settings.state_folder, self._started),
        )

    def _info(self) -> payloads.Info:
        slots = self._settings.slots
        return payloads.Info(
            device=self._settings.device,
            version=__version__,
            boot=self.boot,
            started=payloads.iso_utc(self._started.utc),
            verbs=VERBS,
            slots=slots.count,
            hardware=self._gpu.name if self._gpu else slots.device,
            camera=self._settings.redacted()["camera"]["source"],
        )

    # ------------------------------------------------------------------ running

    def start(self) -> None:
        """Everything, in order. Frames count from the first model on."""
        closing = self._closing
        sys.setswitchinterval(SWITCH_S)
        self._desk.interrupt_open()
        self._pictures.start()
        closing.callback(self._pictures.stop)
        self._publisher.start()
        closing.callback(self._publisher.stop, 5.0)
        closing.callback(self._line.close)
        self._lane_thread.start()
        closing.callback(self._stop_lane)
        self._driver.start()
        closing.callback(self._loader.close)
        closing.callback(self._driver.stop, 2.0)
        if self._twins is not None:
            self._twins.start()
            closing.callback(self._twins.stop)
        self._capture.start()
        closing.callback(self._stop_capture)
        self._watch.start()
        closing.callback(self._watch.stop)
        self._session.start()
        closing.callback(self._session.stop)
        self._outbox.start()
        closing.callback(self._outbox.stop)
        self._socket.start()
        closing.callback(self._socket.stop)
        self._keeper.start()
        closing.callback(self._keeper.stop)
        self._window.start()
        closing.callback(self._window.stop)
        _log.info("started", device=self._settings.device, boot=self.boot, version=__version__)

    def stop(self) -> None:
        """Let the line run dry, tell what is to be told, and end every part."""
        self._notifier.stopping("Stopping")
        self._stop_capture()
        self._stop_lane()
        self._publisher.stop(5.0)
        self._closing.close()
        counts = self._ledger.counts()
        _log.info("stopped", balanced=counts.balanced, **vars(counts))

    def reload(self, settings: Settings) -> None:
        """Take over what may change while frames are judged; name what waits for a restart."""
        self._notifier.reloading(self._clock.now())
        changes = compare(self._settings, settings)
        self._settings = merge(self._settings, settings)
        logs.configure(self._settings.log.level)
        limits = TrialLimits(**self._settings.trial.model_dump())
        self._driver.call(lambda: self._driver.set_trial_limits(limits))
        _log.info("reloaded", applied=changes.applied, need_restart=changes.need_restart)
        self._notifier.ready()

    def _stop_capture(self) -> None:
        self._capture.stop()
        self._ring.close()

    def _stop_lane(self) -> None:
        """Judge what was captured; what cannot be judged soon is `uninspected (stopped)`."""
        self._ring.close()
        self._lane_thread.join(DRAIN_S)
        if self._lane_thread.is_alive():
            self._lane.give_up()
            self._lane_thread.join(DRAIN_S)

    def _run_lane(self) -> None:
        try:
            self._lane.run()
        except BaseException as error:  # the thread's end: without a lane there is no daemon
            _log.critical("lane_failed", error=repr(error), exc_info=error)
            self._failure = error

    def broken(self) -> BaseException | None:
        """What ended a part that the daemon cannot go on without."""
        return self._failure or self._driver.failure

    # ------------------------------------------------------------------ between the rooms

    @property
    def http_port(self) -> int:
        """Where the status page is; 0 where there is none."""
        return self._window.port

    def _job_told(self, event: Event) -> None:
        self._window.glance.reached(event)
        self._driver.post(event)

    def _deliver(self, request_id: str, payload: bytes) -> None:
        self._socket.deliver(request_id, payload)
        self._window.deliver(request_id, payload)

    def _order_came(self, source: int, incoming: Incoming) -> None:
        """No frame captured from now on is judged before the order was read: it may be its own."""
        arrived = replace(incoming, received=self._ring.fence(self._clock.now))
        self._driver.post(OrderArrived(source, arrived))

    def _tell_result(self, judged: Judged) -> None:
        self._window.glance.judged(judged)
        publish = self._settings.results.publish
        if publish == "none" or (publish == "ng" and judged.verdict is Verdict.OK):
            return
        self._session.publish(self._topics.result, payloads.result(self.boot, judged))

    def _slot_lost(self, load: int, why: str) -> None:
        self._metrics.slot_restarted("lost")
        self._driver.post(SlotLost(load, why))

    def _stood_in(self, slot: TwinSlot, why: str) -> None:
        self._metrics.slot_restarted("stood_in")
        _log.warning("twin_stood_in", slot=slot.name, why=why)
        self._driver.post(StoodIn(self._crossing.load_of(slot), why))

    def _follow_order(self, scene: str | None) -> None:
        if self._conveyor is not None and scene in ("bottle", "can"):
            self._conveyor.show(scene)

    def _incumbent(self) -> Manifest | None:
        known = self._crossing.pointer.known
        try:
            return self._store.manifest(known.ref) if known else None
        except EdgeDaemonError:
            return None

    def _rejecting(self, ref: BundleRef) -> frozenset[str]:
        """The classes that make a part ng, by the bundle that judged it."""
        try:
            return self._store.manifest(ref).recipe.reject
        except EdgeDaemonError:
            return frozenset()

    def _free_memory(self) -> dict[str, int]:
        free = {"host": available_memory_bytes()}
        memory = self._gpu.memory() if self._gpu else None
        return {**free, "gpu": memory.free} if memory else free

    def _take_snapshot(self, request: Request) -> None:
        def take() -> None:
            refusal = None
            try:
                jpeg = self._pictures.snapshot()
                self._session.publish(self._topics.snapshot, jpeg)
            except EdgeDaemonError as error:
                refusal = Refusal(str(error.code), error.message, error.hint, blames_box=True)
            self._driver.call(lambda: self._desk.finish_snapshot(request, refusal))

        threading.Thread(target=take, name="snapshot", daemon=True).start()

    def _store_changed(self, offer: Offer) -> None:
        self._driver.post(stock(offer))
        self._reporter.available(offer, self._store, self._driver.state)

    def _retell_offer(self) -> None:
        """The store is as it was, but a version of it may no longer, or again, be used."""

        def tell() -> None:
            self._reporter.available(self._store.offer(), self._store, self._driver.state)

        threading.Thread(target=tell, name="offer", daemon=True).start()

    def _online(self) -> None:
        self._reporter.online()
        self._outbox.wake()


SWITCH_S = 0.0005
"""The interpreter's switch interval: the lane must not wait 5 ms for a thread that encodes JSON."""

DRAIN_S = 3.0
"""How long the lane may take for the frames that are left at a stop."""
