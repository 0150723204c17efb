"""What a message leaves out where the broker does not take all of it, least important part first.

A shortened message says so in `left_out`. It is still the same message: an outcome keeps its status
and its code, a result its verdict, an offer its models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_Document = dict[str, Any]


def shortened(payload: bytes, most_bytes: int) -> bytes | None:
    """The JSON payload within `most_bytes`; None where that cannot be done, or it is not JSON."""
    try:
        document = msgspec.json.decode(payload)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    left_out: list[str] = []
    for name, leave_out in _STEPS:
        for _ in leave_out(document):
            if name not in left_out:
                left_out.append(name)
            body = msgspec.json.encode({**document, "left_out": left_out})
            if len(body) <= most_bytes:
                return body
    return None


def _checks(document: _Document) -> Iterator[None]:
    receipt = document.get("receipt")
    gate = receipt.get("gate") if isinstance(receipt, dict) else None
    for part in (gate, document.get("error"), receipt):
        if isinstance(part, dict) and part.pop("checks", None):
            yield


def _detections(document: _Document) -> Iterator[None]:
    if document.get("detections"):
        document["detections"] = []
        yield


def _of_each_model(key: str) -> Callable[[_Document], Iterator[None]]:
    def leave_out(document: _Document) -> Iterator[None]:
        removed = [model.pop(key, None) for model in document.get("models", ())]
        if any(removed):
            yield

    return leave_out


def _refused(document: _Document) -> Iterator[None]:
    if document.get("models") is not None and document.get("refused"):
        document["refused"] = []
        yield


def _older_models(document: _Document) -> Iterator[None]:
    """Half of the versions of each name at a time, the oldest first: they come in that order."""
    by_name: dict[str, list[_Document]] = {}
    for model in document.get("models", ()):
        by_name.setdefault(model["model"].partition("@")[0], []).append(model)
    most = max(map(len, by_name.values()), default=0)
    while most > 1:
        most //= 2
        document["models"] = [one for versions in by_name.values() for one in versions[-most:]]
        yield


def _top(key: str) -> Callable[[_Document], Iterator[None]]:
    def leave_out(document: _Document) -> Iterator[None]:
        if document.pop(key, None):
            yield

    return leave_out


def _words(document: _Document) -> Iterator[None]:
    """Why, in sentences: the code alone stays."""
    error = document.get("error")
    if isinstance(error, dict) and (error.get("message") or error.get("hint")):
        document["error"] = {**error, "message": "", "hint": ""}
        yield


_STEPS: tuple[tuple[str, Callable[[_Document], Iterator[None]]], ...] = (
    ("checks", _checks),
    ("receipt", _top("receipt")),
    ("detections", _detections),
    ("classes", _of_each_model("classes")),
    ("products", _of_each_model("products")),
    ("refused", _refused),
    ("models", _older_models),
    ("message", _top("message")),
    ("message", _words),
)
