"""Brings bundles into slots: verify, load, warm, gate; and out of them again.

One thread for each slot, so that a load that hangs blocks nothing else.
What comes of a job is an event with the job's token; the planner ignores the tokens of jobs that
are over. Nothing here decides: the gate's rules are in `core.gate`.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from edge_daemon.config import GateSettings, SlotsSettings
from edge_daemon.control.bundle_copies import BundleCopies
from edge_daemon.control.comparison import Incumbent
from edge_daemon.control.gate_runner import SPOT_WARM_UPS, WARM_UPS, GateRunner
from edge_daemon.control.golden_looks import Candidate, Deadline
from edge_daemon.control.proofs import Proofs
from edge_daemon.control.rejection import (
    Refused,
    facts_of,
    failed,
    provenance,
    refusal_of,
    refuse_other,
    with_checks,
)
from edge_daemon.control.stages import Stages
from edge_daemon.core.compatibility import requirements
from edge_daemon.core.effects import Free, Prepare, Restore, Verify
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    BundleVerified,
    Event,
    SlotFreed,
    StageReached,
)
from edge_daemon.core.gate import Evidence, Limits, Report, assess
from edge_daemon.core.golden import Golden
from edge_daemon.core.proof import Proof
from edge_daemon.core.values import BundleRef, Check, Recipe, Refusal, StoredBundle
from edge_daemon.core.verdicts import Reference, accept
from edge_daemon.errors import BundleError, Code, EdgeDaemonError
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import contained
from edge_daemon.models.bundle import Manifest, Verified
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.models.versions import provisions, unmet
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.slot import INFER_TIMEOUT_S, Loaded, LoadOrder, Slot

_log = structlog.get_logger(__name__)

RESTORE_BACKOFF_S = (0.0, 0.0, 0.5, 2.0, 5.0, 10.0)
"""Before the n-th restart of a worker in a row; the last one stays."""

THINNER = ("spot", "latency.median", "golden.drop")
"""Checks with less evidence in a spot proof than in the gate: if they fail, the gate decides."""


@dataclass(frozen=True)
class GateProof:
    """What is known of a READY bundle: the proof that goes into receipts."""

    known: StoredBundle
    recipe: Recipe
    checks: tuple[Check, ...] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    swap_id: str = ""  # the operation that proved it
    relied_on: Proof | None = None  # the gate of before, where a spot proof was enough
    golden: tuple[Golden, ...] = ()
    limits: Limits = Limits()

    @property
    def proof(self) -> str:
        """How it was proven: `gate` or `spot`."""
        return "spot" if self.relied_on else "gate"


@dataclass(frozen=True)
class LoaderTools:
    """What every job uses."""

    store: Store
    trust: Trust
    gate: GateSettings
    slots: SlotsSettings
    scratch: Path
    runner: GateRunner
    clock: Clock
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered while a bundle is proven: no spare worker is warmed meanwhile."""
    gpu: str | None = None
    """The compute capability of the device that models run on; None: a CPU."""
    proofs: Proofs | None = None
    """What bundles showed before on this box; None: each is proven by the whole gate."""
    floor_of: Callable[[Recipe], float | None] = lambda _: None
    """Down to which confidence a model reports what counts for nothing; None: not at all."""


@dataclass(frozen=True)
class _Examined:
    """What was examined: by the whole gate, or by a spot proof that relies on an earlier one."""

    report: Report
    evidence: Evidence
    relied_on: Proof | None = None


class Loader:
    """Performs the effects Prepare, Verify, Restore and Free, and posts their results."""

    def __init__(
        self,
        tools: LoaderTools,
        active_slot: ActiveSlot,
        post: Callable[[Event], None],
        incumbent: Callable[[], Manifest | None],
    ) -> None:
        self._tools = tools
        self._active_slot = active_slot
        self._post = post
        self._incumbent = incumbent
        self._stopping = threading.Event()
        names = [*active_slot.slots, ""]  # the last thread checks bundles that get no slot yet
        self._executors = {
            name: ThreadPoolExecutor(1, thread_name_prefix=f"loader-{name}") for name in names
        }
        self.proofs: dict[str, GateProof] = {}
        self._given_up: set[str] = set()  # slots whose work was ended: it is not wanted any more
        self._copies = BundleCopies(tools.store, tools.trust, tools.scratch)
        self._private = (str(tools.scratch), str(tools.store.root))
        self._reached: dict[str, StageReached] = {}  # by slot: each has one writer

    def proof_of(self, known: StoredBundle) -> GateProof | None:
        """The proof of a bundle that is resident."""
        return next((d for d in tuple(self.proofs.values()) if d.known == known), None)

    def recipe_of(self, ref: BundleRef | None) -> Recipe | None:
        """The recipe of a version that the store knows."""
        try:
            return self._tools.store.manifest(ref).recipe if ref else None
        except EdgeDaemonError:
            return None

    @property
    def stages(self) -> dict[int, str]:
        """The stage of the newest job of each slot, by its token; any thread."""
        return {each.token: each.stage for each in tuple(self._reached.values())}

    # ------------------------------------------------------------------ actions

    def prepare(self, action: Prepare) -> None:
        """Prove the bundle in its slot, or refuse it and leave the slot empty."""
        self._executors[action.slot].submit(self._prepare, action)

    def restore(self, action: Restore) -> None:
        """Load a bundle again that was proven in this boot."""
        self._executors[action.slot].submit(self._restore, action)

    def verify(self, action: Verify) -> None:
        """Check a bundle on disk without loading it."""
        self._executors[""].submit(self._verify, action)

    def free(self, action: Free) -> None:
        """End what runs in the slot, then empty it."""
        self._given_up.add(action.slot)
        self._active_slot.slots[action.slot].kill()
        self._executors[action.slot].submit(self._free, action)

    def close(self) -> None:
        """Kill every worker and wait for the executors; nothing is posted any more."""
        self._stopping.set()
        for slot in self._active_slot.slots.values():
            slot.kill()
        for executor in self._executors.values():
            executor.shutdown(wait=True, cancel_futures=True)
        for slot in self._active_slot.slots.values():
            slot.close()
        self._copies.clear_all()

    # ------------------------------------------------------------------ jobs

    def _prepare(self, job: Prepare) -> None:
        log = _log.bind(swap_id=job.swap_id, model=str(job.target.ref), slot=job.slot)
        stages = Stages(lambda stage: self._reach(job.slot, job.token, stage), self._tools.clock)
        slot = self._vacant(job.slot)
        proof: list[Check] = []
        with contained() as attempt, self._tools.quiet():
            self.proofs[job.slot] = gate_proof = self._prove(job, slot, stages, proof)
        if (error := attempt.fault) is not None:  # whatever it was becomes the job's answer
            refusal = refusal_of(error, job.target, self._private)
            refusal = with_checks(refusal, proof, stages.current)
            slot.free()
            self._copies.clear(job.slot)
            if job.slot in self._given_up:
                log.info("load_given_up")
            else:
                log.warning("bundle_refused", **facts_of(error, refusal))
            self._post(BundleRefused(job.token, refusal))
            return
        self._active_slot.ready(job.slot, job.token)
        log.info("bundle_proven", proof=gate_proof.proof, stages_ms=dict(gate_proof.stages_ms))
        self._post(BundleProven(job.token))

    def _prove(self, job: Prepare, slot: Slot, stages: Stages, proof: list[Check]) -> GateProof:
        """`proof` collects the checks that passed, for the answer when a later one fails."""
        stages.enter("verify")
        verified = self._copies.verify(job.target, job.slot, job.token)
        proof += provenance(verified)
        self._refuse_lacking(verified.manifest, proof)
        stages.enter("load")
        urgent = job.urgent or self._active_slot.pointer.slot is None
        loaded = self._load(slot, verified, job.swap_id, urgent=urgent)
        limit_ms = self._tools.gate.load_timeout_s * 1e3
        proof.append(Check("load", True, round(loaded.load_ms), limit_ms, "ms"))
        refuse_other(verified.manifest, loaded, proof)
        candidate = Candidate(
            slot,
            verified,
            loaded,
            self._incumbent_of(job.target),
            self._reference(job.reference, verified.manifest),
        )
        examined = self._examine(job, candidate, stages, proof)
        stages.end()
        report = examined.report
        if not report.passed:
            raise Refused(failed(report))
        if self._tools.proofs is not None and examined.relied_on is None:
            self._tools.proofs.keep(verified, examined.evidence, report)
        return GateProof(
            job.target,
            verified.manifest.recipe,
            report.checks,
            dict(stages.ms),
            job.swap_id,
            examined.relied_on,
            examined.evidence.golden if examined.evidence else (),
            verified.manifest.limits,
        )

    def _examine(
        self, job: Prepare, candidate: Candidate, stages: Stages, proof: list[Check]
    ) -> _Examined:
        """A spot proof where the bundle was proven before; otherwise, or if it differs from the
        record, the gate.

        What fails on as much evidence as the gate has gets no second chance.
        """
        settings, runner, slot = self._tools.gate, self._tools.runner, candidate.slot
        proofs, verified = self._tools.proofs, candidate.verified
        deadline = self._deadline()
        stages.enter("warm")
        known = proofs.recall(verified) if proofs else None
        inferences = max(WARM_UPS, settings.warm_up_inferences)
        warm_ups = runner.warm(slot, SPOT_WARM_UPS if known else inferences, deadline)
        stages.enter("gate")
        if known and proofs:
            start = zlib.crc32(job.swap_id.encode())  # another one each time, also after a restart
            spot, evidence = runner.spot(candidate, warm_ups, known, start, deadline)
            report = self._judge(job, verified.manifest, evidence, (*proof, spot))
            enough = [check for check in report.failed if check.name not in THINNER]
            if evidence is not None and (report.passed or enough):
                return _Examined(report, evidence, known)
            why = [f"{check.name}: {check.note}" for check in report.failed]
            _log.warning("spot_proof_failed", model=str(job.target.ref), why=why)
            if not spot.passed:
                proofs.forget(job.target, known)
            warm_ups = runner.warm(slot, inferences, deadline)
        evidence = runner.evidence(candidate, warm_ups, deadline)
        return _Examined(self._judge(job, verified.manifest, evidence, proof), evidence)

    def _judge(
        self, job: Prepare, manifest: Manifest, evidence: Evidence | None, proof: Iterable[Check]
    ) -> Report:
        """The checks so far and those of the evidence; some may be accepted."""
        limits = manifest.limits.no_looser_than(self._tools.gate.latency_ratio)
        measured = assess(evidence, limits).checks if evidence else ()
        return Report((*proof, *accept(measured, job.accepted, job.accepted_why)))

    def _restore(self, job: Restore) -> None:
        log = _log.bind(model=str(job.target.ref), slot=job.slot)
        wait_s = RESTORE_BACKOFF_S[min(job.attempt, len(RESTORE_BACKOFF_S) - 1)]
        if wait_s and self._stopping.wait(wait_s):
            return
        slot = self._vacant(job.slot)
        with contained() as attempt:
            kept = self._copies.find(job.target, job.slot)
            verified = kept or self._copies.verify(job.target, job.slot, job.token)
            loaded = self._load(slot, verified, urgent=True)
            self._tools.runner.wake(slot, self._deadline())
        if (error := attempt.fault) is not None:
            refusal = refusal_of(error, job.target, self._private)
            slot.free()
            if isinstance(error, BundleError):  # was the copy damaged? The next one is made anew
                self._copies.clear(job.slot)
            log.error("restore_failed", **facts_of(error, refusal))
            self._post(BundleRefused(job.token, refusal))
            return
        slot.promote()
        self._active_slot.ready(job.slot, job.token)
        log.warning("slot_restored", attempt=job.attempt, load_ms=round(loaded.load_ms, 1))
        self._post(BundleProven(job.token))

    def _verify(self, job: Verify) -> None:
        self._reach("", job.token, "verify")
        proof: list[Check] = []
        with contained() as attempt:
            verified = self._copies.verify(job.target, "check", job.token)
            proof += provenance(verified)
            self._refuse_lacking(verified.manifest, proof)
        self._copies.clear("check")
        if (error := attempt.fault) is not None:
            refusal = with_checks(refusal_of(error, job.target, self._private), proof, "verify")
            self._post(BundleRefused(job.token, refusal))
            return
        self._post(BundleVerified(job.token))

    def _free(self, job: Free) -> None:
        self._given_up.discard(job.slot)
        self._vacant(job.slot).let_go()  # the next load waits for its end, after its check
        self._copies.clear(job.slot)
        self.proofs.pop(job.slot, None)
        self._post(SlotFreed(job.token))

    # ------------------------------------------------------------------ parts

    def _vacant(self, name: str) -> Slot:
        """The slot, once no frame is in it; a worker that hangs is ended."""
        slot = self._active_slot.slots[name]
        if not self._active_slot.vacate(name, INFER_TIMEOUT_S):
            slot.kill()
        return slot

    def _load(self, slot: Slot, verified: Verified, swap_id: str = "", *, urgent: bool) -> Loaded:
        order = LoadOrder.of(verified, self._tools.slots.device, swap_id)
        floor = self._tools.floor_of(verified.manifest.recipe)
        order = replace(order, urgent=urgent, floor=floor)
        return slot.load(order, self._tools.gate.load_timeout_s)

    def _deadline(self) -> Deadline:
        clock = self._tools.clock
        return Deadline(clock.now().at + self._tools.gate.timeout_s, clock)

    def _reach(self, slot: str, token: int, stage: str) -> None:
        reached = self._reached[slot] = StageReached(token, stage)
        self._post(reached)

    def _refuse_lacking(self, manifest: Manifest, proof: list[Check]) -> None:
        """Refuse what this box lacks: loading it would fail with a worse message."""
        check = requirements(unmet(manifest.requires, provisions(self._tools.gpu)))
        proof.append(check)
        if check.passed:
            return
        message = f"{manifest.ref} needs what this box does not have: {check.note}."
        hint = "Install it, or build the bundle for this box."
        raise Refused(Refusal(Code.INCOMPATIBLE, message, hint, tuple(proof)))

    def _incumbent_of(self, target: StoredBundle) -> Incumbent | None:
        manifest = self._incumbent()
        if manifest is None or manifest.ref.name != target.ref.name:
            return None
        return Incumbent(manifest)

    def _reference(self, ref: BundleRef | None, candidate: Manifest) -> Reference | None:
        """The version to compare verdicts with; None also where the store has lost it."""
        if ref is None:
            return None
        try:
            before = self._tools.store.manifest(ref)
        except EdgeDaemonError as error:
            _log.warning("reference_not_read", model=str(ref), error=error.message)
            return None
        return Reference(
            str(ref),
            before.recipe,
            before.weights.sha256 == candidate.weights.sha256,
            tuple((image.sha256, image.expectation) for image in before.golden),
        )
