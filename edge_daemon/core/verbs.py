"""The verbs of requests: one line each, for lists, answers and the broker's access list.

A verb also has a rule in `core.requests`, fields in `messaging.asks` and examples in
`messaging.api_examples`. The type checker names a verb that lacks a line or a rule, a test one that
lacks fields or examples. The command line is made from all of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NoReturn


class Verb(str, Enum):
    """What may be requested."""

    PREPARE = "prepare"
    SWAP = "swap"
    ROLLBACK = "rollback"
    CONFIRM = "confirm"
    HOLD = "hold"
    RELEASE = "release"
    SNAPSHOT = "snapshot"
    TRIGGER = "trigger"
    TUNE = "tune"
    ROLLOUT = "rollout"
    ADVANCE = "advance"
    ABORT = "abort"
    FEEDBACK = "feedback"


@dataclass(frozen=True)
class About:
    """A verb in words: `help` for lists, `done` for a success that has no receipt.

    `users`: who may ask it in the access list that is shipped for the broker.
    """

    help: str
    done: str = "Done."
    users: tuple[str, ...] = ("ops",)


def about(verb: Verb) -> About:  # noqa: PLR0911, PLR0912 - the table of verbs
    """The line of one verb."""
    match verb:
        case Verb.PREPARE:
            return About("Load and check a model beside the active.", "It is ready.")
        case Verb.SWAP:
            done = "Nothing was changed: it is active already, or this was a dry run."
            return About("Make a model active at a frame boundary.", done)
        case Verb.ROLLBACK:
            return About("Back to the version confirmed before.")
        case Verb.CONFIRM:
            done = "The active version is confirmed."
            return About("End the trial of the active version well.", done)
        case Verb.HOLD:
            done = "Held: orders and schedules change nothing until the release."
            return About("Freeze automatic changes.", done)
        case Verb.RELEASE:
            return About("Let automatic changes happen again.", "Released.")
        case Verb.SNAPSHOT:
            return About("The picture of now, as JPEG.")
        case Verb.TRIGGER:
            return About("Say that a part is in front of the camera.", users=("ops", "plc"))
        case Verb.TUNE:
            done = "It counts from the next frame on."
            return About("Adjust a rule of the active model, as far as it allows.", done)
        case Verb.ROLLOUT:
            done = "The candidate is active and confirmed."
            return About("Try a model beside the active one, stage by stage.", done)
        case Verb.ADVANCE:
            done = "The next stage of the rollout is entered."
            return About("Enter the next stage of the rollout now.", done)
        case Verb.ABORT:
            done = "The rollout is over; the active model stays."
            return About("End the rollout; the active model stays.", done)
        case Verb.FEEDBACK:
            users = ("ops", "panel", "mes")
            return About("Say what a part really is: ok or ng.", "Noted.", users)
    return unlisted(verb)


def unlisted(case: NoReturn) -> NoReturn:
    """Ends a `match` over all cases: the type checker refuses one that is not listed above it."""
    raise AssertionError(f"nothing is known about {case!r}")
