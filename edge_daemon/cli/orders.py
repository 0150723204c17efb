"""`edge-daemon orders test`: what a MES's payload would do, without doing it."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from edge_daemon.cli.exits import FAILED
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.station import RetainedStatus, Station
from edge_daemon.cli.tables import facts
from edge_daemon.config import OrderSource, Settings
from edge_daemon.core.event_names import EventName
from edge_daemon.core.job_orders import JobOrder, OrderState
from edge_daemon.core.values import Instant
from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.errors import BoxError, Code, SenderError
from edge_daemon.messaging.document import MAX_BYTES
from edge_daemon.messaging.orders import Unreadable, compile_source
from edge_daemon.messaging.topics import is_match
from edge_daemon.models.store import Store

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Work orders: what a MES payload would do."""


@dataclass(frozen=True)
class Reading:
    """One order as understood, and what it would do."""

    order: str | None
    product: str | None
    told: str | None
    """When its product was told, where this message names the order alone."""
    word: str
    state: str | None
    name: str | None
    version: str | None
    effect: str
    good: bool


@app.command("test")
def try_payload(
    payload: Annotated[str, typer.Argument(metavar="FILE", help="The payload; - reads stdin.")],
    topic: Annotated[str, typer.Option(help="The topic it would come by.", show_default=False)],
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Read FILE as if it had come by TOPIC: order, product, model, and what would happen.

    Exits with 1 if an order in it cannot be read, or would leave frames without a model.
    """
    settings = read_settings(file)
    source, number = _source(settings, topic)
    arrived = Instant(time.monotonic(), time.time())
    told = _OrderLookup(settings)
    orders = compile_source(source).read(_content(payload), arrived, told.product_of)
    chosen = _Choice(settings)
    readings = [_reading(order, settings, chosen, told) for order in orders]
    if as_json:
        tell_json({"source": number, "orders": [asdict(each) for each in readings]}, indent=2)
    else:
        _show(readings, source, number)
    if not all(reading.good for reading in readings):
        raise typer.Exit(FAILED)


def _source(settings: Settings, topic: str) -> tuple[OrderSource, int]:
    """The first entry under `orders` that takes the topic, as the daemon chooses it."""
    for number, source in enumerate(settings.orders):
        if is_match(source.topic, topic):
            return source, number
    known = ", ".join(source.topic for source in settings.orders) or "none at all"
    raise SenderError(f"No entry under orders reads {topic}.", hint=f"The settings read: {known}.")


def _content(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        return read_bytes(Path(name), MAX_BYTES)
    except DocumentError as error:
        raise SenderError(f"The payload {name} {error.message}.", hint=error.hint) from error


class _Choice:
    """The version that an order for a name would use: by the daemon, else the store's newest."""

    def __init__(self, settings: Settings) -> None:
        self._available = Store(settings.models.store).available()
        # Without a daemon the store and the settings are all there is.
        seen = Station(settings).online() or RetainedStatus("", {})
        self.active = seen.active
        self.is_held = seen.model.held
        self._selected, self._quarantined = seen.model.selected, seen.quarantined

    def version(self, name: str) -> str | None:
        if name in self._selected:
            return self._selected[name]
        refs = (known.ref for known in self._available if known.ref.name == name)
        fit = [ref.version for ref in refs if str(ref) not in self._quarantined]
        return fit[-1] if fit else None


class _OrderLookup:
    """What the station knows of earlier orders and their products."""

    def __init__(self, settings: Settings) -> None:
        self._records = Records(settings)
        self._times: dict[str, str] = {}
        self.is_unknown = False
        """Whether an order was looked for where the station's state cannot be read."""

    def product_of(self, job_order: str) -> str | None:
        try:
            told = self._records.order(job_order)
        except (BoxError, SenderError):
            self.is_unknown = True
            return None
        if told is None:
            return None
        self._times[job_order] = str(told["time"])
        return str(told["product"])

    def time(self, order: JobOrder) -> str | None:
        """When the product was told; None where the message itself names it, or nobody does."""
        return self._times.get(order.id or "") if order.product is not None else None


def _reading(
    order: JobOrder | Unreadable, settings: Settings, chosen: _Choice, told: _OrderLookup
) -> Reading:
    if isinstance(order, Unreadable):
        return _unread(order, told)
    name = settings.links.get(order.product) if order.product is not None else None
    version = chosen.version(name) if name else None
    effect, good = _effect(order, name, version, chosen)
    state = order.state.value if order.state else None
    when = told.time(order)
    return Reading(order.id, order.product, when, order.word, state, name, version, effect, good)


def _unread(order: Unreadable, told: _OrderLookup) -> Reading:
    effect = f"{EventName.ORDER_REFUSED}: {order.error.message}"
    if told.is_unknown and order.id is not None:
        effect += " Whether it came before is known on the running station only."
    if order.runs:
        effect += " It runs: its frames stay uninspected until its product is told."
    state = OrderState.RUNNING.value if order.runs else None
    return Reading(order.id, None, None, order.word, state, None, None, effect, good=False)


def _effect(
    order: JobOrder, name: str | None, version: str | None, chosen: _Choice
) -> tuple[str, bool]:
    """What would happen, and whether every frame would find its model."""
    if order.state is None and order.product is None:
        return "nothing: no product is made by it here; it is recorded", True
    if order.state is None:
        return f"nothing: {order.word!r} has no meaning here; it is recorded", True
    if order.state is OrderState.COMPLETED:
        return "nothing changes: the model stays active", True
    if name is None:
        left = "" if order.state is OrderState.DISPATCHED else "; its frames stay uninspected"
        return (
            f"{EventName.UNKNOWN_PRODUCT}: no link names a model for {order.product}{left}",
            False,
        )
    if version is None:
        return f"{Code.UNKNOWN_MODEL}: the store has no usable version of {name}", False
    held = " (held now: it is recorded, and applied on release)" if chosen.is_held else ""
    return f"{_change(order.state, name, version, chosen)}{held}", True


def _change(state: OrderState, name: str, version: str, chosen: _Choice) -> str:
    model = f"{name}@{version}"
    if chosen.active is not None and chosen.active.partition("@")[0] == name:
        return f"{chosen.active} stays: it is linked to this product already"
    if state is OrderState.DISPATCHED:
        return f"prepare {model} in a free slot, ahead of time"
    return f"swap to {model}, exactly at the first frame captured after it arrives"


def _show(readings: list[Reading], source: OrderSource, number: int) -> None:
    shape = f"preset {source.preset}" if source.preset else "fields of its own"
    tell(f"Read by orders[{number}]: {source.topic}, {shape}.")
    if not readings:
        tell("It is empty: nothing would happen.")
    for reading in readings:
        told = f", from the order received at {reading.told}" if reading.told else ""
        rows: dict[str, Text | str] = {
            "order": reading.order or "without id",
            "product": f"{reading.product or 'none'}{told}",
            "state": f"{reading.word or '(arrival)'} → {reading.state or 'nothing'}",
            "model": f"{reading.name}@{reading.version or '?'}" if reading.name else "none",
            "would": Text(reading.effect, style="green" if reading.good else "red"),
        }
        show(facts(rows.items()))
