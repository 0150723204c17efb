"""One transaction in the making, and what is told once it is on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal_notices import NoticeRow
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_rows import Entry, OutboxRow, OutcomeRow, ReceiptRow, RequestRow

NOTHING = Entry()


@dataclass
class UnitOfWork:
    """The rows of one step, which become durable together; `entry` makes the transaction."""

    state: bytes | None = None
    accepted: list[RequestRow] = field(default_factory=list)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    receipts: list[ReceiptRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    topics: list[TopicRow] = field(default_factory=list)
    products: list[ProductRow] = field(default_factory=list)
    notices: list[NoticeRow] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)
    """What the outside is told of it, in order."""

    def entry(self, owed: Entry = NOTHING) -> Entry:
        """The rows, after those that the journal could not take before."""
        return Entry(
            owed.state if self.state is None else self.state,
            (*owed.accepted, *self.accepted),
            (*owed.outcomes, *self.outcomes),
            (*owed.outbox, *self.outbox),
            (*owed.receipts, *self.receipts),
            (*owed.audit, *self.audit),
            (*owed.topics, *self.topics),
            (*owed.products, *self.products),
            notices=(*owed.notices, *self.notices),
        )

    def tell(self) -> None:
        """After the commit."""
        for tell in self.then:
            tell()
