"""One drill: requests swaps, listens to every result, and sums up."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from edge_daemon.cli.drill_ledger import SubscriberLedger, Tally
from edge_daemon.cli.words import milliseconds
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError
from edge_daemon.messaging.client import Client

SETTLE_S = 5.0
"""How long results and receipts may be on their way after the last swap."""
FLOW_S = 30.0
"""Without a frame for this long the line has stopped, and a drill proves nothing."""


@dataclass
class Report:
    """What was asked for, and what came of it; whoever drills fills it in."""

    pair: tuple[str, str]
    tally: Tally
    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    accepted_ms: list[float] = field(default_factory=list)
    active_ms: list[float] = field(default_factory=list)
    rollback_frames: list[int] = field(default_factory=list)
    planted: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def succeeded(self) -> int:
        return self.outcomes["succeeded"]

    @property
    def good(self) -> bool:
        """Nothing was lost, and every swap succeeded."""
        return not self.faults and self.succeeded == self.asked and self.asked > 0

    @property
    def pause_p99_ms(self) -> float | None:
        return quantile(self.tally.pauses_ms, 0.99)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        tally = self.tally
        return {
            "good": self.good,
            "models": list(self.pair),
            "swaps": {"asked": self.asked, **self.outcomes},
            "frames": {
                "captured": tally.frames,
                "inspected": tally.inspected,
                "dropped": tally.dropped,
                "uninspected": tally.uninspected,
            },
            "by_model": dict(tally.by_model),
            "by_reason": dict(tally.by_reason),
            "cutovers_verified": tally.cutovers,
            "pause_ms": spread(tally.pauses_ms),
            "accepted_ms": spread(self.accepted_ms),
            "request_to_active_ms": spread(self.active_ms),
            "rollback_frames": self.rollback_frames,
            "planted_faults": self.planted,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """For people: heading and content."""
        tally = self.tally
        yield "swaps", ", ".join(f"{count} {word}" for word, count in self.outcomes.items())
        yield "between", " and ".join(self.pair)
        yield (
            "frames",
            f"{tally.frames}: {tally.inspected} inspected, {tally.dropped} dropped, "
            f"{tally.uninspected} uninspected",
        )
        yield "cutovers verified", f"{tally.cutovers}, each at exactly the frame of its receipt"
        yield "pause", _spread_words(tally.pauses_ms)
        yield "request → accepted", _spread_words(self.accepted_ms)
        yield "request → active", _spread_words(self.active_ms)
        if self.rollback_frames:
            yield "rollback", f"at most {max(self.rollback_frames)} frames after it was asked"
        if self.planted:
            yield "faults planted", ", ".join(f"{n} {word}" for word, n in self.planted.items())
        yield "took", f"{self.seconds:.0f} s"


class DrillRun:
    """Swaps back and forth; everything heard goes into the subscriber's ledger.

    `between`: frames to let pass between two swaps.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        pair: tuple[str, str],
        *,
        between: int,
        timeout_s: float,
    ) -> None:
        self._client = client
        self._between = between
        self._timeout_s = timeout_s
        self._ledger = SubscriberLedger(settings.links)
        self._report = Report(pair, self._ledger.tally())
        self._changed = threading.Condition()
        self._frames = 0
        self._last_frame = -1
        self._began = time.monotonic()
        topics = client.topics
        client.listen(topics.result, lambda _, payload: self._hear_result(payload))
        client.listen(topics.model_event, lambda _, payload: self._hear_event(payload))

    # ------------------------------------------------------------------ the network thread

    def _hear_result(self, payload: bytes) -> None:
        with self._changed:
            self._ledger.take_result(payload)
            self._frames += 1
            with suppress(ValueError, KeyError, TypeError):
                self._last_frame = int(json.loads(payload)["frame"])
            self._changed.notify_all()

    def _hear_event(self, payload: bytes) -> None:
        with self._changed:
            self._ledger.take_event(payload)
            self._changed.notify_all()

    # ------------------------------------------------------------------ the drill

    def swap(self, number: int) -> str:
        """One swap, after some frames; says in a few words how it went."""
        self._await_frames(self._between)
        target = self._report.pair[number % 2]
        outcome = self._ask("swap", {"model": target, "reason": f"drill {number}"})
        if outcome.get("status") != "succeeded":
            return str(outcome.get("status"))
        receipt = outcome.get("receipt") or {}
        pause = milliseconds(receipt.get("pause_ms"))
        return f"{target} from frame {receipt.get('cutover_frame')} on, pause {pause}"

    def go_home(self, *, by_rollback: bool) -> None:
        """Return the station to the model that it had; a rollback is measured on the way."""
        asked = self._report.asked
        at_home = asked % 2 == 0
        if by_rollback:
            if at_home:
                self.swap(asked + 1)
            self._await_frames(self._between)
            with self._changed:
                asked_at = self._last_frame
            outcome = self._ask("rollback", {"model": self._report.pair[0], "reason": "drill"})
            frame = (outcome.get("receipt") or {}).get("cutover_frame")
            if frame is not None:
                self._report.rollback_frames.append(max(0, int(frame) - asked_at - 1))
        elif not at_home:
            self.swap(asked + 1)

    def note_fault(self, planted: str, complaint: str) -> None:
        """Record a fault that was caused on purpose between two swaps, and what went wrong."""
        self._report.planted[planted] += 1
        if complaint:
            self._report.faults.append(complaint)

    def settle(self) -> None:
        """Wait for the frames around the last cutover, and for what else is on its way."""
        self._await_frames(max(self._between, 5))
        with self._changed:
            self._changed.wait_for(lambda: not self._ledger.faults, SETTLE_S)

    def report(self) -> Report:
        """The report of the run so far."""
        with self._changed:
            return replace(
                self._report,
                tally=self._ledger.tally(),
                faults=self._ledger.faults + self._report.faults,
                seconds=time.monotonic() - self._began,
            )

    # ------------------------------------------------------------------ parts

    def _ask(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request, measure it, and compare the answer with the request."""
        began = time.perf_counter()
        self._report.asked += 1
        last: dict[str, Any] = {}
        for answer in self._client.request(verb, {"by": "drill", **body}, self._timeout_s):
            last = answer
            took_ms = (time.perf_counter() - began) * 1e3
            if answer.get("status") == "accepted":
                self._report.accepted_ms.append(took_ms)
            elif answer.get("status") == "succeeded":
                self._report.active_ms.append(took_ms)
        status = str(last.get("status"))
        self._report.outcomes[status] += 1
        if status == "succeeded":
            with self._changed:
                self._ledger.take_receipt(last.get("receipt") or {})
        else:
            error = last.get("error") or {}
            self._report.faults.append(
                f"The {verb} to {body['model']} was {status}: "
                f"{error.get('code')} {error.get('message', '')}"
            )
        return last

    def _await_frames(self, count: int) -> None:
        with self._changed:
            wanted = self._frames + count
            if not self._changed.wait_for(lambda: self._frames >= wanted, FLOW_S):
                raise BoxError(
                    f"No {count} results came within {FLOW_S:.0f} s: the line has stopped.",
                    hint="See the camera and problems in: edge-daemon status",
                )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which this share of them lies; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max, in milliseconds with two digits."""
    found = {
        "p50": quantile(values, 0.5),
        "p99": quantile(values, 0.99),
        "max": quantile(values, 1),
    }
    return {word: None if value is None else round(value, 2) for word, value in found.items()}


def _spread_words(values: Sequence[float]) -> str:
    return ", ".join(f"{word} {milliseconds(value)}" for word, value in spread(values).items())
