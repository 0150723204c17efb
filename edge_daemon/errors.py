"""One error tree, split by who is to blame.

    EdgeDaemonError            code · one clear sentence · the next step
    ├── SenderError            the request (or the order) is at fault  -> outcome "rejected"
    │   └── PlanError          the plan of a rollout is wrong
    ├── BundleError            the bundle is at fault                  -> outcome "rejected"
    └── BoxError               this box is at fault                    -> outcome "failed"
        ├── CameraError        the source cannot be opened or read
        ├── SlotLost           a worker died, hung or broke its protocol
        ├── BrokerError        the MQTT broker cannot be reached or refuses us
        ├── StateError         the journal or the state folder cannot be used
        │   └── NewerState     a newer edge-daemon wrote it (exit code 78)
        └── ConfigurationError the settings file is wrong (exit code 78)

Outcomes that are expected (a gate that fails, a request that comes too late) travel as values,
not as exceptions; these classes carry a fault from the room where it is found to the door.
"""

from __future__ import annotations

from enum import Enum


class Code(str, Enum):
    """The error codes of the public contract; the same word in replies, logs and metrics."""

    MALFORMED = "malformed"
    RETAINED = "retained"
    EXPIRED = "expired"
    UNKNOWN_MODEL = "unknown_model"
    INVALID_BUNDLE = "invalid_bundle"
    NOT_TRUSTED = "not_trusted"
    DIGEST_MISMATCH = "digest_mismatch"
    INCOMPATIBLE = "incompatible"
    LOAD_FAILED = "load_failed"
    LOAD_TIMEOUT = "load_timeout"
    GATE_FAILED = "gate_failed"
    NO_MEMORY = "no_memory"
    QUARANTINED = "quarantined"
    PRECONDITION_FAILED = "precondition_failed"
    NOTHING_TO_ROLL_BACK = "nothing_to_roll_back"
    UNKNOWN_PRODUCT = "unknown_product"
    WRONG_PRODUCT = "wrong_product"
    INVALID_PLAN = "invalid_plan"
    ROLLOUT_STOPPED = "rollout_stopped"
    UNKNOWN_PART = "unknown_part"

    def __str__(self) -> str:
        return self.value


class EdgeDaemonError(Exception):
    """Base of the tree.

    Args:
        message: one sentence that says what is wrong, without a final hint.
        hint: the next step for the person who reads it; may be empty.
        code: the contract's code; each class has its usual one.
        detail: what a library said, for the log only: it may name folders, or say anything.
    """

    default_code = Code.LOAD_FAILED

    def __init__(
        self, message: str, *, hint: str = "", code: Code | None = None, detail: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SenderError(EdgeDaemonError):
    """The request or order is at fault; nothing was changed."""

    default_code = Code.MALFORMED


class PlanError(SenderError):
    """The plan of a rollout is wrong; the message begins with the key."""

    default_code = Code.INVALID_PLAN


class BundleError(EdgeDaemonError):
    """The bundle is at fault; it must not become active."""

    default_code = Code.INVALID_BUNDLE


class BoxError(EdgeDaemonError):
    """This box is at fault; the same request may succeed later or elsewhere."""


class CameraError(BoxError):
    """The camera cannot be opened or read, with credentials removed from the message."""


class SlotLost(BoxError):  # noqa: N818 - the field's word for it
    """The worker of a slot died, hung past its deadline or broke the protocol."""


class BrokerError(BoxError):
    """The MQTT broker cannot be reached or refused the connection."""


class StateError(BoxError):
    """The journal or the state folder cannot be read or written."""


class NewerState(StateError):  # noqa: N818 - what it is
    """A newer edge-daemon wrote the state; this one leaves it as it is and does not start."""


class ConfigurationError(BoxError):
    """The settings are wrong; the message names file, line and key."""
