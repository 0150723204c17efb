"""What parts really are: read, matched with the parts that were told, put on record, answered.

It works with and without a rollout: the last word on each rejected part is the precision of the
station in production. Called on the evaluator's thread.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from edge_daemon.control.repeats import used_id
from edge_daemon.control.rows import Rows
from edge_daemon.core.rollout.values import Feedback
from edge_daemon.core.values import Refusal, Status, Verdict
from edge_daemon.core.verbs import Verb
from edge_daemon.core.wording import LABEL, shortened
from edge_daemon.errors import Code, EdgeDaemonError, SenderError, StateError
from edge_daemon.host.journal import Entry, Journal, OutcomeRow, RequestRow
from edge_daemon.host.journal_rollouts import FeedbackRow, Part, RolloutsEntry
from edge_daemon.host.metrics import Metrics
from edge_daemon.messaging.answer import Answer, accepted, kept, outcome, refused
from edge_daemon.messaging.asks import number_of_part
from edge_daemon.messaging.feedback import MAX_BYTES, FeedbackMessage, read_feedback
from edge_daemon.messaging.inbox import RefusedRequest, has_own_id, refuse_large
from edge_daemon.messaging.messages import Carrier, Incoming, respond
from edge_daemon.messaging.payloads import Outcome

_VERB = Verb.FEEDBACK.value
_NAMED = 8


@dataclass(frozen=True)
class Labelled:
    """The last word on one part."""

    boot: str
    part: int
    verdict: Verdict


Label = Callable[[Sequence[Labelled]], None]
_Known = tuple[Feedback, Part]


@dataclass(frozen=True)
class FeedbackTools:
    """What the handler acts on; `boot` is this start's, `wake` tells the outbox to send."""

    journal: Journal
    rows: Rows
    carrier: Carrier
    metrics: Metrics
    boot: str
    wake: Callable[[], None]
    keep_s: float = 90.0 * 86_400.0
    overruled: Callable[[str, int], None] = lambda *_: None
    """Told the boot and number of a part whose verdict a person calls wrong."""


class FeedbackHandler:
    """Every request is answered: accepted and noted, or refused."""

    def __init__(self, tools: FeedbackTools) -> None:
        self._tools = tools
        self._show_precision()

    def arrived(self, incoming: Incoming, label: Label) -> None:
        """One request; `label` is told what is durable of it."""
        if incoming.retained and not incoming.payload:  # a retained one is cleared
            incoming.done()
            return
        request_id = fresh_id = uuid.uuid4().hex
        journal, rest = self._tools.journal, (incoming, label)
        try:
            refuse_large(incoming, "feedback", MAX_BYTES)
            words = read_feedback(incoming, fresh_id, journal.newest_utc)
            request_id = words.request.id
            row = journal.find_request(request_id)
            if row is None:
                self._note(words, *rest)
            elif row.verb == _VERB and row.body == words.body and row.outcome:
                self._answer(incoming, kept(request_id, row.outcome))
            elif has_own_id(incoming):
                raise used_id(words.request)
            else:  # libraries count Correlation Data from 1 at each start
                self._note(replace(words, request=replace(words.request, id=fresh_id)), *rest)
        except EdgeDaemonError as error:
            self._refuse(incoming, request_id, error)
        finally:
            incoming.done()

    def heard(self, words: Sequence[Feedback], topic: str, label: Label) -> int:
        """What others published; no sender is answered; how many of the parts are unknown.

        Raises StateError, and nothing is noted.
        """
        known, fresh, unknown = self._matched(words)
        if known:
            tools, utc = self._tools, self._tools.rows.now().utc
            facts = {"by": topic, "noted": len(known), "unknown": len(unknown)}
            kept = RolloutsEntry(
                feedback=tuple(_row(topic, utc, *pair) for pair in known),
                since_utc=utc - tools.keep_s,
            )
            tools.journal.commit(Entry(audit=(tools.rows.audit("feedback", facts),), rollouts=kept))
            _tell(known, label)
            self._noted(fresh)
        return len(unknown)

    def too_much(self, incoming: Incoming) -> None:
        """One request more than may wait: nothing of it is noted, and its sender is told so."""
        request_id = uuid.uuid4().hex
        try:
            request_id = read_feedback(incoming, request_id).request.id
            raise SenderError(
                "Too many requests wait to be noted.",
                hint="Send it again in a second; one request may hold 256 items.",
                code=Code.PRECONDITION_FAILED,
            )
        except EdgeDaemonError as error:
            self._refuse(incoming, request_id, error)
        finally:
            incoming.done()

    # ------------------------------------------------------------------ noting

    def _note(self, words: FeedbackMessage, incoming: Incoming, label: Label) -> None:
        """All of it in one transaction; raises StateError, and nothing is noted."""
        known, fresh, unknown = self._matched(words.items)
        answer = _answer_of(words.request.id, len(known), unknown)
        tools, now = self._tools, self._tools.rows.now()
        reply_to = incoming.reply_to
        status = Status.SUCCEEDED if known else Status.REJECTED
        request = RequestRow(
            words.request.id, _VERB, now.utc, reply_to=reply_to.to_json(), body=words.body
        )
        rows = tuple(_row(words.request.id, now.utc, *pair) for pair in known)
        first = accepted(words.request.id)
        outbox = tools.rows.answers(_VERB, first, reply_to) if known else ()
        facts = {
            "id": words.request.id,
            "by": words.request.by,
            "noted": len(known),
            "unknown": len(unknown),
        }
        tools.journal.commit(
            Entry(
                accepted=(request,),
                outcomes=(OutcomeRow(request.id, status.value, answer.body),),
                outbox=(*outbox, *tools.rows.answers(_VERB, answer, reply_to)),
                audit=(tools.rows.audit("feedback", facts),),
                rollouts=RolloutsEntry(feedback=rows, since_utc=now.utc - tools.keep_s),
            )
        )
        _tell(known, label)
        tools.wake()
        self._noted(fresh)
        for each in (first, answer) if known else (answer,):
            incoming.reply(each)

    def _noted(self, fresh: Sequence[_Known]) -> None:
        """What was not said before."""
        for word, part in fresh:
            self._tools.metrics.feedback(word.source.value, word.verdict.value)
            if _overrules(word.verdict, part.verdict):
                self._tools.overruled(part.boot, part.number)
        with suppress(StateError):  # noted all the same
            self._show_precision()

    def _matched(
        self, words: Sequence[Feedback]
    ) -> tuple[list[_Known], list[_Known], list[Feedback]]:
        """Words on known parts, those of them that are news, and words on unknown parts."""
        found = [(word, self._part_of(word)) for word in words]
        known = [(word, part) for word, part in found if part is not None]
        fresh = [pair for pair in known if not self._is_said(*pair)]
        return known, fresh, [word for word, part in found if part is None]

    def _part_of(self, word: Feedback) -> Part | None:
        """By number or frame in the boot that is named, else in this one; by id in any."""
        kept_rollouts = self._tools.journal.rollouts
        boot = word.boot or (None if isinstance(word.part, str) else self._tools.boot)
        part = kept_rollouts.part_of(boot, word.part, word.frame)
        if part is None and isinstance(word.part, str):
            number = number_of_part(word.part)
            if number is not None:
                part = kept_rollouts.part_of(word.boot or self._tools.boot, number, None)
        return part

    def _is_said(self, word: Feedback, part: Part) -> bool:
        """Whether the same was said of it before, and nothing else since."""
        before = self._tools.journal.rollouts.feedback_of(part.boot, part.number)
        said = (word.verdict.value, word.source.value, word.by)
        return bool(before) and said == (before[-1].verdict, before[-1].source, before[-1].by_whom)

    def _show_precision(self) -> None:
        confirmed, verified = self._tools.journal.rollouts.precision()
        if verified:
            self._tools.metrics.precision(confirmed / verified)

    def _refuse(self, incoming: Incoming, request_id: str, error: EdgeDaemonError) -> None:
        named = error.request_id if isinstance(error, RefusedRequest) else request_id
        self._answer(incoming, refused(named, error))

    def _answer(self, incoming: Incoming, answer: Answer) -> None:
        respond(self._tools.carrier, _VERB, answer, incoming.ways_back)


def _tell(known: Sequence[_Known], label: Label) -> None:
    label([Labelled(part.boot, part.number, word.verdict) for word, part in known])


def _overrules(said: Verdict, told: str) -> bool:
    """Whether a person says the contrary of what the station told of a part."""
    return told != Verdict.UNINSPECTED.value and (said is Verdict.NG) != (told == Verdict.NG.value)


def _answer_of(request_id: str, noted: int, unknown: Sequence[Feedback]) -> Answer:
    named = ", ".join(map(_name, unknown[:_NAMED])) + (" …" if len(unknown) > _NAMED else "")
    if not noted:
        refusal = Refusal(
            Code.UNKNOWN_PART,
            f"No part is known as {named}.",
            "Name one that the station told of, with its boot where it was an earlier start; "
            "see: edge-daemon parts list",
        )
        return outcome(request_id, Status.REJECTED, refusal=refusal)
    parts = "1 part" if noted == 1 else f"{noted} parts"
    detail = f"Noted: {parts}." + (f" Not known: {named}." if unknown else "")
    return Answer(request_id, Outcome(request_id, Status.SUCCEEDED.value, detail=detail))


def _row(request: str, utc: float, word: Feedback, part: Part) -> FeedbackRow:
    return FeedbackRow(
        *(request, utc, part.boot, part.number, word.verdict.value),
        *(word.source.value, word.by, part.verdict),
        json.dumps({} if part.audit is None else {"audit": part.audit}).encode(),
    )


def _name(word: Feedback) -> str:
    named = f"frame {word.frame}" if word.part is None else str(word.part)
    return f"{named} of boot {shortened(word.boot, LABEL)}" if word.boot else named
