"""`model.yaml` as frozen values: what a bundle says of itself, checked key by key.

Unknown keys at the top are only noted, so that a bundle of a newer daemon stays readable.
Unknown keys inside the tables that decide something (weights, input, recipe, golden, limits) are
refused: a limit that is not understood would be a check that is not made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Union

from edge_daemon.core.compatibility import CLASSIFY, FILE_SUFFIXES, OPENVINO_SUFFIX, TASKS
from edge_daemon.core.gate import Limits
from edge_daemon.core.golden import Expectation, ExpectedBox
from edge_daemon.core.recent import RecentLimits
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.values import Plan
from edge_daemon.core.values import BundleRef, Recipe, Verdict
from edge_daemon.core.verdicts import VerdictLimits
from edge_daemon.errors import BundleError, PlanError
from edge_daemon.models.document import Table, parse_document
from edge_daemon.models.files import PLAIN_PATH, is_inner_path
from edge_daemon.models.recipe import read_recipe
from edge_daemon.models.versions import is_specifier, is_version

MANIFEST_FILE = "model.yaml"
SIGNATURE_FILE = "model.sig"
SCHEMA = 1

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

MAX_WEIGHTS_BYTES = 16 << 30
MAX_IMAGE_BYTES = 64 << 20
MAX_GOLDEN = 500

ImageSize = Union[int, tuple[int, int]]
"""The network's input in pixels: the side of a square, or (height, width)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_REQUIRABLE = ("ultralytics", "torch", "tensorrt", "gpu")


@dataclass(frozen=True)
class Weights:
    """The weights as declared: a file or OpenVINO folder below the bundle, digest, bytes in all."""

    file: str
    sha256: str
    size: int

    @property
    def is_folder(self) -> bool:
        return self.file.endswith(OPENVINO_SUFFIX)


@dataclass(frozen=True)
class GoldenImage:
    """One calibration image: path below the bundle, digest (None: only a signature covers it)."""

    image: str
    sha256: str | None
    expectation: Expectation


@dataclass(frozen=True)
class Manifest:
    """One bundle's `model.yaml`. `sha256` is the digest of the file's own bytes."""

    ref: BundleRef
    sha256: str
    weights: Weights
    task: str
    classes: tuple[str, ...]
    imgsz: ImageSize
    recipe: Recipe
    limits: Limits = field(default_factory=Limits)
    golden: tuple[GoldenImage, ...] = ()
    requires: Mapping[str, str] = field(default_factory=dict)
    products: tuple[str, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    rollout: Plan | None = None
    """How it wants to be tried beside the version before; None: as the station is used to."""
    notes: tuple[str, ...] = ()


def parse_manifest(content: bytes) -> Manifest:
    """Read the bytes of a `model.yaml`; raises BundleError(invalid_bundle) naming the key."""
    top = parse_document(content, MANIFEST_FILE)
    if top.whole("schema", 0, 1 << 31) != SCHEMA:
        raise top.wrong("schema", f"must be {SCHEMA}; a newer daemon may read this bundle")
    classes = top.texts("classes", 1000)
    if not classes:
        raise top.wrong("classes", "must list at least one class")
    recipe = read_recipe(top.table("recipe"), classes)
    task = _task(top)
    return Manifest(
        ref=BundleRef(_name(top), _version(top)),
        sha256=hashlib.sha256(content).hexdigest(),
        weights=_weights(top.table("weights")),
        task=task,
        classes=classes,
        imgsz=_imgsz(top.table("input")),
        recipe=recipe,
        limits=_limits(top.table("limits")),
        golden=_golden(top, task, classes, recipe),
        requires=MappingProxyType(_requires(top.table("requires"))),
        products=top.texts("products", 1000),
        lineage=MappingProxyType(top.plain("lineage")),
        metrics=MappingProxyType(top.plain("metrics")),
        rollout=_rollout(top),
        notes=tuple(f"{key!r} is not known and was not read" for key in top.unknown(*_KNOWN)),
    )


_KNOWN = (
    *("schema", "name", "version", "weights", "task", "classes", "input", "requires"),
    *("products", "recipe", "golden", "limits", "lineage", "metrics", "rollout"),
    "canary_traffic",
)


def _rollout(top: Table) -> Plan | None:
    """`rollout`, or its short form."""
    if "canary_traffic" in top:
        if "rollout" in top:
            raise top.wrong("canary_traffic", "says what rollout says too; leave one of them out")
        plain: Mapping[str, Any] = {"canary_traffic": top.number("canary_traffic", 0.0, 1.0)}
    elif "rollout" in top:
        plain = top.plain("rollout")
    else:
        return None
    try:
        return read_plan(plain)
    except PlanError as error:
        hint = "Correct the bundle and add it anew."
        raise BundleError(f"{MANIFEST_FILE}: {error.message}", hint=hint) from error


def _name(top: Table) -> str:
    name = top.text("name")
    if not _NAME.fullmatch(name):
        raise top.wrong(
            "name",
            "must begin with a letter (A to Z) or digit and be 1 to 64 of them, '.', '_' or '-'",
        )
    return name


def _version(top: Table) -> str:
    version = top.text("version")
    if not is_version(version):
        raise top.wrong(
            "version", "must be a version such as 1.4.0: letters, digits, '.', '_', '+' and '-'"
        )
    return version


def _task(top: Table) -> str:
    task = top.text("task")
    if task not in TASKS:
        raise top.wrong("task", f"is {task!r}; supported are {', '.join(TASKS)}")
    return task


def _sha256(table: Table) -> str:
    if "sha256" not in table:
        raise table.wrong("sha256", "is missing; 'edge-daemon models digest PATH' prints it")
    digest = table.text("sha256")
    if not _SHA256.fullmatch(digest):
        raise table.wrong("sha256", "must be 64 hexadecimal digits")
    return digest.lower()


def _weights(table: Table) -> Weights:
    table.refuse_unknown("file", "sha256", "size")
    file = table.text("file")
    if not is_inner_path(file):
        raise table.wrong("file", f"must be a path inside the bundle: {PLAIN_PATH}")
    if not file.endswith((*FILE_SUFFIXES, OPENVINO_SUFFIX)):
        raise table.wrong(
            "file",
            f"must end in {', '.join(FILE_SUFFIXES)} or be a folder named …{OPENVINO_SUFFIX}",
        )
    if file.split("/")[0] == "golden":
        raise table.wrong("file", "must not lie in golden/")
    return Weights(file, _sha256(table), table.whole("size", 1, MAX_WEIGHTS_BYTES))


def _imgsz(table: Table) -> ImageSize:
    table.refuse_unknown("imgsz")
    if not table.is_list("imgsz"):
        return _side(table, table.whole("imgsz", 32, 4096))
    height, width = table.numbers("imgsz", 2, 32, 4096)
    return _side(table, height), _side(table, width)


def _side(table: Table, pixels: float) -> int:
    if pixels % 32:
        raise table.wrong("imgsz", "must be a multiple of 32")
    return int(pixels)


def _limits(table: Table) -> Limits:
    usual = Limits()
    table.refuse_unknown(
        "min_recall",
        "min_precision",
        "max_slice_drop",
        "latency_ratio",
        "min_agreement",
        "max_count_drift",
        "max_confidence_shift",
        *_VERDICT_LIMITS,
    )

    def asked(key: str, highest: float) -> float | None:
        return table.number(key, 0.0, highest) if key in table else None

    return Limits(
        min_recall=table.number("min_recall", 0.0, 1.0, usual.min_recall),
        min_precision=table.number("min_precision", 0.0, 1.0, usual.min_precision),
        max_slice_drop=table.number("max_slice_drop", 0.0, 1.0, usual.max_slice_drop),
        latency_ratio=table.number("latency_ratio", 0.01, 1000.0, usual.latency_ratio),
        recent=RecentLimits(
            asked("min_agreement", 1.0),
            asked("max_count_drift", 1000.0),
            asked("max_confidence_shift", 1.0),
        ),
        verdicts=_verdict_limits(table),
    )


_VERDICT_LIMITS = ("max_escape", "max_false_reject", "max_missed")


def _verdict_limits(table: Table) -> VerdictLimits:
    usual = VerdictLimits()
    return VerdictLimits(
        table.number("max_escape", 0.0, 1.0, usual.max_escape),
        table.number("max_false_reject", 0.0, 1.0, usual.max_false_reject),
        table.number("max_missed", 0.0, 1.0, usual.max_missed),
        tuple(key for key in _VERDICT_LIMITS if key in table),
    )


def _requires(table: Table) -> dict[str, str]:
    table.refuse_unknown(*_REQUIRABLE)
    wanted = {key: table.text(key) for key in _REQUIRABLE if key in table}
    for key, specifier in wanted.items():
        if not is_specifier(specifier):
            raise table.wrong(key, "must be a version range such as '>=8.3,<9'")
    return wanted


def _golden(
    top: Table, task: str, classes: tuple[str, ...], recipe: Recipe
) -> tuple[GoldenImage, ...]:
    expectation = _expected_class if task == CLASSIFY else _expectation
    images = tuple(
        _golden_image(entry, expectation(entry, classes))
        for entry in top.tables("golden", MAX_GOLDEN)
    )
    for image in images:
        for cause in image.expectation.causes:
            if cause not in {rule.id for rule in recipe.rules}:
                raise top.wrong("golden", f"expects the cause {cause!r}, which is no rule's id")
        if image.expectation.verdict is Verdict.EMPTY and recipe.part is None:
            raise top.wrong("golden", "expects empty, which only a recipe with a part ever says")
    if len({image.image for image in images}) < len(images):
        raise top.wrong("golden", "names an image twice; each may stand once")
    return images


def _golden_image(entry: Table, expectation: Expectation) -> GoldenImage:
    entry.refuse_unknown("image", "sha256", "slice", "expect")
    image = entry.text("image")
    if not is_inner_path(image) or not image.startswith("golden/"):
        raise entry.wrong("image", f"must be a path inside golden/: {PLAIN_PATH}")
    if not image.lower().endswith(IMAGE_SUFFIXES):
        raise entry.wrong("image", f"must end in {', '.join(IMAGE_SUFFIXES)}")
    digest = _sha256(entry) if "sha256" in entry else None
    return GoldenImage(image, digest, expectation)


def _expectation(entry: Table, classes: tuple[str, ...]) -> Expectation:
    part = entry.text("slice", "all")
    if "expect" not in entry:
        raise entry.wrong("expect", "must list boxes, or be {count: N}")
    if entry.is_list("expect"):
        return Expectation(part, tuple(_box(box, classes) for box in entry.tables("expect", 1000)))
    expect = entry.table("expect")
    expect.refuse_unknown("count", "verdict", "causes")
    count = expect.whole("count", 0, 1000) if "count" in expect else None
    verdict, causes = _expected_verdict(expect)
    if count is None and verdict is None:
        raise entry.wrong("expect", "must list boxes, or say a count or a verdict")
    return Expectation(part, None, count, verdict, causes)


def _expected_class(entry: Table, classes: tuple[str, ...]) -> Expectation:
    """What a classifier must say of the image: its class, the verdict, or both."""
    part = entry.text("slice", "all")
    if entry.is_list("expect"):
        raise entry.wrong("expect", "must be {class: NAME}: a classifier has no boxes")
    expect = entry.table("expect")
    expect.refuse_unknown("class", "verdict", "causes")
    boxes = (ExpectedBox(_class(expect, classes), None),) if "class" in expect else None
    verdict, causes = _expected_verdict(expect)
    if boxes is None and verdict is None:
        raise entry.wrong("expect", "must say a class or a verdict")
    return Expectation(part, boxes, None, verdict, causes)


def _expected_verdict(expect: Table) -> tuple[Verdict | None, tuple[str, ...]]:
    """With the rules that it must break."""
    verdict = None
    if "verdict" in expect:
        word = expect.text("verdict")
        if word not in _SAYABLE:
            raise expect.wrong("verdict", f"must be one of {', '.join(_SAYABLE)}")
        verdict = Verdict(word)
    causes = expect.texts("causes", 1000)
    if causes and verdict is not Verdict.NG:
        raise expect.wrong("causes", "belong to verdict: ng")
    return verdict, causes


_SAYABLE = (Verdict.OK.value, Verdict.NG.value, Verdict.EMPTY.value)


def _box(table: Table, classes: tuple[str, ...]) -> ExpectedBox:
    table.refuse_unknown("class", "box")
    label = _class(table, classes)
    x1, y1, x2, y2 = table.numbers("box", 4, 0.0, 65536.0)
    if not (x1 < x2 and y1 < y2):
        raise table.wrong("box", "must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return ExpectedBox(label, (x1, y1, x2, y2))


def _class(table: Table, classes: tuple[str, ...]) -> str:
    label = table.text("class")
    if label not in classes:
        raise table.wrong("class", f"is {label!r}, which is not one of the classes")
    return label
