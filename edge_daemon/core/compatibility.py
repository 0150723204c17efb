"""Compatibility: do the weights, the manifest and this box belong together?

Harmless differences are allowed and named in a note; anything else is a check that fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.values import Check
from edge_daemon.core.wording import LABEL, listed, shortened

TASKS = ("detect", "segment", "pose", "obb", "classify")
"""The tasks that are supported: their results are upright boxes with a class, which is what a
recipe judges. The manifest, the engine and the gate all read this table."""

CLASSIFY = "classify"
"""The task whose one result is the class of the whole picture."""

FILE_SUFFIXES = (".pt", ".torchscript", ".onnx", ".engine")
OPENVINO_SUFFIX = "_openvino_model"
"""Files of weights, and the name by which ultralytics knows a folder of OpenVINO."""


@dataclass(frozen=True)
class Compatibility:
    """What manifest, engine and incumbent say of themselves.

    `incumbent_classes` and `incumbent_reject` are those of the active version of the same name;
    None across products, where classes differ by design. `head_classes` is how many classes the
    network's head gives; None where its output does not tell.
    """

    manifest_task: str
    engine_task: str
    manifest_classes: tuple[str, ...]
    engine_classes: tuple[str, ...]
    incumbent_classes: tuple[str, ...] | None = None
    incumbent_reject: frozenset[str] = frozenset()
    head_classes: int | None = None


def compare(facts: Compatibility) -> tuple[Check, ...]:
    """The checks that need no inference; all named `compatibility.…`."""
    return (_task(facts), _classes(facts), *_incumbent_classes(facts))


def requirements(unmet: tuple[str, ...]) -> Check:
    """Whether this box has what a bundle requires; `unmet` has a sentence for each lack."""
    return Check("compatibility.requires", not unmet, note="; ".join(unmet))


def _task(facts: Compatibility) -> Check:
    judging = facts.manifest_task in TASKS
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
    """Three sources must agree: the head, the names in the weights, and the manifest."""
    declared, real, head = facts.manifest_classes, facts.engine_classes, facts.head_classes
    passed = bool(declared) and declared == real and head in (None, len(real))
    note = "" if passed else _class_difference(declared, real, head)
    return Check("compatibility.classes", passed, listed(real), listed(declared), note)


def _class_difference(declared: tuple[str, ...], real: tuple[str, ...], head: int | None) -> str:
    if declared != real and _are_made_up(real):
        return f"the file has no class names, and the bundle declares {listed(declared)}"
    if head is not None and head != len(real):
        return (
            f"the numbers of classes differ: {head} in the head and {len(real)} names,"
            f" {len(declared)} in the bundle"
        )
    missing = [label for label in declared if label not in real]
    extra = [label for label in real if label not in declared]
    parts = []
    if missing:
        parts.append(f"the weights do not know {listed(missing)}")
    if extra:
        parts.append(f"the bundle does not declare {listed(extra)}")
    if not parts:
        pairs = enumerate(zip(real, declared, strict=False))
        moved = next((at for at, (theirs, ours) in pairs if theirs != ours), None)
        if moved is None:
            return "a class stands there more than once"
        theirs, ours = shortened(real[moved], LABEL), shortened(declared[moved], LABEL)
        return f"class {moved} is {theirs!r} in the weights and {ours!r} in the bundle"
    return ", ".join(parts)


def _are_made_up(names: tuple[str, ...]) -> bool:
    """Whether a library invented the names because the file has none: `class0`, `class1`, …"""
    numbers = range(len(names))
    return names in (tuple(f"class{each}" for each in numbers), tuple(map(str, numbers)))


def _incumbent_classes(facts: Compatibility) -> tuple[Check, ...]:
    """If a class is missing that the active model rejects, its defects would pass unnoticed."""
    if facts.incumbent_classes is None:
        return ()
    new, old = facts.manifest_classes, facts.incumbent_classes
    lost = [label for label in old if label not in new]
    harmful = [label for label in lost if label in facts.incumbent_reject]
    gained = [label for label in new if label not in old]
    remarks = []
    if harmful:
        remarks.append(f"{listed(harmful)} made parts ng until now and would not be found")
    if harmless := [label for label in lost if label not in harmful]:
        remarks.append(f"no longer known: {listed(harmless)}")
    if gained:
        remarks.append(f"new: {listed(gained)}")
    if not lost and not gained and new != old:
        remarks.append("the same classes in another order")
    name = "compatibility.incumbent"
    return (Check(name, not harmful, listed(new), listed(old), "; ".join(remarks)),)
