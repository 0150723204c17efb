"""Evaluates a rollout: pairs and labels become evidence, and the evidence a decision.

On a thread of its own, with a queue of its own. What it decides goes into the driver's
mailbox; it changes nothing itself. Each turn begins with the pairs, and makes them durable before
anything else is done, so that a power cut costs what the last second saw.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

import structlog

from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.feedback_handler import FeedbackHandler, Labelled
from edge_daemon.control.feedback_sources import FeedbackSources
from edge_daemon.control.rollout_journal import RolloutJournal
from edge_daemon.control.rollout_rows import (
    earlier_progress,
    end_of,
    look_row,
    pair_row,
    place_of,
    rollout_row,
)
from edge_daemon.control.rollout_tools import EvaluatorTools, Shadowed
from edge_daemon.control.rollout_view import rollout_state
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import CandidateLost, Decision, RolloutDecided
from edge_daemon.core.records import Announce, Record
from edge_daemon.core.rollout.audit import is_asked
from edge_daemon.core.rollout.progress import Progress, labels, read_progress, worth_keeping
from edge_daemon.core.rollout.reading import Reading
from edge_daemon.core.rollout.values import Mode, Pair
from edge_daemon.core.state import Rollout, State
from edge_daemon.core.values import Instant, Verdict
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.journal_rollouts import PairRow
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.payloads import encode

_log = structlog.get_logger(__name__)

TURN_S = 0.5
"""From one turn's beginning to the next one's: what came meanwhile becomes durable together."""
DECIDE_S = 1.0
LOOK_S = 60.0
"""So often what the rule sees is kept for a replay, and at each change of its decision."""
MOST_WAITING = 4096
"""Batches of pairs that wait; those of more are lost: coverage falls, and the log says so."""
MOST_FEEDBACK = 256
"""Requests that wait; more are refused at once."""


@dataclass(frozen=True)
class _Pairs:
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class _Step:
    state: State
    endings: tuple[Announce, ...]


_Word = Union[_Pairs, _Step]
_ENDINGS = (EventName.ROLLOUT_STOPPED, EventName.ROLLOUT_COMPLETED)


class RolloutEvaluator:
    """`pairs`, `candidate_lost`, `stepped` and `feedback` may come from any thread."""

    def __init__(
        self,
        tools: EvaluatorTools,
        feedback: FeedbackHandler,
        sources: FeedbackSources | None = None,
    ) -> None:
        self._tools = tools
        self._feedback = feedback
        self._sources = sources
        self._heard: queue.SimpleQueue[tuple[int, Incoming]] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[_Word] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._dropped: deque[tuple[tuple[str, ...], ...]] = deque()  # slices of pairs
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "rollout_turn_failed")
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self._state: State | None = None
        self._rollout: Rollout | None = None
        self._progress: Progress | None = None
        self._unsaved = RolloutJournal(tools.journal, tools.clock, tools.keep)
        self._looked_at = 0.0
        self._decided_at = 0.0
        self._told: tuple[str, int, Decision] | None = None
        self._labels_wanted = self._are_drawn = False
        self._said = b""
        self._shadowed = Shadowed()

    # ------------------------------------------------------------------ any thread

    def pairs(self, pairs: Sequence[Pair]) -> None:
        """Parts that both models judged; never waits."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(_Pairs(tuple(pairs)))
        else:
            self._dropped.append(tuple(pair.slices for pair in pairs))

    def candidate_lost(self, rollout: str, guard: str, why: str) -> None:
        """A guard broke: the driver hears it at once, whatever waits here."""
        self._tools.put(CandidateLost(rollout, guard, why))

    def stepped(self, state: State, records: Sequence[Record]) -> None:
        """The planner took a step."""
        endings = [r for r in records if isinstance(r, Announce) and r.event in _ENDINGS]
        self._waiting.put(_Step(state, tuple(endings)))

    def feedback(self, incoming: Incoming) -> None:
        """One request, unread."""
        if self._requests.qsize() < MOST_FEEDBACK:
            self._requests.put(incoming)
        else:
            self._feedback.too_much(incoming)

    def heard(self, source: int, incoming: Incoming) -> None:
        """A message of one of the settings' sources of feedback, unread.

        What is not acknowledged yet is bounded by the broker; without acknowledgement it may go.
        """
        if self._heard.qsize() < MOST_WAITING:
            self._heard.put((source, incoming))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after what waits."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(max(0.0, began + TURN_S - time.monotonic())):
            began = time.monotonic()
            with self._boundary.turn():
                self.turn()
        with self._boundary.turn():
            self.turn()

    def turn(self) -> None:
        """Save pairs, note requests while there is time, and decide about once a second."""
        now = self._tools.clock.now()
        until_at = math.inf if self._stopping.is_set() else now.at + TURN_S
        requests = self._requests.qsize()  # which come behind what waits now
        for _ in range(self._waiting.qsize()):
            self._take_in(self._waiting.get_nowait())
        self._lose_dropped()
        state, progress = self._state, self._progress
        if state is not None and progress is not None:
            self._look(state, progress, now)
        self._save()
        for _ in self._in_time(requests, until_at):  # what fails takes no other with it
            self._feedback.arrived(self._requests.get_nowait(), self._label)
        self._hear_sources(until_at)
        if now.at - self._decided_at >= DECIDE_S:
            self._decided_at = now.at
            self._decide()

    def _in_time(self, waiting: int, until_at: float) -> Iterator[None]:
        """Once for each that waits, at least one; the rest wait for the next turn."""
        for number in range(waiting):
            if number and self._tools.clock.now().at >= until_at:
                return
            yield

    def _hear_sources(self, until_at: float) -> None:
        if self._sources is None:
            return
        for _ in self._in_time(self._heard.qsize(), until_at):
            self._sources.arrived(*self._heard.get_nowait(), self._label)
        self._sources.tick()

    def _look(self, state: State, progress: Progress, now: Instant) -> None:
        """Time passed."""
        rollout, split, frames = self._rollout, state.split, self._tools.captured()
        assert rollout is not None
        progress.look(now.at, frames, judges=split is not None)
        # Blocks of time are kept when they are over: in between nothing is worth a write.
        self._unsaved.is_dirty |= split is not None and split.mode is not Mode.COMPARE
        self._unsaved.is_dirty |= self._tools.blocks.turn(rollout, progress, state, now, frames)
        self._look_at_shadow(progress)

    def _take_in(self, word: _Pairs | _Step) -> None:
        if isinstance(word, _Step):
            self._step(word)
        elif self._progress is not None and self._rollout is not None:
            self._count([pair for pair in word.pairs if pair.rollout == self._rollout.id])

    def _step(self, step: _Step) -> None:
        self._state = step.state
        rollout, before = step.state.durable.rollout, self._rollout
        if before is not None and (rollout is None or rollout.id != before.id):
            why = next((e.reason for e in step.endings if e.rollout == before.id), "")
            word = next((e.event.value for e in step.endings if e.rollout == before.id), "")
            self._close(before, word, why)
            is_bad = step.state.quarantine_reason(before.candidate.ref) is not None
            self._tools.metrics.rollout_ended(end_of(word, is_bad=is_bad))
        if rollout is None:
            return
        if self._progress is None:
            self._open(rollout)
        assert self._progress is not None
        self._rollout = rollout
        if rollout.is_begun:
            self._progress.enter(rollout.stage, rollout.share, rollout.stage_utc)
        self._unsaved.is_dirty = True

    def _open(self, rollout: Rollout) -> None:
        """Begin, or go on where the journal says."""
        row = self._tools.journal.rollouts.find(rollout.id)
        self._progress = Progress(rollout.plan, rollout.began_utc)
        self._told, self._labels_wanted, self._are_drawn = None, False, False
        if row is None:
            self._go_on(rollout, self._progress)
            return
        try:
            plain = json.loads(row.progress)
            self._progress = read_progress(rollout.plan, rollout.began_utc, plain)
        except ValueError as error:
            _log.warning("rollout_evidence_unreadable", rollout=rollout.id, error=str(error))

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

    def _close(self, rollout: Rollout, word: str, why: str) -> None:
        """It is over: its row says how; nothing more is counted for it."""
        progress = self._progress
        self._rollout = self._progress = None
        self._tools.blocks.end()
        if progress is not None:
            ended = self._tools.clock.now().utc
            row = rollout_row(rollout, progress, ended, word, why)
            self._unsaved.commit(row)
        self._tools.metrics.no_rollout()

    def _count(self, pairs: Sequence[Pair]) -> None:
        progress = self._progress
        assert progress is not None
        for pair in pairs:
            place = progress.add(pair)
            self._tools.metrics.pair(place, pair.outcome.value)
            is_drawn = is_asked(pair, progress.plan, self._tools.audit)
            self._are_drawn |= is_drawn
            if is_drawn or worth_keeping(pair):
                said = self._tools.journal.rollouts.feedback_of(pair.boot, pair.part)
                if said:
                    place = progress.label(place, Verdict(said[-1].verdict))
                self._unsaved.pairs.append(pair_row(pair, place))
        self._unsaved.is_dirty |= bool(pairs)

    def _look_at_shadow(self, progress: Progress) -> None:
        """What was lost since the last look lowers the coverage."""
        now, before = self._tools.shadowed(), self._shadowed
        if self._rollout is None or now.rollout != self._rollout.id:
            return
        self._shadowed = now
        begins_anew = now.rollout != before.rollout or now.compared < before.compared
        before = Shadowed() if begins_anew else before
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

    def _lose_dropped(self) -> None:
        """Pairs that came faster than they can be written are parts that were not compared."""
        dropped, progress = 0, self._progress
        while self._dropped:
            batch = self._dropped.popleft()
            dropped += len(batch)
            if progress is not None:
                for slices in batch:
                    progress.evidence.lose(slices)
        if dropped:
            self._unsaved.is_dirty = True
            _log.warning("rollout_pairs_dropped", pairs=dropped)

    def _label(self, labelled: Sequence[Labelled]) -> None:
        """Truths that are durable now, of pairs whose places they are."""
        for each in labelled:
            for row in self._tools.journal.rollouts.pairs_of(each.boot, each.part):
                place = place_of(row)
                if self._counts(row.rollout):
                    assert self._progress is not None
                    place = self._progress.label(place, each.verdict)
                else:
                    place = self._unsaved.label_ended(row.rollout, place, each.verdict)
                self._unsaved.pairs.append(
                    PairRow(
                        *(row.rollout, row.boot, row.part, row.id, row.utc, row.outcome),
                        each.verdict.value,
                        encode(place.as_mapping()),
                        row.body,
                    )
                )
        self._unsaved.is_dirty |= bool(labelled)
        self._save()

    def _counts(self, rollout: str) -> bool:
        """Whether pairs of this rollout are in the evidence of the one that runs."""
        running, progress = self._rollout, self._progress
        if running is None or progress is None:
            return False
        return rollout in (running.id, *progress.continues)

    # ------------------------------------------------------------------ the journal

    def _save(self) -> None:
        if not self._unsaved.has_unsaved:
            return
        row = None
        if self._rollout is not None and self._progress is not None:
            row = rollout_row(self._rollout, self._progress)
        self._unsaved.commit(row)

    # ------------------------------------------------------------------ the decision

    def _decide(self) -> None:
        rollout, progress, state = self._rollout, self._progress, self._state
        if rollout is None or progress is None or state is None:
            self._publish(encode(rollout_state(None, None, None, None)))
            return
        reading = progress.reading()
        now_utc = self._tools.clock.now().utc
        if rollout.is_begun and not rollout.is_full:
            said = progress.decide(reading, now_utc, held=state.durable.held)
            key = (rollout.id, progress.stage, said.decision)
            if not rollout.is_back:
                self._keep_look(rollout, progress, is_new=key != self._told)
            if said.decision in (Decision.ADVANCE, Decision.STOP) or key != self._told:
                self._told = key
                checks = progress.checks(reading)
                self._tools.put(
                    RolloutDecided(rollout.id, progress.stage, said.decision, said.why, checks)
                )
            self._want_labels(rollout, reading)
        self._publish(encode(rollout_state(rollout, progress, reading, state)))
        self._tools.metrics.rollout(rollout, state.split, reading)

    def _keep_look(self, rollout: Rollout, progress: Progress, *, is_new: bool) -> None:
        now = self._tools.clock.now()
        if is_new or now.at - self._looked_at >= LOOK_S:
            self._looked_at = now.at
            self._unsaved.looks.append(look_row(rollout.id, progress.look_back(now.utc)))

    def _want_labels(self, rollout: Rollout, reading: Reading) -> None:
        """Told once, when the first disagreement without a label, or a drawn part, is there."""
        missing, are_drawn = labels(reading)[1], self._are_drawn
        if (missing or are_drawn) and not self._labels_wanted:
            what = f"{missing} parts on which the models disagree need a true verdict."
            why = what if missing else "Passed parts were drawn: say what they really are."
            ref, notify = rollout.candidate.ref, rollout.plan.notify
            event = EventName.LABEL_WANTED
            self._tools.put(Noticed(event, why, None, ref, rollout.id, notify))
        self._labels_wanted = bool(missing or are_drawn)

    def _publish(self, body: bytes) -> None:
        if body != self._said:
            self._said = body
            self._tools.say(body)
