"""What may be sent to `request/<verb>`, as types: the shapes that the API document shows.

`inbox` reads the bytes by hand, because it must say in words what is wrong with them; a test
holds every key below against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from edge_daemon.control.terms import Model, ModelWish, Time
from edge_daemon.core.values import Verb
from edge_daemon.core.verdicts import ACCEPTABLE

_Id = Annotated[
    str,
    Meta(
        description="Makes the request idempotent: a repeat is answered with the first outcome. "
        "Without it MQTT 5 Correlation Data serves; without both, one is made.",
        extra_json_schema={"minLength": 1, "maxLength": 128},
    ),
]
_By = Annotated[str, Meta(description="Who asks.", extra_json_schema={"maxLength": 1024})]
_Reason = Annotated[
    str,
    Meta(
        description="Why; it stays in the receipt and the audit trail.",
        extra_json_schema={"maxLength": 1024},
    ),
]
_Expires = Annotated[
    Time, Meta(description="Too late from then on: `expired`, and nothing is changed.")
]
_Expect = Annotated[
    Model, Meta(description="Only if this version is active now: else `precondition_failed`.")
]


_Accept = Annotated[
    tuple[str, ...],
    Meta(
        description="Checks of the gate that may fail, by name; needs a `reason`. It stays in the "
        "receipt and the audit trail.",
        extra_json_schema={"items": {"type": "string", "enum": list(ACCEPTABLE)}},
    ),
]


class AtFrame(msgspec.Struct, frozen=True):
    """This frame is the first that the new model judges."""

    frame: int


_At = Annotated[
    str | AtFrame,
    Meta(
        description="`now`, `next_order` (with the next order of its product), a time with its "
        "zone, or a frame."
    ),
]


class _Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What every request may carry."""

    id: _Id | UnsetType = UNSET
    by: _By | UnsetType = UNSET
    reason: _Reason | UnsetType = UNSET
    expires: _Expires | UnsetType = UNSET


class PrepareRequest(_Ask, frozen=True, kw_only=True):
    """Verify, load, warm and check a model in a free slot; the active one is not touched."""

    model: ModelWish
    expect: _Expect | UnsetType = UNSET
    accept: _Accept | UnsetType = UNSET


class SwapRequest(_Ask, frozen=True, kw_only=True):
    """Make a model active at a frame boundary; it is prepared first where it is not ready."""

    model: ModelWish
    at: _At = "now"
    expect: _Expect | UnsetType = UNSET
    accept: _Accept | UnsetType = UNSET
    dry_run: Annotated[bool, Meta(description="Prove it, then let it go again.")] = False


class RollbackRequest(_Ask, frozen=True, kw_only=True):
    """Back to the version confirmed before (or to `model`); the one left is quarantined."""

    model: ModelWish | UnsetType = UNSET
    expect: _Expect | UnsetType = UNSET


class ConfirmRequest(_Ask, frozen=True, kw_only=True):
    """End the trial of the active version well."""


class HoldRequest(_Ask, frozen=True, kw_only=True):
    """Freeze automatic changes (orders, schedules); explicit requests still work."""


class ReleaseRequest(_Ask, frozen=True, kw_only=True):
    """End a hold; the last order that came meanwhile is applied now."""


class SnapshotRequest(_Ask, frozen=True, kw_only=True):
    """Publish the next judged frame with its boxes, as JPEG, on `snapshot`."""


REQUESTS: Mapping[Verb, type[Any]] = {
    Verb.PREPARE: PrepareRequest,
    Verb.SWAP: SwapRequest,
    Verb.ROLLBACK: RollbackRequest,
    Verb.CONFIRM: ConfirmRequest,
    Verb.HOLD: HoldRequest,
    Verb.RELEASE: ReleaseRequest,
    Verb.SNAPSHOT: SnapshotRequest,
}
