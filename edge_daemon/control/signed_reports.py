"""The report of a rollout with its place in the audit trail, as a receipt has one.

The trail's next row holds the report's digest. Who keeps a report can have it held against the
trail: a changed figure is another digest, and a changed row breaks the chain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge_daemon.control.rollout_reports import found_row
from edge_daemon.core.rollout.plan import recorded_plan
from edge_daemon.core.rollout.progress import read_progress
from edge_daemon.core.rollout.report import STOPPED, Costs, Ending, digest, made
from edge_daemon.core.values import Instant
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import REPORT_KIND
from edge_daemon.messaging.complaints import refuse_steering
from edge_daemon.messaging.times import iso_utc

_ABORTS = ("Aborted", "A swap", "A rollback")


def signed_report(
    journal: Journal, rollout: str, now: Instant, costs: Costs | None = None, by: str = ""
) -> dict[str, Any]:
    """The report as it stands now; its digest is on the trail when this returns.

    Raises SenderError where the rollout is not known or its evidence cannot be read, StateError.
    """
    row = found_row(journal, rollout)
    kept, planned = json.loads(row.progress), json.loads(row.plan)
    plan = recorded_plan(planned["plan"])
    try:
        progress = read_progress(plan, row.began_utc, kept)
    except ValueError as error:
        raise SenderError(
            f"The evidence of {rollout} cannot be read: {error}",
            hint="It was written by another version; edge-daemon rollouts show tells how it ended.",
            code=Code.PRECONDITION_FAILED,
        ) from error
    how, why = str(kept.get("ended", "")), str(kept.get("ended_why", ""))
    ending = Ending(how, why, how == STOPPED and why.startswith(_ABORTS))
    head = journal.audit_head()
    report = {
        **made(rollout, progress, ending, now.utc, costs),
        "rollout": rollout,
        "model": row.candidate,
        "model_sha256": kept.get("candidate_sha256", ""),
        "reference": row.reference,
        "by": kept.get("by", ""),
        "began": iso_utc(row.began_utc),
        "ended": None if row.ended_utc is None else iso_utc(row.ended_utc),
        "made": iso_utc(now.utc),
        "plan": planned["plan"],
        "plan_sha256": planned["sha256"],
        "entered": [
            {"stage": stage, "share": share, "time": iso_utc(utc)}
            for stage, share, utc in progress.entered
        ],
        "audit": {"seq": head.seq, "hash": head.hash},
    }
    report["sha256"] = digest(report)
    facts = {"rollout": rollout, "sha256": report["sha256"], "by": by}
    body = json.dumps(facts, sort_keys=True).encode()
    journal.commit(Entry(audit=(AuditRow(now.utc, REPORT_KIND, body),)))
    return report


def told_report(journal: Journal, fields: Mapping[str, Any], now: Instant) -> dict[str, Any] | None:
    """What a question asks of reports: one anew, or the trail's row of a digest; None: neither.

    Raises SenderError, StateError.
    """
    sha256, rollout, by = fields.get("verify"), fields.get("rollout"), fields.get("by")
    if isinstance(sha256, str):
        return {"row": journal.rollouts.report_row(sha256)}
    if fields.get("report") is True and isinstance(rollout, str):
        asked_by = refuse_steering("by", by) if isinstance(by, str) else ""
        return signed_report(journal, rollout, now, costs_of(fields.get("costs")), asked_by)
    return None


def costs_of(told: object) -> Costs | None:
    """The costs that a question names; raises SenderError for what is none."""
    if told is None:
        return None
    if isinstance(told, Mapping):
        missed, reject = told.get("missed"), told.get("false_reject")
        currency = told.get("currency", "")
        if isinstance(missed, (int, float)) and isinstance(reject, (int, float)):
            return Costs(float(missed), float(reject), str(currency)[:8])
    raise SenderError("`costs` has no numbers `missed` and `false_reject`.", hint="Send both.")
