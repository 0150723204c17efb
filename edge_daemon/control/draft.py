"""One journal entry in the making: the rows of a step, before they become durable together."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_rows import Entry, OutboxRow, OutcomeRow, ReceiptRow, RequestRow

NOTHING = Entry()


@dataclass
class Draft:
    """Lists to add to; `after` makes the entry."""

    state: bytes | None = None
    accepted: list[RequestRow] = field(default_factory=list)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    receipts: list[ReceiptRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    topics: list[TopicRow] = field(default_factory=list)
    products: list[ProductRow] = field(default_factory=list)

    def after(self, owed: Entry) -> Entry:
        """The entry, with what the journal could not take before in front of it."""
        return Entry(
            owed.state if self.state is None else self.state,
            (*owed.accepted, *self.accepted),
            (*owed.outcomes, *self.outcomes),
            (*owed.outbox, *self.outbox),
            (*owed.receipts, *self.receipts),
            (*owed.audit, *self.audit),
            (*owed.topics, *self.topics),
            (*owed.products, *self.products),
        )
