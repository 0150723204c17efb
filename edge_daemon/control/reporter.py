"""What the device publishes about itself, retained: info, health, camera, the store's offer.

Each is published when it changes, and again whenever a broker accepts our connection.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TypeVar

from msgspec import UNSET, UnsetType

from edge_daemon.core import tuning
from edge_daemon.core.events import StoreChanged
from edge_daemon.core.roles import Role, slot_of
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, Counts, Instant, Latency, Refusal, StoredBundle
from edge_daemon.core.verbs import Verb
from edge_daemon.core.wording import public
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging import payloads
from edge_daemon.messaging.field_types import AuditHead
from edge_daemon.messaging.messages import Carrier
from edge_daemon.messaging.shorten import shortened
from edge_daemon.messaging.times import iso_utc
from edge_daemon.messaging.topics import Topics
from edge_daemon.models.store import Offer, Store

HEALTH_S = 10.0
"""Between two health messages while nothing changes."""
MOST_OFFER_BYTES = 256 * 1024
"""Of `model/available`, which grows with the store: it is sent with every connection."""


@dataclass(frozen=True)
class Vitals:
    """The content of health."""

    counts: Counts
    latency: Latency
    problems: tuple[str, ...]
    results_lost: int
    outbox_depth: int
    audit: Anchor = Anchor()


class Reporter:
    """Publishes retained state; any thread may call it. `api` is the API document's bytes."""

    def __init__(
        self, carrier: Carrier, topics: Topics, info: payloads.Info, api: bytes = b""
    ) -> None:
        self._carrier = carrier
        self._topics = topics
        self._info = info
        self.model_state = payloads.ModelState()
        """As it stands on `model/state`."""
        self._api = api
        self._lock = threading.Lock()
        """Held while something is published: nothing newer is overtaken."""
        self._said = {
            topics.info: payloads.encode(info),
            topics.model_state: payloads.encode(self.model_state),
        }
        self._health_at = float("-inf")
        self._problems: tuple[str, ...] = ()

    def online(self) -> None:
        """A broker accepted our connection: it may have forgotten everything."""
        with self._lock:
            for topic, body in self._said.items():
                self._publish(topic, body)
            if self._api:
                self._publish(self._topics.info_api, self._api)

    def said(self) -> dict[str, bytes]:
        """What is retained now, by the topic below the root."""
        below = len(self._topics.root) + 1
        with self._lock:
            return {topic[below:]: body for topic, body in self._said.items()}

    def model(self, state: State) -> None:
        """The planner's state has changed."""
        self.model_state = model_state(state)
        self._say(self._topics.model_state, payloads.encode(self.model_state))

    @property
    def rollout_state(self) -> bytes:
        """As it stands on `rollout/state`; empty before the first."""
        with self._lock:
            return self._said.get(self._topics.rollout_state, b"")

    def camera(self, status: payloads.CameraStatus) -> None:
        self._say(self._topics.camera_status, payloads.encode(status))

    def available(self, offer: Offer, store: Store, state: State) -> None:
        body = payloads.encode(available(offer, store, state))
        if len(body) > MOST_OFFER_BYTES:
            body = shortened(body, MOST_OFFER_BYTES) or body
        self._say(self._topics.model_available, body)

    def counts(self, body: bytes) -> None:
        self._say(self._topics.counts, body)

    def rollout(self, body: bytes) -> None:
        self._say(self._topics.rollout_state, body)

    def fleet(self, body: bytes) -> None:
        self._say(self._topics.fleet, body)

    def receipt(self, body: bytes) -> None:
        self._say(self._topics.receipt, body)

    def health(self, vitals: Vitals, boot: str, up_s: float, now: Instant) -> None:
        """Publish health every `HEALTH_S`, or at once when a problem comes or goes."""
        due = now.at - self._health_at >= HEALTH_S or vitals.problems != self._problems
        if not due:
            return
        self._health_at, self._problems = now.at, vitals.problems
        message = payloads.Health(
            state="degraded" if vitals.problems else "good",
            time=iso_utc(now.utc),
            boot=boot,
            uptime_s=round(up_s, 1),
            problems=vitals.problems,
            frames=payloads.frame_counts(vitals.counts),
            latency_ms=payloads.latency_line(vitals.latency),
            results_lost=vitals.results_lost,
            outbox_depth=vitals.outbox_depth,
            audit=AuditHead(vitals.audit.seq, vitals.audit.hash),
        )
        self._say(self._topics.health, payloads.encode(message))

    def _say(self, topic: str, body: bytes) -> None:
        with self._lock:
            if self._said.get(topic) != body:
                self._said[topic] = body
                self._publish(topic, body)

    def _publish(self, topic: str, body: bytes) -> None:
        self._carrier.publish(topic, body, qos=1, retain=True)


def stock(offer: Offer) -> StoreChanged:
    """The store's offer as the planner is told it."""
    refused = tuple(
        (
            BundleRef(problem.folder.parent.name, problem.folder.name),
            Refusal(problem.error.code, public(problem.error.message), public(problem.error.hint)),
        )
        for problem in offer.problems
        if "/" in problem.place
    )
    return StoreChanged(offer.known, refused, offer.below)


def available(offer: Offer, store: Store, state: State) -> payloads.ModelAvailable:
    """The store's offer as the wire names it."""
    lines = []
    for known in offer.known:
        manifest = store.manifest(known.ref)
        lines.append(
            payloads.AvailableModel(
                str(known.ref),
                known.sha256,
                manifest.classes,
                manifest.products,
                state.quarantine_reason(known.ref),
            )
        )
    refused = []
    for problem in offer.problems:
        error, place = problem.error, problem.place
        message = error.message if place in error.message else f"{place}: {error.message}"
        refused.append(payloads.ErrorLine(error.code.value, public(message), public(error.hint)))
    return payloads.ModelAvailable(tuple(lines), tuple(refused))


VERBS = tuple(verb.value for verb in Verb)


# --------------------------------------------------------------------------- model/state

_Line = TypeVar("_Line", bound=payloads.PreparedModel)


def model_state(state: State) -> payloads.ModelState:
    """The retained state; times are when each bundle took its role."""
    durable = state.durable
    return payloads.ModelState(
        active=_active(state),
        candidate=_standing_by(state, Role.CANDIDATE, payloads.CandidateModel) or UNSET,
        prepared=_standing_by(state, Role.PREPARED, payloads.PreparedModel),
        previous=_previous(state),
        selected=dict(durable.selected),
        product=durable.product,
        job_order=durable.job_order,
        held=durable.held,
        swap_id=state.swap_id,
    )


def _active(state: State) -> payloads.ActiveModel | None:
    slot = slot_of(state, Role.ACTIVE)
    if slot is None or (known := slot.bundle) is None:
        return None
    since, on_trial = iso_utc(slot.since_utc), state.durable.trial is not None
    return payloads.ActiveModel(
        str(known.ref), known.sha256, slot.name, since, on_trial, _tuned(state, known)
    )


def _tuned(state: State, known: StoredBundle) -> payloads.TunedLine | UnsetType:
    held = tuning.of(state.durable, known)
    if held is None:
        return UNSET
    return payloads.TunedLine(dict(held.changes), held.by, held.reason, iso_utc(held.since_utc))


def _standing_by(state: State, role: Role, line: type[_Line]) -> _Line | None:
    slot = slot_of(state, role)
    if slot is None or (known := slot.bundle) is None:
        return None
    return line(str(known.ref), known.sha256, slot.name, iso_utc(slot.since_utc))


def _previous(state: State) -> payloads.PreviousModel | None:
    """Without a slot once its slot was given to another bundle."""
    left = state.left
    if left is None or left == state.active_bundle:
        return None
    slot = slot_of(state, Role.PREVIOUS)
    return payloads.PreviousModel(str(left.ref), left.sha256, slot.name if slot else None)
