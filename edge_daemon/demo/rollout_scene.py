"""The demo's rollouts: one candidate is stopped by what the line shows, one becomes active.

Nothing is staged but the belt: it carries challenge parts, many of them flawed, half of them in
low light. When a candidate is stopped or goes on is the daemon's own decision, from its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edge_daemon.core.event_names import EventName
from edge_daemon.demo.barrier import Barrier
from edge_daemon.demo.challenge import Challenge, Item
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.output import note, say
from edge_daemon.demo.stage import BELT, BUNDLES, Plan, Stage
from edge_daemon.demo.subscriber import Subscriber
from edge_daemon.errors import BoxError
from edge_daemon.messaging.client import Client, UnfinishedError

ACTIVE, BLIND, GOOD = "bottle@1.1.0", "bottle/1.5.0", "bottle/1.6.0"
DEFECTS, DIM_EVERY = 0.5, 2
"""Of the challenge parts: half of them flawed, and every other stretch of the belt in low light."""

FPS, SPEED = 15.0, 54.0
"""Three parts a second, in two or three frames each: two cores have time for both models."""

DAYLIGHT = 100_000
"""Of so many stretches one is in low light while no candidate is tried: none of a demo."""

MARGIN, SLICE_MARGIN = 0.3, 0.5
"""Recall that may be lost, in all and in low light. On a line both are a few points, and take some
hundred flawed parts."""
REJECTS_MARGIN = 0.5
"""The same for good parts that are rejected."""

FEWEST_PARTS = 20
"""Parts that a stage needs at least."""

MOST_FLAWED = 45
"""Fewer flawed parts, judged by both, are enough to stop a candidate that is blind in low light.
A box that is behind sees more until it has noted what they are."""

LIMIT_S = 240.0
"""So long a candidate has."""

_HEARD_S = 10.0
_BRIGHTNESS = 60  # between the mean grey levels of both lights
_STAGES = ("shadow", "share 0.1", "full")


def rollout_plan(fps: float) -> Plan:
    """A line in daylight, on which the newest version judges from the start."""
    return Plan(fps, belt=replace(BELT, speed=SPEED, dim_every=DAYLIGHT), initial=ACTIVE)


def stages(parts: int) -> dict[str, Any]:
    """Beside the line, then a tenth of the parts, then all: `parts` in each of the first two."""
    low_light = {"brightness_below": _BRIGHTNESS, "critical": True, "margin": SLICE_MARGIN}
    return {
        "margin": MARGIN,
        "false_reject_margin": REJECTS_MARGIN,
        "slices": {"low_light": low_light},
        "stages": [
            {"shadow": 1.0, "until": {"parts": parts, "margin": SLICE_MARGIN}},
            {"share": 0.1, "either": "reject", "until": {"parts": parts}},
            {"full": True},
        ],
    }


class RolloutScene:
    """Two candidates, one after the other, on a belt of challenge parts."""

    def __init__(
        self, stage: Stage, client: Client, subscriber: Subscriber, barrier: Barrier
    ) -> None:
        self._stage = stage
        self._client = client
        self._subscriber = subscriber
        self._barrier = barrier
        self._is_challenged = False  # whether the belt carries challenge parts
        self._challenge = Challenge(subscriber.truth.conveyor, "bottle", self._tell_truth)

    def tell(self) -> None:
        """Both rollouts; raises BoxError where one does not end as it must."""
        subscriber = self._subscriber
        say(f"The daemon starts with {ACTIVE}. It is day: the line shows no low light.")
        subscriber.wait(
            lambda: subscriber.last is not None, 180.0, "No frame was judged in 3 minutes."
        )
        note(f"Its page shows the line: http://{self._stage.page}")
        say(
            "Two candidates come. Both are rolled out: beside the line first, on challenge parts."
            " Half of these are flawed, half are in low light;"
            " the MES knows them by serial and says what each one is."
        )
        note(
            f"the candidate may lose at most {100 * MARGIN:.0f} points of recall here, so that a"
            " minute is enough; on a line it is 3, and takes hours"
        )
        self._challenge.start()
        subscriber.on_part = self._challenge.part
        try:
            self.see_it_stopped(self._stage.publish(BUNDLES / BLIND))
            self._completed(self._stage.publish(BUNDLES / GOOD))
        finally:
            subscriber.on_part = lambda _: None
            self._challenge.stop()
        note(f"the truth of {self._challenge.said} parts was sent as feedback")

    # ------------------------------------------------------------------ both candidates

    def see_it_stopped(self, model: str) -> None:
        """Try a version that is blind in low light; raises BoxError where it is not stopped."""
        say(f"{model} was trained without low light, and its golden images do not show it.")
        outcome = self._roll_out(model)
        if (outcome.get("error") or {}).get("code") != "rollout_stopped":
            raise BoxError(f"{model} is blind in low light, and its rollout {_ended(outcome)}.")
        note(f"stopped: {outcome['error']['message']}")
        note(f"{self._so_far()}; {self._subscriber.active} judged every part meanwhile")
        slices = self._subscriber.rollout["slices"]
        missed, dim = (slices[name]["table"]["only_incumbent"] for name in ("all", "low_light"))
        note(f"{missed} parts only {self._subscriber.active} rejected, {dim} of them in low light")
        if (flawed := slices["all"]["missed"]["parts"]) >= MOST_FLAWED:
            note(
                f"it took {flawed} flawed parts, and fewer than {MOST_FLAWED} are enough: this box"
                " is so busy that parts came faster than what they truly are could be noted"
            )

    def _completed(self, model: str) -> None:
        say(f"{model} saw low light in training. Nobody touches it: it goes its way by itself.")
        outcome = self._roll_out(model)
        if outcome["status"] != "succeeded":
            raise BoxError(f"{model} is a good version, and its rollout {_ended(outcome)}.")
        self._subscriber.wait(
            lambda: self._subscriber.active == model, _HEARD_S, f"{model} is not active."
        )
        note(f"{model} is active and confirmed; {self._so_far()}")

    def _roll_out(self, model: str) -> dict[str, Any]:
        """How it ended; raises BoxError where it is not decided in time."""
        body = {"model": model, "by": "ops", "plan": stages(FEWEST_PARTS)}
        try:
            for answer in self._client.request("rollout", body, LIMIT_S):
                if answer["status"] == "progress":
                    self._tell_progress(model, answer)
                elif answer["status"] != "accepted":
                    return answer
        except UnfinishedError:
            why = self._subscriber.rollout.get("why", "")
            raise BoxError(
                f"{model} is not decided after {LIMIT_S:.0f} s. {why}",
                hint="Try again on a box that has less to do, or with --fps 8.",
            ) from None
        raise BoxError("The rollout got no outcome.", hint="See the daemon's log.")

    # ------------------------------------------------------------------ parts

    def _tell_progress(self, model: str, answer: dict[str, Any]) -> None:
        stage = answer["stage"]
        if stage not in _STAGES:
            note(f"{stage} … {answer['elapsed_ms']} ms")
            return
        if not self._is_challenged:  # not before: the gate looks at the line's last frames
            self._is_challenged = True
            self._change_belt(DEFECTS, DIM_EVERY)
        with suppress(BoxError):  # the stage is told all the same
            self._subscriber.wait(lambda: bool(self._why(model, stage)), _HEARD_S, "")
        note(self._why(model, stage) or stage)

    def _why(self, model: str, stage: str) -> str:
        """What the event says with which the candidate entered this stage."""
        for event in self._subscriber.events:
            if (event["type"], event.get("model")) == (EventName.STAGE_ENTERED, model):
                message = str(event.get("message", ""))
                if message.startswith(f"{stage}:"):
                    return message
        return ""

    def _so_far(self) -> str:
        """How many parts the evidence is made of."""
        slices = self._subscriber.rollout["slices"]
        flawed, low = (slices[name]["missed"]["parts"] for name in ("all", "low_light"))
        return (
            f"both models judged {slices['all']['parts']} parts, {flawed} of them flawed"
            f" ({low} in low light)"
        )

    def _change_belt(self, defects: float, dim_every: int) -> None:
        """From the next place on that surely is not in view yet."""
        conveyor: Conveyor = self._subscriber.truth.conveyor
        place = self._barrier.comes_next()
        conveyor.change(place, defects=defects, dim_every=dim_every)
        self._stage.change_belt(place, defects=defects, dim_every=dim_every)

    def _tell_truth(self, items: Sequence[Item]) -> dict[str, Any]:
        body = {"source": "challenge", "by": "mes", "items": list(items)}
        outcome: dict[str, Any] = {}
        try:
            for outcome in self._client.request("feedback", body, _HEARD_S):  # noqa: B007
                pass
        except BoxError as error:
            return {"error": {"message": error.message}}
        return outcome


def _ended(outcome: dict[str, Any]) -> str:
    message = (outcome.get("error") or {}).get("message", "")
    return f"ended {outcome['status']}: {message}"
