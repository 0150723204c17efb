"""Rows of the journal as frozen values; JSON is bytes that it never reads."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal_lineage import LineageEntry
from edge_daemon.host.journal_notices import NoticeRow
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_parts import PartsEntry
from edge_daemon.host.journal_proofs import ProofRow
from edge_daemon.host.journal_rollouts import RolloutsEntry


@dataclass(frozen=True)
class RequestRow:
    """One request; `reply_to`, `body` and `outcome` are JSON. No outcome: it is still open."""

    id: str
    verb: str
    received_utc: float
    status: str = "accepted"
    reply_to: bytes = b"{}"
    body: bytes = b"{}"
    outcome: bytes | None = None
    swap_id: str | None = None


@dataclass(frozen=True)
class OutcomeRow:
    """How request `id` ended: exactly one, and the first one stays."""

    id: str
    status: str
    outcome: bytes
    swap_id: str | None = None


@dataclass(frozen=True)
class OutboxRow:
    """A message to publish until the broker has it; the journal gives `seq`."""

    topic: str
    payload: bytes
    qos: int = 1
    properties: bytes = b"{}"
    is_outcome: bool = False
    seq: int = 0


@dataclass(frozen=True)
class ReceiptRow:
    """The proof of one swap (JSON); a later one of the same swap replaces it in its place."""

    swap_id: str
    utc: float
    body: bytes


@dataclass(frozen=True)
class Entry:
    """What becomes durable together or not at all; `state` None leaves the state as it is."""

    state: bytes | None = None
    accepted: tuple[RequestRow, ...] = ()
    outcomes: tuple[OutcomeRow, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    receipts: tuple[ReceiptRow, ...] = ()
    audit: tuple[AuditRow, ...] = ()
    topics: tuple[TopicRow, ...] = ()
    products: tuple[ProductRow, ...] = ()
    parts: PartsEntry | None = None
    proofs: tuple[ProofRow, ...] = ()
    rollouts: RolloutsEntry | None = None
    notices: tuple[NoticeRow, ...] = ()
    lineage: LineageEntry | None = None
