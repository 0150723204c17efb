"""The demo's story: a shift on one line, told while it happens, proved at its end."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import typer

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.cli.output import tell
from edge_daemon.core.event_names import EventName
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.stage import BUNDLES, DEFECTS, DEVICE, Plan, Stage
from edge_daemon.demo.truth import Truth
from edge_daemon.errors import BoxError
from edge_daemon.messaging.client import Client

ROOT = f"edge/{DEVICE}"
ORDERS = "mes/demo/work_orders"
CURVED_VIEWS, CURVED_S = 30, 25.0
"""So many views of a curved scratch are waited for, so long at most."""
SCENES = 6
"""Scenes that last: what is left of the time is shared out among them."""


class Audience:
    """Sees what any subscriber sees, and keeps the books."""

    def __init__(self, ledger: SubscriberLedger, truth: Truth) -> None:
        self.ledger = ledger
        self.truth = truth
        self.state: dict[str, Any] = {}
        self.available: list[str] = []
        self.last: dict[str, Any] | None = None
        self.ok = self.ng = 0
        self._early: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def hear(self, topic: str, payload: bytes) -> None:
        """One message, on the client's thread."""
        with self._changed:
            self._take(topic.removeprefix(f"{ROOT}/"), json.loads(payload))
            self._changed.notify_all()

    def _take(self, topic: str, message: dict[str, Any]) -> None:
        if topic == "result":
            self._result(message)
        elif topic == "model/state":
            self.state = message
        elif topic == "model/available":
            self.available = [line["model"] for line in message["models"]]
        elif topic == "camera/status" and message.get("previewed"):
            self.truth.previewed = message["previewed"]
            early, self._early = self._early, []
            for result in early:
                self.truth.take(result)
        elif topic == "model/event" and message["type"] == EventName.SWAPPED:
            self.ledger.take_event(message)

    def _result(self, message: dict[str, Any]) -> None:
        self.ledger.take_result(message)
        self.last = message
        self.ok += message["verdict"] == "ok"
        self.ng += message["verdict"] == "ng"
        if self.truth.previewed is None:
            self._early.append(message)
        else:
            self.truth.take(message)

    def wait(self, condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
        """Until what was heard makes it true; raises BoxError past the limit."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise BoxError(failure, hint="Try again on a box that has less to do.")

    @property
    def frame(self) -> int:
        return self.last["frame"] if self.last else -1

    @property
    def active(self) -> str | None:
        active = self.state.get("active")
        return active["model"] if active else None


class Story:
    """The scenes in order; each tells what it shows, and shows it."""

    def __init__(self, stage: Stage, client: Client, audience: Audience, scene_s: float) -> None:
        self._stage = stage
        self._client = client
        self._audience = audience
        self._scene_s = scene_s
        self._began = time.monotonic()

    def tell(self) -> None:
        """All of it."""
        self._first_frames()
        self._ops_swap()
        self._work_order()
        self._bad_bundles()
        self._rollback()
        self._hold()

    # ------------------------------------------------------------------ scenes

    def _first_frames(self) -> None:
        audience = self._audience
        say("The daemon starts: it verifies, loads and proves bottle@1.0.0 before a frame counts.")
        audience.wait(lambda: audience.last is not None, 180.0, "No frame was judged in 3 minutes.")
        say(f"{audience.active} judges bottles.")
        self._watch("bottle@1.0.0")
        self._recall("bottle@1.0.0")

    def _ops_swap(self) -> None:
        say("Ops publish a swap to bottle@1.1.0, which was trained on curved scratches too.")
        self._ask("swap", {"model": "bottle@1.1.0", "by": "ops", "reason": "new scratch type"})
        self._watch("bottle@1.1.0")
        self._recall("bottle@1.1.0")

    def _work_order(self) -> None:
        audience = self._audience
        say("The MES dispatches an order for cans: their model is prepared while bottles run.")
        self._order("WO-2", "CAN-330", "dispatched")
        audience.wait(
            lambda: (audience.state.get("prepared") or {}).get("model", "").startswith("can@"),
            60.0,
            "The can model was not prepared.",
        )
        say(f"Prepared: {audience.state['prepared']['model']}. The order runs now.")
        self._order("WO-2", "CAN-330", "running")
        audience.wait(self._first_frame_of("CAN-330"), 30.0, "No can was judged.")
        assert audience.last is not None
        say(f"{audience.active} judges cans, exactly from the order's first frame on.")
        self._watch()
        say("An order for bottles follows: the version that ops selected comes back.")
        self._order("WO-3", "BTL-500", "running")
        audience.wait(self._first_frame_of("BTL-500"), 60.0, "No bottle was judged.")
        say(f"{audience.active} judges bottles.")
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
        blind = {"confidence": 0.35, "reject": []}
        weaker = self._stage.publish(source, "1.4.0", recipe=blind)
        self._ask("swap", {"model": weaker, "by": "ops"}, expected="rejected")
        say(f"{self._audience.active} judged every frame meanwhile.")

    def _rollback(self) -> None:
        audience = self._audience
        say("Ops roll back: the version before is still resident.")
        before = audience.frame
        receipt = self._ask("rollback", {"by": "ops", "reason": "shown in the demo"})
        frames = receipt["cutover_frame"] - before
        say(f"{receipt['to']} judges from frame {receipt['cutover_frame']}: {frames} after asking.")
        self._watch()

    def _hold(self) -> None:
        audience = self._audience
        say("Ops prepare the can model by hand: it is proven and waits in a slot.")
        self._ask("prepare", {"model": "can", "by": "ops"})
        say("Hold: an order for cans is recorded, and nothing changes.")
        self._ask("hold", {"by": "ops"})
        self._order("WO-4", "CAN-330", "running")
        self._watch()
        say(f"Still {audience.active}. Release: the last order is applied.")
        self._ask("release", {"by": "ops"})
        audience.wait(self._first_frame_of("CAN-330"), 60.0, "No can was judged.")
        say(f"{audience.active} judges cans.")
        self._watch()

    # ------------------------------------------------------------------ parts

    def _watch(self, curved_by: str = "") -> None:
        """Let the line run for the length of a scene, and until the model named has met a curved
        scratch, if one comes by in good time."""
        audience = self._audience
        ok, ng, first = audience.ok, audience.ng, audience.frame
        began_at = time.monotonic()
        enough = not curved_by
        while (lasted_s := time.monotonic() - began_at) < self._scene_s or not enough:
            self._stage.check_alive()
            enough = (
                enough
                or lasted_s > CURVED_S
                or audience.truth.recall(curved_by, "scratch_curved")[1] >= CURVED_VIEWS
            )
            time.sleep(0.1)
        frames = audience.frame - first
        note(f"{frames} frames: {audience.ok - ok} ok, {audience.ng - ng} ng")

    def _recall(self, model: str) -> None:
        for kind in ("scratch_straight", "scratch_curved", "dent"):
            found, there = self._audience.truth.recall(model, kind)
            share = f"{100 * found / there:.0f} %" if there else "none came by"
            note(f"{model} finds {kind.replace('_', ' ')}: {share} of {there} views")

    def _first_frame_of(self, product: str) -> Callable[[], bool]:
        audience = self._audience
        return lambda: (
            audience.last is not None
            and audience.last["product"] == product
            and audience.last["model"] is not None
        )

    def _order(self, order: str, product: str, status: str) -> None:
        body = {"workOrder": order, "productCode": product, "status": status}
        self._client.publish(ORDERS, json.dumps(body).encode())

    def _ask(self, verb: str, body: dict[str, Any], expected: str = "succeeded") -> dict[str, Any]:
        """Send a request, tell its answers, and give back its receipt."""
        for answer in self._client.request(verb, body):
            status = answer["status"]
            if status == "progress":
                note(f"{answer['stage']} … {answer['elapsed_ms']} ms")
                continue
            if status == "accepted":
                continue
            if status != expected:
                error = answer.get("error") or {}
                raise BoxError(f"The {verb} ended {status}: {error.get('message', '')}")
            if status == "rejected":
                note(f"rejected ({answer['error']['code']}): {answer['error']['message']}")
            receipt: dict[str, Any] = answer.get("receipt") or {}
            if receipt.get("cutover_frame") is not None:
                note(
                    f"{receipt['from']} -> {receipt['to']} at frame {receipt['cutover_frame']}, "
                    f"pause {receipt['pause_ms']:.2f} ms, "
                    f"{receipt['frames']['captured']} frames came meanwhile"
                )
            return receipt
        raise BoxError(f"The {verb} got no outcome.", hint="See the daemon's log.")


def say(text: str) -> None:
    """One step of the story."""
    typer.secho(f"\n{text}", bold=True)


def note(text: str) -> None:
    """One fact below it."""
    tell(f"   {text}")


def demo(
    seconds: float = typer.Option(60.0, min=10.0, help="How long the scenes take, about."),
    fps: float = typer.Option(30.0, min=1.0, max=240.0, help="Frames a second of the conveyor."),
) -> None:
    """Tell the whole story on this machine: nothing else needs to be installed."""
    scene_s = max(1.0, (seconds - 20.0) / SCENES)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its daemon must not outlive it
    ledger = SubscriberLedger(links={"BTL-500": "bottle", "CAN-330": "can"})
    audience = Audience(ledger, Truth(Conveyor(defect_rate=DEFECTS)))
    try:
        with Stage(Plan(fps)) as stage, Client.of(stage.config) as client:
            for topic in ("result", "model/+", "camera/status"):
                client.listen(f"{ROOT}/{topic}", audience.hear)
            Story(stage, client, audience, scene_s).tell()
            status = stage.stop_daemon()
    except KeyboardInterrupt:
        tell("\nStopped; the daemon was ended in order.")
        raise typer.Exit(1) from None
    raise typer.Exit(_verdict(ledger, status))


def _verdict(ledger: SubscriberLedger, status: int) -> int:
    tally = ledger.tally()
    say("The books, kept by a subscriber")
    note(
        f"{tally.frames} captured = {tally.inspected} inspected + {tally.dropped} dropped"
        f" + {tally.uninspected} uninspected"
    )
    for model, frames in tally.by_model.items():
        note(f"{model} judged {frames}")
    for reason, frames in tally.by_reason.items():
        note(f"not judged, {reason}: {frames}")
    pauses = sorted(tally.pauses_ms)
    if pauses:
        note(f"{tally.cutovers} cutovers, pause at most {pauses[-1]:.2f} ms")
    note(f"missing {ledger.missing}, doubled {ledger.doubled}, out of turn {ledger.reordered}")
    for fault in ledger.faults[:10]:
        typer.secho(f"   FAULT: {fault}", fg="red")
    if status != 0:
        typer.secho(f"   FAULT: the daemon ended with status {status}", fg="red")
    if ledger.faults or status != 0:
        typer.secho("\nFrames were lost, doubled or judged wrongly: this must not be.", fg="red")
        return 1
    if tally.dropped:
        typer.secho(
            f"\nThis box has too much to do: {tally.dropped} frames found no room and were not"
            " judged. Try again with less beside it, or with --fps 10.",
            fg="red",
        )
        return 1
    typer.secho(
        "\nEvery captured frame had exactly one verdict, by exactly one checked model.",
        fg="green",
        bold=True,
    )
    return 0
