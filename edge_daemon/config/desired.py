"""The desired-state file: which version of each model a fleet wants on this station, and a hold.

models:
  BTL-500: bottle@1.4.0     # a product, or the bundle's name
  can: can@1.0.0
hold: false                 # left out: as it is
reason: rollout 2026-11     # for receipts and the audit trail
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge_daemon.config.fields import model_choice
from edge_daemon.config.file import Finding, found_by_pydantic, read_document
from edge_daemon.core.desired import Desired
from edge_daemon.core.text import is_line
from edge_daemon.core.values import BundleRef
from edge_daemon.documents import Document

MOST_MODELS = 256


def _version(value: Any) -> BundleRef:
    choice = model_choice(value)
    if choice.version is None:
        raise ValueError("should be name@version: what is desired is one version")
    return BundleRef(choice.name, choice.version)


def _line(text: str) -> str:
    if not is_line(text):
        raise ValueError("should be one line of printable characters")
    return text


class _File(BaseModel):
    """What may stand in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Annotated[BundleRef, BeforeValidator(_version)]] = Field(
        default_factory=dict, max_length=MOST_MODELS
    )
    hold: bool | None = None
    reason: Annotated[str, AfterValidator(_line)] = Field(default="", max_length=1_000)


def read_desired(
    path: Path, links: Mapping[str, str]
) -> tuple[Desired | None, tuple[Finding, ...]]:
    """The content of the file and no findings, or None and at least one finding.

    `links`: product -> bundle name, of the settings.
    """
    document = read_document(path)
    if isinstance(document, Finding):
        return None, (document,)
    if not isinstance(document.value, dict):
        return None, (Finding(path, 1, "", "wishes for nothing", "Write models: or hold:."),)
    try:
        read = _File.model_validate(document.value)
    except ValidationError as error:
        return None, found_by_pydantic(path, document, error, _File)
    wishes, findings = _resolve(path, document, read.models, links)
    if findings:
        return None, findings
    return Desired(wishes, read.hold, read.reason, _digest(wishes, read)), ()


def _resolve(
    path: Path, document: Document, models: Mapping[str, BundleRef], links: Mapping[str, str]
) -> tuple[tuple[BundleRef, ...], tuple[Finding, ...]]:
    """One version for each bundle name, or why there is none."""
    wishes: dict[str, BundleRef] = {}
    findings = []
    for key, ref in models.items():
        message, hint = _fault(key, ref, wishes, links)
        if message:
            line = document.line(("models", key))
            findings.append(Finding(path, line, f"models.{key}", message, hint))
        wishes.setdefault(ref.name, ref)
    return tuple(wishes.values()), tuple(findings)


def _fault(
    key: str, ref: BundleRef, wishes: Mapping[str, BundleRef], links: Mapping[str, str]
) -> tuple[str, str]:
    linked = links.get(key)
    if linked is not None and linked != ref.name:
        return f"is linked to {linked}, but {ref} is desired", "Change links in the settings first."
    if linked is None and key != ref.name:
        return f"is neither a linked product nor the name of {ref}", _known(links)
    if ref.name not in links.values() and (links or wishes):
        return f"names {ref.name}, which no product is linked to", _known(links)
    earlier = wishes.get(ref.name, ref)
    if earlier != ref:
        return f"wants {ref}, but another line wants {earlier}", "A line has one version of each."
    return "", ""


def _known(links: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{product} ({name})" for product, name in sorted(links.items()))
    return f"Linked in the settings: {pairs}." if pairs else "The settings link no product."


def _digest(wishes: tuple[BundleRef, ...], read: _File) -> str:
    """Of the meaning, not of the text: a comment or another order of keys is no change."""
    said = [sorted(str(ref) for ref in wishes), read.hold, read.reason]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
