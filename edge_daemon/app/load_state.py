"""Loads the daemon's state at its start, even when the disk kept less than was written.

A state that cannot be read must not stop the line: it is moved aside and recorded, and the daemon
starts from its settings and the store. No version counts as confirmed then, so the gate checks
each one before it judges a frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.core.state import Durable
from edge_daemon.core.values import Instant
from edge_daemon.errors import NewerState, StateError
from edge_daemon.host.disk import SetAside, write_durably
from edge_daemon.host.journal import AuditRow, Entry, Journal

_log = structlog.get_logger(__name__)


def load_state(
    journal: Journal, folder: Path, now: Instant, aside: Iterable[SetAside] = ()
) -> Durable:
    """The state from the journal; a new one if it cannot be read.

    `aside`: other damaged files of the folder, to be recorded. Raises StateError only if the
    journal itself cannot be read or written, and NewerState for the state of a later version, which
    is left alone.
    """
    if journal.recovered is not None:
        recovery = journal.recovered
        _log.error("journal_recovered", why=recovery.cause, kept=str(recovery.set_aside))
        journal.commit(_on_record(now, "journal_recovered", why=recovery.cause))
    for damaged in aside:
        with suppress(StateError):  # it is in the log already
            journal.commit(_on_record(now, "state_file_set_aside", why=str(damaged)))
    body = journal.state()
    try:
        return decode_durable(body)
    except NewerState:
        raise
    except StateError as error:
        kept = folder / f"state-unreadable-{now.utc:.0f}.json"
        _log.error("state_set_aside", error=error.message, kept=str(kept))
        write_durably(kept, body or b"")
        entry = _on_record(now, "state_set_aside", why=error.message, kept=kept.name)
        fresh = Durable()
        journal.commit(Entry(state=encode_durable(fresh), audit=entry.audit))
        return fresh


def _on_record(now: Instant, event: str, **facts: str) -> Entry:
    body = json.dumps({"event": event, **facts}).encode()
    return Entry(audit=(AuditRow(now.utc, "event", body),))
