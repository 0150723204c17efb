"""What is told about a refused bundle: who is to blame, the checks so far, and our own words.

Only here does an error of a bundle become a refusal that leaves the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import Report, assess_compatibility
from edge_daemon.core.values import Check, Refusal, StoredBundle
from edge_daemon.core.verdicts import is_acceptable
from edge_daemon.core.wording import public
from edge_daemon.errors import BundleError, Code, EdgeDaemonError
from edge_daemon.models.bundle import Manifest, Verified
from edge_daemon.slots.slot import Loaded

_log = structlog.get_logger(__name__)


class Refused(Exception):  # noqa: N818 - carries a value from a job's depth to its end
    """A refusal with its final wording."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refusal_of(error: Exception, target: StoredBundle, private: Sequence[str]) -> Refusal:
    """Who is to blame, in words that may leave this box; `private` are folders of the box."""
    refusal = _blamed(error)
    message, hint = public(refusal.message, private), public(refusal.hint, private)
    if isinstance(error, BundleError) and str(target.ref) not in message:
        message = public(f"{target.ref}: {message}")
    return replace(refusal, message=message, hint=hint)


def facts_of(error: Exception, refusal: Refusal) -> dict[str, str]:
    """The same for the log, with what a library said."""
    detail = getattr(error, "detail", "")
    facts = {"error_code": refusal.code.value, "error": refusal.message}
    return {**facts, "detail": detail} if detail else facts


def provenance(verified: Verified) -> tuple[Check, ...]:
    """What the existence of a private copy proves."""
    signer = verified.signer.name if verified.signer else None
    note = "" if signer else "nobody signed it, and no signature is required here"
    return (
        Check("integrity", True, verified.sha256, verified.sha256, "every byte is the manifest's"),
        Check("signature", True, signer, note=note),
    )


def refuse_other(manifest: Manifest, loaded: Loaded, proof: list[Check]) -> None:
    """Refuse weights that are not what the manifest says, before they see a frame."""
    report = assess_compatibility(
        Compatibility(
            manifest.task,
            loaded.task,
            manifest.classes,
            loaded.classes,
            head_classes=loaded.head_classes,
        )
    )
    if not report.passed:
        raise Refused(failed(Report((*proof, *report.checks))))


_STAGE_CHECKS = {"verify": "integrity", "load": "load", "warm": "warm_up", "gate": "gate"}


def with_checks(refusal: Refusal, proof: Sequence[Check], stage: str) -> Refusal:
    """The refusal with the checks that were passed, and the one that it ended at."""
    name = _STAGE_CHECKS.get(stage)
    if refusal.checks or name is None:
        return refusal
    if refusal.code is Code.NOT_TRUSTED:
        name = "signature"
    return replace(refusal, checks=(*proof, Check(name, False, note=refusal.message)))


def failed(report: Report) -> Refusal:
    """The refusal for a report with a failed check."""
    code = report.code or Code.GATE_FAILED
    hint = "The checks say what was measured; a better version has a new number."
    if is_acceptable(report.checks):
        names = ", ".join(f'"{check.name}"' for check in report.failed)
        hint = f'If this is meant, prepare or swap it with "accept": [{names}] and a reason.'
    return Refusal(code, report.message, hint, report.checks, code is Code.NO_MEMORY)


def _blamed(error: Exception) -> Refusal:
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, EdgeDaemonError):
        timed_out = error.code is Code.LOAD_TIMEOUT
        box = not isinstance(error, BundleError) and not timed_out
        return replace(Refusal.of(error), blames_box=box)
    _log.error("job_failed", error=repr(error), exc_info=error)
    message = f"The daemon failed while it prepared the bundle ({type(error).__name__})."
    return Refusal(Code.LOAD_FAILED, message, "See the log.", blames_box=True)
