"""One step in the making: the state as it changes, and its effects and records so far.

It lives only inside `planner.step`; input and output are frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge_daemon.core.effects import Effect, Free, StopTrial
from edge_daemon.core.event_names import EventName
from edge_daemon.core.lifecycle import Move, Stage, Step
from edge_daemon.core.records import Announce, Record, Reply
from edge_daemon.core.state import TRIES, Durable, Kind, Operation, SlotState, State
from edge_daemon.core.values import (
    NOW,
    At,
    BundleRef,
    Instant,
    Refusal,
    Request,
    Status,
    StoredBundle,
)


@dataclass
class StepDraft:
    """The working copy of one step."""

    state: State
    now: Instant
    effects: list[Effect] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def act(self, effect: Effect) -> None:
        self.effects.append(effect)

    def record(self, record: Record) -> None:
        self.records.append(record)

    @property
    def durable(self) -> Durable:
        """The driver saves changes of it before it performs anything."""
        return self.state.durable

    @durable.setter
    def durable(self, durable: Durable) -> None:
        self.state = replace(self.state, durable=durable)

    def new_token(self) -> int:
        self.state = replace(self.state, token=self.state.token + 1)
        return self.state.token

    def move(self, slot: SlotState, move: Move) -> SlotState:
        """Apply a move of the slot's table, and other changes of the slot."""
        moved = slot.moved(move)
        self.state = self.state.with_slot(moved)
        return moved

    # ------------------------------------------------------------------ operations

    def operation(
        self, kind: Kind, target: StoredBundle, request: Request | None = None, at: At = NOW
    ) -> Operation:
        """A new operation with its own `swap_id`."""
        self.state = replace(self.state, swaps=self.state.swaps + 1)
        return Operation(kind, f"{self.state.boot}-{self.state.swaps}", target, request, at)

    def advance(self, op: Operation, step: Step) -> Operation:
        """Apply a step of the operation's table, and move it to the place of its new stage."""
        return self.amend(op.moved(step))

    def amend(self, op: Operation) -> Operation:
        """Replace it by the changed one; its `swap_id` identifies it."""
        state = self.state
        waits = op.stage in (Stage.QUEUED, Stage.PARKED)
        gone = op.stage is Stage.ENDED
        self.state = replace(
            state,
            op=_kept(state.op, op, here=not waits and not gone),
            queued=_kept(state.queued, op, here=op.stage is Stage.QUEUED),
            parked=_kept(state.parked, op, here=op.stage is Stage.PARKED),
        )
        return op

    def finish(
        self, op: Operation, status: Status, refusal: Refusal | None = None, step: Step = Step.END
    ) -> None:
        """Remove the operation, and answer its request once."""
        self.advance(op, step)
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
        """Empty a slot; nothing is put there before `SlotFreed` comes."""
        drained = self.move(replace(slot, token=self.new_token()), move)
        self.act(Free(drained.token, drained.name))

    def quarantine(self, ref: BundleRef, reason: str) -> None:
        """Keep a version from becoming active until an operator lifts it."""
        others = tuple((r, why) for r, why in self.durable.quarantined if r != ref)
        confirmed = tuple(r for r in self.durable.confirmed if r != ref)
        quarantined = (*others, (ref, reason))
        self.durable = replace(self.durable, quarantined=quarantined, confirmed=confirmed)
        self.forget_starts(ref)
        self.record(Announce(EventName.QUARANTINED, model=ref, reason=reason))

    def end_trial(self) -> None:
        """Nothing is on trial any more."""
        if self.durable.trial is not None:
            self.act(StopTrial())
        self.durable = replace(self.durable, trial=None, tries=TRIES)

    def begin(self, op: Operation) -> None:
        """Count a start of what the daemon starts by itself, before it begins.

        Whether it ends well is known only if the daemon survives: a remaining count tells the next
        boot that it died under this version. What was requested is never repeated by itself.
        """
        if not op.kind.is_asked:
            self._count(op.target.ref, 1)

    def ended(self, bundle: StoredBundle | None) -> None:
        """The last start that was counted has ended, and the daemon is alive."""
        if bundle is not None:
            self._count(bundle.ref, -1)

    def forget_starts(self, ref: BundleRef) -> None:
        """Its starts no longer count: it judges, or it was refused."""
        self._count(ref, None)

    def _count(self, ref: BundleRef, change: int | None) -> None:
        begun = dict(self.durable.begun)
        count = begun.pop(ref, 0)
        if change is not None and count + change > 0:
            begun[ref] = count + change
        if tuple(begun.items()) != self.durable.begun:
            self.durable = replace(self.durable, begun=tuple(begun.items()))

    def select(self, ref: BundleRef) -> None:
        """Orders for this name use this version from now on."""
        selected = {**dict(self.durable.selected), ref.name: ref.version}
        self.durable = replace(self.durable, selected=tuple(sorted(selected.items())))

    def need_no_more(self, name: str) -> None:
        """Its announced order was prepared for, or cannot be."""
        upcoming = (replace(u, done=u.done or u.name == name) for u in self.state.upcoming)
        self.state = replace(self.state, upcoming=tuple(upcoming))


def _kept(held: Operation | None, op: Operation, *, here: bool) -> Operation | None:
    """The content of a place once `op` is in it, or no longer."""
    others = held if held is not None and held.swap_id != op.swap_id else None
    if not here:
        return others
    assert others is None, f"{others} would be forgotten for {op}"
    return op
