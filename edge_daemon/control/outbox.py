"""What must be told although the broker is away: from the journal to the broker, in order.

A row leaves the journal only when the broker has acknowledged it. So a message may be sent twice
after a crash, but is never lost; only what the broker itself refuses is given up, with an error in
the log. A row is written in the same transaction as the fact that it tells.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.journal_rows import OutboxRow
from edge_daemon.messaging.messages import Carrier, Delivery, Sent
from edge_daemon.messaging.topics import is_publishable

BATCH = 32
ACKNOWLEDGE_S = 10.0
IDLE_S = 5.0
ALONE_AFTER = 2  # losses of the first row, before it is sent without company
GIVE_UP_AFTER = 8  # losses of a row that was sent alone: it is what ends the connections

_log = structlog.get_logger(__name__)


class StoredMessages(Protocol):
    """The part of the journal that the outbox needs."""

    def outbox_peek(self, limit: int) -> Sequence[OutboxRow]:
        """The oldest rows, in order."""
        ...

    def outbox_remove(self, *seqs: int) -> None:
        """Forget rows that are delivered."""
        ...


def row_properties(correlation: bytes | None) -> bytes:
    """The `properties` of a row: JSON, with the Correlation Data in hex where there is any."""
    return b"{}" if correlation is None else json.dumps({"correlation": correlation.hex()}).encode()


class Outbox:
    """Drains the journal's rows through a carrier on a thread of its own."""

    def __init__(self, rows: StoredMessages, carrier: Carrier) -> None:
        self._rows = rows
        self._carrier = carrier
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "outbox_failed")
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._under_way: list[tuple[OutboxRow, Sent | None]] = []
        self._first_seq = -1
        self._losses = 0

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There are rows to send, or the broker is back; from any thread, without waiting."""
        self._wakeup.set()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop after the current rows; the rest is sent after the next start."""
        self._stopping.set()
        self._wakeup.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakeup.wait(IDLE_S)
            self._wakeup.clear()
            # The rows are safe in the journal: the next turn tries again.
            with self._boundary.turn(retry_s=IDLE_S):
                while not self._stopping.is_set() and self.drain():
                    pass

    def drain(self) -> bool:
        """Send the oldest rows and wait for the broker; True when there may be more to do.

        Raises:
            StateError: the journal cannot be read or written.
        """
        if not self._under_way:
            if not self._carrier.online:
                return False
            self._send_oldest()
        settled = self._await()
        if settled:
            self._rows.outbox_remove(*settled)
        return bool(settled)

    def _send_oldest(self) -> None:
        for row in self._rows.outbox_peek(1 if self._losses >= ALONE_AFTER else BATCH):
            sent = None
            if is_publishable(row.topic):
                correlation = _correlation(row.properties)
                sent = self._carrier.publish(row.topic, row.payload, qos=1, correlation=correlation)
                if sent is None:
                    break
            self._under_way.append((row, sent))

    def _await(self) -> list[int]:
        """The rows that are settled, up to the first that is not: the order is kept."""
        settled: list[int] = []
        under_way, self._under_way = self._under_way, []
        alone = len(under_way) == 1
        for place, (row, sent) in enumerate(under_way):
            delivery = Delivery.REFUSED if sent is None else sent.wait(ACKNOWLEDGE_S)
            if delivery is None:  # a slow broker: sent once more, it would come twice
                self._under_way = under_way[place:]
                break
            if delivery is not Delivery.DELIVERED:
                if delivery is not Delivery.REFUSED and not self._is_poison(row, alone=alone):
                    break
                _log.error("outbox_row_refused", topic=row.topic, seq=row.seq)
            settled.append(row.seq)
            self._losses = 0
        return settled

    def _is_poison(self, row: OutboxRow, *, alone: bool) -> bool:
        """Whether connections keep ending at this very row."""
        if row.seq != self._first_seq:
            self._first_seq, self._losses = row.seq, 0
        self._losses += 1
        return alone and self._losses > GIVE_UP_AFTER


def _correlation(properties: bytes) -> bytes | None:
    try:
        return bytes.fromhex(json.loads(properties or b"{}")["correlation"])
    except (KeyError, TypeError, ValueError):
        return None
