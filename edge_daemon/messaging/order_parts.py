"""Where the known formats keep the parts of an order: id, product, state.

Tolerant of the form: prefixes, one object for a list, ids as text or as `{"$": …}`, and what
OPC UA wraps around its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_daemon.core.job_orders import OrderState
from edge_daemon.errors import SenderError

MAX_NAME = 256

Words = Mapping[str, OrderState]
"""A MES's word, casefolded -> what it means here."""

_T = TypeVar("_T")


def meanings(words: Mapping[_T, Iterable[str]]) -> dict[str, _T]:
    """Each word, as it is compared: stripped and casefolded -> what it means."""
    return {word.strip().casefold(): meaning for meaning in words for word in words[meaning]}


@dataclass(frozen=True)
class Part:
    """One order as found: what is missing is None; a product may be there and not readable.

    `makes_nothing`: it says itself that it makes no product, such as one for maintenance.
    """

    order: str | None
    product: str | SenderError | None
    word: str | None
    makes_nothing: bool = False


# --------------------------------------------------------------------------- ids and texts


def text(value: Any, key: str) -> str | None:
    """An id or a word, as text, number, `{"$": …}` or a list of one of these; None if absent.

    Raises:
        SenderError: it is something else, too long or not printable; `key` names it.
    """
    for _ in range(8):
        if isinstance(value, list):
            value = next((entry for entry in value if entry is not None), None)
        elif isinstance(value, dict):
            value = next((value[name] for name in TEXT_KEYS if name in value), None)
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
            f"`{key}` is neither text nor a whole number.", hint="Publish it as text."
        )
    found = value.strip()
    if len(found) > MAX_NAME or not found.isprintable():
        raise SenderError(
            f"`{key}` is longer than {MAX_NAME} characters or not printable.",
            hint="Publish the id alone.",
        )
    return found


def attempted(read: Callable[[], _T]) -> _T | SenderError:
    """What `read` gives, or why it cannot: the other parts may be readable all the same."""
    try:
        return read()
    except SenderError as error:
        return error


TEXT_KEYS = ("$", "#text", "_text", "_", "value", "Value", "Text", "text", "Body")


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
        use = text(_get(requirement, "MaterialUse"), "MaterialUse")
        if use is not None and use.casefold() in {"produced", "material produced"}:
            product = text(_get(requirement, "MaterialDefinitionID"), "MaterialDefinitionID")
            if product is not None:
                return product
    return None


_MATERIAL = ("MaterialRequirement", "MaterialRequirements")


def _requirements(node: Any) -> Iterator[Any]:
    """Under the singular or the plural, as one object or a list, or one within the other."""
    for requirement in _listed(_get(node, *_MATERIAL)):
        yield requirement
        yield from _requirements(requirement)


def _makes_nothing(job_order: Any) -> bool:
    """Of an order without a product, whether that is meant: other work (ISA-95 WorkType), or
    material that is listed and not produced. One without a word of it may be known by its id.
    """
    work = text(_get(job_order, "WorkType"), "WorkType")
    if work is not None and work.casefold() not in {"production", "mixed"}:
        return True
    return _get(job_order, *_MATERIAL) is not None


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


# --------------------------------------------------------------------------- B2MML


def b2mml_orders(document: Any) -> Iterator[Any]:
    """Each `JobOrder`, wherever it stands."""
    for holder in _with_key(document, "JobOrder"):
        yield from _listed(_get(holder, "JobOrder"))


def b2mml_part(job_order: Any) -> Part:
    """Only the ID is required: without a status nothing is asked for yet."""
    return Part(
        text(_get(job_order, "ID"), "ID"),
        attempted(lambda: _produced(job_order)),
        text(_get(job_order, "DispatchStatus"), "DispatchStatus") or "",
        _makes_nothing(job_order),
    )


# --------------------------------------------------------------------------- OPC 10031-4


def opc_orders(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each `JobOrder` with its `State`, wherever they stand."""
    for holder in _with_key(unwrapped(document), "JobOrder", "JobOrderID"):
        for job_order in _listed(_get(holder, "JobOrder")) or [holder]:
            state = _get(holder, "State")
            yield job_order, _get(job_order, "State") if state is None else state


def opc_part(found: tuple[Any, Any], words: Words) -> Part:
    """The parts of one `JobOrder` and its `State`."""
    job_order, state = found
    return Part(
        text(_get(job_order, "JobOrderID"), "JobOrderID"),
        attempted(lambda: _produced(job_order)),
        _opc_word(state, words) or "",
        _makes_nothing(job_order),
    )


def _opc_word(state: Any, words: Words) -> str | None:
    """The innermost state's text; an outer one where only that is a word with a meaning.

    OPC 10031-4 leaves the order of substates open; the length of BrowsePath tells the depth.
    Substates such as Ready (of AllowedToStart) refine a state that means something.
    """
    found: list[tuple[int, int, str]] = []
    for place, entry in enumerate(_listed(state)):
        word = text(_get(entry, "StateText") if isinstance(entry, dict) else entry, "StateText")
        if word is not None:
            path = _get(entry, "BrowsePath")
            elements = _get(path, "Elements") if isinstance(path, dict) else path
            found.append((len(_listed(elements)), place, word))
    inward = [word for _, _, word in sorted(found)]
    known = [word for word in inward if word.casefold() in words]
    return next(reversed(known or inward), None)


_CONTENT = ("Value", "Body", "UaBody")
_ABOUT = frozenset(
    {
        *("Type", "UaType", "Dimensions"),  # Variant
        *("TypeId", "UaTypeId", "Encoding", "UaEncoding"),  # ExtensionObject
        *("Status", "StatusCode", "SourceTimestamp", "SourcePicoseconds"),  # DataValue
        *("ServerTimestamp", "ServerPicoseconds"),
    }
)


def unwrapped(node: Any) -> Any:
    """The values alone, out of what OPC UA's JSON encodings (OPC 10000-6 §5.4) put around them.

    DataValue `{"Value": …, "SourceTimestamp": …}`, Variant `{"Type": …, "Body": …}` and
    ExtensionObject `{"TypeId": …, "Body": …}` or `{"UaTypeId": …, "Value": …}`, at every level.
    """
    if isinstance(node, list):
        return [unwrapped(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    about = node.keys() - set(_CONTENT)
    contents = [node[name] for name in _CONTENT if name in node]
    if len(contents) == 1 and about <= _ABOUT:
        return unwrapped(contents[0])
    return {key: unwrapped(value) for key, value in node.items()}
