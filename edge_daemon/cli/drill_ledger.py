"""The subscriber's own ledger: compares published results with the receipts.

Pure: it takes `result` payloads and receipts in any order. For each boot it knows whether a frame
is missing, doubled or out of order, and whether every frame was judged by the model that the
receipts made active at its number. It trusts none of the daemon's own counts. It keeps runs of one
model instead of frames, so it can listen for days.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.values import Arm

Payload = Union[bytes, Mapping[str, Any]]

FAULTS_KEPT = 100
"""Sentences kept; what comes beyond is counted."""


@dataclass(frozen=True)
class Tally:
    """What was seen, by model and reason; `cutovers` are receipts with a frame seen."""

    frames: int
    by_model: Mapping[str, int]
    by_reason: Mapping[str, int]
    cutovers: int
    pauses_ms: tuple[float, ...]

    @property
    def dropped(self) -> int:
        return sum(n for reason, n in self.by_reason.items() if reason.startswith("dropped_"))

    @property
    def inspected(self) -> int:
        return sum(self.by_model.values())

    @property
    def uninspected(self) -> int:
        """Neither judged nor dropped: frames = inspected + dropped + uninspected."""
        return self.frames - self.inspected - self.dropped


@dataclass
class _Run:
    """Consecutive judged frames of one model; others may lie between them."""

    model: str
    first: int
    last: int


@dataclass(frozen=True)
class _Cutover:
    """What a receipt claims: from `frame` on, `to` judges."""

    frame: int
    at: str
    swap_id: str
    left: str | None
    to: str
    pause_ms: float | None


@dataclass
class _Boot:
    """One boot of the daemon: its numbers start anew."""

    first: int | None = None
    last: int = -1
    gaps: list[tuple[int, int]] = field(default_factory=list)  # never seen, both ends included
    late: int = 0
    doubled: int = 0
    runs: list[_Run] = field(default_factory=list)
    cuts: dict[str, _Cutover] = field(default_factory=dict)


class SubscriberLedger:
    """Feed it; ask for `faults` and `tally` at any time.

    Args:
        links: product -> bundle name; with it each judged frame's model must fit its product.

    Not for several threads at once.
    """

    def __init__(self, links: Mapping[str, str] | None = None) -> None:
        self._links = links
        self._boots: dict[str, _Boot] = {}
        self._digests: dict[str, str] = {}
        self._models: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._frames = 0
        self._found: list[str] = []
        self._beyond = 0

    # ------------------------------------------------------------------ in

    def take_result(self, payload: Payload) -> None:
        """One message of `<root>/result`."""
        result = _document(payload)
        try:
            boot, frame = str(result["boot"]), int(result["frame"])
            verdict = str(result["verdict"])
        except (KeyError, TypeError, ValueError):
            self._note(f"A result has no boot, frame or verdict: {str(result)[:120]}")
            return
        record = self._boots.setdefault(boot, _Boot())
        if not self._is_next(record, boot, frame):
            return
        self._frames += 1
        model = result.get("model")
        if model is None:
            self._reasons[str(result.get("reason"))] += 1
        else:
            self._models[str(model)] += 1
            if not self._is_candidates(frame, boot, result.get("rollout")):
                self._note_run(record, str(model), frame)
        self._check_content(frame, verdict, result)

    def take_receipt(self, receipt: Payload) -> None:
        """A receipt from anywhere; one without a cutover is ignored."""
        plain = _document(receipt)
        frame = plain.get("cutover_frame")
        if frame is None:
            return
        cut = _Cutover(
            frame=int(frame),
            at=str(plain.get("cutover_at")),
            swap_id=str(plain.get("swap_id")),
            left=plain.get("from"),
            to=str(plain.get("to")),
            pause_ms=plain.get("pause_ms"),
        )
        record = self._boots.setdefault(str(plain.get("boot")), _Boot())
        before = record.cuts.setdefault(cut.swap_id, cut)
        if (before.frame, before.to) != (cut.frame, cut.to):
            self._note(
                f"Swap {cut.swap_id} has two receipts that differ: {before.to} from frame "
                f"{before.frame} on, and {cut.to} from frame {cut.frame} on."
            )

    def take_event(self, payload: Payload) -> None:
        """One message of `<root>/model/event`; only its receipt is of interest."""
        receipt = _document(payload).get("receipt")
        if isinstance(receipt, Mapping):
            self.take_receipt(receipt)

    # ------------------------------------------------------------------ out

    @property
    def faults(self) -> list[str]:
        """What is wrong as of now, a sentence each.

        A change of model counts as a fault until its receipt has come: ask again after a moment.
        """
        found = list(self._found)
        if self._beyond:
            found.append(f"{self._beyond} more of this kind are not listed.")
        for boot, record in self._boots.items():
            for first, last in record.gaps:
                frames = f"Frame {first}" if first == last else f"Frames {first} to {last}"
                found.append(f"{frames} of boot {boot} never came.")
            found.extend(_against_receipts(record))
        return found

    @property
    def missing(self) -> int:
        """Frames that never came."""
        return sum(b - a + 1 for record in self._boots.values() for a, b in record.gaps)

    @property
    def doubled(self) -> int:
        """Frames that came again."""
        return sum(record.doubled for record in self._boots.values())

    @property
    def reordered(self) -> int:
        """Frames that came after a later one."""
        return sum(record.late for record in self._boots.values())

    def tally(self) -> Tally:
        """The counts as of now."""
        cuts = [
            cut
            for record in self._boots.values()
            for cut in record.cuts.values()
            if record.first is not None and record.first < cut.frame <= record.last
        ]
        return Tally(
            self._frames,
            dict(self._models),
            dict(self._reasons),
            len(cuts),
            tuple(cut.pause_ms for cut in cuts if cut.pause_ms is not None),
        )

    # ------------------------------------------------------------------ parts

    def _note(self, fault: str) -> None:
        if len(self._found) < FAULTS_KEPT:
            self._found.append(fault)
        else:
            self._beyond += 1

    def _is_next(self, record: _Boot, boot: str, frame: int) -> bool:
        """Enter the number; False for a frame that was counted before."""
        if record.first is None:
            record.first = record.last = frame
            return True
        if frame > record.last:
            if frame > record.last + 1:
                record.gaps.append((record.last + 1, frame - 1))
            record.last = frame
            return True
        for place, (first, last) in enumerate(record.gaps):
            if first <= frame <= last:
                rest = [(first, frame - 1), (frame + 1, last)]
                record.gaps[place : place + 1] = [(a, b) for a, b in rest if a <= b]
                record.late += 1
                self._note(f"Frame {frame} of boot {boot} came after frame {record.last}.")
                return True
        record.doubled += 1
        self._note(f"Frame {frame} of boot {boot} came twice.")
        return False

    def _is_candidates(self, frame: int, boot: str, assigned: object) -> bool:
        """Whether a rollout gave this frame to its candidate, which needs no receipt: the draw
        proves it, and is computed again here."""
        if not isinstance(assigned, Mapping):
            return False
        try:
            again = assign(str(assigned["id"]), boot, assigned["unit"], float(assigned["share"]))
            told = assigned["arm"], assigned["draw"]
        except (KeyError, TypeError, ValueError):
            self._note(f"Frame {frame} has a rollout that cannot be read: {str(assigned)[:120]}")
            return False
        if told != (again.arm.value, again.draw):
            self._note(f"Frame {frame} was given to another arm than its draw says.")
        return again.arm is Arm.CANDIDATE

    def _note_run(self, record: _Boot, model: str, frame: int) -> None:
        last = record.runs[-1] if record.runs else None
        if last is not None and last.model == model and last.last <= frame:
            last.last = frame
        else:
            record.runs.append(_Run(model, frame, frame))

    def _check_content(self, frame: int, verdict: str, result: Mapping[str, Any]) -> None:
        model, sha256 = result.get("model"), result.get("sha256")
        if (verdict == "uninspected") != (model is None) or (model is None) != (sha256 is None):
            self._note(f"Frame {frame} has the verdict {verdict}, model {model}, sha256 {sha256}.")
            return
        if model is None:
            if not result.get("reason"):
                self._note(f"Frame {frame} is uninspected without a reason.")
            return
        first_seen = self._digests.setdefault(str(model), str(sha256))
        if first_seen != sha256:
            self._note(f"Frame {frame}: {model} has another digest than before.")
        product = result.get("product")
        if self._links is not None and product is not None:
            wanted = self._links.get(product)
            name = str(model).partition("@")[0]
            if name != wanted:
                self._note(
                    f"Frame {frame} shows product {product}, which is linked to {wanted}, "
                    f"but {model} judged it."
                )


def _document(payload: Payload) -> Mapping[str, Any]:
    if isinstance(payload, Mapping):
        return payload
    try:
        read = json.loads(payload)
    except ValueError:
        return {}
    return read if isinstance(read, Mapping) else {}


def _against_receipts(record: _Boot) -> Iterator[str]:
    """Every run must lie where the receipts make its model active."""
    cuts = sorted(record.cuts.values(), key=lambda cut: (cut.frame, cut.at))
    frames = [cut.frame for cut in cuts]
    if not record.runs:
        return
    opening = cuts[0].left if cuts else record.runs[0].model
    for run in record.runs:
        place = bisect_right(frames, run.first)
        in_force = cuts[place - 1].to if place else opening
        if run.model != in_force:
            yield (
                f"Frame {run.first} was judged by {run.model}, but the receipts put "
                f"{in_force or 'no model'} in force there."
            )
        within = cuts[place : bisect_right(frames, run.last)]
        if _leaves_model(within, run):
            yield (
                f"Frame {run.last} was judged by {run.model}, but frame {within[0].frame - 1} was "
                f"to be its last (swap {within[0].swap_id})."
            )


def _leaves_model(within: list[_Cutover], run: _Run) -> bool:
    """Whether a cutover within the run leaves its model for at least one frame."""
    ends = [cut.frame for cut in within[1:]] + [run.last + 1]
    return any(
        cut.to != run.model and end > cut.frame
        for cut, end in zip(within, ends[: len(within)], strict=True)
    )
