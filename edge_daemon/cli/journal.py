"""History, audit trail and quarantine: from the running daemon, or else from its journal.

Only one process may open the journal. While the daemon runs, it answers through its control
socket. Otherwise the journal is opened here, and changes are recorded as the daemon would.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec

from edge_daemon.cli.station import Station
from edge_daemon.config import Settings
from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.control.inquiries import MOST_AUDIT_ROWS, audit_report, parts_report, trusted_clock
from edge_daemon.control.lineage import BundleMessage, dataset_report, lineage_report, noted
from edge_daemon.control.rollout_reports import rollout_looks, told_rollouts
from edge_daemon.control.signed_reports import told_report
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import QuarantineChanged
from edge_daemon.core.planner import step
from edge_daemon.core.state import Durable, State
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import Code, SenderError, StateError
from edge_daemon.host.audit import Anchor, AuditRow
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_file import FILE
from edge_daemon.host.journal_lineage import BundleRow
from edge_daemon.messaging.complaints import refuse_steering
from edge_daemon.messaging.times import iso_utc

VERIFY_S = 600.0
"""A long trail is read for minutes on a small box that inspects meanwhile."""


class Records:
    """The records of one device."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_folder
        self._station = Station(settings)
        self._is_running = self._station.socket() is not None

    def history(self, limit: int) -> list[dict[str, Any]]:
        """The newest receipts, newest first. Raises StateError, NotReachable."""
        if self._is_running:
            return list(self._station.inquire("history", {"limit": limit})["receipts"])
        with self._journal() as journal:
            return [json.loads(row.body) for row in journal.history(limit)]

    def parts(self, limit: int, name: str | None = None) -> dict[str, Any]:
        """`parts`, newest first, of this id or serial where one is given; and `counts`.

        Raises StateError, NotReachable.
        """
        if self._is_running:
            body = {"limit": limit} if name is None else {"limit": limit, "name": name}
            return self._station.inquire("parts", body)
        with self._journal() as journal:
            return parts_report(journal, limit, name)

    def rollouts(self, rollout: str | None = None, *, audit: bool = False) -> dict[str, Any]:
        """The list, one in full, or its audit; raises SenderError, StateError, NotReachable."""
        if self._is_running:
            named = {} if rollout is None else {"rollout": rollout, "audit": audit}
            return self._station.inquire("rollouts", named)
        with self._journal() as journal:
            return told_rollouts(journal, rollout, audit=audit)

    def rollout_looks(self, rollout: str) -> tuple[dict[str, Any], list[bytes]]:
        """One rollout with its plan, and all that the rule saw of it; raises as `rollouts`."""
        bodies: list[bytes] = []
        after: int | None = 0
        told: dict[str, Any] = {}
        while after is not None:
            if self._is_running:
                told = self._station.inquire("rollouts", {"rollout": rollout, "looks": after})
            else:
                with self._journal() as journal:
                    told = rollout_looks(journal, rollout, after)
            bodies += [base64.b64decode(look) for look in told["looks"]]
            after = told["next"]
        return told, bodies

    def rollout_report(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A report made anew, or the trail's row of one: as `control.signed_reports` is asked.

        Raises SenderError, StateError, NotReachable.
        """
        if self._is_running:
            return self._station.inquire("rollouts", fields)
        with self._journal() as journal:
            return told_report(journal, fields, SystemClock().now()) or {}

    def lineage(self, model: str = "", dataset: str = "") -> dict[str, Any]:
        """Of one version, or of all that learned from a data set.

        Raises SenderError where nothing is known of it, StateError, NotReachable.
        """
        if self._is_running:
            named = {"dataset": dataset} if dataset else {"model": model}
            return self._station.inquire("lineage", named)
        with self._journal() as journal:
            if dataset:
                return dataset_report(journal, dataset)
            return lineage_report(journal, model)

    def came(self, row: BundleRow) -> None:
        """A bundle was fetched from a source. Raises StateError, NotReachable."""
        if self._is_running:
            self._station.inquire("pulled", msgspec.to_builtins(BundleMessage.of(row)))
            return
        with self._journal() as journal:
            journal.commit(noted([row], SystemClock().now().utc))

    def audit(self, limit: int, heads: tuple[Anchor, ...] | None = None) -> dict[str, Any]:
        """`head`, the newest `rows`, and `faults`.

        Without `heads` the trail is not verified and `faults` is None; else it must be whole and
        contain each of them.
        """
        if not self._is_running:
            with self._journal() as journal:
                return audit_report(journal, limit, heads)
        if heads is None:
            return self._station.inquire("audit", {"limit": limit})
        pairs = [[head.seq, head.hash] for head in heads]
        body = {"limit": limit, "verify": True, "heads": pairs}
        return self._station.inquire("audit", body, timeout_s=VERIFY_S)

    def order(self, job_order: str) -> dict[str, Any] | None:
        """`product` and `time` of an order that was told with its product; None if it never was.

        Raises StateError, NotReachable: the state of the station cannot be read from here.
        """
        if self._is_running:
            answer = self._station.inquire("order", {"job_order": job_order})
            return answer if "product" in answer else None
        with self._journal() as journal:
            row = journal.find_order(job_order)
            return {"product": row.product, "time": iso_utc(row.utc)} if row else None

    def trust_clock(self, by: str) -> None:
        """Accept the times of the clock again, although later ones are on record."""
        if self._is_running:
            self._station.inquire("trust-clock", {"by": by} if by else {})
            return
        with self._journal() as journal:
            journal.trust_clock(trusted_clock(journal, SystemClock().now(), _with_uid(by)))

    def refusals(self, limit: int) -> list[dict[str, Any]]:
        """The newest bundles that were refused once they were looked at, newest first.

        Also those that the daemon wanted by itself: for an order, or at its start.
        """
        rows = reversed(self.audit(MOST_AUDIT_ROWS)["rows"])
        return [
            {
                "swap_id": str(row["body"].get("swap") or ""),
                "time": row["time"],
                "model": str(row["body"].get("model") or ""),
                "code": str(row["body"].get("code") or ""),
                "message": str(row["body"].get("reason") or ""),
                "checks": list(row["body"].get("checks") or ()),
            }
            for row in rows
            if row["kind"] == "event"
            and row["body"].get("event") in (EventName.REJECTED, EventName.FAILED)
        ][:limit]

    def durable(self) -> Durable | None:
        """The state of a daemon that does not run; None while it runs, or never ran."""
        if self._is_running or not (self._folder / FILE).exists():
            return None
        with self._journal() as journal:
            return decode_durable(journal.state())

    def quarantine(self, ref: BundleRef, reason: str | None, by: str) -> None:
        """Quarantine a version, or lift it (`reason` None). Raises SenderError where it cannot."""
        verb = "unquarantine" if reason is None else "quarantine"
        refuse_steering("reason", reason or "")
        if self._is_running:
            body = {"model": str(ref), "reason": reason, "by": by}
            self._station.inquire(verb, {key: value for key, value in body.items() if value})
            return
        with self._journal() as journal:
            clock = SystemClock()
            stopped = State("", (), durable=decode_durable(journal.state()))
            if reason is None and stopped.quarantine_reason(ref) is None:
                raise SenderError(f"{ref} is not quarantined.", code=Code.PRECONDITION_FAILED)
            changed, *_ = step(stopped, QuarantineChanged(ref, reason), clock.now())
            facts = {"model": str(ref), "by": _with_uid(by), "reason": reason, "while": "stopped"}
            row = AuditRow(clock.now().utc, verb, json.dumps(facts, sort_keys=True).encode())
            journal.commit(Entry(encode_durable(changed.durable), audit=(row,)))

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        if not (self._folder / FILE).exists():
            raise StateError(
                f"{self._folder} holds no journal: this device has never run here.",
                hint="Check state_dir, or start the daemon once.",
            )
        with closing(Journal.open(self._folder)) as journal:
            yield journal


def _with_uid(by: str) -> str:
    """Who is recorded: the name as typed, and the user id, which nobody can choose."""
    return f"{by} (uid {os.getuid()})".strip()
