"""The plan of a rollout: as asked for, or as signed, within the bounds of the station."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edge_daemon.core.rollout.bounds import bounded
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.values import Bounds, Plan, Truth
from edge_daemon.core.values import BundleRef, Refusal
from edge_daemon.errors import Code, EdgeDaemonError
from edge_daemon.models.store import Store


@dataclass(frozen=True)
class RolloutPlans:
    """Reads plans; any thread may call it. `audit`: share of the passed parts that are drawn."""

    store: Store
    bounds: Bounds
    audit: float = 0.0

    def of(self, text: str, candidate: BundleRef) -> Plan | Refusal:
        """`text`: the plan of the request as JSON; empty: the bundle's own, or the usual one."""
        try:
            plan = read_plan(json.loads(text)) if text else self.store.manifest(candidate).rollout
        except EdgeDaemonError as error:
            return Refusal.of(error)
        plan = plan or read_plan({})
        refusal = self._unsupported(plan)
        if refusal is not None:
            return refusal
        plan = bounded(plan, self.bounds)
        if plan.stages:
            return plan
        return _refusal(
            "The station allows none of the plan's stages.",
            "Begin it with a shadow stage, or change rollouts in the settings.",
        )

    def _unsupported(self, plan: Plan) -> Refusal | None:
        """What a plan asks for and this station does not do: better refused than left out."""
        if Truth.AUDIT in plan.truth and not self.audit:
            message = "The plan takes its truth from an audit, and no passed part is drawn here."
            hint = "Set parts.audit to the share to be looked at, or leave audit out of truth."
            return _refusal(message, hint)
        allowed = {hook.url for hook in self.bounds.notify}
        for hook in plan.notify:
            if hook.url not in allowed:
                message = f"The plan would call {hook.url}, which the settings do not allow."
                hint = "Add the address to rollouts.notify in the settings, or leave it out."
                return _refusal(message, hint)
        return None


def _refusal(message: str, hint: str) -> Refusal:
    return Refusal(Code.INVALID_PLAN, message, hint)
