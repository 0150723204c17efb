"""The evidence of a rollout: pairs and labels are counted here and written down at once.

On a thread of its own that does nothing else, so that requests, decisions and the candidate itself
delay no pair: it waits for the write at most `GROUP_S`, and those that come meanwhile share it.
Only this thread changes the evidence; what is decided is decided from what was written: `saved`.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

import structlog

from edge_daemon.config.rollouts import PairRetentionSettings
from edge_daemon.control.arrivals import Arrival
from edge_daemon.control.block_scheduler import BlockScheduler
from edge_daemon.control.feedback_handler import Labelled
from edge_daemon.control.rollout_rows import (
    earlier_progress,
    end_of,
    ended_row,
    pair_row,
    place_of,
    rollout_row,
)
from edge_daemon.control.unsaved_rows import UnsavedRows
from edge_daemon.core.event_names import EventName
from edge_daemon.core.records import Announce, Record
from edge_daemon.core.rollout.audit import is_asked
from edge_daemon.core.rollout.progress import Progress, read_progress
from edge_daemon.core.rollout.rule import RuleResult
from edge_daemon.core.rollout.values import Mode, Outcome, Pair
from edge_daemon.core.state import Rollout, State
from edge_daemon.core.values import Instant, Verdict
from edge_daemon.errors import StateError
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_rollouts import LookRow, PairRow, PartKey, RolloutRow
from edge_daemon.host.metrics import Metrics
from edge_daemon.messaging.payloads import encode
from edge_daemon.slots.frame_control import ShadowTally
from edge_daemon.slots.turns import Turns

_log = structlog.get_logger(__name__)

GROUP_S = 0.25
"""From one write's beginning to the next one's: no pair waits longer, whenever it came."""
TICK_S = 0.5
"""Between two looks at the line while no word comes."""
MOST_WAITING = 16_384
"""Words that wait; of more, pairs are lost: coverage falls, and the log says so."""
MOST_EARLY = 4096
"""Labels that wait for the pair of their part, which comes within seconds."""


@dataclass(frozen=True)
class _Step:
    state: State
    endings: tuple[Announce, ...]


@dataclass(frozen=True)
class _Labels:
    labelled: tuple[Labelled, ...]


@dataclass(frozen=True)
class _Decided:
    rollout: str
    stage: int
    said: RuleResult
    look: LookRow | None


_Word = Union[Pair, _Step, _Labels, _Decided]
_ENDINGS = (EventName.ROLLOUT_STOPPED, EventName.ROLLOUT_COMPLETED)


@dataclass(frozen=True)
class Saved:
    """What was written last. `rollout` and `row`: of the one that runs; None: none does.

    `are_drawn`: whether passed parts were drawn for a person to look at.
    """

    state: State | None = None
    rollout: Rollout | None = None
    row: RolloutRow | None = None
    are_drawn: bool = False


@dataclass(frozen=True)
class EvaluatorTools:
    """What recorder and evaluator act on. `captured`: frames so far; `say`: publishes
    `rollout/state`; `audit`: share of the passed parts that a person is to look at.
    """

    journal: Journal
    put: Callable[[Arrival], None]
    say: Callable[[bytes], None]
    captured: Callable[[], int]
    metrics: Metrics
    clock: Clock
    keep: PairRetentionSettings = PairRetentionSettings()
    shadowed: Callable[[], ShadowTally] = ShadowTally
    blocks: BlockScheduler = field(default_factory=lambda: BlockScheduler(Turns()))
    audit: float = 0.0


class RolloutRecorder:
    """`pair`, `stepped`, `label` and `decided` may be called by any thread, and never wait."""

    def __init__(self, tools: EvaluatorTools) -> None:
        self._tools = tools
        self._words: deque[_Word] = deque()
        self._dropped: deque[tuple[str, ...]] = deque()  # slices of pairs
        self._came = threading.Event()
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "rollout_turn_failed")
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._state: State | None = None
        self._rollout: Rollout | None = None
        self._progress: Progress | None = None
        self._unsaved = UnsavedRows(tools.journal, tools.clock, tools.keep)
        self._labels: dict[PartKey, Verdict] = {}
        self._early: dict[PartKey, Verdict] = {}  # of parts that have no pair yet
        self._shadowed = ShadowTally()
        self._are_drawn = False
        self._recorded_at = float("-inf")
        self.saved = Saved()

    # ------------------------------------------------------------------ any thread

    def pair(self, pair: Pair) -> None:
        """A part that both models judged."""
        if len(self._words) < MOST_WAITING:
            self._put(pair)
        else:
            self._dropped.append(pair.slices)

    def stepped(self, state: State, records: Sequence[Record]) -> None:
        """The planner took a step."""
        endings = [r for r in records if isinstance(r, Announce) and r.event in _ENDINGS]
        self._put(_Step(state, tuple(endings)))

    def label(self, labelled: Sequence[Labelled]) -> None:
        """What parts truly are; on record as feedback already."""
        self._put(_Labels(tuple(labelled)))

    def decided(self, rollout: str, stage: int, said: RuleResult, look: LookRow | None) -> None:
        """What the rule says in this stage; `look`: what it saw, where that is to be kept."""
        self._put(_Decided(rollout, stage, said, look))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stopping.set()
        self._came.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _put(self, word: _Word) -> None:
        self._words.append(word)
        self._came.set()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._came.wait(TICK_S)
            self._stopping.wait(self.due_in_s)
            self._came.clear()
            with self._boundary.turn():
                self.record()
        for _ in range(2):  # the second writes the last labels
            with self._boundary.turn():
                self.record()

    @property
    def due_in_s(self) -> float:
        """How long a word that comes now waits at most until it is written."""
        return max(0.0, self._recorded_at + GROUP_S - self._tools.clock.now().at)

    def record(self) -> None:
        """Count what came, and write it. Raises StateError where the journal cannot be read."""
        now = self._tools.clock.now()
        self._recorded_at = now.at
        for _ in range(len(self._words)):
            word = self._words.popleft()
            try:
                self._take_in(word)
            except StateError:
                self._words.appendleft(word)  # it waits until the journal can be read
                raise
        self._lose_dropped()
        self._look(now)
        self._save()
        self._label()  # written with the next group: no pair waits for a query

    def _take_in(self, word: _Word) -> None:
        rollout, progress = self._rollout, self._progress
        if isinstance(word, _Step):
            self._step(word)
        elif isinstance(word, _Labels):
            self._labels |= {(each.boot, each.part): each.verdict for each in word.labelled}
        elif rollout is None or progress is None:
            return
        elif isinstance(word, Pair):
            if word.rollout == rollout.id:
                self._count(word, progress)
        elif (word.rollout, word.stage) == (rollout.id, progress.stage):
            self._unsaved.is_dirty |= word.said != progress.said
            progress.said = word.said
            self._unsaved.looks += () if word.look is None else (word.look,)

    # ------------------------------------------------------------------ pairs and labels

    def _count(self, pair: Pair, progress: Progress) -> None:
        place = progress.add(pair)
        self._unsaved.is_dirty = True
        self._tools.metrics.pair(place, pair.outcome.value)
        is_drawn = is_asked(pair, progress.plan, self._tools.audit)
        self._are_drawn |= is_drawn
        if is_drawn or pair.outcome is not Outcome.NEITHER:  # what both pass is only counted
            truth = self._early.pop((pair.boot, pair.part), None)
            if truth is not None:
                place = progress.evidence.label(place, truth)
            self._unsaved.keep(pair_row(pair, place))

    def _label(self) -> None:
        """Truths that are durable as feedback; one that is quicker than its pair waits for it."""
        if not self._labels:
            return
        early = dict(self._labels)
        for row in self._unsaved.pairs_of(self._labels):
            self._label_row(row, self._labels[row.boot, row.part])
            early.pop((row.boot, row.part), None)
        self._labels.clear()
        self._came.set()
        self._early |= early
        for _ in range(len(self._early) - MOST_EARLY):
            del self._early[next(iter(self._early))]

    def _label_row(self, row: PairRow, truth: Verdict) -> None:
        place = place_of(row)
        if self._progress is not None and self._counts(row.rollout):
            place = self._progress.evidence.label(place, truth)
            self._unsaved.is_dirty = True
        else:
            place = self._unsaved.label_ended(row.rollout, place, truth)
        self._unsaved.keep(replace(row, truth=truth.value, place=encode(place.as_mapping())))

    def _counts(self, rollout: str) -> bool:
        """Whether pairs of this rollout are in the evidence of the one that runs."""
        running, progress = self._rollout, self._progress
        if running is None or progress is None:
            return False
        return rollout in (running.id, *progress.continues)

    def _lose_dropped(self) -> None:
        """Pairs that came faster than they can be written are parts that were not compared."""
        dropped = len(self._dropped)
        for _ in range(dropped):
            slices = self._dropped.popleft()
            if self._progress is not None:
                self._progress.evidence.lose(slices)
        if dropped:
            self._unsaved.is_dirty = True
            _log.warning("rollout_pairs_dropped", pairs=dropped)

    # ------------------------------------------------------------------ steps of the planner

    def _step(self, step: _Step) -> None:
        rollout, before = step.state.durable.rollout, self._rollout
        if self._state is None:
            self._end_forgotten("" if rollout is None else rollout.id)
        self._state = step.state
        if before is not None and (rollout is None or rollout.id != before.id):
            self._close(before, step)
        if rollout is None:
            return
        self._rollout = rollout
        if self._progress is None:
            self._progress = self._opened(rollout)
            self._are_drawn = False
            for each in (rollout.id, *self._progress.continues):
                self._catch_up(each)
        if rollout.is_begun:
            self._progress.enter(rollout.stage, rollout.share, rollout.stage_utc)
        self._unsaved.is_dirty = True

    def _opened(self, rollout: Rollout) -> Progress:
        """From its beginning, or from where the journal says."""
        begins = Progress(rollout.plan, rollout.began_utc)
        row = self._tools.journal.rollouts.find(rollout.id)
        if row is None:
            self._go_on(rollout, begins)
            return begins
        try:
            plain = json.loads(row.progress)
            return read_progress(rollout.plan, rollout.began_utc, plain)
        except ValueError as error:
            _log.warning("rollout_evidence_unreadable", rollout=rollout.id, error=str(error))
            return begins

    def _catch_up(self, rollout: str) -> None:
        """Labels that were noted just before the daemon was killed."""
        for row, truth in self._tools.journal.rollouts.relabelled(rollout):
            self._label_row(row, Verdict(truth))

    def _end_forgotten(self, running: str) -> None:
        """Rollouts that ended just before the daemon was killed: the audit trail knows how."""
        for row in self._tools.journal.rollouts.open(running):
            found = self._tools.journal.rollouts.ending(row.id, [each.value for each in _ENDINGS])
            self._unsaved.end(ended_row(row, *found or (self._tools.clock.now().utc, "", "")))

    def _go_on(self, rollout: Rollout, progress: Progress) -> None:
        """A candidate that was tried before goes on with the evidence of then."""
        if rollout.is_back:
            return
        kept, sha256 = self._tools.journal.rollouts, rollout.candidate.sha256
        for row in kept.ended(str(rollout.candidate.ref), str(rollout.reference.ref)):
            try:
                before = earlier_progress(row, sha256)
            except ValueError as error:
                _log.warning("rollout_evidence_unreadable", rollout=row.id, error=str(error))
                return
            if before is not None:
                goes_on = progress.go_on(before, row.id)
                _log.info("rollout_tried_before", rollout=rollout.id, before=row.id, used=goes_on)
                return

    def _close(self, rollout: Rollout, step: _Step) -> None:
        """It is over: its row says how; nothing more is counted for it."""
        ending = next((each for each in step.endings if each.rollout == rollout.id), None)
        word, why = ("", "") if ending is None else (ending.event.value, ending.reason)
        progress = self._progress
        self._rollout = self._progress = None
        self._tools.blocks.end()
        if progress is not None:
            row = rollout_row(rollout, progress)
            self._unsaved.end(ended_row(row, self._tools.clock.now().utc, word, why))
        is_bad = step.state.quarantine_reason(rollout.candidate.ref) is not None
        self._tools.metrics.rollout_ended(end_of(word, is_bad=is_bad))

    # ------------------------------------------------------------------ the line

    def _look(self, now: Instant) -> None:
        """Time passed, and the candidate saw so much more of the line."""
        state, rollout, progress = self._state, self._rollout, self._progress
        if state is None or rollout is None or progress is None:
            return
        split, frames = state.split, self._tools.captured()
        progress.look(now.at, frames, judges=split is not None)
        # Blocks of time are kept when they are over: in between nothing is worth a write.
        self._unsaved.is_dirty |= split is not None and split.mode is not Mode.COMPARE
        self._unsaved.is_dirty |= self._tools.blocks.turn(rollout, progress, state, now, frames)
        self._look_at_shadow(rollout, progress)

    def _look_at_shadow(self, rollout: Rollout, progress: Progress) -> None:
        """What was lost since the last look lowers the coverage."""
        now, before = self._tools.shadowed(), self._shadowed
        if now.rollout != rollout.id:
            return
        self._shadowed = now
        begins_anew = now.rollout != before.rollout or now.compared < before.compared
        before = ShadowTally() if begins_anew else before
        evidence = progress.evidence
        for name, counts in evidence.slices.items():
            counts.lost += max(0, now.lost.get(name, 0) - before.lost.get(name, 0))
        for share, (units, candidates) in now.arms.items():
            known = before.arms.get(share, (0, 0))
            evidence.count_arms(share, units - known[0], candidates - known[1])
        evidence.misassigned += max(0, now.misassigned - before.misassigned)
        for word in ("compared", "skipped", "failed"):
            more = getattr(now, word) - getattr(before, word)
            self._tools.metrics.shadow_frames(word, max(0, more))

    # ------------------------------------------------------------------ the journal

    def _save(self) -> None:
        if not self._unsaved and self.saved.state is self._state:
            return
        row = None
        if self._rollout is not None and self._progress is not None:
            row = rollout_row(self._rollout, self._progress)
        if not self._unsaved or self._unsaved.commit(row):
            self.saved = Saved(self._state, self._rollout, row, self._are_drawn)
