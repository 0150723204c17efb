"""Types of the words in messages: what a JSON Schema says of a field beyond its kind.

They check nothing at run time; `edge-daemon api` is generated from them.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from msgspec import Meta, Struct

from edge_daemon.core.state import Kind
from edge_daemon.core.values import Reason, Status, Verdict
from edge_daemon.errors import Code


def _schema(**more: Any) -> Meta:
    return Meta(extra_json_schema=more)


def one_of(words: type[Enum]) -> Meta:
    """One word of an enumeration."""
    return _schema(enum=[word.value for word in words])


Time = Annotated[str, _schema(format="date-time")]
"""ISO 8601, in UTC as we write it."""
Model = Annotated[str, _schema(pattern="^[^@]+@[^@]+$", examples=["bottle@1.4.0"])]
"""One immutable model version, name@version."""
ModelWish = Annotated[str, _schema(pattern="^[^@]+(@[^@]+)?$", examples=["bottle@1.4.0", "bottle"])]
"""name@version, or name for its newest version that is not quarantined."""
Digest = Annotated[str, _schema(pattern="^[0-9a-f]{64}$", description="SHA-256 of the weights.")]
RecipeDigest = Annotated[
    str, _schema(pattern="^[0-9a-f]{64}$", description="SHA-256 of the recipe with its tuning.")
]

VerdictWord = Annotated[str, one_of(Verdict)]
ReasonWord = Annotated[str, one_of(Reason)]
StatusWord = Annotated[str, one_of(Status)]
CAUSES = {**{kind: kind.value for kind in Kind}, Kind.CHANGEOVER: "order", Kind.BOOT: "start"}
"""What a receipt calls the verb of a swap: a request's, or what the daemon did by itself."""
CauseWord = Annotated[str, _schema(enum=sorted(CAUSES.values()))]
CodeWord = Annotated[str, one_of(Code)]
StageWord = Annotated[str, _schema(examples=["verify", "load", "warm", "gate"])]
ProofWord = Annotated[str, _schema(enum=["gate", "spot"])]
PresenceWord = Annotated[str, _schema(enum=["online", "stopped", "offline"])]
HealthWord = Annotated[str, _schema(enum=["good", "degraded"])]
Box = Annotated[
    tuple[float, float, float, float],
    _schema(description="x1, y1, x2, y2 in pixels of the captured frame."),
]


class AuditHead(Struct, frozen=True):
    """The audit trail's newest row and its hash: `edge-daemon audit verify --head` takes it."""

    seq: int
    hash: Annotated[str, _schema(pattern="^[0-9a-f]{64}$")]
