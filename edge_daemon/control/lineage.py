"""Lineage both ways: from a version back to its data set and source, and on to its parts.

The book writes what is known of a bundle once it is in the store, with a record in the audit
trail. The reports read it, and what each version judged.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import msgspec
import structlog

from edge_daemon.control.rollout_reports import head_of
from edge_daemon.core.lineage import Origin, Trained, read_trained, trained_on
from edge_daemon.core.values import BundleRef, StoredBundle
from edge_daemon.errors import Code, EdgeDaemonError, SenderError, StateError
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_lineage import BundleRow, JudgedRow, LineageEntry
from edge_daemon.messaging.times import iso_utc
from edge_daemon.models.manifest import Manifest

_log = structlog.get_logger(__name__)

MOST_SHOWN = 200
"""Spans, receipts and rollouts in one report; the newest ones."""


class LineageBook:
    """Writes down each bundle once, and where it came from; any thread.

    Args:
        read: the manifest of a bundle in the store.
        now_utc: POSIX seconds.
    """

    def __init__(
        self, journal: Journal, read: Callable[[BundleRef], Manifest], now_utc: Callable[[], float]
    ) -> None:
        self._journal, self._read, self._now_utc = journal, read, now_utc
        self._lock = threading.Lock()
        self._known = {row.model: row.sha256 for row in journal.lineage.bundles()}

    def note(self, available: Iterable[StoredBundle]) -> None:
        """The store offers these; whichever is new is written down."""
        with self._lock:
            new = [each for each in available if self._known.get(str(each.ref)) != each.sha256]
            rows = []
            for bundle in new:
                with suppress(EdgeDaemonError):  # gone again; the next look tells of it
                    rows.append(row_of(self._read(bundle.ref), self._now_utc()))
            self._write(rows)

    def came(self, row: BundleRow) -> None:
        """A source gave it."""
        with self._lock:
            self._write([row])

    def _write(self, rows: list[BundleRow]) -> None:
        if not rows:
            return
        try:
            self._journal.commit(noted(rows, self._now_utc()))
        except StateError as error:
            # The bundles are noted at the next change of the store, then without their source.
            _log.warning("lineage_not_saved", bundles=len(rows), error=error.message)
        else:
            self._known |= {row.model: row.sha256 for row in rows}


def row_of(manifest: Manifest, utc: float, origin: Origin | None = None) -> BundleRow:
    """What the journal keeps of a bundle."""
    return BundleRow(
        str(manifest.ref),
        manifest.weights.sha256,
        manifest.sha256,
        utc,
        _json(manifest.lineage),
        None if origin is None else _json(asdict(origin)),
    )


class BundleMessage(msgspec.Struct, frozen=True):
    """A bundle and its source, as a command tells the daemon of it."""

    model: str
    sha256: str
    manifest_sha256: str
    seen_utc: float
    lineage: dict[str, Any]
    source: Origin

    @classmethod
    def of(cls, row: BundleRow) -> BundleMessage:
        """The row of a bundle that has a source."""
        plain = {**asdict(row), "lineage": json.loads(row.lineage)}
        return msgspec.convert({**plain, "source": json.loads(row.source or b"")}, cls)

    def row(self) -> BundleRow:
        """What the journal keeps of it."""
        plain = msgspec.to_builtins(self)
        plain |= {"lineage": _json(self.lineage), "source": _json(asdict(self.source))}
        return BundleRow(**plain)


def noted(rows: Sequence[BundleRow], utc: float) -> Entry:
    """The rows, each with its record in the audit trail."""
    records = (AuditRow(utc, "bundle", _json(_facts(row))) for row in rows)
    return Entry(audit=tuple(records), lineage=LineageEntry(tuple(rows)))


def _facts(row: BundleRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "sha256": row.sha256,
        "manifest_sha256": row.manifest_sha256,
        "lineage": json.loads(row.lineage),
        "source": None if row.source is None else json.loads(row.source),
    }


# --------------------------------------------------------------------------- reports


def lineage_report(journal: Journal, model: str) -> dict[str, Any]:
    """All that is known of one version, from its data set to its parts.

    Raises SenderError where it was never here.
    """
    known = {row.model: row for row in journal.lineage.bundles()}
    row = known.get(model)
    if row is None:
        raise SenderError(
            f"{model} was never in the store of this station while its daemon ran.",
            hint="It is noted once the daemon has seen it. See: edge-daemon models list",
            code=Code.UNKNOWN_MODEL,
        )
    kept = journal.lineage
    trained = {name: _trained(each) for name, each in known.items()}
    rollouts = (journal.rollouts.find(each) for each in kept.rollouts(model, MOST_SHOWN))
    return {
        **_version(row, trained[model]),
        "ancestors": _ancestors(model, trained),
        "said": json.loads(row.lineage),
        "judged": judged_line(kept.judged(model)),
        "counted_since": iso_utc(kept.since_utc()),
        "active": [
            {"from": iso_utc(span.from_utc), "to": iso_utc(span.to_utc), "frames": span.frames}
            for span in kept.active(model, MOST_SHOWN)
        ],
        "receipts": [
            {key: receipt.get(key) for key in _OF_A_RECEIPT}
            for receipt in map(json.loads, kept.receipts(model, MOST_SHOWN))
        ],
        "rollouts": [head_of(rollout) for rollout in rollouts if rollout is not None],
    }


def dataset_report(journal: Journal, dataset: str) -> dict[str, Any]:
    """Every version that was here and learned from a data set, and what each judged.

    Raises SenderError where no version is known to have.
    """
    rows = journal.lineage.bundles()
    trained = {row.model: _trained(row) for row in rows}
    found = trained_on(dataset, trained)
    unknown = sum(not each.datasets for each in trained.values())
    if not found:
        raise SenderError(
            f"No version that was in the store is known to be trained on {dataset!r}.",
            hint=f"Of {len(rows)} versions {unknown} do not say what they were trained on.",
            code=Code.UNKNOWN_MODEL,
        )
    lines = [
        {
            **_version(row, trained[row.model]),
            "through": found[row.model],
            "judged": judged_line(journal.lineage.judged(row.model)),
        }
        for row in rows
        if row.model in found
    ]
    return {
        "dataset": dataset,
        "versions": lines,
        "without_dataset": unknown,
        "counted_since": iso_utc(journal.lineage.since_utc()),
    }


def judged_line(judged: JudgedRow) -> dict[str, Any]:
    """Frames, and parts by verdict, from when to when."""
    verdicts = {word: getattr(judged, word) for word in ("ok", "ng", "empty", "uninspected")}
    return {
        "frames": judged.frames,
        "parts": sum(verdicts.values()),
        **verdicts,
        "from": None if judged.first_utc is None else iso_utc(judged.first_utc),
        "to": None if judged.last_utc is None else iso_utc(judged.last_utc),
    }


def _trained(row: BundleRow) -> Trained:
    name = row.model.partition("@")[0]
    return read_trained(name, json.loads(row.lineage), origin_of(row))


def origin_of(row: BundleRow) -> Origin | None:
    """Where it came from; None where it was never told."""
    return None if row.source is None else msgspec.json.decode(row.source, type=Origin)


def _version(row: BundleRow, trained: Trained) -> dict[str, Any]:
    origin = origin_of(row)
    source = None if origin is None else {**asdict(origin), "seen": iso_utc(origin.seen)}
    return {
        "model": row.model,
        "sha256": row.sha256,
        "manifest_sha256": row.manifest_sha256,
        "first_seen": iso_utc(row.seen_utc),
        "datasets": list(trained.datasets),
        "run": trained.run,
        "parent": trained.parent,
        "source": source,
    }


def _ancestors(model: str, trained: Mapping[str, Trained]) -> list[dict[str, Any]]:
    """The versions that the training began with, the nearest first; the last may be unknown."""
    chain: list[dict[str, Any]] = []
    parent, seen = trained[model].parent, {model}
    while parent is not None and parent not in seen:
        seen.add(parent)
        known = trained.get(parent)
        datasets = [] if known is None else list(known.datasets)
        chain.append({"model": parent, "was_here": known is not None, "datasets": datasets})
        parent = None if known is None else known.parent
    return chain


_OF_A_RECEIPT = ("swap_id", "from", "to", "by", "cutover_at", "cutover_frame", "pause_ms", "trial")


def _json(plain: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(plain), sort_keys=True, separators=(",", ":"), default=str).encode()
