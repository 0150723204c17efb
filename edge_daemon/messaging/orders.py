"""What a MES publishes -> job orders: presets for known formats, JMESPath for all others.

A reader is tolerant of the form (`order_parts`) and strict about the meaning: without a product
nothing is ordered, and an error says where it looked. An order that was sent with its product
before is known by its id. Words are compared without case; those that are not mapped change
nothing. Each order of a message is read separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Union

from edge_daemon.config import OrderFields, OrderSource, OrderWords
from edge_daemon.core.job_orders import JobOrder, OrderState
from edge_daemon.core.values import Instant
from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import MAX_BYTES, read_json, text_of
from edge_daemon.messaging.order_parts import (
    TEXT_KEYS,
    Part,
    Words,
    attempted,
    b2mml_orders,
    b2mml_part,
    meanings,
    opc_orders,
    opc_part,
    text,
)
from edge_daemon.messaging.paths import compiled

MAX_ORDERS = 256  # in one payload


@dataclass(frozen=True)
class Unreadable:
    """One order of a message that cannot be read.

    `runs`: it says that it is being made now, and no other of the message does.
    """

    error: SenderError
    id: str | None = None
    word: str = ""
    runs: bool = False


Reading = Union[JobOrder, Unreadable]

ProductOf = Callable[[str], str | None]
"""What an order makes that was told before, by its id; None where it never was."""


@dataclass(frozen=True)
class OrderReader:
    """One compiled source. `wanted` names, for messages, where its parts are looked for.

    `entries` finds the orders of a document, `part` reads one of them.
    """

    entries: Callable[[Any], Iterator[Any]]
    part: Callable[[Any], Part]
    words: Words
    wanted: Mapping[str, str]
    needs_word: bool = True
    is_plain: bool = False

    def read(
        self, payload: bytes, arrived: Instant, product_of: ProductOf = lambda _: None
    ) -> tuple[Reading, ...]:
        """The orders of one message in document order; none for an empty (cleared) message.

        Raises:
            SenderError: the message as a whole is not readable, and where was looked.
        """
        if not text_of(payload):
            return ()
        entries = list(islice(self.entries(self._document(payload)), MAX_ORDERS + 1))
        if len(entries) > MAX_ORDERS:
            raise SenderError(
                f"The message has more than {MAX_ORDERS} orders.",
                hint="Publish the orders of this line only.",
            )
        if not entries:
            raise _missing("no order", self.wanted["order"])
        # A later one may start what an earlier one of the same message told.
        told: dict[str, str] = {}
        readings: list[Reading] = []
        for entry in entries:
            reading = self._reading(entry, arrived, lambda name: told.get(name) or product_of(name))
            readings.append(reading)
            if isinstance(reading, JobOrder) and reading.id and reading.product:
                told[reading.id] = reading.product
        return _with_one_that_runs(readings)

    def _document(self, payload: bytes) -> Any:
        if not self.is_plain:
            return read_json(payload, "The order")
        word = text_of(payload[: MAX_BYTES + 1]).decode("utf-8", "replace").strip()
        looks_like_json = word.startswith(("{", "[", '"')) or "\ufffd" in word
        if looks_like_json or word in {"null", "true", "false"} or len(payload) > MAX_BYTES:
            return read_json(payload, "The order")
        return word  # a bare word or number, digit for digit: 0042 is not 42

    def _reading(self, entry: Any, arrived: Instant, product_of: ProductOf) -> Reading:
        try:
            part = self.part(entry)
        except SenderError as error:
            return Unreadable(error)
        if not self.needs_word:
            state: OrderState | None = OrderState.RUNNING
        elif part.word is None:
            return Unreadable(_missing("no state", self.wanted["state"]), part.order)
        else:
            state = self.words.get(part.word.strip().casefold())
        product, word = part.product, part.word or ""
        if isinstance(product, SenderError):
            return _unreadable(product, part, state)
        if product is None and part.order is not None:
            product = product_of(part.order)
        if product is None and state is not OrderState.COMPLETED:
            if part.makes_nothing or (state is None and part.order is not None):
                return JobOrder(None, None, arrived, part.order, word)
            whose = "" if part.order is None else f" for {part.order!r}, and none came before"
            missing = _missing(f"no product{whose}", self.wanted["product"])
            return _unreadable(missing, part, state)
        return JobOrder(product, state, arrived, part.order, word)


def _with_one_that_runs(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """What can be read says what the line makes; what cannot only where nothing else runs."""
    if not any(isinstance(o, JobOrder) and o.state is OrderState.RUNNING for o in readings):
        return tuple(readings)
    return tuple(replace(o, runs=False) if isinstance(o, Unreadable) else o for o in readings)


def _unreadable(error: SenderError, part: Part, state: OrderState | None) -> Unreadable:
    runs = state is OrderState.RUNNING and part.order is not None
    return Unreadable(error, part.order, part.word or "", runs)


def compile_source(source: OrderSource) -> OrderReader:
    """Make the reader of one configured source.

    Raises:
        ConfigurationError: for a JMESPath expression that does not compile.
    """
    if source.fields is not None:
        return _by_paths(source.fields, source.words or OrderWords())
    return _PRESETS[source.preset or "flat"]()


def _missing(what: str, where: str) -> SenderError:
    return SenderError(
        f"The order has {what}: looked at {where}.",
        hint="Correct what the MES publishes, or map it with `fields` in the configuration.",
    )


def _words(words: OrderWords) -> Words:
    return meanings(
        {
            OrderState.DISPATCHED: words.dispatched,
            OrderState.RUNNING: words.running,
            OrderState.COMPLETED: words.completed,
        }
    )


# --------------------------------------------------------------------------- by paths


def _by_paths(paths: OrderFields, words: OrderWords) -> OrderReader:
    order = _compiled("order", paths.order)
    product = _compiled("product", paths.product)
    state = _compiled("status", paths.status)

    def part(entry: Any) -> Part:
        if not isinstance(entry, dict):
            raise SenderError(
                "The order is not a JSON object.",
                hint='Publish an object, or use the preset "value" for a bare product id.',
            )
        return Part(
            text(order(entry), "order"),
            attempted(lambda: text(product(entry), "product")),
            text(state(entry), "state"),
        )

    wanted = {
        "order": _where(paths.order),
        "product": _where(paths.product),
        "state": _where(paths.status),
    }
    return OrderReader(_each, part, _words(words), wanted, needs_word=paths.status is not None)


def _where(path: str | None) -> str:
    return "nothing, for `fields` does not map it" if path is None else f"`{path}`"


def _each(document: Any) -> Iterator[Any]:
    yield from document if isinstance(document, list) else [document]


def _compiled(key: str, expression: str | None) -> Callable[[Any], Any]:
    if expression is None:
        return lambda _: None
    return compiled(
        f"orders.fields.{key}", expression, try_with="Try it with `edge-daemon orders test`."
    )


# --------------------------------------------------------------------------- a bare value


def _value_part(document: Any) -> Part:
    if isinstance(document, dict) and not any(key in document for key in TEXT_KEYS):
        return Part(None, None, None)
    value = document.get("value", document) if isinstance(document, dict) else document
    return Part(None, text(value, "value"), None)


# --------------------------------------------------------------------------- presets

_B2MML_WORDS = meanings(
    {
        OrderState.DISPATCHED: ("Dispatched", "Ready"),
        OrderState.RUNNING: ("Running",),
        OrderState.COMPLETED: ("Completed", "Closed", "Aborted", "Cancelled"),
    }
)
_OPC_WORDS = meanings(
    {
        OrderState.DISPATCHED: ("AllowedToStart",),
        OrderState.RUNNING: ("Running",),
        OrderState.COMPLETED: ("Ended", "Aborted"),
    }
)

_PRESETS: Mapping[str, Callable[[], OrderReader]] = {
    "flat": lambda: _by_paths(
        OrderFields(order="workOrder", product="productCode", status="status"), OrderWords()
    ),
    "umh-core": lambda: _by_paths(
        OrderFields(order="orderId", product="productId", status="status"),
        OrderWords(dispatched=("created",), running=("in-progress",)),
    ),
    "b2mml": lambda: OrderReader(
        b2mml_orders,
        b2mml_part,
        _B2MML_WORDS,
        {
            "order": "`WorkSchedule[].WorkRequest[].JobOrder[]`",
            "product": "`MaterialDefinitionID` of the `MaterialRequirement` that is Produced",
            "state": "`DispatchStatus`",
        },
    ),
    "opc-10031-4": lambda: OrderReader(
        opc_orders,
        lambda found: opc_part(found, _OPC_WORDS),
        _OPC_WORDS,
        {
            "order": "`JobOrder.JobOrderID` and `JobOrderID`",
            "product": "`MaterialDefinitionID` of the `MaterialRequirements` that are Produced",
            "state": "`State[].StateText.Text`",
        },
    ),
    "value": lambda: OrderReader(
        lambda document: iter([document]),
        _value_part,
        {},
        {"order": "`value`", "product": "`value`, and the whole payload", "state": "nothing"},
        needs_word=False,
        is_plain=True,
    ),
}


def orders_told(readings: Sequence[Reading], arrived: Instant) -> Iterator[JobOrder]:
    """For the planner. One that runs and cannot be read runs: no model may judge its frames."""
    for reading in readings:
        if isinstance(reading, JobOrder):
            yield reading
        elif reading.runs:
            yield JobOrder(None, OrderState.RUNNING, arrived, reading.id, reading.word)
