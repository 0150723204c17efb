"""Evaluates a rollout: what was recorded of it becomes a decision, and feedback becomes labels.

On a thread of its own. What it decides goes into the driver's mailbox; it changes nothing itself.
It reads the evidence as it was written, so that a power cut never takes what a decision was made
from.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Iterator

import structlog

from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.feedback_handler import FeedbackHandler
from edge_daemon.control.feedback_sources import FeedbackSources
from edge_daemon.control.rollout_recorder import EvaluatorTools, RolloutRecorder
from edge_daemon.control.rollout_rows import look_row
from edge_daemon.control.rollout_view import rollout_state
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import CandidateLost, Decision, RolloutDecided
from edge_daemon.core.rollout.progress import Progress, read_progress
from edge_daemon.core.rollout.reading import Reading
from edge_daemon.core.state import Rollout
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.rollout_payloads import RolloutState

_log = structlog.get_logger(__name__)

TURN_S = 0.5
"""From one turn's beginning to the next one's; requests that do not fit into it wait."""
DECIDE_S = 1.0
LOOK_S = 60.0
"""So often what the rule sees is kept for a replay, and at each change of its decision."""
MOST_HEARD = 4096
"""Messages of the sources of feedback that wait."""
MOST_FEEDBACK = 256
"""Requests that wait; more are refused at once."""


class RolloutEvaluator:
    """`candidate_lost`, `feedback` and `heard` may come from any thread."""

    def __init__(
        self,
        tools: EvaluatorTools,
        feedback: FeedbackHandler,
        sources: FeedbackSources | None = None,
    ) -> None:
        self.recorder = RolloutRecorder(tools)
        self._tools = tools
        self._feedback = feedback
        self._sources = sources
        self._heard: queue.SimpleQueue[tuple[int, Incoming]] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "rollout_turn_failed")
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self._looked_at = self._decided_at = 0.0
        self._told: tuple[str, int, Decision] | None = None
        self._wants_labels = ""  # the rollout that does
        self._said = b""

    # ------------------------------------------------------------------ any thread

    def candidate_lost(self, rollout: str, guard: str, why: str) -> None:
        """A guard broke: the driver hears it at once, whatever waits here."""
        self._tools.put(CandidateLost(rollout, guard, why))

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
        if self._heard.qsize() < MOST_HEARD:
            self._heard.put((source, incoming))

    def start(self) -> None:
        self.recorder.start()
        self._thread.start()

    def stop(self) -> None:
        """End after what waits."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self.recorder.stop()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(max(0.0, began + TURN_S - time.monotonic())):
            began = time.monotonic()
            self._turn()
        self._turn()

    def _turn(self) -> None:
        with self._boundary.turn():
            self.answer()
        with self._boundary.turn():
            now = self._tools.clock.now()
            if now.at - self._decided_at >= DECIDE_S:
                self._decided_at = now.at
                self.decide()

    def answer(self) -> None:
        """Note the requests that wait, while the turn has time; at the end all of them."""
        now = self._tools.clock.now()
        until_at = math.inf if self._stopping.is_set() else now.at + TURN_S
        for _ in self._in_time(self._requests.qsize(), until_at):
            self._feedback.arrived(self._requests.get_nowait(), self.recorder.label)
        if self._sources is None:
            return
        for _ in self._in_time(self._heard.qsize(), until_at):
            self._sources.arrived(*self._heard.get_nowait(), self.recorder.label)
        self._sources.tick()

    def _in_time(self, waiting: int, until_at: float) -> Iterator[None]:
        """Once for each that waits, at least one; the rest wait for the next turn."""
        for number in range(waiting):
            if number and self._tools.clock.now().at >= until_at:
                return
            yield

    # ------------------------------------------------------------------ the decision

    def decide(self) -> None:
        """What comes next for the rollout that runs, and how it stands, told to all."""
        saved = self.recorder.saved
        rollout, state = saved.rollout, saved.state
        if rollout is None or state is None or saved.row is None:
            self._publish(encode(RolloutState()))
            self._tools.metrics.no_rollout()
            return
        plain = json.loads(saved.row.progress)
        progress = read_progress(rollout.plan, rollout.began_utc, plain)
        reading = progress.reading()
        if rollout.is_begun and not rollout.is_full:
            self._decide(rollout, progress, reading, is_held=state.durable.held)
            self._want_labels(rollout, reading, are_drawn=saved.are_drawn)
        self._publish(encode(rollout_state(rollout, progress, reading, state.split)))
        self._tools.metrics.rollout(rollout, state.split, reading)

    def _decide(
        self, rollout: Rollout, progress: Progress, reading: Reading, *, is_held: bool
    ) -> None:
        now = self._tools.clock.now()
        said = progress.decide(reading, now.utc, held=is_held)
        key = (rollout.id, progress.stage, said.decision)
        is_new = key != self._told
        look = None
        if not rollout.is_back and (is_new or now.at - self._looked_at >= LOOK_S):
            self._looked_at = now.at
            look = look_row(rollout.id, progress.snapshot(now.utc))
        self.recorder.decided(rollout.id, progress.stage, said, look)
        if is_new or said.decision in (Decision.ADVANCE, Decision.STOP):
            self._told = key
            checks = progress.checks(reading)
            stage, decision, why = progress.stage, said.decision, said.why
            self._tools.put(RolloutDecided(rollout.id, stage, decision, why, checks))

    def _want_labels(self, rollout: Rollout, reading: Reading, *, are_drawn: bool) -> None:
        """Told once, when the first disagreement without a label, or a drawn part, is there."""
        missing = reading.overall.missing
        if not missing and not are_drawn:
            self._wants_labels = ""
        elif self._wants_labels != rollout.id:
            self._wants_labels = rollout.id
            what = f"{missing} parts on which the models disagree need a true verdict."
            why = what if missing else "Passed parts were drawn: say what they really are."
            ref, notify = rollout.candidate.ref, rollout.plan.notify
            self._tools.put(Noticed(EventName.LABEL_WANTED, why, None, ref, rollout.id, notify))

    def _publish(self, body: bytes) -> None:
        if body != self._said:
            self._said = body
            self._tools.say(body)
