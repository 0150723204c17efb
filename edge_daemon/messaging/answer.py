"""The answer to a request: a value until it leaves the daemon, where it becomes bytes.

A sender that waits in this process (a program at the control socket, a browser) passes a callable
with the request, which takes each answer. A sender by MQTT gives an address, which the journal
keeps over a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union

import msgspec
from msgspec import UNSET

from edge_daemon.core.rollout.rates import Forecast
from edge_daemon.core.values import Refusal, Status
from edge_daemon.errors import EdgeDaemonError, StateError
from edge_daemon.messaging.payloads import Accepted, Outcome, Progress, Receipt, encode, error_line
from edge_daemon.messaging.rollout_payloads import forecast_line

Payload = Union[msgspec.Struct, msgspec.Raw, Mapping[str, Any]]
"""What the wire shows; `Raw` is JSON already."""

FINAL = frozenset(Status) - {Status.ACCEPTED, Status.PROGRESS}
"""Nothing follows these."""
OUTCOMES = frozenset(status.value for status in FINAL)
"""The same, as the wire has them."""


@dataclass(frozen=True)
class Answer:
    """One answer to the request or question `id`.

    `code`: why it was not done, a code of the contract; empty for all else.
    """

    id: str
    payload: Payload
    is_final: bool = True
    code: str = ""

    @cached_property
    def body(self) -> bytes:
        """The payload as JSON, the same bytes for every carrier."""
        return encode(self.payload)


TakeAnswer = Callable[[Answer], None]
"""A way back: called from any thread, must not raise or wait. A client that is gone gets none."""


def nobody(_: Answer) -> None:
    """For a sender that does not wait here."""


def accepted(request_id: str, rollout: str = "") -> Answer:
    """The first answer of a request that will be carried out; `rollout`: the one that it begins."""
    return Answer(request_id, Accepted(request_id, rollout=rollout or UNSET), is_final=False)


def progress(request_id: str, stage: str, elapsed_ms: float, rollout: str = "") -> Answer:
    """A progress report; `elapsed_ms` since the request was accepted."""
    payload = Progress(request_id, Status.PROGRESS.value, stage, int(elapsed_ms), rollout or UNSET)
    return Answer(request_id, payload, is_final=False)


def outcome(
    request_id: str,
    status: Status,
    *,
    receipt: Receipt | None = None,
    refusal: Refusal | None = None,
    rollout: str = "",
    forecast: Forecast | None = None,
) -> Answer:
    """The one outcome.

    Args:
        refusal: why, where it is not `succeeded`.
        rollout: the id of the rollout that ended, if it was one.
        forecast: what the dry run of a rollout tells.
    """
    payload = Outcome(
        request_id,
        status.value,
        receipt,
        None if refusal is None else error_line(refusal),
        rollout=rollout or None,
        forecast=None if forecast is None else forecast_line(forecast),
    )
    return Answer(request_id, payload, code="" if refusal is None else refusal.code.value)


def refused(request_id: str, error: EdgeDaemonError) -> Answer:
    """The outcome of what could not be done: `failed` where this box is to blame."""
    refusal = Refusal.of(error)
    return outcome(request_id, refusal.status, refusal=refusal)


# --------------------------------------------------------------------------- from the journal


class StoredError(msgspec.Struct, frozen=True):
    """Why not."""

    code: str = ""
    message: str = ""


class StoredOutcome(msgspec.Struct, frozen=True):
    """What must be readable of a stored outcome, whichever version wrote it."""

    status: Status
    error: StoredError = StoredError()


def read_outcome(body: bytes) -> StoredOutcome:
    """The outcome in the journal; raises StateError for anything else."""
    try:
        return msgspec.json.decode(body, type=StoredOutcome)
    except ValueError as error:
        raise StateError(f"An outcome in the journal cannot be read: {error}.") from error


def kept(request_id: str, body: bytes) -> Answer:
    """The stored outcome again, byte by byte; raises StateError for anything else."""
    return Answer(request_id, msgspec.Raw(body), code=read_outcome(body).error.code)
