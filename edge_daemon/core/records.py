"""What a step records: answers to requests, and events.

They become durable in one transaction with the state, and are told after it: nothing is told that a
power cut could undo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from edge_daemon.core.event_names import EventName
from edge_daemon.core.rollout.rates import Forecast
from edge_daemon.core.rollout.values import Webhook
from edge_daemon.core.values import BundleRef, Check, Refusal, Request, Status
from edge_daemon.errors import Code


@dataclass(frozen=True)
class Reply:
    """Answer a request: accepted, progress (with a stage), or its one outcome.

    `rollout`: the one that the request began; `forecast`: what a dry run of one tells.
    """

    request: Request
    status: Status
    swap_id: str = ""
    stage: str = ""
    refusal: Refusal | None = None
    rollout: str = ""
    forecast: Forecast | None = None


@dataclass(frozen=True)
class Announce:
    """Publish an event; `notify`: who is told of it by HTTP as well."""

    event: EventName
    swap_id: str = ""
    model: BundleRef | None = None
    code: Code | None = None
    reason: str = ""
    checks: tuple[Check, ...] = ()  # of a bundle that was refused, or a rollout that was stopped
    rollout: str = ""
    notify: tuple[Webhook, ...] = ()


Record = Union[Reply, Announce]
