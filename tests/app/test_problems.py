"""Each problem of health is a sentence about one value, and gone with what it tells of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.app.problems import problems
from edge_daemon.app.status import (
    BoxStatus,
    Failing,
    FramesStatus,
    JournalStatus,
    PicturesLost,
    Status,
)
from edge_daemon.core.picture import Flaw
from edge_daemon.core.values import BundleRef, Reason, Refusal
from edge_daemon.errors import Code
from edge_daemon.host.health import Signs
from tests.sim.status import ACTIVE, NOW, ONLINE, station

DAY_S = 86_400.0
NOT_TRUSTED = Refusal(Code.NOT_TRUSTED, "Its key was taken out.")
BLACK = Flaw(Reason.BAD_PICTURE, "black", "is black")
OTHER = BundleRef("bottle", "2.0.0")


def test_where_all_is_well_there_is_none() -> None:
    """What would be a false alarm is none: an old loss, a certificate of a year, another model."""
    assert problems(station()) == ()
    quiet = station(
        pictures_lost=(PicturesLost(lost_at=NOW.at - 60.0),),
        box=BoxStatus(certificates={"ca": NOW.utc + 365 * DAY_S}),
        state=replace(ACTIVE, refused=((OTHER, NOT_TRUSTED),)),
        journal=JournalStatus(newest_utc=NOW.utc + 10.0),
    )
    assert problems(quiet) == ()


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            station(frames=FramesStatus(violation="frame 7 came where 6 was due")),
            "the ledger does not balance: frame 7 came where 6 was due",
        ),
        (
            station(state=replace(ACTIVE, refused=((BundleRef("bottle", "1.0.0"), NOT_TRUSTED),))),
            "bottle@1.0.0 judges and is not trusted any more: Its key was taken out. "
            "Swap to another version",
        ),
        (
            station(camera=replace(ONLINE, remarks=("camera.size is 1920x1080, not 640x480",))),
            "camera.size is 1920x1080, not 640x480",
        ),
        (
            station(camera=replace(ONLINE, flaws=(BLACK,))),
            "the camera's picture is black",
        ),
        (
            station(pictures_lost=(PicturesLost("No space left on device"),)),
            "pictures of rejected parts cannot be kept: No space left on device",
        ),
        (
            station(pictures_lost=(PicturesLost(lost_at=NOW.at - 59.0),)),
            "pictures of rejected parts come faster than they can be written",
        ),
        (
            station(failing=Failing(12, "Its output has no boxes.")),
            "the model failed at 12 frames in the last minute: Its output has no boxes.",
        ),
        (
            station(store_trouble="the store /srv is not there"),
            "the store /srv is not there",
        ),
        (
            station(box=BoxStatus(certificates={"ca": NOW.utc + 5.5 * DAY_S})),
            "the file of mqtt.tls.ca expires in 5 days",
        ),
        (
            station(journal=JournalStatus("The disk is full.")),
            "the state is not saved: The disk is full.",
        ),
        (
            station(journal=JournalStatus(given_up=3)),
            "3 events and answers were given up: the broker was away for too long",
        ),
        (station(remarks=("models.CAN waits",)), "models.CAN waits"),
    ],
)
def test_what_is_amiss_is_one_sentence(status: Status, sentence: str) -> None:
    """And nothing beside it."""
    assert problems(status) == (sentence,)


def test_a_clock_that_was_set_back_names_both_times() -> None:
    """By a minute and more; what a bad clock wrote stays on record until an operator says so."""
    for behind_s, count in ((59.0, 0), (61.0, 1), (365 * DAY_S, 1)):
        status = station(journal=JournalStatus(newest_utc=NOW.utc + behind_s))
        assert len(problems(status)) == count
    assert problems(status)[0].startswith("the clock was set back: it says 2026-11-")


def test_the_broker_comes_last() -> None:
    """The line runs without it; the first sentence is what `systemctl status` shows."""
    signs = Signs(NOW.at, has_active=False, camera_fault="the camera is lost: no route")
    failing = station(signs=signs, failing=Failing(3, "It failed."))
    assert problems(failing) == (
        "no model is active",
        "the camera is lost: no route",
        "the model failed at 3 frames in the last minute: It failed.",
        "the broker is away",
    )
