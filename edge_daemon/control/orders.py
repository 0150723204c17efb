"""What a MES publishes -> job orders: presets for the known shapes, JMESPath for all others.

A reader is liberal in the shape (wrappers, prefixes, one object for a list, ids as text or as
`{"$": …}`) and strict in the meaning: without a product nothing is ordered, and an error says
where it looked. Words are compared without case; those that are not mapped change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from edge_daemon.config import OrderSource
from edge_daemon.control.document import MAX_BYTES, read_json, text_of
from edge_daemon.core.values import Instant, JobOrder, OrderState
from edge_daemon.errors import ConfigurationError, SenderError

MAX_NAME = 256
MAX_ORDERS = 256  # in one payload

Words = Mapping[str, OrderState]
"""A MES's word, casefolded -> what it means here."""


@dataclass(frozen=True)
class _Part:
    """One order as found: what is missing is None."""

    order: str | None
    product: str | None
    word: str | None


@dataclass(frozen=True)
class OrderReader:
    """One compiled source. `wanted` names, for messages, where its parts are looked for."""

    find: Callable[[Any], Iterator[_Part]]
    words: Words
    wanted: Mapping[str, str]
    needs_word: bool = True
    is_plain: bool = False

    def read(self, payload: bytes, arrived: Instant) -> tuple[JobOrder, ...]:
        """The orders of one message in document order; none for an empty (cleared) message.

        An order that cannot change anything (completed, or a word that is not mapped) is passed
        over where it names no product, as long as the message says something else.

        Raises:
            SenderError: what is missing or not readable, and where it was looked for.
        """
        if not text_of(payload):
            return ()
        parts: list[_Part] = []
        for part in self.find(self._document(payload)):
            if len(parts) >= MAX_ORDERS:
                raise SenderError(
                    f"The message has more than {MAX_ORDERS} orders.",
                    hint="Publish the orders of this line only.",
                )
            parts.append(part)
        if not parts:
            raise _missing("no order", self.wanted["order"])
        read = tuple(order for part in parts if (order := self._order(part, arrived)) is not None)
        if not read:
            raise _missing("no product", self.wanted["product"])
        return read

    def _document(self, payload: bytes) -> Any:
        if not self.is_plain:
            return read_json(payload, "The order")
        text = text_of(payload[: MAX_BYTES + 1]).decode("utf-8", "replace").strip()
        looks_like_json = text.startswith(("{", "[", '"')) or "\ufffd" in text
        if looks_like_json or text in {"null", "true", "false"} or len(payload) > MAX_BYTES:
            return read_json(payload, "The order")
        return text  # a bare word or number, digit for digit: 0042 is not 42

    def _order(self, part: _Part, arrived: Instant) -> JobOrder | None:
        if not self.needs_word:
            state: OrderState | None = OrderState.RUNNING
        elif part.word is None:
            raise _missing("no state", self.wanted["state"])
        else:
            state = self.words.get(part.word.strip().casefold())
        if part.product is None:
            if state in {OrderState.DISPATCHED, OrderState.RUNNING}:
                whose = "" if part.order is None else f" for {part.order!r}"
                raise _missing(f"no product{whose}", self.wanted["product"])
            return None
        return JobOrder(part.product, state, arrived, part.order, part.word or "")


def compile_source(source: OrderSource) -> OrderReader:
    """Make the reader of one configured source.

    Raises:
        ConfigurationError: for a JMESPath expression that does not compile.
    """
    if source.fields is not None:
        fields = source.fields
        paths = _Paths(fields.order, fields.product, fields.status)
        words = (
            _DEFAULT_WORDS
            if source.words is None
            else _words(source.words.dispatched, source.words.running, source.words.completed)
        )
        return _by_paths(paths, words)
    preset = source.preset or "flat"
    return _PRESETS[preset]()


def _missing(what: str, where: str) -> SenderError:
    return SenderError(
        f"The order has {what}: looked at {where}.",
        hint="Correct what the MES publishes, or map it with `fields` in the configuration.",
    )


def _words(
    dispatched: Sequence[str], running: Sequence[str], completed: Sequence[str]
) -> dict[str, OrderState]:
    return {
        **{word.strip().casefold(): OrderState.DISPATCHED for word in dispatched},
        **{word.strip().casefold(): OrderState.RUNNING for word in running},
        **{word.strip().casefold(): OrderState.COMPLETED for word in completed},
    }


_DEFAULT_WORDS = _words(["dispatched"], ["running"], ["completed"])

# --------------------------------------------------------------------------- by paths


@dataclass(frozen=True)
class _Paths:
    """JMESPath of each part; without `state`, arrival means running."""

    order: str | None
    product: str
    state: str | None


def _by_paths(paths: _Paths, words: Words) -> OrderReader:
    order = _compiled("order", paths.order)
    product = _compiled("product", paths.product)
    state = _compiled("status", paths.state)

    def find(document: Any) -> Iterator[_Part]:
        for entry in document if isinstance(document, list) else [document]:
            if not isinstance(entry, dict):
                raise SenderError(
                    "The order is not a JSON object.",
                    hint='Publish an object, or use the preset "value" for a bare product id.',
                )
            yield _Part(
                _text(order(entry), "order"),
                _text(product(entry), "product"),
                _text(state(entry), "state"),
            )

    wanted = {"order": f"`{paths.order}`", "product": f"`{paths.product}`"}
    wanted["state"] = f"`{paths.state}`"
    return OrderReader(find, words, wanted, needs_word=paths.state is not None)


def _compiled(key: str, expression: str | None) -> Callable[[Any], Any]:
    if expression is None:
        return lambda _: None
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise ConfigurationError(
            f"orders.fields.{key} is not JMESPath: {_first_line(error)}.",
            hint='Write a path such as workOrder or "item.code"; see jmespath.org.',
        ) from error

    def search(document: Any) -> Any:
        try:
            return compiled.search(document)
        except (JMESPathError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise SenderError(
                f"The order's {key} cannot be read with `{expression}`: {_first_line(error)}.",
                hint="Try it with `edge-daemon orders test`.",
            ) from error

    return search


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


# --------------------------------------------------------------------------- ids and texts


def _text(value: Any, key: str) -> str | None:
    """An id or a word, as text, number, `{"$": …}` or a list of one of these; None if absent."""
    for _ in range(8):
        if isinstance(value, list):
            value = next((entry for entry in value if entry is not None), None)
        elif isinstance(value, dict):
            value = next((value[name] for name in _TEXT_KEYS if name in value), None)
        else:
            break
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise SenderError(
            f"The order's {key} is neither text nor a whole number.",
            hint="Publish it as text.",
        )
    text = value.strip()
    if len(text) > MAX_NAME or not text.isprintable():
        raise SenderError(
            f"The order's {key} is longer than {MAX_NAME} characters or not printable.",
            hint="Publish the id alone.",
        )
    return text


_TEXT_KEYS = ("$", "#text", "_text", "_", "value", "Value", "Text", "text")


def _local(key: str) -> str:
    """`b2mml:JobOrder` and `{http://…}JobOrder` -> `joborder`."""
    return key.rpartition("}")[2].rpartition(":")[2].casefold()


def _get(node: Any, *names: str) -> Any:
    """The first of `names` that a JSON object has, whatever its prefix and case."""
    if isinstance(node, dict):
        for name in names:
            if name in node:
                return node[name]
        wanted = {name.casefold() for name in names}
        for key, value in node.items():
            if _local(key) in wanted:
                return value
    return None


def _listed(node: Any) -> list[Any]:
    if node is None:
        return []
    return node if isinstance(node, list) else [node]


# --------------------------------------------------------------------------- ISA-95 shapes


def _produced(job_order: Any) -> str | None:
    """`MaterialDefinitionID` of the first requirement whose `MaterialUse` is Produced."""
    for requirement in _requirements(job_order):
        use = _text(_get(requirement, "MaterialUse"), "MaterialUse")
        if use is not None and use.casefold() in {"produced", "material produced"}:
            product = _text(_get(requirement, "MaterialDefinitionID"), "MaterialDefinitionID")
            if product is not None:
                return product
    return None


def _requirements(node: Any) -> Iterator[Any]:
    """Under the singular or the plural, as one object or a list, or one within the other."""
    for requirement in _listed(_get(node, "MaterialRequirement", "MaterialRequirements")):
        yield requirement
        yield from _requirements(requirement)


def _with_key(node: Any, *names: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that has one of the keys, in document order, not within another such."""
    if isinstance(node, dict):
        if _get(node, *names) is not None:
            yield node
            return
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _with_key(child, *names)


def _find_b2mml(document: Any) -> Iterator[_Part]:
    for holder in _with_key(document, "JobOrder"):
        for job_order in _listed(_get(holder, "JobOrder")):
            # Only the ID is required: without a status nothing is asked for yet.
            yield _Part(
                _text(_get(job_order, "ID"), "ID"),
                _produced(job_order),
                _text(_get(job_order, "DispatchStatus"), "DispatchStatus") or "",
            )


def _find_opc(document: Any) -> Iterator[_Part]:
    for holder in _with_key(document, "JobOrder", "JobOrderID"):
        for job_order in _listed(_get(holder, "JobOrder")) or [holder]:
            state = _get(holder, "State")
            if state is None:
                state = _get(job_order, "State")
            yield _Part(
                _text(_get(job_order, "JobOrderID"), "JobOrderID"),
                _produced(job_order),
                _opc_word(state) or "",
            )


def _opc_word(state: Any) -> str | None:
    """The innermost state's text; an outer one where only that is a word with a meaning.

    OPC 10031-4 leaves the order of substates open; the length of BrowsePath tells the depth.
    Substates such as Ready (of AllowedToStart) refine a state that means something.
    """
    found: list[tuple[int, int, str]] = []
    for place, entry in enumerate(_listed(state)):
        text = _text(_get(entry, "StateText") if isinstance(entry, dict) else entry, "StateText")
        if text is not None:
            path = _get(entry, "BrowsePath")
            elements = _get(path, "Elements") if isinstance(path, dict) else path
            found.append((len(_listed(elements)), place, text))
    inward = [text for _, _, text in sorted(found)]
    known = [text for text in inward if text.casefold() in _OPC_WORDS]
    return next(reversed(known or inward), None)


def _find_value(document: Any) -> Iterator[_Part]:
    if isinstance(document, dict) and not any(key in document for key in _TEXT_KEYS):
        yield _Part(None, None, None)
    else:
        value = document.get("value", document) if isinstance(document, dict) else document
        yield _Part(None, _text(value, "value"), None)


# --------------------------------------------------------------------------- presets

_B2MML_WORDS = _words(
    ["Dispatched", "Ready"], ["Running"], ["Completed", "Closed", "Aborted", "Cancelled"]
)
_OPC_WORDS = _words(["AllowedToStart"], ["Running"], ["Ended", "Aborted"])

_PRESETS: Mapping[str, Callable[[], OrderReader]] = {
    "flat": lambda: _by_paths(_Paths("workOrder", "productCode", "status"), _DEFAULT_WORDS),
    "umh-core": lambda: _by_paths(
        _Paths("orderId", "productId", "status"),
        _words(["created"], ["in-progress"], ["completed"]),
    ),
    "b2mml": lambda: OrderReader(
        _find_b2mml,
        _B2MML_WORDS,
        {
            "order": "`WorkSchedule[].WorkRequest[].JobOrder[]`",
            "product": "`MaterialDefinitionID` of the `MaterialRequirement` that is Produced",
            "state": "`DispatchStatus`",
        },
    ),
    "opc-10031-4": lambda: OrderReader(
        _find_opc,
        _OPC_WORDS,
        {
            "order": "`JobOrder.JobOrderID` and `JobOrderID`",
            "product": "`MaterialDefinitionID` of the `MaterialRequirements` that are Produced",
            "state": "`State[].StateText.Text`",
        },
    ),
    "value": lambda: OrderReader(
        _find_value,
        {},
        {"order": "`value`", "product": "`value`, and the whole payload", "state": "nothing"},
        needs_word=False,
        is_plain=True,
    ),
}
