"""Receipts of swaps, collected as they happen: who asked, what was measured, when it switched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from edge_daemon.control.loader import GateProof
from edge_daemon.core.gate import found_by_both
from edge_daemon.core.recipe import kept_rules
from edge_daemon.core.shares import Shift, compare
from edge_daemon.core.state import Kind, Operation, State
from edge_daemon.core.trial import Window
from edge_daemon.core.values import BundleRef, Instant, Recipe, StoredBundle
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging import payloads
from edge_daemon.messaging.field_types import CAUSES, AuditHead
from edge_daemon.messaging.times import iso_utc
from edge_daemon.slots.active import Crossed
from edge_daemon.slots.frame_control import FrameControl

KEPT = 256
"""Receipts in memory; older ones are in the journal."""


@dataclass
class _Swap:
    """One swap under way."""

    op: Operation
    began: Instant
    by: str
    accepted_mark: object
    before: Window
    left: StoredBundle | None
    crossed: Crossed | None = None
    crossed_mark: object = None
    receipt: payloads.Receipt | None = None


class Receipts:
    """Opens a receipt when a swap begins and completes it as facts come in."""

    def __init__(
        self,
        boot: str,
        line: FrameControl,
        proof_of: Callable[[StoredBundle], GateProof | None],
        recipe_of: Callable[[BundleRef | None], Recipe | None] = lambda _: None,
        audit_head: Callable[[], Anchor] = Anchor,
    ) -> None:
        self._boot = boot
        self._audit_head = audit_head
        self._recipe_of = recipe_of
        self._line = line
        self._proof_of = proof_of
        self._swaps: dict[str, _Swap] = {}
        self._usual = line.mark()  # a moment some seconds ago: `before` is measured from it
        self._usual_next = self._usual

    def tick(self) -> None:
        """Every few seconds: move the window that counts as `before`."""
        self._usual, self._usual_next = self._usual_next, self._line.mark()

    def open(self, op: Operation, now: Instant, by: str, left: StoredBundle | None) -> bool:
        """A swap begins; a second call for the same one changes nothing and returns False."""
        if op.swap_id in self._swaps:
            return False
        before = self._line.since(self._usual)
        self._swaps[op.swap_id] = _Swap(op, now, by, self._line.mark(), before, left)
        while len(self._swaps) > KEPT:
            del self._swaps[next(iter(self._swaps))]
        return True

    def discard(self, swap_ids: Iterable[str]) -> None:
        """These never began: a later swap may get the same id."""
        for swap_id in swap_ids:
            self._swaps.pop(swap_id, None)

    def crossed(self, swap_id: str, crossed: Crossed, left: StoredBundle | None = None) -> None:
        """The cutover happened: the content of `succeeded` is known now.

        `left`: what judged until then; a different bundle than at the request, if the swap had to
        wait.
        """
        swap = self._swaps.get(swap_id)
        if swap is not None:
            swap.left = left or swap.left
            swap.crossed = crossed
            swap.receipt = self._write(swap)
            swap.crossed_mark = self._line.mark()

    def checks(self, swap_id: str) -> tuple[payloads.CheckLine, ...]:
        """The gate's report on the bundle of a swap, as far as it has got."""
        swap = self._swaps.get(swap_id)
        gate_proof = self._proof_of(swap.op.target) if swap else None
        return payloads.check_lines(gate_proof.checks) if gate_proof else ()

    def finished(self, swap_id: str) -> payloads.Receipt | None:
        """The receipt of a swap that ended well; without a cutover it is the proof of the gate."""
        swap = self._swaps.get(swap_id)
        if swap is not None and swap.receipt is None:
            swap.receipt = self._write(swap)
        return swap.receipt if swap else None

    def trial_ended(self, swap_id: str, verdict: str) -> payloads.Receipt | None:
        """Complete the receipt with what the trial measured and how it ended."""
        swap = self._swaps.get(swap_id)
        if swap is None or swap.receipt is None:
            return None
        after = self._line.since(swap.crossed_mark)
        latency = swap.receipt.latency_ms
        swap.receipt = msgspec.structs.replace(
            swap.receipt,
            frames=payloads.frame_counts(self._line.since(swap.accepted_mark).counts),
            latency_ms=payloads.LatencyAround(
                latency.before_p99, latency.during_p99, _rounded(after.frame_ms.p99)
            ),
            audit=self._audit(),
            trial=verdict,
        )
        return swap.receipt

    def get(self, swap_id: str) -> payloads.Receipt | None:
        """The receipt as it stands; None before the cutover."""
        swap = self._swaps.get(swap_id)
        return swap.receipt if swap else None

    def elapsed_ms(self, swap_id: str, now: Instant) -> float:
        """Since the swap began."""
        swap = self._swaps.get(swap_id)
        return (now.at - swap.began.at) * 1e3 if swap else 0.0

    def trial_windows(self, swap_id: str, now: Instant) -> tuple[Window, Window | None, float]:
        """What the trial judges: during, before (same name only), seconds since the cutover."""
        swap = self._swaps.get(swap_id)
        if swap is None or swap.crossed is None:
            return Window(), None, 0.0
        during = self._line.since(swap.crossed_mark)
        comparable = swap.left is not None and swap.left.ref.name == swap.op.target.ref.name
        return during, swap.before if comparable else None, now.at - swap.crossed.at

    def trial_shift(self, swap_id: str, alpha: float) -> Shift:
        """How the verdicts of the version on trial differ from those of the one before."""
        swap = self._swaps.get(swap_id)
        if swap is None:
            return Shift(unclear="the trial began before this start: verdicts were not compared")
        records = self._line.trial_records(swap.op.target.ref)
        new, old = (self._recipe_of(ref) for ref in (swap.op.target.ref, records.before_ref))
        if new is None or old is None:
            return Shift(unclear="no record of a version before: verdicts were not compared")
        pairs = [(was.id, now.id) for was, now in kept_rules(new, old)]
        whole = len(pairs) == len(old.rules)
        same_part = new.part is not None and new.part == old.part
        return compare(
            records.before, records.during, pairs, whole=whole, alpha=alpha, same_part=same_part
        )

    def _write(self, swap: _Swap) -> payloads.Receipt:
        op, crossed = swap.op, swap.crossed
        request = op.request
        gate_proof = self._proof_of(op.target)
        during = self._line.since(swap.accepted_mark)
        # A bundle that was resident already needed none of them now.
        stages = gate_proof.stages_ms if gate_proof and gate_proof.swap_id == op.swap_id else {}
        return payloads.Receipt(
            swap_id=op.swap_id,
            request_id=request.id if request else None,
            verb=request.verb.value if request else CAUSES[op.kind],
            boot=self._boot,
            from_=str(swap.left.ref) if swap.left else None,
            to=str(op.target.ref),
            sha256=op.target.sha256,
            by=swap.by,
            reason=request.reason if request else "",
            requested_at=iso_utc(swap.began.utc),
            cutover_frame=crossed.frame if crossed else None,
            cutover_at=iso_utc(crossed.utc) if crossed else None,
            pause_ms=round(crossed.pause_ms, 3) if crossed else None,
            stages_ms=payloads.Stages(**stages),
            frames=payloads.frame_counts(during.counts),
            latency_ms=payloads.LatencyAround(
                _rounded(swap.before.frame_ms.p99), _rounded(during.frame_ms.p99)
            ),
            accepted=tuple(c.name for c in gate_proof.checks if c.accepted) if gate_proof else (),
            checks=payloads.check_lines(gate_proof.checks) if gate_proof else (),
            proof=gate_proof.proof if gate_proof else None,
            gate=_gate_of(gate_proof),
            golden=_golden_of(gate_proof),
            audit=self._audit(),
        )

    def _audit(self) -> AuditHead:
        """The audit trail before this receipt; the next row holds the receipt's digest."""
        head = self._audit_head()
        return AuditHead(head.seq, head.hash)


def _gate_of(gate_proof: GateProof | None) -> payloads.GateRun | msgspec.UnsetType:
    """The gate run that a spot proof relies on; otherwise its own checks are in the receipt."""
    relied_on = gate_proof.relied_on if gate_proof else None
    if relied_on is None:
        return msgspec.UNSET
    return payloads.GateRun(iso_utc(relied_on.proven_utc), payloads.check_lines(relied_on.checks))


def _golden_of(
    gate_proof: GateProof | None,
) -> Mapping[str, payloads.FoundObjects] | msgspec.UnsetType:
    found = found_by_both(gate_proof.golden, gate_proof.recipe) if gate_proof else {}
    return {name: payloads.FoundObjects(*counts) for name, counts in found.items()} or msgspec.UNSET


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def by_whom(op: Operation, state: State) -> str:
    """Who asked: a sender, an order, or the daemon itself."""
    if op.request is not None:
        return op.request.by
    if op.kind is Kind.ROLLOUT and state.durable.rollout is not None:
        return state.durable.rollout.by
    order = state.durable.job_order
    return f"order {order}" if op.kind is Kind.CHANGEOVER and order else "edge-daemon"
