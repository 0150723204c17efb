"""What the planner decided is done here: each effect, by the part of the device that it is for."""

from __future__ import annotations

from edge_daemon.control.driver_services import DriverServices
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.control.trial_watch import TrialWatch
from edge_daemon.core import tuning
from edge_daemon.core.effects import (
    ApplyTuning,
    AskCutover,
    Effect,
    EndSplit,
    Free,
    MakeForecast,
    PassOver,
    Prepare,
    Restore,
    SetSplit,
    Stamp,
    StartTrial,
    TakeSnapshot,
    Verify,
    Withdraw,
)
from edge_daemon.core.events import CutoverWithdrawn
from edge_daemon.core.rollout.values import Split
from edge_daemon.core.state import Durable
from edge_daemon.slots.active import Cutover, Pointer


class Performer:
    """Does what the planner decided; on the driver's thread, which waits for none of it."""

    def __init__(self, mailbox: Mailbox, services: DriverServices, trial: TrialWatch) -> None:
        self._mailbox = mailbox
        self._services = services
        self._trial = trial

    def perform(self, effect: Effect, durable: Durable) -> None:  # noqa: PLR0912 - a table
        """Do one effect of the step that left `durable`."""
        services = self._services
        if isinstance(effect, Prepare):
            services.loader.prepare(effect)
        elif isinstance(effect, Restore):
            services.loader.restore(effect)
        elif isinstance(effect, Verify):
            services.loader.verify(effect)
        elif isinstance(effect, Free):
            services.loader.free(effect)
        elif isinstance(effect, AskCutover):
            services.active_slot.ask(self._cutover(effect, durable))
        elif isinstance(effect, Withdraw):
            if services.active_slot.withdraw(effect.token):
                self._mailbox.put(CutoverWithdrawn(effect.token))
        elif isinstance(effect, Stamp):
            self._stamp(effect)
        elif isinstance(effect, PassOver):
            services.line.pass_over(effect.epoch)
        elif isinstance(effect, StartTrial):
            self._trial.start(effect)
        elif isinstance(effect, TakeSnapshot):
            services.take_snapshot(effect.request)
        elif isinstance(effect, MakeForecast):
            services.foretell(effect)
        elif isinstance(effect, ApplyTuning):
            self._retune(effect, durable)
        elif isinstance(effect, SetSplit):
            services.split(self._split(effect))
        elif isinstance(effect, EndSplit):
            services.split(None)
        else:
            self._trial.stop()

    def _cutover(self, action: AskCutover, durable: Durable) -> Cutover:
        if action.slot is None or action.target is None:
            pointer = Pointer(expecting=action.expecting)
        else:
            gate_proof = self._services.loader.proofs[action.slot]
            slot = self._services.active_slot.slots[action.slot]
            recipe = tuning.recipe_of(durable, action.target, gate_proof.recipe)
            pointer = Pointer(slot, action.target, recipe)
        boundary = action.at_epoch, action.at_frame
        return Cutover(action.token, pointer, action.swap_id, *boundary, action.may_wait)

    def _split(self, action: SetSplit) -> Split:
        """With the recipe that the candidate was signed with."""
        recipe = self._services.loader.proofs[action.slot].recipe
        return Split(
            action.rollout,
            action.slot,
            action.candidate,
            recipe,
            action.mode,
            action.unit,
            action.share,
            action.coverage,
            action.either,
            action.slices,
            action.reference,
        )

    def _retune(self, action: ApplyTuning, durable: Durable) -> None:
        gate_proof = self._services.loader.proof_of(action.target)
        if gate_proof is not None:  # what judges has one
            recipe = tuning.recipe_of(durable, action.target, gate_proof.recipe)
            self._services.active_slot.retune(action.target, recipe)

    def _stamp(self, action: Stamp) -> None:
        if action.from_frame is not None:
            self._services.line.stamp_from(action.assignment, action.from_frame)
        else:
            self._services.line.stamp(action.assignment, action.since_at or 0.0)
