"""What may be asked at this machine only, beside the verbs that MQTT carries too.

`status` is everything that is retained on the broker; `history`, `audit` and `order` read the
journal; `quarantine` and `unquarantine` are the operator's word on one version. These two are
answered when what they changed is durable, an audit that verifies when it has read the trail, all
else at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from edge_daemon.control import payloads
from edge_daemon.control.arrivals import QuarantineOrdered
from edge_daemon.control.inbox import refuse_steering
from edge_daemon.core.values import BundleRef, Instant, Refusal, Status
from edge_daemon.errors import EdgeDaemonError, SenderError, StateError
from edge_daemon.host.audit import Anchor, AuditRow
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Journal

MOST_RECEIPTS = 200
MOST_AUDIT_ROWS = 1000
MOST_REASON = 1024


class Inquiries:
    """Answers for the control socket.

    Args:
        journal: read for `history`, `audit` and `order`; the whole trail on its own thread.
        said: the last payload of each retained topic, by the topic below the root.
        order: hands an operator's word to the driver.
        deliver: gives an answer that comes later to whoever waits for its id.
        clock: what an operator may say is right.
    """

    def __init__(
        self,
        journal: Journal,
        said: Callable[[], Mapping[str, bytes]],
        order: Callable[[QuarantineOrdered], None],
        deliver: Callable[[str, bytes], None],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._said = said
        self._order = order
        self._deliver = deliver
        self._answers: Mapping[str, Callable[[Mapping[str, Any], str], bytes | None]] = {
            "status": self._status,
            "history": self._history,
            "audit": self._audit,
            "order": self._told_order,
            "trust-clock": self._trust_clock,
            "quarantine": self._quarantine,
            "unquarantine": self._unquarantine,
        }

    def knows(self, verb: str) -> bool:
        return verb in self._answers

    def answer(self, verb: str, document: Mapping[str, Any], answer_id: str) -> bytes | None:
        """The answer, or None where it is delivered later under `answer_id`.

        Raises:
            EdgeDaemonError: the question is malformed, or the journal cannot be read.
        """
        return self._answers[verb](document, answer_id)

    def _status(self, _: Mapping[str, Any], __: str) -> bytes:
        return json.dumps(
            {topic: json.loads(body) for topic, body in self._said().items()}
        ).encode()

    def _history(self, document: Mapping[str, Any], _: str) -> bytes:
        rows = self._journal.history(_limit(document, 20, MOST_RECEIPTS))
        return json.dumps({"receipts": [json.loads(row.body) for row in rows]}).encode()

    def _audit(self, document: Mapping[str, Any], answer_id: str) -> bytes | None:
        limit, heads = _limit(document, 100, MOST_AUDIT_ROWS), _heads(document)
        if document.get("verify") is not True:
            return json.dumps(audit_report(self._journal, limit)).encode()

        def verify() -> None:
            try:
                answer = json.dumps(audit_report(self._journal, limit, heads)).encode()
            except StateError as error:
                answer = _outcome(answer_id, error)
            self._deliver(answer_id, answer)

        threading.Thread(target=verify, name="audit", daemon=True).start()
        return None

    def _trust_clock(self, document: Mapping[str, Any], answer_id: str) -> bytes:
        self._journal.trust_clock(trusted_clock(self._journal, self._clock.now(), _by(document)))
        return _outcome(answer_id, None)

    def _told_order(self, document: Mapping[str, Any], _: str) -> bytes:
        job_order = document.get("job_order")
        row = self._journal.find_order(job_order) if isinstance(job_order, str) else None
        answer = {"product": row.product, "time": payloads.iso_utc(row.utc)} if row else {}
        return json.dumps(answer).encode()

    def _quarantine(self, document: Mapping[str, Any], answer_id: str) -> None:
        reason = document.get("reason") or "by an operator"
        if not isinstance(reason, str) or len(reason) > MOST_REASON:
            raise SenderError("`reason` is not a short text.", hint="Say why in a sentence.")
        refuse_steering("reason", reason)
        self._hand_over(document, reason, answer_id)

    def _unquarantine(self, document: Mapping[str, Any], answer_id: str) -> None:
        self._hand_over(document, None, answer_id)

    def _hand_over(self, document: Mapping[str, Any], reason: str | None, answer_id: str) -> None:
        def answered(error: EdgeDaemonError | None) -> None:
            self._deliver(answer_id, _outcome(answer_id, error))

        self._order(QuarantineOrdered(_ref(document), reason, _by(document), answered))


def audit_report(
    journal: Journal, limit: int, heads: Iterable[Anchor] | None = None
) -> dict[str, Any]:
    """`head`, the newest `rows`, and `faults`: null unless the trail is held against `heads`.

    Raises StateError.
    """
    faults = None if heads is None else journal.audit_faults(*heads)
    head = journal.audit_head()
    return {
        "head": {"seq": head.seq, "hash": head.hash},
        "faults": faults,
        "rows": [
            {
                "seq": link.seq,
                "time": payloads.iso_utc(link.row.utc),
                "kind": link.row.kind,
                "body": json.loads(link.row.body),
                "hash": link.hash,
            }
            for link in journal.audit_rows(limit)
        ],
    }


def trusted_clock(journal: Journal, now: Instant, by: str) -> AuditRow:
    """What is put on record when an operator says that the clock is right."""
    facts = {"by": by, "before": payloads.iso_utc(journal.newest_utc)}
    return AuditRow(now.utc, "trust-clock", json.dumps(facts, sort_keys=True).encode())


def _by(document: Mapping[str, Any]) -> str:
    by = document.get("by")
    return refuse_steering("by", by) if isinstance(by, str) else ""


def _heads(document: Mapping[str, Any]) -> tuple[Anchor, ...]:
    """What the trail must contain, as `[[seq, hash], ...]`."""
    given = document.get("heads", [])
    try:
        return tuple(Anchor(*pair) for pair in msgspec.convert(given, list[tuple[int, str]]))
    except msgspec.ValidationError:
        raise SenderError("`heads` is not a list of pairs.", hint="Send [[seq, hash]].") from None


def _outcome(answer_id: str, error: EdgeDaemonError | None) -> bytes:
    if error is None:
        return payloads.outcome(answer_id, Status.SUCCEEDED)
    refusal = Refusal.of(error)
    return payloads.outcome(answer_id, refusal.status, refusal=refusal)


def _ref(document: Mapping[str, Any]) -> BundleRef:
    try:
        return BundleRef.parse(document["model"])
    except (KeyError, ValueError, AttributeError):
        raise SenderError(
            "`model` does not name a version.", hint="Write name@version, such as bottle@1.4.0."
        ) from None


def _limit(document: Mapping[str, Any], usual: int, most: int) -> int:
    limit = document.get("limit", usual)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise SenderError(f"`limit` is not a number from 1 to {most}.")
    return limit
