"""The desired state: compares what a file asks for with what is, and decides what to request next.

Each content of the file becomes an ordinary request once. Its outcome is remembered, so that
neither a repeat nor a restart requests it twice, and nobody's later decision is undone: the file
counts again when its content changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Union

from edge_daemon.core.state import Kind, State
from edge_daemon.core.values import BundleRef, Status
from edge_daemon.core.verbs import Verb

BY = "desired-state"  # who asks, in requests, receipts and the audit trail
HOLD = "hold"
MET = "met"


@dataclass(frozen=True)
class Desired:
    """The content of the file: one version of each name, in order; `hold` None: not mentioned."""

    models: tuple[BundleRef, ...] = ()
    hold: bool | None = None
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Memory:
    """What must survive a restart.

    `turn` counts the contents, so that one that comes back is requested anew. `settled` says what
    became of each change, `tries` how often it failed through nobody's decision, `last` which one
    was requested last. Changes go by their key: a bundle name after `model `, or `hold`.
    """

    turn: int = 0
    digest: str = ""
    tries: tuple[tuple[str, int], ...] = ()
    settled: tuple[tuple[str, str], ...] = ()
    last: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to one of our requests; `status` None while it is open."""

    status: Status | None
    why: str = ""


@dataclass(frozen=True)
class Open:
    """A request that has no outcome yet; `parked` waits for its time or its order."""

    id: str
    ref: BundleRef
    parked: bool = False


@dataclass(frozen=True)
class Situation:
    """The current state.

    `line` is the bundle name that the line makes, or would continue with. `bound`: an order runs,
    and only `line` may judge. `linked`: names that orders select. `announced`: names of the coming
    orders, the next one first.
    """

    line: str | None = None
    bound: bool = False
    active: BundleRef | None = None
    selected: tuple[BundleRef, ...] = ()
    available: frozenset[BundleRef] = frozenset()
    linked: frozenset[str] = frozenset()
    announced: tuple[str, ...] = ()
    held: bool = False
    open: tuple[Open, ...] = ()

    def selected_of(self, name: str) -> BundleRef | None:
        return next((ref for ref in self.selected if ref.name == name), None)


@dataclass(frozen=True)
class Ask:
    """A request to make. `model` is None for hold and release."""

    id: str
    verb: Verb
    model: BundleRef | None = None
    next_order: bool = False


@dataclass(frozen=True)
class Plan:
    """What to remember before anything is requested, what to request, and what differs.

    `waits`: whether something is still to come of this content.
    """

    memory: Memory
    ask: Ask | None = None
    remarks: tuple[str, ...] = ()
    waits: bool = False


DesiredChange = Union[BundleRef, bool]

_OURS = re.compile(r"desired-\d+-[0-9a-f]{0,8}-")
"""How every id begins that a desired state made."""


def begin(memory: Memory, desired: Desired, first_turn: int = 1) -> Memory:
    """The memory for this content: the same one for the same content, else a new turn."""
    if memory.turn and memory.digest == desired.digest:
        return memory
    return Memory(turn=max(memory.turn + 1, first_turn), digest=desired.digest)


def request_ids(memory: Memory, desired: Desired, situation: Situation) -> dict[str, str]:
    """The id under which each change is or will be asked, by its key."""
    return {_key(change): _id(memory, change) for change in _changes(memory, desired, situation)}


def plan(
    memory: Memory, desired: Desired, situation: Situation, answers: Mapping[str, Answer]
) -> Plan:
    """One look: settle what was answered, and find the one request that is due now.

    `memory` is that of `begin`; `answers` holds what is known of `request_ids`.
    """
    changes = list(_changes(memory, desired, situation))
    pending: list[DesiredChange] = []
    for change in changes:
        memory, is_pending = _look(memory, change, situation, answers)
        if is_pending:
            pending.append(change)
    ask = _next(memory, pending, situation)
    if ask is not None:
        key = _key(ask.model if ask.model is not None else ask.verb is Verb.HOLD)
        memory = replace(memory, last=key)
    settled = dict(memory.settled)
    remarks = tuple(_remarks(memory, desired, situation, answers))
    return Plan(memory, ask, remarks, waits=any(_key(each) not in settled for each in changes))


def situation_of(state: State) -> Situation:
    """The planner's state as this module needs it."""
    durable, line = state.durable, state.line
    active = state.active_bundle
    return Situation(
        line=line.requires if durable.running else _usual_line(state),
        bound=durable.running,
        active=active.ref if active else None,
        selected=tuple(BundleRef(name, version) for name, version in durable.selected),
        available=frozenset(known.ref for known in state.available),
        linked=frozenset(name for _, name in state.links),
        announced=tuple(order.name for order in state.upcoming),
        held=durable.held,
        open=tuple(
            Open(op.request.id, op.target.ref, parked=op == state.parked)
            for op in state.operations
            if op.request is not None
        ),
    )


def _usual_line(state: State) -> str | None:
    if state.line.requires is not None:
        return state.line.requires
    own = state.op if state.op is not None and state.op.kind is Kind.BOOT else None
    known = state.active_bundle or (own.target if own else None) or state.durable.active
    return known.ref.name if known else None


# --------------------------------------------------------------------------- changes


def _changes(memory: Memory, desired: Desired, situation: Situation) -> Iterator[DesiredChange]:
    if desired.hold is not None:
        yield desired.hold
    yield from desired.models
    yield from _withdrawals(memory, desired, situation)


def _withdrawals(memory: Memory, desired: Desired, situation: Situation) -> Iterator[BundleRef]:
    """Asking for the selected version withdraws what an earlier content still waits for."""
    named = {ref.name for ref in desired.models}
    for each in situation.open:
        kept = situation.selected_of(each.ref.name)
        if _is_earlier(memory, each) and each.ref.name not in named and kept:
            yield kept


def _key(change: DesiredChange) -> str:
    return HOLD if isinstance(change, bool) else f"model {change.name}"


def _id(memory: Memory, change: DesiredChange) -> str:
    what = HOLD if isinstance(change, bool) else change.name
    tried = dict(memory.tries).get(_key(change), 0)
    return f"{_prefix(memory)}{what}" + (f"-{tried + 1}" if tried else "")


def _prefix(memory: Memory) -> str:
    return f"desired-{memory.turn}-{memory.digest[:8]}-"


def _is_earlier(memory: Memory, each: Open) -> bool:
    """Whether an earlier content of the file asked for it."""
    return not _is_foreign(each) and not each.id.startswith(_prefix(memory))


def _is_foreign(each: Open) -> bool:
    return _OURS.match(each.id) is None


# --------------------------------------------------------------------------- one change


def _look(
    memory: Memory, change: DesiredChange, situation: Situation, answers: Mapping[str, Answer]
) -> tuple[Memory, bool]:
    """The memory with the result of the change, and whether it must still be requested."""
    key = _key(change)
    if key in dict(memory.settled):
        return memory, False
    answer = answers.get(_id(memory, change))
    if answer is not None:
        if answer.status is None:
            return memory, False
        is_again = answer.status is Status.INTERRUPTED or (
            answer.status is Status.SUPERSEDED and not _is_overruled(memory, change, situation)
        )
        if not is_again:
            return _settle(memory, key, answer.status.value), False
        tries = {**dict(memory.tries), key: dict(memory.tries).get(key, 0) + 1}
        memory = replace(memory, tries=tuple(sorted(tries.items())))
    if _is_met(memory, change, situation):
        return _settle(memory, key, MET), False
    return memory, True


def _settle(memory: Memory, key: str, how: str) -> Memory:
    return replace(memory, settled=tuple(sorted({**dict(memory.settled), key: how}.items())))


def _is_met(memory: Memory, change: DesiredChange, situation: Situation) -> bool:
    if isinstance(change, bool):
        return situation.held == change
    stale = any(
        _is_earlier(memory, each) and each.ref.name == change.name and each.ref != change
        for each in situation.open
    )
    elsewhere = change.name == situation.line and situation.active not in (None, change)
    return situation.selected_of(change.name) == change and not stale and not elsewhere


def _is_overruled(memory: Memory, change: DesiredChange, situation: Situation) -> bool:
    """Whether somebody requested another version of this model, by no order and no file."""
    if isinstance(change, bool):
        return True
    if any(_is_foreign(each) and each.ref.name == change.name for each in situation.open):
        return True
    return change.name == situation.line and memory.last == _key(change)


# --------------------------------------------------------------------------- the next request


def _next(memory: Memory, pending: list[DesiredChange], situation: Situation) -> Ask | None:
    for change in pending:
        if isinstance(change, bool):
            return Ask(_id(memory, change), Verb.HOLD if change else Verb.RELEASE)
    models = [w for w in pending if isinstance(w, BundleRef) and w in situation.available]
    busy = [each for each in situation.open if not _is_earlier(memory, each)]
    if situation.held or any(_is_foreign(each) or not each.parked for each in busy):
        return None
    now = next((ref for ref in models if _is_for_now(ref, situation)), None)
    if now is not None:
        return Ask(_id(memory, now), Verb.SWAP, now)
    later = [ref for ref in models if ref.name in situation.linked]
    later.sort(key=lambda ref: _turn_of(ref.name, situation))  # stable: then the file's order
    parked = min((_turn_of(each.ref.name, situation) for each in busy), default=None)
    if not later or (parked is not None and _turn_of(later[0].name, situation) >= parked):
        return None
    return Ask(_id(memory, later[0]), Verb.SWAP, later[0], next_order=True)


def _is_for_now(ref: BundleRef, situation: Situation) -> bool:
    if situation.bound:
        return ref.name == situation.line
    return situation.line is None or not situation.linked or ref.name == situation.line


def _turn_of(name: str, situation: Situation) -> int:
    """How soon an order will ask for it."""
    announced = situation.announced
    return announced.index(name) if name in announced else len(announced)


# --------------------------------------------------------------------------- remarks


def _remarks(
    memory: Memory, desired: Desired, situation: Situation, answers: Mapping[str, Answer]
) -> Iterator[str]:
    """What differs from the file, a sentence each."""
    settled = dict(memory.settled)
    for ref in desired.models:
        how = settled.get(_key(ref))
        chosen = situation.selected_of(ref.name)
        if how is None and ref not in situation.available:
            yield f"the desired {ref} is not in the store"
        elif how is None and situation.held:
            yield f"the desired {ref} waits: the station is held"
        elif how in (Status.REJECTED.value, Status.FAILED.value):
            answer = answers.get(_id(memory, ref))
            why = f": {answer.why}" if answer and answer.why else ""
            yield f"the desired {ref} was asked for and {how}{why}"
        elif how is not None and chosen != ref:
            yield f"{ref} is desired, but {chosen or 'no version'} is selected"
