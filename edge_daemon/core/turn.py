"""One step in the making: the state as it changes, and what it brings about so far.

Lives only inside `planner.step`; what goes in and what comes out are frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from edge_daemon.core.effects import Effect, Free
from edge_daemon.core.event_names import EventName
from edge_daemon.core.lifecycle import Move
from edge_daemon.core.records import Announce, Record, Reply
from edge_daemon.core.state import Kind, Operation, SlotState, State
from edge_daemon.core.values import (
    NOW,
    At,
    BundleRef,
    Instant,
    Known,
    Refusal,
    Request,
    Status,
)


@dataclass
class Turn:
    """The working copy of one step."""

    state: State
    now: Instant
    effects: list[Effect] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def act(self, effect: Effect) -> None:
        self.effects.append(effect)

    def record(self, record: Record) -> None:
        self.records.append(record)

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def remember(self, **changes: Any) -> None:
        """Change what is durable; the driver saves it before it performs anything."""
        self.set(durable=replace(self.state.durable, **changes))

    def new_token(self) -> int:
        self.set(token=self.state.token + 1)
        return self.state.token

    def move(self, slot: SlotState, move: Move, **changes: Any) -> SlotState:
        """Take the slot through the table; `changes` sets its bundle or token."""
        moved = replace(slot.moved(move), **changes)
        self.state = self.state.with_slot(moved)
        return moved

    # ------------------------------------------------------------------ operations

    def operation(
        self, kind: Kind, target: Known, request: Request | None = None, at: At = NOW
    ) -> Operation:
        """A new operation with a `swap_id` of its own."""
        self.set(swaps=self.state.swaps + 1)
        return Operation(kind, f"{self.state.boot}-{self.state.swaps}", target, request, at)

    def update(self, **changes: Any) -> Operation:
        """Change the operation in hand."""
        assert self.state.op is not None
        self.set(op=replace(self.state.op, **changes))
        return self.state.op

    def finish(self, op: Operation, status: Status, refusal: Refusal | None = None) -> None:
        """Answer the operation's request, once, and let the operation go."""
        if self.state.op == op:
            self.set(op=None)
        elif self.state.queued == op:
            self.set(queued=None)
        elif self.state.parked == op:
            self.set(parked=None)
        if op.request is not None:
            self.record(Reply(op.request, status, op.swap_id, refusal=refusal))
        if status is not Status.SUCCEEDED:
            self.record(
                Announce(
                    EventName(status.value),
                    op.swap_id,
                    op.target.ref,
                    code=refusal.code if refusal else None,
                    reason=refusal.message if refusal else "",
                    checks=refusal.checks if refusal else (),
                )
            )

    # ------------------------------------------------------------------ slots and health

    def free(self, slot: SlotState, move: Move = Move.FREE) -> None:
        """Empty a slot; nothing is put there before `SlotFreed` came."""
        drained = self.move(slot, move, token=self.new_token())
        self.act(Free(drained.token, drained.name))

    def quarantine(self, ref: BundleRef, reason: str) -> None:
        """Keep a version from becoming active until an operator lifts it."""
        durable = self.state.durable
        others = tuple((r, why) for r, why in durable.quarantined if r != ref)
        self.remember(
            quarantined=(*others, (ref, reason)),
            confirmed=tuple(r for r in durable.confirmed if r != ref),
        )
        self.forget_starts(ref)
        self.record(Announce(EventName.QUARANTINED, model=ref, reason=reason))

    def begin(self, op: Operation) -> None:
        """Count a start of what the daemon brings by itself, before it is begun.

        Whether it ends is known only while the daemon lives: a count that is left tells the next
        boot that it died under this version. What was asked for is never repeated by itself.
        """
        if not op.kind.is_asked:
            self._count(op.target.ref, 1)

    def ended(self, bundle: Known | None) -> None:
        """What was begun with it last came to an end, and the daemon lives."""
        if bundle is not None:
            self._count(bundle.ref, -1)

    def forget_starts(self, ref: BundleRef) -> None:
        """Its starts count no more: it judges, or it was refused."""
        self._count(ref, None)

    def _count(self, ref: BundleRef, change: int | None) -> None:
        begun = dict(self.state.durable.begun)
        left = 0 if change is None else max(0, begun.pop(ref, 0) + change)
        begun.pop(ref, None)
        if left:
            begun[ref] = left
        if tuple(begun.items()) != self.state.durable.begun:
            self.remember(begun=tuple(begun.items()))

    def select(self, ref: BundleRef) -> None:
        """Orders for this name use this version from now on."""
        others = tuple((n, v) for n, v in self.state.durable.selected if n != ref.name)
        self.remember(selected=tuple(sorted((*others, (ref.name, ref.version)))))
