"""The current problems: one rule for each, a function of the station's status.

The sentences appear in the health topic, on the status page and in `systemctl status`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_daemon.app.picture_losses import MISSED_AGAIN_S
from edge_daemon.app.status import Status
from edge_daemon.errors import Code
from edge_daemon.host.certificates import expiry_problems
from edge_daemon.host.clock import set_back_s
from edge_daemon.host.health import BROKER_AWAY
from edge_daemon.messaging.times import iso_utc

Rule = Callable[[Status], Iterator[str]]


def problems(status: Status) -> tuple[str, ...]:
    """All of them, a sentence each, the most serious first."""
    return tuple(sentence for rule in RULES for sentence in rule(status))


def ledger(status: Status) -> Iterator[str]:
    """A frame was lost, told twice or judged by the wrong model."""
    if (broken := status.frames.violation) is not None:
        yield f"the ledger does not balance: {broken}"


def not_ready(status: Status) -> Iterator[str]:
    """Each reason of `/readyz` except the broker."""
    yield from (each for each in status.ready.reasons if each != BROKER_AWAY)


def not_trusted(status: Status) -> Iterator[str]:
    """The active bundle may not be loaded again; it keeps judging."""
    state = status.line.state
    active = state.active_bundle
    for ref, why in state.refused:
        if active is not None and ref == active.ref and why.code is Code.NOT_TRUSTED:
            yield f"{ref} judges and is not trusted any more: {why.message} Swap to another version"


def bad_picture(status: Status) -> Iterator[str]:
    """The frames are no evidence."""
    yield from (f"the camera's picture {flaw.words}" for flaw in status.line.camera.flaws)


def camera_not_as_set(status: Status) -> Iterator[str]:
    """The device did not take what the settings ask of it."""
    yield from status.line.camera.remarks


def pictures_lost(status: Status) -> Iterator[str]:
    """Pictures are not kept."""
    for lost in status.pictures_lost:
        if lost.fault is not None:
            yield f"{lost.what} cannot be kept: {lost.fault}"
        elif status.line.now.at - lost.lost_at < MISSED_AGAIN_S:
            yield f"{lost.what} come faster than they can be written"


def inference_failing(status: Status) -> Iterator[str]:
    """The model keeps failing."""
    if (failing := status.failing) is not None:
        yield f"the model failed at {failing.frames} frames in the last minute: {failing.why}"


def store_away(status: Status) -> Iterator[str]:
    """The store is missing, unreadable or suddenly empty."""
    if status.store_trouble:
        yield status.store_trouble


def certificates(status: Status) -> Iterator[str]:
    """A certificate has expired, or soon will."""
    yield from expiry_problems(status.box.certificates, status.line.now.utc)


def clock_set_back(status: Status) -> Iterator[str]:
    """The clock is behind the newest time on record."""
    now, newest_utc = status.line.now, status.journal.newest_utc
    if set_back_s(now, newest_utc):
        yield (
            f"the clock was set back: it says {iso_utc(now.utc)}, and {iso_utc(newest_utc)} is "
            "on record; requests with a time are refused"
        )


def disk(status: Status) -> Iterator[str]:
    """The state is not saved, or messages were given up."""
    journal = status.journal
    if journal.trouble:
        yield f"the state is not saved: {journal.trouble}"
    if journal.given_up:
        yield (
            f"{journal.given_up} events and answers were given up: the broker was away for too long"
        )


def rollout_asks(status: Status) -> Iterator[str]:
    """A rollout waits for a person."""
    rollout = status.line.state.durable.rollout
    if rollout is None or not rollout.asks:
        return
    if rollout.is_back:
        yield f"{rollout.reference.ref} asks for a look, after its rollout: {rollout.asks}"
    else:
        yield f"the rollout of {rollout.candidate.ref} asks for a look: {rollout.asks}"


def remarks(status: Status) -> Iterator[str]:
    """What the parts report of themselves."""
    yield from status.remarks


def broker_away(status: Status) -> Iterator[str]:
    """Last, because the line runs without a broker."""
    yield from (each for each in status.ready.reasons if each == BROKER_AWAY)


RULES: tuple[Rule, ...] = (
    ledger,
    not_ready,
    not_trusted,
    bad_picture,
    camera_not_as_set,
    pictures_lost,
    inference_failing,
    store_away,
    certificates,
    clock_set_back,
    disk,
    rollout_asks,
    remarks,
    broker_away,
)
