"""Compatibility: do the weights, the manifest and this box belong together?

Harmless differences are allowed and named in a note; anything else is a check that fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.core.values import Check

JUDGING_TASKS = ("detect", "segment", "pose")
"""Tasks whose results are upright boxes with a class, which is what a recipe judges."""


@dataclass(frozen=True)
class Compatibility:
    """What manifest, engine and incumbent say of themselves.

    `incumbent_classes` and `incumbent_reject` are those of the active version of the same name;
    None across products, where classes differ by design. `unmet` are requirements of the bundle
    that this box does not meet, a sentence each.
    """

    manifest_task: str
    engine_task: str
    manifest_classes: tuple[str, ...]
    engine_classes: tuple[str, ...]
    incumbent_classes: tuple[str, ...] | None = None
    incumbent_reject: frozenset[str] = frozenset()
    unmet: tuple[str, ...] = ()


def compare(facts: Compatibility) -> tuple[Check, ...]:
    """The checks that need no inference; all named `compatibility.…`."""
    return (_requirements(facts), _task(facts), _classes(facts), *_incumbent_classes(facts))


def _requirements(facts: Compatibility) -> Check:
    return Check("compatibility.requires", not facts.unmet, note="; ".join(facts.unmet))


def _task(facts: Compatibility) -> Check:
    judging = facts.manifest_task in JUDGING_TASKS
    same = facts.manifest_task == facts.engine_task
    note = ""
    if not judging:
        note = f"a model that does {facts.manifest_task} gives no boxes to judge"
    elif not same:
        note = f"the bundle says {facts.manifest_task}, the weights say {facts.engine_task}"
    return Check(
        "compatibility.task", judging and same, facts.engine_task, facts.manifest_task, note
    )


def _classes(facts: Compatibility) -> Check:
    declared, real = facts.manifest_classes, facts.engine_classes
    passed = bool(declared) and declared == real
    note = "" if passed else _class_difference(declared, real)
    return Check("compatibility.classes", passed, _listed(real), _listed(declared), note)


def _class_difference(declared: tuple[str, ...], real: tuple[str, ...]) -> str:
    missing = [label for label in declared if label not in real]
    extra = [label for label in real if label not in declared]
    parts = []
    if missing:
        parts.append(f"the weights do not know {_listed(missing)}")
    if extra:
        parts.append(f"the bundle does not declare {_listed(extra)}")
    if not parts:
        pairs = enumerate(zip(real, declared, strict=False))
        moved = next((at for at, (theirs, ours) in pairs if theirs != ours), None)
        if moved is None:
            return "a class stands there more than once"
        return (
            f"class {moved} is {real[moved]!r} in the weights and {declared[moved]!r} in the bundle"
        )
    return ", ".join(parts)


def _incumbent_classes(facts: Compatibility) -> tuple[Check, ...]:
    """A lost class that the incumbent rejects would let its defects pass in silence."""
    if facts.incumbent_classes is None:
        return ()
    new, old = facts.manifest_classes, facts.incumbent_classes
    lost = [label for label in old if label not in new]
    harmful = [label for label in lost if label in facts.incumbent_reject]
    gained = [label for label in new if label not in old]
    remarks = []
    if harmful:
        remarks.append(f"{_listed(harmful)} made parts ng until now and would not be found")
    if harmless := [label for label in lost if label not in harmful]:
        remarks.append(f"no longer known: {_listed(harmless)}")
    if gained:
        remarks.append(f"new: {_listed(gained)}")
    if not lost and not gained and new != old:
        remarks.append("the same classes in another order")
    name = "compatibility.incumbent"
    return (Check(name, not harmful, _listed(new), _listed(old), "; ".join(remarks)),)


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(labels)
