"""What an order does: once announced, its model is prepared; once running, its frames need it."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import operations
from edge_daemon.core.effects import PassOver, Stamp
from edge_daemon.core.event_names import EventName
from edge_daemon.core.job_orders import JobOrder, OrderState
from edge_daemon.core.lifecycle import WITH_LANE, Stage, Step
from edge_daemon.core.records import Announce
from edge_daemon.core.state import Kind, Upcoming
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Assignment, AtNextOrder, AtNow, Status
from edge_daemon.errors import Code

ANNOUNCED = 8  # orders that are remembered; with more, the oldest is forgotten


def received(draft: StepDraft, order: JobOrder) -> None:
    """Apply an order now, or keep it until the hold is released."""
    if order.state is None:
        return
    if not draft.durable.held:
        apply(draft, order)
    elif order.state is OrderState.RUNNING:
        draft.durable = replace(draft.durable, held_orders=(order,))
    elif order.state is OrderState.COMPLETED:
        kept = draft.durable.held_orders[:1]
        if not kept or kept[0].id == order.id:
            draft.durable = replace(draft.durable, held_orders=(*kept, order))


def apply(draft: StepDraft, order: JobOrder) -> None:
    """Change what the line makes, or what it will make next."""
    name = draft.state.link(order.product)
    if name is None and order.state is not OrderState.COMPLETED and not _is_known(draft, order):
        reason = f"No link names a model for product {order.product}."
        if order.product is None:
            reason = f"Job order {order.id} runs, but its product is not known."
        draft.record(Announce(EventName.UNKNOWN_PRODUCT, code=Code.UNKNOWN_PRODUCT, reason=reason))
    if order.state is OrderState.DISPATCHED and _is_awaited(draft, order):
        _run(draft, order, name)
    elif order.state is OrderState.DISPATCHED and name is not None:
        _announce(draft, order, name)
    elif order.state is OrderState.RUNNING:
        _run(draft, order, name)
    elif order.state is OrderState.COMPLETED:
        _complete(draft, order)


def _is_known(draft: StepDraft, order: JobOrder) -> bool:
    """Whether this very order runs already."""
    line, is_running = draft.state.line, order.state is OrderState.RUNNING
    same = (line.product, line.job_order) == (order.product, order.id)
    return is_running and draft.durable.running and same


def _is_awaited(draft: StepDraft, order: JobOrder) -> bool:
    """Whether this order runs already, and only its product is new."""
    durable = draft.durable
    is_open = durable.running and durable.product is None and durable.job_order is not None
    return is_open and order.id == durable.job_order


def relink(draft: StepDraft, links: tuple[tuple[str, str], ...]) -> None:
    """Other links from now on; frames of the current product need its new model at once."""
    draft.state = replace(draft.state, links=links)
    durable, line = draft.durable, draft.state.line
    if durable.product is None:
        return
    name = draft.state.link(durable.product)
    if (name, name is not None) == (line.requires, line.linked):
        return
    _pass_over(draft)
    _stamp(draft, since_at=draft.now.at)
    _supersede(draft, name)


def resume(draft: StepDraft) -> None:
    """After a start the line makes what it made before."""
    if draft.durable.product is not None or draft.durable.job_order is not None:
        _stamp(draft, since_at=0.0)


def _stamp(draft: StepDraft, since_at: float) -> None:
    """Frames carry the order of `durable` from now on, and need the model of its product."""
    durable, epoch = draft.durable, draft.state.line.epoch + 1
    name = draft.state.link(durable.product)
    line = Assignment(epoch, durable.product, durable.job_order, name, linked=name is not None)
    draft.state = replace(draft.state, line=line, skipped=frozenset())
    draft.act(Stamp(line, since_at=since_at))


def _announce(draft: StepDraft, order: JobOrder, name: str) -> None:
    others = tuple(u for u in draft.state.upcoming if u.name != name)
    draft.state = replace(draft.state, upcoming=(*others, Upcoming(order.id, name))[-ANNOUNCED:])


def _complete(draft: StepDraft, order: JobOrder) -> None:
    durable = draft.durable
    if durable.running and order.id == durable.job_order:
        draft.durable = replace(draft.durable, running=False)
        draft.record(Announce(EventName.ORDER_COMPLETED, reason=order.id or ""))
    elif order.id is not None:
        left = tuple(u for u in draft.state.upcoming if u.order != order.id)
        draft.state = replace(draft.state, upcoming=left)


def _run(draft: StepDraft, order: JobOrder, name: str | None) -> None:
    if _is_known(draft, order):
        return
    _pass_over(draft)
    left = tuple(u for u in draft.state.upcoming if u.name != name)
    draft.state = replace(draft.state, upcoming=left)
    draft.durable = replace(draft.durable, product=order.product, job_order=order.id, running=True)
    # One that was held may have arrived before the machine was started: its clock began anew.
    _stamp(draft, since_at=min(order.arrived.at, draft.now.at))
    draft.record(Announce(EventName.ORDER_RUNNING, reason=order.id or ""))
    _wake_parked(draft, name)
    _supersede(draft, name)


def _pass_over(draft: StepDraft) -> None:
    """Frames that still wait get no model, unless the lane is about to switch for them."""
    line, active, op = draft.state.line, draft.state.active_bundle, draft.state.op
    # Frames without a product accept any model; the one that comes now is for later frames.
    if active is not None and line.requires in (None, active.ref.name):
        return
    is_cutting = op is not None and op.stage is Stage.CUTTING
    if op is None or not is_cutting or line.requires not in (None, op.target.ref.name):
        draft.act(PassOver(line.epoch))


def _wake_parked(draft: StepDraft, name: str | None) -> None:
    """A swap that waited for the next order of this product is due, and selects its version."""
    parked = draft.state.parked
    if parked is not None and isinstance(parked.at, AtNextOrder) and parked.target.ref.name == name:
        current, queued = draft.state.op, draft.state.queued
        if current is not None and current.kind.is_asked:
            draft.finish(parked, Status.SUPERSEDED)
            return
        if queued is not None:
            draft.finish(queued, Status.SUPERSEDED)
        draft.advance(replace(parked, at=AtNow()), Step.QUEUE)


def _supersede(draft: StepDraft, name: str | None) -> None:
    """A requested change that this order makes wrong ends here."""
    for op in (draft.state.op, draft.state.queued):
        if op is None or op.request is None or not op.kind.is_asked:
            continue
        fits = op.target.ref.name == name or isinstance(op.at, AtNextOrder)
        if fits or op.kind is Kind.PREPARE:
            continue
        if op.stage in WITH_LANE:
            operations.withdraw(draft, op)
        else:
            draft.finish(op, Status.SUPERSEDED)
