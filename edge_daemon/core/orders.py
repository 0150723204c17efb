"""What a job order does: announced, its model is prepared; running, its frames need that model."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import pursuit
from edge_daemon.core.effects import PassOver, Stamp
from edge_daemon.core.event_names import EventName
from edge_daemon.core.lifecycle import WITH_LANE, Stage, Step
from edge_daemon.core.records import Announce
from edge_daemon.core.state import Kind, Upcoming
from edge_daemon.core.turn import Turn
from edge_daemon.core.values import (
    Assignment,
    AtNextOrder,
    AtNow,
    JobOrder,
    OrderState,
    Status,
)
from edge_daemon.errors import Code

ANNOUNCED = 8
"""Announced orders that are remembered; with more, the oldest is forgotten."""


def received(turn: Turn, order: JobOrder) -> None:
    """Apply an order now, or keep it for the release."""
    if order.state is None:
        return
    if not turn.durable.held:
        apply(turn, order)
    elif order.state is OrderState.RUNNING:
        turn.durable = replace(turn.durable, held_orders=(order,))
    elif order.state is OrderState.COMPLETED:
        kept = turn.durable.held_orders[:1]
        if not kept or kept[0].id == order.id:
            turn.durable = replace(turn.durable, held_orders=(*kept, order))


def apply(turn: Turn, order: JobOrder) -> None:
    """Change what the line is making, or what it will make next."""
    name = None if order.product is None else turn.state.link(order.product)
    if name is None and order.state is not OrderState.COMPLETED and not _is_known(turn, order):
        reason = f"No link names a model for product {order.product}."
        if order.product is None:
            reason = f"Job order {order.id} runs, and nobody told its product."
        turn.record(Announce(EventName.UNKNOWN_PRODUCT, code=Code.UNKNOWN_PRODUCT, reason=reason))
    if order.state is OrderState.DISPATCHED and _is_awaited(turn, order):
        _run(turn, order, name)
    elif order.state is OrderState.DISPATCHED and name is not None:
        _announce(turn, order, name)
    elif order.state is OrderState.RUNNING:
        _run(turn, order, name)
    elif order.state is OrderState.COMPLETED:
        _complete(turn, order)


def _is_known(turn: Turn, order: JobOrder) -> bool:
    """Whether the MES said so before: this very order runs."""
    line, is_running = turn.state.line, order.state is OrderState.RUNNING
    same = (line.product, line.job_order) == (order.product, order.id)
    return is_running and turn.durable.running and same


def _is_awaited(turn: Turn, order: JobOrder) -> bool:
    """Whether this order runs already, and only now its product is told."""
    durable = turn.durable
    is_open = durable.running and durable.product is None and durable.job_order is not None
    return is_open and order.id == durable.job_order


def relink(turn: Turn, links: tuple[tuple[str, str], ...]) -> None:
    """Other links from now on; frames of the product that is made need its new model at once."""
    turn.state = replace(turn.state, links=links)
    durable, line = turn.durable, turn.state.line
    if durable.product is None:
        return
    name = turn.state.link(durable.product)
    if (name, name is not None) == (line.requires, line.linked):
        return
    _pass_over(turn)
    epoch = line.epoch + 1
    line = Assignment(epoch, durable.product, durable.job_order, name, linked=name is not None)
    turn.state = replace(turn.state, line=line, given_up=frozenset())
    turn.act(Stamp(line, since_at=turn.now.at))
    _supersede(turn, name)


def _announce(turn: Turn, order: JobOrder, name: str) -> None:
    others = tuple(u for u in turn.state.upcoming if u.name != name)
    turn.state = replace(turn.state, upcoming=(*others, Upcoming(order.id, name))[-ANNOUNCED:])


def _complete(turn: Turn, order: JobOrder) -> None:
    durable = turn.durable
    if durable.running and order.id == durable.job_order:
        turn.durable = replace(turn.durable, running=False)
        turn.record(Announce(EventName.ORDER_COMPLETED, reason=order.id or ""))
    elif order.id is not None:
        turn.state = replace(
            turn.state, upcoming=tuple(u for u in turn.state.upcoming if u.order != order.id)
        )


def _run(turn: Turn, order: JobOrder, name: str | None) -> None:
    if _is_known(turn, order):
        return
    state = turn.state
    line = state.line
    _pass_over(turn)
    turn.state = replace(
        turn.state,
        line=Assignment(line.epoch + 1, order.product, order.id, name, linked=name is not None),
        upcoming=tuple(u for u in state.upcoming if u.name != name),
        given_up=frozenset(),
    )
    turn.durable = replace(turn.durable, product=order.product, job_order=order.id, running=True)
    turn.act(Stamp(turn.state.line, since_at=order.arrived.at))
    turn.record(Announce(EventName.ORDER_RUNNING, reason=order.id or ""))
    _wake_parked(turn, name)
    _supersede(turn, name)


def _pass_over(turn: Turn) -> None:
    """Frames that still wait for a model get none, unless the lane is about to cross for them."""
    state = turn.state
    active = state.active_bundle
    # Without a product any model would do for them; the one that comes now is for later ones.
    waits = active is None or state.line.requires not in (None, active.ref.name)
    op = state.op
    crossing = (
        op is not None
        and op.stage is Stage.CUTTING
        and state.line.requires in (None, op.target.ref.name)
    )
    if waits and not crossing:
        turn.act(PassOver(state.line.epoch))


def _wake_parked(turn: Turn, name: str | None) -> None:
    """A swap that waited for the next order of this product is due now, and selects its version."""
    parked = turn.state.parked
    if parked is not None and isinstance(parked.at, AtNextOrder) and parked.target.ref.name == name:
        current, queued = turn.state.op, turn.state.queued
        if current is not None and current.kind.is_asked:
            turn.finish(parked, Status.SUPERSEDED)
            return
        if queued is not None:
            turn.finish(queued, Status.SUPERSEDED)
        turn.advance(replace(parked, at=AtNow()), Step.QUEUE)


def _supersede(turn: Turn, name: str | None) -> None:
    """An asked change that this order makes wrong ends here."""
    for op in (turn.state.op, turn.state.queued):
        if op is None or op.request is None or not op.kind.is_asked:
            continue
        fits = op.target.ref.name == name or isinstance(op.at, AtNextOrder)
        if fits or op.kind is Kind.PREPARE:
            continue
        if op.stage in WITH_LANE:
            pursuit.withdraw(turn, op)
        else:
            turn.finish(op, Status.SUPERSEDED)
