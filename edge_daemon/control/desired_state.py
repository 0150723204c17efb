"""Watches the desired-state file and requests what differs, like any other sender.

A thread of its own looks when the file changes, and once a second while something is pending: a
bundle that is not in the store yet, an answer, an order. `core.desired` decides. What it must
remember is on disk before anything is requested.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from edge_daemon.config import Finding, read_desired
from edge_daemon.core import desired
from edge_daemon.core.desired import BY, Answer, Ask, Desired, Memory, Situation
from edge_daemon.core.state import State
from edge_daemon.core.values import AtNextOrder, AtNow, ModelChoice, Request
from edge_daemon.documents.watch import Watch, settle
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import write_durably
from edge_daemon.host.error_boundary import contained
from edge_daemon.host.journal import RequestRow
from edge_daemon.messaging.answer import read_outcome
from edge_daemon.messaging.messages import Incoming

_log = structlog.get_logger(__name__)

MEMORY_FILE = "desired.json"


@dataclass(frozen=True)
class DesiredContext:
    """Whom it deals with.

    `state`: the planner's, as of its last step, with the links that count now.
    `find_request`: the journal's word on an id. `ask(verb, incoming)`: the door of all requests.
    """

    clock: Clock
    state: Callable[[], State]
    find_request: Callable[[str], RequestRow | None]
    ask: Callable[[str, Incoming], None]


@dataclass(frozen=True)
class Pace:
    """Seconds: how long the file must be still before a look (one that never is gets a look after
    ten times that), between two looks while something is to come, and between two without an event.
    """

    quiet_s: float = 0.3
    poll_s: float = 1.0
    rescan_s: float = 10.0


class DesiredState:
    """One file, one station. `remarks` may be asked by any thread."""

    def __init__(
        self, file: Path, folder: Path, context: DesiredContext, pace: Pace | None = None
    ) -> None:
        self._file = file
        self._memory_file = folder / MEMORY_FILE
        self._with = context
        self._pace = pace or Pace()
        self._memory = self._recall()
        self._said: tuple[str, ...] = ()
        self._remarks: tuple[str, ...] = ()
        self._stirred = threading.Event()
        self._may_begin = threading.Event()
        self._stopped = threading.Event()
        self._watch = Watch.of_file(file, self._stirred)
        self._thread = threading.Thread(target=self._run, name="desired-state", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """The planner has started: from now on its state can be compared."""
        self._may_begin.set()

    def stop(self) -> None:
        """End the watch, and wait for the current look."""
        self._stopped.set()
        self._may_begin.set()
        self._stirred.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._watch.stop()

    def remarks(self) -> tuple[str, ...]:
        """What differs from the file, a sentence each."""
        return self._remarks

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        self._may_begin.wait()
        while not self._stopped.is_set():
            waits = self._guarded_look()
            self._stirred.wait(self._pace.poll_s if waits else self._pace.rescan_s)
            settle(self._stirred, self._stopped, self._pace.quiet_s)

    def _guarded_look(self) -> bool:
        with contained() as attempt:
            self._watch.start()
            return self._look()
        fault = attempt.fault
        said = (f"the desired state cannot be followed: {fault}",)
        if said != self._said:
            trace = None if isinstance(fault, EdgeDaemonError) else fault
            _log.error("desired_state_failed", error=str(fault), exc_info=trace)
        self._said = self._remarks = said
        return True

    def _look(self) -> bool:
        """Read, compare, remember, request; True while something is still pending."""
        state = self._with.state()
        wished, findings = read_desired(self._file, dict(state.links))
        if wished is None:
            self._refuse(findings)
            return False
        memory = desired.begin(self._memory, wished, int(self._with.clock.now().utc))
        if memory.turn != self._memory.turn:
            _log.info(
                "desired_state_read",
                turn=memory.turn,
                models=[str(ref) for ref in wished.models],
                hold=wished.hold,
                reason=wished.reason,
            )
        situation = desired.situation_of(state)
        answers = self._answers(memory, wished, situation)
        plan = desired.plan(memory, wished, situation, answers)
        self._remember(plan.memory)
        self._remarks = plan.remarks
        self._said = ()
        if plan.ask is not None:
            self._ask(plan.ask, wished)
        return plan.waits

    def _refuse(self, findings: tuple[Finding, ...]) -> None:
        """A bad file changes nothing; each fault is reported once."""
        said = tuple(str(finding) for finding in findings)
        if said != self._said:
            for finding in findings:
                _log.error(
                    "desired_state_refused",
                    file=str(finding.file),
                    line=finding.line,
                    key=finding.key,
                    error=finding.message,
                    hint=finding.hint,
                )
        self._said = said
        self._remarks = tuple(f"the desired state is not followed: {text}" for text in said)

    def _answers(self, memory: Memory, wished: Desired, situation: Situation) -> dict[str, Answer]:
        rows = [
            self._with.find_request(each)
            for each in desired.request_ids(memory, wished, situation).values()
        ]
        return {row.id: answer_of(row) for row in rows if row is not None}

    def _ask(self, ask: Ask, wished: Desired) -> None:
        request = Request(
            id=ask.id,
            verb=ask.verb,
            model=ModelChoice(ask.model.name, ask.model.version) if ask.model else None,
            at=AtNextOrder() if ask.next_order else AtNow(),
            by=BY,
            reason=wished.reason,
        )
        verb = ask.verb.value
        topic, now = f"desired/request/{verb}", self._with.clock.now()
        self._with.ask(verb, Incoming(topic, b"", now, content=request))

    # ------------------------------------------------------------------ memory

    def _recall(self) -> Memory:
        try:
            return parse_memory(self._memory_file.read_bytes())
        except FileNotFoundError:
            return Memory()
        except (OSError, ValueError) as error:
            _log.warning("desired_state_forgotten", file=str(self._memory_file), error=str(error))
            return Memory()

    def _remember(self, memory: Memory) -> None:
        if memory == self._memory:
            return
        write_durably(self._memory_file, msgspec.json.encode(memory))
        for key, how in set(memory.settled) - set(self._memory.settled):
            _log.info("desired_state_settled", wish=key, how=how, turn=memory.turn)
        self._memory = memory


def parse_memory(content: bytes) -> Memory:
    """What was remembered; raises ValueError for anything else."""
    return msgspec.json.decode(content, type=Memory)


def answer_of(row: RequestRow) -> Answer:
    """What came of a request of this station's own; its status is None while it is open."""
    if row.outcome is None:
        return Answer(None)
    outcome = read_outcome(row.outcome)
    return Answer(outcome.status, outcome.error.message.rstrip("."))
