"""The command side: broker, control socket and orders -> driver -> loader -> gate -> slots."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_daemon import __version__
from edge_daemon.app import preview
from edge_daemon.app.build_loader import build_loader
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.load_state import load_state
from edge_daemon.app.reload import TRUST, Changes, digest
from edge_daemon.app.resources import SOCKET, Resources
from edge_daemon.app.slot_pool import SlotPool
from edge_daemon.app.snapshot_sender import SnapshotSender
from edge_daemon.app.store_upkeep import StoreUpkeep
from edge_daemon.app.webhooks import make_webhooks
from edge_daemon.collecting.store import Overruled
from edge_daemon.config import Settings
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.block_scheduler import BlockScheduler
from edge_daemon.control.driver import Driver
from edge_daemon.control.driver_services import DriverServices
from edge_daemon.control.feedback_handler import FeedbackHandler, FeedbackTools
from edge_daemon.control.feedback_sources import FeedbackSources
from edge_daemon.control.forecasts import Forecasts
from edge_daemon.control.inquiries import Inquiries
from edge_daemon.control.lineage import LineageBook
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.control.order_handler import OrderHandler
from edge_daemon.control.order_intake import OrderIntake
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.outbox import Outbox
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.recorder import Recorder
from edge_daemon.control.reporter import VERBS, Reporter, stock
from edge_daemon.control.request_intake import RequestIntake
from edge_daemon.control.rollout_evaluator import RolloutEvaluator
from edge_daemon.control.rollout_plans import RolloutPlans
from edge_daemon.control.rollout_recorder import EvaluatorTools
from edge_daemon.control.rows import Rows
from edge_daemon.control.store_scan import Newcomers, StoreScan
from edge_daemon.control.trigger_handler import TriggerHandler
from edge_daemon.core import tuning
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import LinksChanged
from edge_daemon.core.judged import Judged
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.values import BundleRef
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import SenderError
from edge_daemon.host.error_boundary import contained
from edge_daemon.host.meters import BoxMeters
from edge_daemon.messaging import api, payloads
from edge_daemon.messaging.feedback_sources import compile_feedback
from edge_daemon.messaging.local_socket import LocalSocket
from edge_daemon.messaging.messages import Handlers, Incoming
from edge_daemon.messaging.mqtt import Session
from edge_daemon.messaging.orders import OrderReader, compile_source
from edge_daemon.messaging.times import iso_utc
from edge_daemon.messaging.topics import Topics
from edge_daemon.models.store import Offer
from edge_daemon.models.watch import StoreWatch
from edge_daemon.slots.frame_control import RolloutOutlets


class ControlPlane:
    """Every part that a command passes, from the broker's edge inwards.

    Args:
        mailbox: where everything for the driver goes.
        session: the broker's; it is started here.
        recent: the newest frames that a version judged, up to a number.
    """

    def __init__(
        self,
        resources: Resources,
        slot_pool: SlotPool,
        frames: DataPlane,
        mailbox: Mailbox,
        session: Session,
        recent: Callable[[BundleRef, int], Sequence[Judged]],
    ) -> None:
        self._recent = recent
        self._resources = resources
        self._frames = frames
        self.mailbox = mailbox
        self.session = session
        self._topics = Topics(resources.settings.root)
        self.outbox = Outbox(resources.journal, session)
        self.webhooks = make_webhooks(resources)
        readers = tuple(compile_source(source) for source in resources.settings.orders)
        self._intake = OrderIntake(readers, frames.line, mailbox.put)
        self._triggers = self._build_triggers()
        self.lineage = LineageBook(
            resources.journal, resources.store.manifest, lambda: resources.clock.now().utc
        )
        self._loader = build_loader(resources, slot_pool, frames, mailbox)
        self._build_driver(readers)
        self._socket = self._build_socket()
        quota_bytes = (resources.settings.models.quota_mb or 0) << 20 or None
        self.store_upkeep = StoreUpkeep(
            resources.store, quota_bytes, mailbox, self.driver, self.recorder
        )
        self._watch = StoreWatch(resources.store, self._store_changed)
        self.hear: Callable[[Incoming], None] = lambda incoming: incoming.done()
        self.joined: Callable[[], None] = lambda: None

    # ------------------------------------------------------------------ building

    def _build_triggers(self) -> TriggerHandler | None:
        """Triggers open parts, where parts are counted by them."""
        parts, settings = self._frames.parts, self._resources.settings.parts
        if parts is None or settings is None or settings.by != "trigger":
            return None
        return TriggerHandler(self.session, parts.trigger, self._frames.ring.upcoming, self._told)

    def _told(self, trigger_id: str, since_utc: float) -> int | None:
        with contained():  # a journal that cannot be read knows of none
            for row in self._resources.journal.parts(1, trigger_id):
                if row.id == trigger_id and row.utc >= since_utc:
                    return row.part
        return None

    def _build_driver(self, readers: Sequence[OrderReader]) -> None:
        resources, frames, settings = self._resources, self._frames, self._resources.settings
        loader = self._loader
        receipts = Receipts(
            resources.boot,
            frames.line,
            loader.proof_of,
            loader.recipe_of,
            resources.journal.audit_head,
        )
        journal, carrier, metrics = resources.journal, self.session, resources.metrics
        rows = Rows(resources.boot, self._topics, resources.clock)
        recorder = self.recorder = Recorder(journal, rows, carrier, receipts, metrics, self._wake)
        document = api.compact(api.document(settings.root, settings.orders))
        self.reporter = Reporter(carrier, self._topics, self._info(document), document)
        self.orders = OrderHandler(
            readers, OrderMemory(journal.orders()), recorder, resources.clock
        )
        self.rollouts = self._build_rollouts(rows)
        frames.rollouts = RolloutOutlets(self.rollouts.recorder.pair, self.rollouts.candidate_lost)
        snapshots = SnapshotSender(carrier, self._topics, frames.pictures, self.mailbox.put)
        services = DriverServices(
            intake=RequestIntake(journal, recorder, carrier, metrics),
            recorder=recorder,
            loader=loader,
            active_slot=frames.active_slot,
            line=frames.line,
            receipts=receipts,
            clock=resources.clock,
            orders=self.orders,
            store_scan=StoreScan(
                Newcomers(settings.models.store, resources.clock),
                lambda: stock(resources.store.offer()),
                self.mailbox.call,
            ),
            publish=self.reporter.model,
            take_snapshot=snapshots.take,
            foretell=Forecasts(journal, self.mailbox.put, lambda: resources.clock.now().utc).make,
            plan_of=RolloutPlans(
                resources.store, settings.rollouts.bounds, settings.audit_share
            ).of,
            split=frames.active_slot.split,
            stepped=self.rollouts.recorder.stepped,
            quarantine_changed=self._retell_offer,
        )
        self.driver = Driver(self.mailbox, services, self._first_state(), settings.trial.limits)

    def _build_rollouts(self, rows: Rows) -> RolloutEvaluator:
        """Pairs and labels become evidence here, and the evidence a decision."""
        resources, keep = self._resources, self._resources.settings.rollouts.keep
        tools = FeedbackTools(
            resources.journal,
            rows,
            self.session,
            resources.metrics,
            resources.boot,
            self.outbox.wake,
            keep.days * 86_400.0,
            self._overruled,
        )
        ledger, active_slot = self._frames.ledger, self._frames.active_slot
        shadow = self._frames.shadow
        handler = FeedbackHandler(tools)
        settings = resources.settings.feedback if self._frames.parts is not None else ()
        readers = tuple(compile_feedback(source) for source in settings)
        self.feedback = FeedbackSources(readers, handler, self.mailbox.put, resources.clock)
        return RolloutEvaluator(
            EvaluatorTools(
                resources.journal,
                self.mailbox.put,
                self.reporter.rollout,
                lambda: ledger.counts().captured,
                resources.metrics,
                resources.clock,
                keep,
                lambda: shadow.tally,
                BlockScheduler(active_slot.turns, BoxMeters(resources.gpu), active_slot.memory_of),
                resources.settings.audit_share,
            ),
            handler,
            self.feedback,
        )

    def _told_by_others(self, source: int, incoming: Incoming) -> None:
        """What came by a topic of the settings: orders first, then feedback."""
        orders = len(self._resources.settings.orders)
        if source < orders:
            self._intake.came(source, incoming)
        elif self._frames.parts is not None:
            self.rollouts.heard(source - orders, incoming)
        else:
            incoming.done()

    def _overruled(self, boot: str, part: int) -> None:
        if self._frames.collecting is not None:
            self._frames.collecting.store.overruled(Overruled(boot, part))

    def _build_socket(self) -> LocalSocket:
        resources, reporter = self._resources, self.reporter
        return LocalSocket(
            _runtime_folder(resources.settings) / SOCKET,
            self.take_request,
            lambda: reporter.model_state,
            resources.clock,
            lambda: uuid.uuid4().hex,
            Inquiries(
                resources.journal,
                reporter.said,
                self.mailbox.put,
                resources.clock,
                self.preview,
                self.lineage.came,
            ),
        )

    def _first_state(self) -> State:
        resources, settings = self._resources, self._resources.settings
        offer = resources.store.offer()
        return State(
            boot=resources.boot,
            slots=tuple(SlotState(name) for name in self._frames.active_slot.slots),
            links=tuple(settings.links.items()),
            initial=settings.models.initial,
            available=offer.known,
            below=offer.below,
            durable=load_state(
                resources.journal, settings.state_folder, resources.started, resources.aside
            ),
        )

    def _info(self, document: bytes) -> payloads.Info:
        resources, settings = self._resources, self._resources.settings
        return payloads.Info(
            device=settings.device,
            version=__version__,
            boot=resources.boot,
            started=iso_utc(resources.started.utc),
            verbs=VERBS,
            slots=len(self._frames.active_slot.slots),
            hardware=resources.gpu.name if resources.gpu else settings.slots.device,
            camera=settings.redacted()["camera"]["source"],
            api=api.digest(document),
        )

    # ------------------------------------------------------------------ running

    def start_driver(self) -> None:
        """Start deciding; requests that an earlier start left open are answered first."""
        rollout = self.driver.state.durable.rollout
        self.recorder.interrupt_open(rollout.request_id if rollout is not None else None)
        facts = {"boot": self._resources.boot, "version": __version__}
        self.recorder.note_settings({**facts, "sha256": digest(self._resources.settings)})
        self.rollouts.start()
        self.driver.start()

    def stop_driver(self) -> None:
        """Stop deciding, and end all jobs."""
        self.driver.stop(2.0)
        self.rollouts.stop()
        self._loader.close()

    def start_edges(self, closing: ExitStack) -> None:
        """Start the store watch, and accept requests and orders.

        `closing` ends them in the order in which nothing asks for what is gone.
        """
        self._watch.start()
        closing.callback(self._watch.stop)
        self.session.start(
            Handlers(self.take_request, self._told_by_others, self._online, self.hear)
        )
        closing.callback(self.session.stop)
        self.outbox.start()
        closing.callback(self.outbox.stop)
        self.webhooks.start()
        closing.callback(self.webhooks.stop)
        self._socket.start()
        closing.callback(self._socket.stop)

    def reload(self, settings: Settings, changes: Changes) -> None:
        """Apply what may change while frames are judged; raises ConfigurationError, changing
        nothing.
        """
        if any(key.startswith(TRUST) for key in changes.applied):
            models, resources = settings.models, self._resources
            resources.trust.take(models.trust.public_keys, models.trust.required, models.revoked)
            resources.store.read_again()
            self.mailbox.put(stock(resources.store.offer()))
        facts = {"sha256": digest(settings), **asdict(changes)}
        self.mailbox.call(lambda: self.recorder.note_settings(facts))
        self.mailbox.call(lambda: self.driver.set_trial_limits(settings.trial.limits))
        self.mailbox.put(LinksChanged(tuple(settings.links.items())))

    @property
    def stages(self) -> dict[int, str]:
        """The stage of each job on a slot, by its token; any thread."""
        return self._loader.stages

    def take_request(self, verb: str, incoming: Incoming) -> None:
        """A request, not yet read; from any thread. A trigger waits for no decision."""
        if verb == Verb.TRIGGER.value and self._triggers is not None:
            self._triggers.arrived(incoming)
        elif verb == Verb.FEEDBACK.value and self._frames.parts is not None:
            self.rollouts.feedback(incoming)
        else:
            self.mailbox.put_request(verb, incoming)

    def _wake(self) -> None:
        self.outbox.wake()
        self.webhooks.wake()

    def tell_event(self, kind: EventName, message: str) -> None:
        """Report an event about the active model; from any thread."""
        active = self.driver.state.active_bundle
        self.mailbox.put(Noticed(kind, message, model=active.ref if active else None))

    # ------------------------------------------------------------------ between the rooms

    def preview(self, changes: Mapping[str, float], limit: int) -> Mapping[str, Any]:
        """What recent frames would have been judged; raises SenderError."""
        state = self.driver.state
        active = state.active_bundle
        proof = self._loader.proof_of(active) if active is not None else None
        if active is None or proof is None:
            raise SenderError(
                "No model judges now.", hint="Ask again when one is active: edge-daemon status."
            )
        held = tuning.of(state.durable, active)
        frames, before = self._recent(active.ref, limit), dict(held.changes) if held else {}
        return preview.of(frames, proof, changes, before)

    def _store_changed(self, offer: Offer) -> None:
        self.store_upkeep.note(offer)
        self.lineage.note(offer.known)
        self.mailbox.put(stock(offer))
        self.reporter.available(offer, self._resources.store, self.driver.state)
        self.store_upkeep.look()

    def _retell_offer(self, state: State) -> None:
        """Publish the offer again: the store is unchanged, but a quarantine began or ended."""
        store = self._resources.store

        def tell() -> None:
            self.reporter.available(store.offer(), store, state)

        threading.Thread(target=tell, name="offer", daemon=True).start()

    def _online(self) -> None:
        self.reporter.online()
        self.joined()
        self.outbox.wake()


def _runtime_folder(settings: Settings) -> Path:
    """Where the control socket lies: systemd's runtime folder, else the state's."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given) if given else settings.state_folder
