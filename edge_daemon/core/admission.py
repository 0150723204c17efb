"""Whether a request may be accepted: its target, or a refusal. Changes nothing."""

from __future__ import annotations

from edge_daemon.core import selection
from edge_daemon.core.state import State
from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    BundleRef,
    ModelChoice,
    Refusal,
    Request,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code

CAME_LATE = Refusal(
    Code.EXPIRED, "The request came after its expiry.", "Check both clocks and send it anew."
)
EXPIRED = Refusal(
    Code.EXPIRED, "The request expired before its cutover.", "Send it anew with more time."
)


def admit(state: State, request: Request, next_frame: int = 0) -> StoredBundle | Refusal:
    """The bundle that a prepare, swap, rollback or rollout means, or why it is refused now."""
    wrong = _precondition(state, request, next_frame)
    if wrong:
        return wrong
    target = (
        _rollback_target(state, request)
        if request.verb is Verb.ROLLBACK
        else _named(state, request.model)
    )
    if isinstance(target, Refusal):
        return target
    return (
        quarantined(state, target.ref)
        or _floor(state, request, target.ref)
        or _product(state, request, target.ref)
        or target
    )


def _precondition(state: State, request: Request, next_frame: int) -> Refusal | None:
    active = state.active_bundle
    if request.expect is not None and (active is None or str(active.ref) != str(request.expect)):
        return Refusal(
            Code.PRECONDITION_FAILED,
            f"{active.ref if active else 'Nothing'} is active, not {request.expect}.",
            "Read model/state and ask again.",
        )
    if isinstance(request.at, AtFrame) and request.at.number < next_frame:
        return Refusal(
            Code.PRECONDITION_FAILED,
            f"Frame {request.at.number} has passed; the next is {next_frame}.",
            "Ask for a later frame, or for now.",
        )
    return None


def _named(state: State, choice: ModelChoice | None) -> StoredBundle | Refusal:
    if choice is None:
        return Refusal(Code.MALFORMED, "The request names no model.", "Add model: name@version.")
    target = selection.choose(state, choice)
    if target is not None:
        return target
    refusal = next((why for ref, why in state.refused if str(ref) == str(choice)), None)
    if refusal is not None:
        return refusal
    known = selection.versions(state, choice.name)
    if known and choice.version is None:
        return Refusal(
            Code.QUARANTINED,
            f"Every version of {choice.name} is quarantined.",
            f"Lift one with: edge-daemon models unquarantine {known[-1].ref}",
        )
    have = ", ".join(k.ref.version for k in known)
    return Refusal(
        Code.UNKNOWN_MODEL,
        f"{choice} is not in the store.",
        f"Complete versions of {choice.name}: {have}." if have else "See: edge-daemon models list",
    )


def _rollback_target(state: State, request: Request) -> StoredBundle | Refusal:
    active = state.last_bundle
    if active is None:
        return Refusal(Code.NOTHING_TO_ROLL_BACK, "No model was active.", "Swap to one instead.")
    if request.model is None or request.model.version is None:
        target = selection.rollback_target(state)
        if target is None or (request.model and request.model.name != active.ref.name):
            return Refusal(
                Code.NOTHING_TO_ROLL_BACK,
                f"No version of {active.ref.name} was confirmed before {active.ref.version}.",
                "Swap to the version that you want instead.",
            )
        return target
    if request.model.name != active.ref.name or str(request.model) == str(active.ref):
        return Refusal(
            Code.PRECONDITION_FAILED,
            f"{active.ref} is active; a rollback goes to another version of {active.ref.name}.",
            "Name one of its versions, or use swap.",
        )
    return _named(state, request.model)


def quarantined(state: State, ref: BundleRef) -> Refusal | None:
    """Why a version may not become active before an operator lifts its quarantine."""
    reason = state.quarantine_reason(ref)
    if reason is None:
        return None
    return Refusal(
        Code.QUARANTINED,
        f"{ref} is quarantined: {reason.rstrip('.')}.",
        f"Lift it with: edge-daemon models unquarantine {ref}",
    )


def _floor(state: State, request: Request, ref: BundleRef) -> Refusal | None:
    """Refuse a downgrade; going back to a version that was confirmed here is none."""
    floor = state.floor_above(ref)
    if floor is None or (request.verb is Verb.ROLLBACK and not selection.below_floor(state, ref)):
        return None
    return Refusal(
        Code.NOT_TRUSTED,
        f"{ref} is older than {floor}, the floor of {ref.name} on this device.",
        "Ask for a newer version, or lower models.floor in the settings; "
        "a rollback may go to what was confirmed here.",
    )


def _product(state: State, request: Request, ref: BundleRef) -> Refusal | None:
    if request.verb is Verb.PREPARE:
        return None
    if isinstance(request.at, AtNextOrder):
        if any(name == ref.name for _, name in state.links):
            return None
        return Refusal(
            Code.UNKNOWN_PRODUCT,
            f"No product is linked to {ref.name}, so no order will select it.",
            "Add it under links in the configuration.",
        )
    line = state.line
    if not state.durable.running or line.requires == ref.name:
        return None
    makes = f"makes {line.product}, which is linked to {line.requires or 'no model'}"
    if line.product is None:
        makes = "makes a product that is not known"
    return Refusal(
        Code.WRONG_PRODUCT,
        f"Job order {line.job_order or 'without id'} {makes}.",
        "Ask with at: next_order, or wait for its end.",
    )
