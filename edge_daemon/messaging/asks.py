"""What may be sent to `request/<verb>`, as types: decoded on arrival, shown in the API document.

The command line is made from the same fields. `inbox` reads the text of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from edge_daemon.core.rollout.values import Source
from edge_daemon.core.values import Verdict
from edge_daemon.core.verbs import Verb
from edge_daemon.core.verdicts import ACCEPTABLE
from edge_daemon.messaging.field_types import Model, ModelWish, Time

MAX_ID = 128
MAX_TEXT = 1024
MAX_FRAME = 2**53
MAX_PART = 2**53
_MOST_DIGITS = len(str(MAX_PART))
MAX_SERIAL = 128
MAX_CHANGES = 64
MAX_ITEMS = 256

_Id = Annotated[
    str,
    Meta(
        description="Makes the request idempotent: a repeat is answered with the first outcome. "
        "Without it MQTT 5 Correlation Data serves; without both, one is made.",
        min_length=1,
        max_length=MAX_ID,
    ),
]
_By = Annotated[str, Meta(description="Who asks.", max_length=MAX_TEXT)]
_Reason = Annotated[
    str, Meta(description="Why; it stays in the receipt and the audit trail.", max_length=MAX_TEXT)
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
_Serial = Annotated[
    str,
    Meta(
        description="What is written on the part; it is told with its result.",
        min_length=1,
        max_length=MAX_SERIAL,
    ),
]
_Changes = Annotated[
    dict[str, float],
    Meta(
        description="New values by `rule.field`, such as `scratch.confidence`, within the bounds "
        "of the recipe's `adjustable`. What is not named stays as it is.",
        max_length=MAX_CHANGES,
    ),
]
_Reset = Annotated[bool, Meta(description="Back to the signed values, all of them.")]
_Plan = Annotated[
    dict[str, Any],
    Meta(
        description="The stages and what each needs, as `rollout` in model.yaml has it; "
        "`canary_traffic: 0.1` and `shadow_only: true` are short forms. Without it the model's "
        "own counts. The station's settings bound it."
    ),
]
_Rollout = Annotated[
    str,
    Meta(
        description="Only if this rollout runs; else whichever does.",
        min_length=1,
        max_length=MAX_ID,
    ),
]
_Boot = Annotated[
    str, Meta(description="Of which the numbers are; else the newest boot.", max_length=MAX_ID)
]
_Part = Annotated[
    Annotated[int, Meta(ge=0, le=MAX_PART)] | str,
    Meta(description="Its number, or the id or serial that came with its trigger."),
]
_Frame = Annotated[int, Meta(description="A frame that shows the part.", ge=0, le=MAX_FRAME)]
_Truth = Annotated[
    str,
    Meta(
        description="What the part really is.",
        extra_json_schema={"enum": [Verdict.OK.value, Verdict.NG.value]},
    ),
]
_Source = Annotated[
    str,
    Meta(
        description="Who says so; `challenge` is a part that was prepared to be ok or ng.",
        extra_json_schema={"enum": [source.value for source in Source]},
    ),
]
_DryRun = Annotated[bool, Meta(description="Prove it, then let it go again.")]


class AtFrame(msgspec.Struct, frozen=True):
    """This frame is the first that the new model judges."""

    frame: Annotated[int, Meta(ge=0, le=MAX_FRAME)]


_At = Annotated[
    str | AtFrame,
    Meta(
        description="`now`, `next_order` (with the next order of its product), a time with its "
        "zone, or a frame."
    ),
]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What every request may carry."""

    id: _Id | UnsetType = UNSET
    by: _By | UnsetType = UNSET
    reason: _Reason | UnsetType = UNSET
    expires: _Expires | UnsetType = UNSET


class PrepareRequest(Ask, frozen=True, kw_only=True):
    """Verify, load, warm and check a model in a free slot; the active one is not touched."""

    model: ModelWish
    expect: _Expect | UnsetType = UNSET
    accept: _Accept | UnsetType = UNSET


class SwapRequest(Ask, frozen=True, kw_only=True):
    """Make a model active at a frame boundary; it is prepared first where it is not ready."""

    model: ModelWish
    at: _At = "now"
    expect: _Expect | UnsetType = UNSET
    accept: _Accept | UnsetType = UNSET
    dry_run: _DryRun = False


class RollbackRequest(Ask, frozen=True, kw_only=True):
    """Back to the version confirmed before (or to `model`); the one left is quarantined."""

    model: ModelWish | UnsetType = UNSET
    expect: _Expect | UnsetType = UNSET
    dry_run: _DryRun = False


class ConfirmRequest(Ask, frozen=True, kw_only=True):
    """End the trial of the active version well."""


class HoldRequest(Ask, frozen=True, kw_only=True):
    """Freeze automatic changes (orders, schedules); explicit requests still work."""


class ReleaseRequest(Ask, frozen=True, kw_only=True):
    """End a hold; the last order that came meanwhile is applied now."""


class SnapshotRequest(Ask, frozen=True, kw_only=True):
    """Publish the next judged frame with its boxes, as JPEG, on `snapshot`."""


class TriggerRequest(Ask, frozen=True, kw_only=True):
    """Open a part: it is in front of the camera now; the answer has its number.

    Where `parts.by` is `trigger`. The same `id` again within a boot opens no second part.
    """

    serial: _Serial | UnsetType = UNSET
    at: (
        Annotated[Time, Meta(description="When it was there, by the sender's clock.")] | UnsetType
    ) = UNSET


class TuneRequest(Ask, frozen=True, kw_only=True):
    """Adjust rules of the active model's recipe, within the bounds that it was signed with."""

    model: ModelWish
    set: _Changes | UnsetType = UNSET
    reset: _Reset = False


class RolloutRequest(Ask, frozen=True, kw_only=True):
    """Try a model beside the active one of its name, stage by stage, on the same parts.

    Its outcome comes at the end: `succeeded` when it is active and confirmed.
    """

    model: ModelWish
    plan: _Plan | UnsetType = UNSET
    expect: _Expect | UnsetType = UNSET
    dry_run: Annotated[
        bool, Meta(description="Only tell whether it could begin, and how long it would take.")
    ] = False


class AdvanceRequest(Ask, frozen=True, kw_only=True):
    """Enter the next stage of the rollout now, whatever the evidence lacks."""

    rollout: _Rollout | UnsetType = UNSET


class AbortRequest(Ask, frozen=True, kw_only=True):
    """End the rollout; the active model stays, and the candidate is not quarantined."""

    rollout: _Rollout | UnsetType = UNSET


class FeedbackItem(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one part: by `part` or by `frame`."""

    verdict: _Truth
    boot: _Boot | UnsetType = UNSET
    part: _Part | UnsetType = UNSET
    frame: _Frame | UnsetType = UNSET
    source: _Source | UnsetType = UNSET
    by: _By | UnsetType = UNSET


class FeedbackRequest(Ask, frozen=True, kw_only=True):
    """Say what a part really is, or up to 256 parts in `items`.

    A repeat counts once; a later word on the same part replaces the earlier one, and both are
    kept. What is said beside `items` counts for those that say nothing of their own.
    """

    verdict: _Truth | UnsetType = UNSET
    boot: _Boot | UnsetType = UNSET
    part: _Part | UnsetType = UNSET
    frame: _Frame | UnsetType = UNSET
    source: _Source | UnsetType = UNSET
    items: Annotated[tuple[FeedbackItem, ...], Meta(max_length=MAX_ITEMS)] = ()


REQUESTS: Mapping[Verb, type[Ask]] = {
    Verb.PREPARE: PrepareRequest,
    Verb.SWAP: SwapRequest,
    Verb.ROLLBACK: RollbackRequest,
    Verb.CONFIRM: ConfirmRequest,
    Verb.HOLD: HoldRequest,
    Verb.RELEASE: ReleaseRequest,
    Verb.SNAPSHOT: SnapshotRequest,
    Verb.TRIGGER: TriggerRequest,
    Verb.TUNE: TuneRequest,
    Verb.ROLLOUT: RolloutRequest,
    Verb.ADVANCE: AdvanceRequest,
    Verb.ABORT: AbortRequest,
    Verb.FEEDBACK: FeedbackRequest,
}
"""The fields of each verb."""


def needed(verb: Verb) -> tuple[str, ...]:
    """The fields that a request must have."""
    fields = msgspec.structs.fields(REQUESTS[verb])
    return tuple(field.name for field in fields if field.required)


def number_of_part(text: str) -> int | None:
    """A part's number that came as text; None for a serial, which may be digits too."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) > MAX_PART:
        return None
    return int(text)
