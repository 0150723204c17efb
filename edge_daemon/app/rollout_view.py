"""The rollout as the status page shows it: how it stands, and the parts that want a label.

A picture comes without what the models said of its part until it has a label.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog

from edge_daemon.app.resources import Resources
from edge_daemon.control.rollout_reports import asked_pairs
from edge_daemon.control.rollout_view import ended_state
from edge_daemon.documents import MALFORMED
from edge_daemon.errors import StateError
from edge_daemon.frames.disputed import DisputedFolder
from edge_daemon.host.journal_rollouts import RolloutRow
from edge_daemon.messaging import payloads
from edge_daemon.messaging.rollout_payloads import RolloutState
from edge_daemon.messaging.times import iso_utc
from edge_daemon.web.state import (
    DisputeLine,
    EndedLine,
    FoundLine,
    OpinionLine,
    RolloutLine,
    WantedLine,
    raw,
)

LATELY_S = 24 * 3600.0
"""So long after its end a rollout is still shown."""
ASKED = 24
ANSWERED = 24
"""Parts without a label, and those with one, the newest of each."""
WANTED = 12
"""Parts without a picture that are asked for at a time."""
_LOOKED_AT = 1000
_KEPT = 2000

_log = structlog.get_logger(__name__)


class RolloutView:
    """Asked by the page's thread.

    Args:
        state: the retained topic `rollout/state`; empty before the first.
        folder: pictures of parts on which both disagree; None: none are kept.
    """

    def __init__(
        self, resources: Resources, state: Callable[[], bytes], folder: DisputedFolder | None
    ) -> None:
        self._kept = resources.journal.rollouts
        self._clock = resources.clock
        self._state = state
        self._folder = folder
        self._takes_labels = resources.settings.parts is not None
        self._ended: tuple[RolloutRow, bytes] | None = None

    def line(self) -> RolloutLine | None:
        """The one that runs, or the newest one that ended lately; None where there is none."""
        body = self._state()
        running = json.loads(body)["rollout"] if body else None
        try:
            if running is not None:
                return self._line(running, body, None)
            row = next(iter(self._kept.newest(1)), None)
            if row is None or row.ended_utc is None:
                return None
            if self._clock.now().utc - row.ended_utc > LATELY_S:
                return None
            return self._line(row.id, self._state_of(row), _ended(row))
        except StateError as error:
            _log.warning("rollout_not_read", error=error.message)
            return None

    def picture(self, name: str) -> bytes | None:
        """A picture by its file name; None where there is none."""
        return self._folder.read(name) if self._folder else None

    def _state_of(self, row: RolloutRow) -> bytes:
        if self._ended is None or self._ended[0] != row:  # labels may come after the end
            state = ended_state(row) or RolloutState(rollout=row.id, model=row.candidate)
            self._ended = row, payloads.encode(state)
        return self._ended[1]

    def _line(self, rollout: str, body: bytes, ended: EndedLine | None) -> RolloutLine:
        asked: list[DisputeLine] = []
        answered: list[DisputeLine] = []
        paths = self._folder.recent(_LOOKED_AT) if self._folder else ()
        kept = [(path.name, _facts_of(path)) for path in paths]
        ours = [(name, facts) for name, facts in kept if facts.get("rollout") == rollout]
        truths = self._kept.last_words((facts["boot"], facts["part"]) for _, facts in ours)
        for name, facts in ours:
            truth = truths.get((facts["boot"], facts["part"]))
            lines, most = (asked, ASKED) if truth is None else (answered, ANSWERED)
            if len(lines) < most:
                lines.append(_dispute(name, facts, truth))
        return RolloutLine(
            state=raw(body),
            ended=ended,
            asked=tuple(asked),
            answered=tuple(answered),
            wanted=self._wanted(rollout, {(each.boot, each.part) for each in asked}),
            takes_labels=self._takes_labels,
            keeps_pictures=self._folder is not None,
        )

    def _wanted(self, rollout: str, shown: set[tuple[str, int]]) -> tuple[WantedLine, ...]:
        """Parts without a picture that want a label: drawn for an audit, or disputed."""
        row = self._kept.find(rollout)
        return tuple(
            WantedLine(boot=pair.boot, part=pair.part, id=pair.id, time=iso_utc(pair.utc))
            for pair in (asked_pairs(self._kept, row, WANTED) if row is not None else ())
            if (pair.boot, pair.part) not in shown
        )


@lru_cache(_KEPT)
def _facts_of(path: Path) -> dict[str, Any]:
    """What lies beside a picture; it never changes."""
    try:
        return dict(json.loads(path.with_suffix(".json").read_bytes()))
    except (OSError, *MALFORMED):
        return {}


def _ended(row: RolloutRow) -> EndedLine:
    told = json.loads(row.progress)
    assert row.ended_utc is not None
    return EndedLine(
        time=iso_utc(row.ended_utc),
        how=str(told.get("ended") or "ended"),
        why=str(told.get("ended_why", "")),
    )


def _dispute(file: str, facts: dict[str, Any], truth: str | None) -> DisputeLine:
    """Without a label nothing is told that a person could be led by."""
    told = () if truth is None else ("incumbent", "candidate")
    said = {who: _opinion(facts[who]) for who in told}
    return DisputeLine(
        file=file,
        boot=facts["boot"],
        part=facts["part"],
        id=facts["id"],
        time=iso_utc(facts["utc"]),
        truth=truth,
        **said,
    )


def _opinion(said: dict[str, Any]) -> OpinionLine:
    return OpinionLine(
        model=said["model"],
        verdict=said["verdict"],
        causes=tuple(said["causes"]),
        detections=tuple(
            FoundLine(
                label=each["class"],
                confidence=each["confidence"],
                box=tuple(each["box"]),
                rejects=each["class"] in said["rejecting"],
                polygon=tuple((x, y) for x, y in each.get("polygon", ())),
            )
            for each in said["detections"]
        ),
    )
