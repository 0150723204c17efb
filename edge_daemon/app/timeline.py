"""The timeline: swaps, orders and slots as the journal has them, newest first.

Events and outcomes of one swap form one entry. Its receipt, or the report of the gate that refused
it, is read when the entry is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_daemon.core.event_names import WITH_RECEIPT, EventName
from edge_daemon.core.values import Status
from edge_daemon.host.audit import AuditLink
from edge_daemon.host.journal import Journal, ReceiptRow
from edge_daemon.messaging.times import iso_utc
from edge_daemon.web.state import SwapEntry, SwapLine, raw

SHOWN = 40
_ROWS = 400  # of the audit trail: requests, events and outcomes of that many swaps
_NOTES: Mapping[str, str] = {
    EventName.ORDER_RUNNING: "order",
    EventName.ORDER_COMPLETED: "order",
    EventName.UNKNOWN_PRODUCT: "order",
    EventName.HELD: "hold",
    EventName.RELEASED: "hold",
    EventName.TUNED: "tune",
    EventName.QUARANTINED: "quarantine",
    EventName.UNQUARANTINED: "quarantine",
    EventName.SLOT_LOST: "slot",
    EventName.STOOD_IN: "slot",
    EventName.RESTS: "slot",
    EventName.RESTORED: "slot",
}
_UNTOLD: frozenset[str] = frozenset({EventName.ORDER_COMPLETED, EventName.RESTORED})
"""They change nothing on the line."""
_STEPS: frozenset[str] = frozenset(
    {EventName.REQUESTED, EventName.PREPARED, EventName.REJECTED, EventName.FAILED, *WITH_RECEIPT}
)
"""Events that give an entry its time."""


class Timeline:
    """Reads the journal again only when something was written. One thread at a time asks."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seq = -1
        self._lines: tuple[SwapLine, ...] = ()

    def lines(self) -> tuple[SwapLine, ...]:
        """The newest entries, newest first. Raises StateError."""
        seq = self._journal.audit_head().seq
        if seq != self._seq:
            rows = self._journal.audit_rows(_ROWS)
            receipts = self._journal.history(SHOWN)
            self._lines, self._seq = tell(rows, receipts), seq
        return self._lines

    def entry(self, entry_id: str) -> SwapEntry | None:
        """Receipt, answer and events of one entry; None for an unknown one. Raises StateError."""
        events = []
        request_id = None
        for link in self._journal.audit_rows(_ROWS):
            facts = _read(link.row.body)
            if entry_id in (facts.get("swap"), _note_id(link)):
                events.append({"time": iso_utc(link.row.utc), **facts})
                request_id = facts.get("id") or request_id
        receipt = self._journal.receipt(entry_id)
        if not events and receipt is None:
            return None
        request = self._journal.find_request(request_id) if request_id else None
        answer = request.outcome if request and request.outcome else _refusal(events)
        return SwapEntry(
            id=entry_id,
            events=tuple(events),
            receipt=raw(receipt.body) if receipt else None,
            request=raw(request.body) if request else None,
            outcome=raw(answer) if answer else None,
        )


@dataclass
class _Entry:
    """One swap, while its rows are read."""

    id: str
    utc: float
    kind: str = "swap"
    status: str = ""
    model: str | None = None
    by: str | None = None
    message: str | None = None
    code: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()

    def hear(self, event: str, facts: Mapping[str, Any]) -> None:
        self.status = event
        self.model = facts.get("model") or self.model
        self.code = facts.get("code") or self.code
        self.checks = facts.get("checks") or self.checks
        if event not in (EventName.REQUESTED, EventName.SWAPPED):
            self.message = facts.get("reason") or self.message

    def line(self) -> SwapLine:
        receipt = self.receipt
        checks = receipt.get("checks") or self.checks
        return SwapLine(
            id=self.id,
            time=iso_utc(self.utc),
            kind=str(receipt.get("verb") or self.kind),
            status=self.status,
            model=receipt.get("to") or self.model,
            left=receipt.get("from"),
            by=receipt.get("by") or self.by or None,
            message=self.message,
            code=self.code,
            cutover=receipt.get("cutover_at"),
            frame=receipt.get("cutover_frame"),
            pause_ms=receipt.get("pause_ms"),
            checks=(sum(bool(c.get("passed")) for c in checks), len(checks)) if checks else None,
        )


def tell(rows: Iterable[AuditLink], receipts: Iterable[ReceiptRow]) -> tuple[SwapLine, ...]:
    """Rows of the trail, oldest first, and receipts, as entries, newest first."""
    entries: dict[str, _Entry] = {}
    requests: dict[str, Mapping[str, Any]] = {}
    for link in rows:
        facts = _read(link.row.body)
        if link.row.kind == "request":
            requests[str(facts.get("id"))] = facts
        elif link.row.kind == "outcome":
            _hear_outcome(entries, requests, link, facts)
        elif link.row.kind == "event":
            _hear_event(entries, link, facts)
    for row in receipts:
        told = _Entry(row.swap_id, row.utc, status=EventName.SWAPPED.value)
        entry = entries.setdefault(row.swap_id, told)
        entry.receipt = _read(row.body)
    newest = sorted(entries.values(), key=lambda entry: entry.utc, reverse=True)
    return tuple(entry.line() for entry in newest if entry.status)[:SHOWN]


def _hear_event(entries: dict[str, _Entry], link: AuditLink, facts: Mapping[str, Any]) -> None:
    event = str(facts.get("event") or "")
    swap_id = str(facts.get("swap") or "")
    if event in _NOTES:
        if event not in _UNTOLD:
            note = _Entry(_note_id(link), link.row.utc, _NOTES[event])
            note.hear(event, facts)
            entries[note.id] = note
    elif swap_id:
        entry = entries.setdefault(swap_id, _Entry(swap_id, link.row.utc))
        if not (event == EventName.REQUESTED and entry.status):
            entry.hear(event, facts)
        entry.utc = link.row.utc if event in _STEPS else entry.utc


def _hear_outcome(
    entries: dict[str, _Entry],
    requests: Mapping[str, Mapping[str, Any]],
    link: AuditLink,
    facts: Mapping[str, Any],
) -> None:
    asked = requests.get(str(facts.get("id")), facts)
    status, verb = str(facts.get("status") or ""), str(asked.get("verb") or "request")
    swap_id = str(facts.get("swap") or "")
    if swap_id:
        entry = entries.setdefault(swap_id, _Entry(swap_id, link.row.utc))
        entry.kind, entry.by = verb, asked.get("by")
        entry.model = entry.model or asked.get("model")
        if status != Status.SUCCEEDED or not entry.status:
            entry.status, entry.code = status, facts.get("code") or entry.code
    elif status != Status.SUCCEEDED:
        note = _Entry(_note_id(link), link.row.utc, verb, status)
        note.model, note.by, note.code = asked.get("model"), asked.get("by"), facts.get("code")
        note.message = facts.get("reason")
        entries[note.id] = note


def _refusal(events: Sequence[Mapping[str, Any]]) -> bytes | None:
    """What the daemon does by itself has no outcome; the event that ended it has the reason."""
    ended = next((facts for facts in reversed(events) if facts.get("checks")), None)
    if ended is None:
        return None
    error = {"code": ended["code"], "message": ended["reason"], "checks": ended["checks"]}
    return json.dumps({"status": ended["event"], "error": error}).encode()


def _note_id(link: AuditLink) -> str:
    return f"note-{link.seq}"


def _read(body: bytes) -> Mapping[str, Any]:
    """JSON that we wrote ourselves; empty if it cannot be read."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
