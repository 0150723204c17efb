"""Requests that only this machine can make, besides the verbs that MQTT carries too.

`status` is everything that is retained on the broker; `history`, `audit`, `order`, `parts`,
`rollouts` and `lineage` read the journal; `pulled` tells of a bundle that a command fetched;
`preview` evaluates recent frames; `quarantine` and `unquarantine` are an operator's decision on one
version. Those two are answered when the change is durable, an audit that verifies when the trail
has been read, all else at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import accumulate
from typing import Any

import msgspec

from edge_daemon.control.arrivals import QuarantineOrdered
from edge_daemon.control.lineage import BundleMessage, dataset_report, lineage_report
from edge_daemon.control.rollout_reports import rollout_looks, told_rollouts
from edge_daemon.control.signed_reports import told_report
from edge_daemon.core.values import BundleRef, Instant, Status
from edge_daemon.errors import EdgeDaemonError, SenderError, StateError
from edge_daemon.host.audit import Anchor, AuditRow
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_lineage import BundleRow
from edge_daemon.messaging import part_payloads
from edge_daemon.messaging.answer import outcome, refused
from edge_daemon.messaging.complaints import refuse_steering
from edge_daemon.messaging.local_socket import Question
from edge_daemon.messaging.times import iso_utc

MOST_RECEIPTS = 200
MOST_AUDIT_ROWS = 1000
MOST_REASON = 1024
MOST_PARTS = 1000
MOST_BYTES = 512 * 1024
"""Of results of parts in one answer."""
MOST_PREVIEWED = 500


class Inquiries:
    """Answers for the control socket.

    Args:
        journal: read for `history`, `audit` and `order`; the whole trail on its own thread.
        said: the last payload of each retained topic, by the topic below the root.
        order: hands an operator's word to the driver.
        clock: what an operator may say is right.
        preview: judges recent frames anew, by a recipe that is tuned so.
        came: hears of a bundle that a command fetched from a source.
    """

    def __init__(
        self,
        journal: Journal,
        said: Callable[[], Mapping[str, bytes]],
        order: Callable[[QuarantineOrdered], None],
        clock: Clock,
        preview: Callable[[Mapping[str, float], int], Mapping[str, Any]],
        came: Callable[[BundleRow], None],
    ) -> None:
        self._preview = preview
        self._came = came
        self._clock = clock
        self._journal = journal
        self._said = said
        self._order = order
        self._answers: Mapping[str, Callable[[Question], None]] = {
            "status": self._status,
            "history": self._history,
            "audit": self._audit,
            "order": self._told_order,
            "trust-clock": self._trust_clock,
            "parts": self._parts,
            "rollouts": self._rollouts,
            "lineage": self._lineage,
            "pulled": self._pulled,
            "preview": self._previewed,
            "quarantine": self._quarantine,
            "unquarantine": self._unquarantine,
        }

    def knows(self, verb: str) -> bool:
        return verb in self._answers

    def answer(self, question: Question) -> None:
        self._answers[question.verb](question)

    def _status(self, question: Question) -> None:
        question.answer({topic: msgspec.Raw(body) for topic, body in self._said().items()})

    def _history(self, question: Question) -> None:
        rows = self._journal.history(_limit(question, 20, MOST_RECEIPTS))
        question.answer({"receipts": [msgspec.Raw(row.body) for row in rows]})

    def _audit(self, question: Question) -> None:
        limit, heads = _limit(question, 100, MOST_AUDIT_ROWS), _heads(question)
        if question.fields.get("verify") is not True:
            question.answer(audit_report(self._journal, limit))
            return

        def verify() -> None:
            try:
                question.answer(audit_report(self._journal, limit, heads))
            except StateError as error:
                question.reply(refused(question.id, error))

        threading.Thread(target=verify, name="audit", daemon=True).start()

    def _trust_clock(self, question: Question) -> None:
        now = self._clock.now()
        self._journal.trust_clock(trusted_clock(self._journal, now, _by(question)))
        question.reply(outcome(question.id, Status.SUCCEEDED))

    def _rollouts(self, question: Question) -> None:
        rollout, audit = question.fields.get("rollout"), question.fields.get("audit") is True
        asked = rollout if isinstance(rollout, str) else None
        after = question.fields.get("looks")
        if asked is not None and isinstance(after, int):
            question.answer(rollout_looks(self._journal, asked, after))
            return
        report = told_report(self._journal, question.fields, self._clock.now())
        question.answer(report or told_rollouts(self._journal, asked, audit=audit))

    def _lineage(self, question: Question) -> None:
        dataset = question.fields.get("dataset")
        if isinstance(dataset, str):
            question.answer(dataset_report(self._journal, dataset))
        else:
            question.answer(lineage_report(self._journal, str(_ref(question))))

    def _pulled(self, question: Question) -> None:
        try:
            row = msgspec.convert(question.fields, BundleMessage, strict=True)
        except msgspec.ValidationError:
            raise SenderError("That does not tell of a bundle from a source.") from None
        self._came(row.row())
        question.answer({})

    def _told_order(self, question: Question) -> None:
        job_order = question.fields.get("job_order")
        row = self._journal.find_order(job_order) if isinstance(job_order, str) else None
        found = {"product": row.product, "time": iso_utc(row.utc)} if row else {}
        question.answer(found)

    def _parts(self, question: Question) -> None:
        name = question.fields.get("name")
        if name is not None and not isinstance(name, str):
            raise SenderError("`name` is not text.", hint="Send an id or a serial.")
        question.answer(parts_report(self._journal, _limit(question, 20, MOST_PARTS), name))

    def _previewed(self, question: Question) -> None:
        changes = question.fields.get("set", {})
        try:
            wanted = msgspec.convert(changes, dict[str, float])
        except msgspec.ValidationError:
            raise SenderError(
                "`set` is not an object of numbers by name.",
                hint='Send {"scratch.confidence": 0.45}.',
            ) from None
        question.answer(self._preview(wanted, _limit(question, 100, MOST_PREVIEWED)))

    def _quarantine(self, question: Question) -> None:
        reason = question.fields.get("reason") or "by an operator"
        if not isinstance(reason, str) or len(reason) > MOST_REASON:
            raise SenderError("`reason` is not a short text.", hint="Say why in a sentence.")
        self._hand_over(question, refuse_steering("reason", reason))

    def _unquarantine(self, question: Question) -> None:
        self._hand_over(question, None)

    def _hand_over(self, question: Question, reason: str | None) -> None:
        def answered(error: EdgeDaemonError | None) -> None:
            done = outcome(question.id, Status.SUCCEEDED)
            question.reply(done if error is None else refused(question.id, error))

        self._order(QuarantineOrdered(_ref(question), reason, _by(question), answered))


def parts_report(journal: Journal, limit: int, name: str | None) -> dict[str, Any]:
    """The answer to `parts`: results, newest first, with the place of a picture; `counts` or null.

    `left_out`: how many of the requested results did not fit.
    """
    rows = journal.parts(limit, name)
    sizes = accumulate(len(row.body) for row in rows)
    told = rows[: sum(size <= MOST_BYTES for size in sizes)]
    counts = part_payloads.kept_counts(journal.part_counts())
    return {
        "parts": [{**json.loads(row.body), "picture": row.picture} for row in told],
        "left_out": len(rows) - len(told),
        "counts": None if counts is None else msgspec.to_builtins(part_payloads.counts(counts)),
    }


def audit_report(
    journal: Journal, limit: int, heads: Iterable[Anchor] | None = None
) -> dict[str, Any]:
    """`head`, the newest `rows`, and `faults`: null unless the trail is compared with `heads`.

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
                "time": iso_utc(link.row.utc),
                "kind": link.row.kind,
                "body": _audited(link.row.body),
                "hash": link.hash,
            }
            for link in journal.audit_rows(limit)
        ],
    }


def _audited(body: bytes) -> dict[str, Any]:
    """What a row says; of one that was tampered with, whatever stands there."""
    with suppress(ValueError):
        said = json.loads(body)
        if isinstance(said, dict):
            return said
    return {"damaged": body.decode("utf-8", "replace")}


def trusted_clock(journal: Journal, now: Instant, by: str) -> AuditRow:
    """What is recorded when an operator confirms that the clock is right."""
    facts = {"by": by, "before": iso_utc(journal.newest_utc)}
    return AuditRow(now.utc, "trust-clock", json.dumps(facts, sort_keys=True).encode())


def _by(question: Question) -> str:
    by = question.fields.get("by")
    return refuse_steering("by", by) if isinstance(by, str) else ""


def _heads(question: Question) -> tuple[Anchor, ...]:
    """What the trail must contain, as `[[seq, hash], ...]`."""
    given = question.fields.get("heads", [])
    try:
        return tuple(Anchor(*pair) for pair in msgspec.convert(given, list[tuple[int, str]]))
    except msgspec.ValidationError:
        raise SenderError("`heads` is not a list of pairs.", hint="Send [[seq, hash]].") from None


def _ref(question: Question) -> BundleRef:
    try:
        return BundleRef.parse(question.fields["model"])
    except (KeyError, ValueError, AttributeError):
        raise SenderError(
            "`model` does not name a version.", hint="Write name@version, such as bottle@1.4.0."
        ) from None


def _limit(question: Question, usual: int, most: int) -> int:
    limit = question.fields.get("limit", usual)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise SenderError(f"`limit` is not a number from 1 to {most}.")
    return limit
