"""The demo's story: a shift on one line, told while it happens, proved at its end."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import typer

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.cli.output import tell
from edge_daemon.cli.words import milliseconds, with_short_digests
from edge_daemon.core.text import number_of
from edge_daemon.demo.barrier import STATION, Barrier
from edge_daemon.demo.conveyor import KINDS, Conveyor
from edge_daemon.demo.output import note, say
from edge_daemon.demo.rollout_scene import FPS as ROLLOUT_FPS
from edge_daemon.demo.rollout_scene import RolloutScene, rollout_plan
from edge_daemon.demo.stage import BUNDLES, Plan, Stage
from edge_daemon.demo.subscriber import ROOT, TOPICS, Subscriber
from edge_daemon.demo.summary import in_words, tell_summary
from edge_daemon.demo.truth import Truth
from edge_daemon.errors import BoxError
from edge_daemon.messaging.client import Client

FPS = 30.0
ORDERS = "mes/demo/work_orders"
CURVED_S = 25.0
"""So long at most a part with a curved scratch is waited for."""
COVERED_S = 1.5
"""So long the lens is covered."""
SCENES = 7
"""Scenes that last: what is left of the time is shared out among them."""


class Story:
    """The scenes in order; each tells what it shows, and shows it."""

    def __init__(
        self, stage: Stage, client: Client, subscriber: Subscriber, barrier: Barrier
    ) -> None:
        self._stage = stage
        self._client = client
        self._subscriber = subscriber
        self._barrier = barrier
        self._scene_s = 1.0

    def tell(self, scene_s: float) -> None:
        """All of it; each scene that lasts lasts so long."""
        self._scene_s = scene_s
        self._first_frames()
        self._ops_swap()
        self._work_order()
        self._bad_bundles()
        self._rollback()
        self._covered_lens()
        self._late_part()
        self._hold()

    # ------------------------------------------------------------------ scenes

    def _first_frames(self) -> None:
        subscriber = self._subscriber
        say("The daemon starts: it verifies, loads and proves bottle@1.0.0 before a frame counts.")
        subscriber.wait(
            lambda: subscriber.last is not None, 180.0, "No frame was judged in 3 minutes."
        )
        say(f"{subscriber.active} judges bottles; a light barrier announces each with its serial.")
        note(f"Its page shows the line: http://{self._stage.page}")
        self._watch("bottle@1.0.0")
        self._recall("bottle@1.0.0")

    def _ops_swap(self) -> None:
        say("Ops publish a swap to bottle@1.1.0, which was trained on curved scratches too.")
        self._ask("swap", {"model": "bottle@1.1.0", "by": "ops", "reason": "new scratch type"})
        self._watch("bottle@1.1.0")
        self._recall("bottle@1.1.0")

    def _work_order(self) -> None:
        subscriber = self._subscriber
        say("The MES dispatches an order for cans: their model is prepared while bottles run.")
        self._order("WO-2", "CAN-330", "dispatched")
        subscriber.wait(
            lambda: (subscriber.state.get("prepared") or {}).get("model", "").startswith("can@"),
            60.0,
            "The can model was not prepared.",
        )
        say(f"Prepared: {subscriber.state['prepared']['model']}. The order runs now.")
        self._order("WO-2", "CAN-330", "running")
        subscriber.wait(self._first_frame_of("CAN-330"), 30.0, "No can was judged.")
        assert subscriber.last is not None
        say(f"{subscriber.active} judges cans, exactly from the order's first frame on.")
        self._watch()
        say("An order for bottles follows: the version that ops selected comes back.")
        self._order("WO-3", "BTL-500", "running")
        subscriber.wait(self._first_frame_of("BTL-500"), 60.0, "No bottle was judged.")
        say(f"{subscriber.active} judges bottles.")
        self._order("WO-3", "BTL-500", "completed")

    def _bad_bundles(self) -> None:
        say("Somebody publishes old weights as bottle@1.2.0, signed and whole; ops swap to it.")
        source, old = BUNDLES / "bottle" / "1.1.0", BUNDLES / "bottle" / "1.0.0" / "weights.pt"
        bad = self._stage.publish(source, "1.2.0", old)
        self._ask("swap", {"model": bad, "by": "ops"}, expected="rejected")
        say("And a bundle whose weights were damaged on the way, bottle@1.3.0.")
        broken = self._stage.publish(source, "1.3.0")
        damage = self._stage.store / broken.replace("@", "/") / "weights.pt"
        content = bytearray(damage.read_bytes())
        content[len(content) // 2] ^= 1
        damage.write_bytes(content)
        self._ask("swap", {"model": broken, "by": "ops"}, expected="rejected")
        say("And the present weights as bottle@1.4.0, with a recipe that rejects nothing any more.")
        blind = {"confidence": 0.35, "part": "bottle", "reject": []}
        weaker = self._stage.publish(source, "1.4.0", recipe=blind)
        self._ask("swap", {"model": weaker, "by": "ops"}, expected="rejected")
        say(f"{self._subscriber.active} judged every frame meanwhile.")

    def _rollback(self) -> None:
        subscriber = self._subscriber
        say("Ops roll back: the version before is still resident.")
        before = subscriber.frame
        receipt = self._ask("rollback", {"by": "ops", "reason": "shown in the demo"})
        frames = receipt["cutover_frame"] - before
        say(f"{receipt['to']} judges from frame {receipt['cutover_frame']}: {frames} after asking.")
        self._watch()

    def _covered_lens(self) -> None:
        subscriber = self._subscriber
        say("Somebody covers the camera's lens. Who sees nothing finds no defect: nothing is ok.")
        before, spell = subscriber.truth.unjudged["bad_picture"], len(subscriber.hidden)
        self._stage.cover.touch()
        enough = max(2, round(COVERED_S * self._stage.fps))
        subscriber.wait(
            lambda: len(subscriber.hidden) >= spell + enough, 60.0, "No frame was told as covered."
        )
        self._stage.cover.unlink()
        subscriber.wait(
            lambda: subscriber.frame > subscriber.hidden[-1], 60.0, "The lens stayed covered."
        )
        self._watch()
        parts = subscriber.truth.unjudged["bad_picture"] - before
        hidden = frozenset(subscriber.hidden)
        passed = [
            each for each, frames in subscriber.truth.ok_of.items() if hidden.issuperset(frames)
        ]
        note(f"{len(hidden) - spell} frames and {parts} parts were uninspected (bad_picture)")
        if passed:
            raise BoxError(f"{passed[0]} was called ok, and no frame of it shows anything.")

    def _late_part(self) -> None:
        subscriber, barrier, limit_ms = self._subscriber, self._barrier, self._stage.deadline_ms
        say(f"The network holds up one trigger. A verdict after {limit_ms:.0f} ms is of no use.")
        barrier.hold_up(limit_ms / 1e3 + 0.5)
        subscriber.wait(
            lambda: barrier.held is not None and barrier.held in subscriber.late,
            60.0,
            "No part was told as late.",
        )
        part = subscriber.late[str(barrier.held)]
        note(
            f"{part['serial']}: {part['verdict']}, late, {part['age_ms']:.0f} ms after its trigger"
        )

    def _hold(self) -> None:
        subscriber = self._subscriber
        say("Ops prepare the can model by hand: it is proven and waits in a slot.")
        self._ask("prepare", {"model": "can", "by": "ops"})
        say("Hold: an order for cans is recorded, and nothing changes.")
        self._ask("hold", {"by": "ops"})
        self._order("WO-4", "CAN-330", "running")
        self._watch()
        say(f"Still {subscriber.active}. Release: the last order is applied.")
        self._ask("release", {"by": "ops"})
        subscriber.wait(self._first_frame_of("CAN-330"), 60.0, "No can was judged.")
        say(f"{subscriber.active} judges cans.")
        self._watch()

    # ------------------------------------------------------------------ parts

    def _watch(self, curved_by: str = "") -> None:
        """Let the line run for the length of a scene, and until the model named has met a part with
        a curved scratch, if one comes by in good time."""
        subscriber = self._subscriber
        before, first, late = subscriber.counts.copy(), subscriber.frame, len(subscriber.late)
        began_at = time.monotonic()
        enough = not curved_by
        while (lasted_s := time.monotonic() - began_at) < self._scene_s or not enough:
            self._stage.check_alive()
            enough = (
                enough
                or lasted_s > CURVED_S
                or subscriber.truth.score(curved_by, "scratch_curved").flawed > 0
            )
            time.sleep(0.1)
        told = subscriber.counts - before
        verdicts = ", ".join(f"{told[each]} {each}" for each in sorted(told)) or "none"
        note(f"{subscriber.frame - first} frames, {told.total()} parts: {verdicts}")
        if len(subscriber.late) > late:
            note(f"{len(subscriber.late) - late} of them late: this box has too much to do")

    def _recall(self, model: str) -> None:
        truth = self._subscriber.truth
        note(f"{model}: {in_words(truth.score(model))}")
        for kind in KINDS[model.partition("@")[0]]:
            score = truth.score(model, kind)
            if score.flawed:
                note(f"   {kind.replace('_', ' ')}: found on {score.found} of {score.flawed} parts")

    def _first_frame_of(self, product: str) -> Callable[[], bool]:
        subscriber = self._subscriber
        return lambda: (
            subscriber.last is not None
            and subscriber.last["product"] == product
            and subscriber.last["model"] is not None
        )

    def _order(self, order: str, product: str, status: str) -> None:
        body = {"workOrder": order, "productCode": product, "status": status}
        self._client.publish(ORDERS, json.dumps(body).encode())

    def _ask(self, verb: str, body: dict[str, Any], expected: str = "succeeded") -> dict[str, Any]:
        """Send a request, tell its answers, and give back its receipt."""
        for answer in self._client.request(verb, body):
            status = answer["status"]
            if status == "progress":
                note(f"after {milliseconds(answer['elapsed_ms'])}: {answer['stage']}")
                continue
            if status == "accepted":
                continue
            if status != expected:
                error = answer.get("error") or {}
                raise BoxError(f"The {verb} ended {status}: {error.get('message', '')}")
            if status == "rejected":
                error = answer["error"]
                note(f"rejected ({error['code']}): {with_short_digests(error['message'])}")
            receipt: dict[str, Any] = answer.get("receipt") or {}
            if receipt.get("cutover_frame") is not None:
                note(
                    f"{receipt['from']} -> {receipt['to']} at frame {receipt['cutover_frame']}, "
                    f"pause {receipt['pause_ms']:.2f} ms, "
                    f"{number_of(receipt['frames']['captured'], 'frame')} came meanwhile"
                )
            return receipt
        raise BoxError(f"The {verb} got no outcome.", hint="See the daemon's log.")


def demo(
    seconds: float = typer.Option(60.0, min=10.0, help="How long the scenes take, about."),
    fps: float | None = typer.Option(
        None, min=1.0, max=240.0, help="Frames a second of the conveyor: 30, or 15 with --rollout."
    ),
    rollout: bool = typer.Option(
        False, "--rollout", help="Roll out two candidates instead: two minutes, about."
    ),
) -> None:
    """Tell the whole story on this machine: nothing else needs to be installed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its daemon must not outlive it
    try:
        if rollout:
            plan = rollout_plan(fps or ROLLOUT_FPS)
            status = _play(plan, lambda *cast: RolloutScene(*cast).tell())
        else:
            scene_s = max(1.0, (seconds - 20.0) / SCENES)
            status = _play(Plan(fps or FPS), lambda *cast: Story(*cast).tell(scene_s))
    except KeyboardInterrupt:
        tell("\nStopped; the daemon was ended in order.")
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _play(plan: Plan, scenes: Callable[[Stage, Client, Subscriber, Barrier], None]) -> int:
    """Sets the stage, tells the scenes and then the summary; returns the exit status."""
    ledger = SubscriberLedger(links={"BTL-500": "bottle", "CAN-330": "can"})
    conveyor = Conveyor(belt=plan.belt)
    with Stage(plan) as stage, Client.of(stage.config) as client:
        trigger = client.topics.request("trigger")
        barrier = Barrier(conveyor, plan.fps, lambda body: client.publish(trigger, body))
        subscriber = Subscriber(ledger, Truth(conveyor, STATION), barrier.captured)
        for topic in TOPICS:
            client.listen(f"{ROOT}/{topic}", subscriber.hear)
        barrier.start()
        scenes(stage, client, subscriber, barrier)
        barrier.stop()
        subscriber.wait(
            lambda: subscriber.truth.serials.issuperset(barrier.sent),
            20.0,
            "A part was announced and has no result.",
        )
        status = stage.stop_daemon()
    return tell_summary(subscriber, barrier.sent, status)
