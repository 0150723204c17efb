"""What reaches the driver besides the planner's own events, before it is read or measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import Event
from edge_daemon.core.rollout.values import Webhook
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.orders import Reading
from edge_daemon.slots.active import Crossed


@dataclass(frozen=True)
class RequestArrived:
    """A request as it came by MQTT or through the control socket."""

    verb: str
    incoming: Incoming


@dataclass(frozen=True)
class OrderArrived:
    """A payload of the MES.

    `source`: the index of its entry under `orders`. `is_fenced`: frames captured since then wait
    until it has been taken in. `readings`: its orders; None where they cannot be told without
    what came before.
    """

    source: int
    incoming: Incoming
    is_fenced: bool = True
    readings: tuple[Reading, ...] | None = None


@dataclass(frozen=True)
class StandbyTookOver:
    """The standby judged a frame for the lost worker of this slot."""

    slot: str
    why: str


@dataclass(frozen=True)
class Noticed:
    """Something that the box noticed by itself, for `model/event`; `reason`: that of its frames.

    `rollout`, `notify`: of which rollout, and who is told of it by HTTP as well.
    """

    event: EventName
    message: str
    reason: str | None = None
    model: BundleRef | None = None
    rollout: str = ""
    notify: tuple[Webhook, ...] = ()


@dataclass(frozen=True)
class QuarantineOrdered:
    """An operator's decision on one version, made at this machine; `reason` None lifts it.

    `answered` is called with None once the change is durable, or with the error. It must not block.
    """

    ref: BundleRef
    reason: str | None
    by: str
    answered: Callable[[EdgeDaemonError | None], None]


@dataclass(frozen=True)
class Call:
    """Short work on the records, to be done between two steps."""

    work: Callable[[], None]


@dataclass(frozen=True)
class Stop:
    """The end of the queue."""


Arrival = Union[RequestArrived, Crossed, StandbyTookOver, Noticed, QuarantineOrdered, Event, Call]
"""What is taken one at a time; orders come together."""
