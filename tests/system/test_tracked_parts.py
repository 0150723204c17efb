"""Parts that are followed with the demo's own networks, in a whole daemon, across a swap."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from edge_daemon.demo.conveyor import Belt, Conveyor, class_of
from edge_daemon.demo.stage import Plan, Stage
from edge_daemon.messaging.client import Client
from tests.sim.device import wait_until

BELT = Belt(speed=36.0, pitch=270.0, jitter=12.0, empty=0.0, defects=0.5, even=True, stretch=10_000)
FPS = 15.0
FEW = 8
UNKNOWN_TO_THE_FIRST = "scratch_curved"


def hear(told: list[dict[str, Any]], count: int) -> None:
    """Until so many parts were told; however slow the machine is, one comes after the other."""
    for number in range(len(told), count):
        wait_until(lambda least=number: len(told) > least, "the next part")  # type: ignore[misc]


@pytest.mark.model
def test_followed_parts_are_told_once_with_their_own_defects() -> None:
    """Every place of the belt once and in order; a swap between two parts leaves none unjudged."""
    told: list[dict[str, Any]] = []
    statuses: list[dict[str, Any]] = []
    with Stage(Plan(FPS, BELT, by="track")) as stage, Client.of(stage.config) as client:
        client.listen(client.topics.part, lambda _, payload: told.append(json.loads(payload)))
        client.listen(
            client.topics.camera_status, lambda _, payload: statuses.append(json.loads(payload))
        )
        hear(told, FEW)
        assert list(client.request("swap", {"model": "bottle@1.1.0"}))[-1]["status"] == "succeeded"
        hear(told, len(told) + FEW)
        parts = told[1:]  # the line started in the middle of a part
        stage.stop_daemon()
    conveyor = Conveyor(belt=BELT)
    drawn = statuses[-1]["previewed"]
    stood = [conveyor.stands_at(part["frames"][len(part["frames"]) // 2] + drawn) for part in parts]
    # Frames that a busy machine drops move the middle of a part's frames, towards a neighbour's.
    first = Counter(place - number for number, place in enumerate(stood)).most_common(1)[0][0]
    for place, part, middle in zip(range(first, first + len(parts)), parts, stood, strict=True):
        assert abs(middle - place) <= 1, stood
        if part["late"]:  # on a busy machine: it was not waited for, and is rejected unseen
            assert part["verdict"] == "ng"
            continue
        flaws = conveyor.flaws(place, "bottle")
        if part["model"] == "bottle@1.0.0":
            flaws = tuple(flaw for flaw in flaws if flaw != UNKNOWN_TO_THE_FIRST)
        assert set(part["causes"]) == {class_of(flaw) for flaw in flaws}, part
        assert part["verdict"] == ("ng" if flaws else "ok"), part
    models = [part["model"] for part in parts if not part["late"]]
    assert models == sorted(models)
    assert set(models) == {"bottle@1.0.0", "bottle@1.1.0"}
