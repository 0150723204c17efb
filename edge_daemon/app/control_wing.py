"""The commands' wing: broker, control socket and orders -> driver -> loader -> gate -> crossing."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from edge_daemon import __version__
from edge_daemon.app.bays import Bays
from edge_daemon.app.foundation import Foundation
from edge_daemon.app.frame_wing import FrameWing
from edge_daemon.app.postman import send_picture
from edge_daemon.app.recall import recall
from edge_daemon.app.reload import TRUST, Changes, digest
from edge_daemon.app.storekeeper import Storekeeper
from edge_daemon.config import Settings
from edge_daemon.control import api, payloads
from edge_daemon.control.arrivals import LaneCrossed, RequestArrived
from edge_daemon.control.clerk import Exchange
from edge_daemon.control.connection import SessionSpec
from edge_daemon.control.desk import Desk
from edge_daemon.control.driver import Driver, Rooms
from edge_daemon.control.durable import encode_durable
from edge_daemon.control.gate_runner import GateRunner
from edge_daemon.control.inquiries import Inquiries
from edge_daemon.control.loader import Bench, Loader
from edge_daemon.control.local_socket import LocalSocket
from edge_daemon.control.messages import Handlers, Incoming
from edge_daemon.control.mqtt import Session
from edge_daemon.control.newcomers import Newcomers
from edge_daemon.control.order_desk import OrderDesk
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.orders import compile_source
from edge_daemon.control.outbox import Outbox
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.reporter import VERBS, Reporter, stock
from edge_daemon.control.topics import Topics
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import Event, LinksChanged, SnapshotTaken
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.trial import Response, TrialLimits, VerdictWatch
from edge_daemon.core.values import Judged, Refusal, Request, Verdict
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.box import available_memory_bytes
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.store import Offer
from edge_daemon.models.watch import StoreWatch
from edge_daemon.slots.crossing import Crossed


class ControlWing:
    """Every part that a command passes, from the broker's edge inwards.

    `reached` is told how far a job on a slot is.
    """

    def __init__(
        self, ground: Foundation, bays: Bays, frames: FrameWing, reached: Callable[[Event], None]
    ) -> None:
        self._ground = ground
        self._frames = frames
        self._reached = reached
        self._publish = ground.settings.results.publish
        self.topics = Topics(ground.settings.root)
        self.on_request: Callable[[str, Incoming], None] = lambda verb, incoming: self.driver.post(
            RequestArrived(verb, incoming)
        )
        self._build_edges()
        self._build_driver(bays)
        document = api.document(ground.settings.root, ground.settings.orders)
        self._api = api.compact(document)
        self.reporter = Reporter(
            self.session, self.topics, self._info(), lambda: self.desk.model_state, self._api
        )
        quota_mb = ground.settings.models.quota_mb
        self.storekeeper = Storekeeper(
            ground.store, None if quota_mb is None else quota_mb << 20, self.driver, self.desk
        )
        self._watch = StoreWatch(ground.store, self._store_changed)

    # ------------------------------------------------------------------ building

    def _build_edges(self) -> None:
        """Broker, outbox, control socket."""
        settings, clock = self._ground.settings, self._ground.clock
        filters = tuple(source.topic for source in settings.orders)
        self.session = Session(
            SessionSpec(settings.mqtt, self.topics, settings.device, filters),
            Handlers(self.on_request, self._order_came, self._online),
            clock,
            Random(),  # noqa: S311 - jitter
        )
        self._outbox = Outbox(self._ground.journal, self.session)
        self._socket = LocalSocket(
            _runtime_folder(settings) / "control.sock",
            self.on_request,
            lambda: self.desk.model_state,
            clock,
            lambda: uuid.uuid4().hex,
            Inquiries(
                self._ground.journal,
                lambda: self.reporter.said(),  # noqa: PLW0108 - the reporter comes later
                lambda order: self.driver.post(order),  # noqa: PLW0108 - so does the driver
                clock,
            ),
        )

    def _build_driver(self, bays: Bays) -> None:
        """Loader, receipts, desk, driver."""
        ground, frames, settings = self._ground, self._frames, self._ground.settings
        runner = GateRunner(settings.gate, frames.line, frames.crossing, self._free_memory)
        bench = Bench(
            ground.store,
            ground.trust,
            settings.gate,
            settings.slots,
            ground.scratch,
            runner,
            bays.quiet,
            ground.gpu.capability if ground.gpu else None,
        )
        self._loader = Loader(bench, frames.crossing, self._job_told, self._incumbent)
        loader = self._loader
        receipts = Receipts(
            ground.boot,
            frames.line,
            loader.dossier_of,
            loader.recipe_of,
            ground.journal.audit_head,
        )
        exchange = Exchange(
            boot=ground.boot,
            topics=self.topics,
            journal=ground.journal,
            carrier=self.session,
            receipts=receipts,
            metrics=ground.metrics,
            clock=ground.clock,
            wake_outbox=self._outbox.wake,
        )
        self.desk = Desk(exchange, lambda state: encode_durable(state.durable))
        readers = tuple(compile_source(source) for source in settings.orders)
        memory = OrderMemory(ground.journal.orders())
        self.orders = OrderDesk(readers, memory, self.desk, ground.clock)
        rooms = Rooms(
            desk=self.desk,
            loader=self._loader,
            crossing=frames.crossing,
            line=frames.line,
            receipts=receipts,
            clock=ground.clock,
            orders=self.orders,
            follow_order=frames.show,
            newcomers=Newcomers(settings.models.store, ground.clock),
            look_again=lambda: stock(ground.store.offer()),
            take_snapshot=self._take_snapshot,
            quarantine_changed=self._retell_offer,
        )
        self.driver = Driver(rooms, self._first_state(), _limits(settings))

    def _first_state(self) -> State:
        ground, settings = self._ground, self._ground.settings
        offer = ground.store.offer()
        return State(
            boot=ground.boot,
            slots=tuple(SlotState(name) for name in self._frames.crossing.slots),
            links=tuple(settings.links.items()),
            initial=settings.models.initial,
            available=offer.known,
            below=offer.below,
            durable=recall(ground.journal, settings.state_folder, ground.started, ground.aside),
        )

    def _info(self) -> payloads.Info:
        ground, settings = self._ground, self._ground.settings
        return payloads.Info(
            device=settings.device,
            version=__version__,
            boot=ground.boot,
            started=payloads.iso_utc(ground.started.utc),
            verbs=VERBS,
            slots=len(self._frames.crossing.slots),
            hardware=ground.gpu.name if ground.gpu else settings.slots.device,
            camera=settings.redacted()["camera"]["source"],
            api=api.digest(self._api),
        )

    # ------------------------------------------------------------------ running

    def start_driver(self) -> None:
        """Decisions from here on; what an earlier start left open is answered first."""
        self.desk.interrupt_open()
        facts = {"boot": self._ground.boot, "version": __version__}
        self.desk.note_settings({**facts, "sha256": digest(self._ground.settings)})
        self.driver.start()

    def stop_driver(self) -> None:
        """No decision any more, and no job."""
        self.driver.stop(2.0)
        self._loader.close()

    def start_edges(self) -> None:
        """News from the store, and requests and orders, from here on."""
        self._watch.start()
        self.session.start()
        self._outbox.start()
        self._socket.start()

    def stop_edges(self) -> None:
        """In the order in which nobody asks for what is gone."""
        self._socket.stop()
        self._outbox.stop()
        self.session.stop()
        self._watch.stop()

    def reload(self, settings: Settings, changes: Changes) -> None:
        """What may change while frames are judged; raises ConfigurationError, changing nothing."""
        if any(key.startswith(TRUST) for key in changes.applied):
            models, ground = settings.models, self._ground
            ground.trust.take(models.trust.public_keys, models.trust.required, models.revoked)
            ground.store.read_again()
            self.driver.post(stock(ground.store.offer()))
        facts = {"sha256": digest(settings), **asdict(changes)}
        self.driver.call(lambda: self.desk.note_settings(facts))
        self._publish = settings.results.publish
        limits = _limits(settings)
        self.driver.call(lambda: self.driver.set_trial_limits(limits))
        self.driver.post(LinksChanged(tuple(settings.links.items())))

    # ------------------------------------------------------------------ told by the frames

    def tell_result(self, judged: Judged) -> None:
        """One verdict to the broker, where it is wanted; on the publisher's thread."""
        publish = self._publish
        if publish == "none" or (publish == "ng" and judged.verdict is Verdict.OK):
            return
        self.session.publish(self.topics.result, payloads.result(self._ground.boot, judged))

    def announce(self, event: EventName, message: str, reason: str | None = None) -> None:
        """An event of the camera or its pictures, durably; any thread."""
        self.driver.call(lambda: self.desk.note_event(event, message=message, reason=reason))

    def crossed(self, crossed: Crossed) -> None:
        """The lane passed a boundary."""
        self.driver.post(LaneCrossed(crossed))

    def tell_event(self, kind: EventName, message: str) -> None:
        """Something about the model that judges; from any thread."""
        active = self.driver.state.active_bundle
        model = active.ref if active else None
        self.driver.call(lambda: self.desk.note_event(kind, message=message, model=model))

    # ------------------------------------------------------------------ between the rooms

    def _job_told(self, event: Event) -> None:
        self._reached(event)
        self.driver.post(event)

    def _order_came(self, source: int, incoming: Incoming) -> None:
        """No frame captured from now on is judged before the order was read: it may be its own."""
        ring = self._frames.ring
        arrived = replace(incoming, received=ring.fence(self._ground.clock.now))
        self.driver.post(self.orders.arrived(source, arrived, ring.lift))

    def _incumbent(self) -> Manifest | None:
        known = self._frames.crossing.pointer.known
        try:
            return self._ground.store.manifest(known.ref) if known else None
        except EdgeDaemonError:
            return None

    def _free_memory(self) -> dict[str, int]:
        free = {"host": available_memory_bytes()}
        memory = self._ground.gpu.memory() if self._ground.gpu else None
        return {**free, "gpu": memory.free} if memory else free

    def _take_snapshot(self, request: Request) -> None:
        def take() -> None:
            refusal = None
            try:
                jpeg = self._frames.pictures.snapshot()
                send_picture(self.session, self.topics.snapshot, jpeg)
            except EdgeDaemonError as error:
                refusal = Refusal.of(error)
            self.driver.post(SnapshotTaken(request, refusal))

        threading.Thread(target=take, name="snapshot", daemon=True).start()

    def _store_changed(self, offer: Offer) -> None:
        self.storekeeper.note(offer)
        self.driver.post(stock(offer))
        self.reporter.available(offer, self._ground.store, self.driver.state)
        self.storekeeper.look()

    def _retell_offer(self) -> None:
        """The store is as it was, but a version of it may no longer, or again, be used."""
        store = self._ground.store

        def tell() -> None:
            self.reporter.available(store.offer(), store, self.driver.state)

        threading.Thread(target=tell, name="offer", daemon=True).start()

    def _online(self) -> None:
        self.reporter.online()
        self._outbox.wake()


def _limits(settings: Settings) -> TrialLimits:
    trial = settings.trial
    watch = trial.verdicts
    return TrialLimits(
        trial.frames,
        trial.seconds,
        trial.latency_ratio,
        trial.max_error_rate,
        VerdictWatch(watch.alpha, Response(watch.low), Response(watch.high)),
    )


def _runtime_folder(settings: Settings) -> Path:
    """Where the control socket lies: systemd's runtime folder, else the state's."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given) if given else settings.state_folder
