"""One table of wrong and hostile bundles, each refused with the code that names its fault."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle
from tests.sim.words import assert_public

Break = Callable[[Path], None]

INVALID, MISMATCH, UNTRUSTED = Code.INVALID_BUNDLE, Code.DIGEST_MISMATCH, Code.NOT_TRUSTED


def put(*path: str | int, value: Any) -> Break:
    """Set one key of model.yaml."""

    def broken(folder: Path) -> None:
        manifest = yaml.safe_load((folder / "model.yaml").read_text())
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        (folder / "model.yaml").write_text(yaml.safe_dump(manifest))

    return broken


def rule(**changes: Any) -> Break:
    """One rule beside `reject`, wrong as said."""
    return put("recipe", "rules", value=[{"class": "bottle", "count": {"max": 9}} | changes])


def drop(*path: str | int) -> Break:
    return put(*path, value=None)


def text(content: str) -> Break:
    """Put other text before the manifest's own."""

    def broken(folder: Path) -> None:
        file = folder / "model.yaml"
        file.write_text(content + file.read_text())

    return broken


def flip(name: str) -> Break:
    """Change one bit in the middle of a file."""

    def broken(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return broken


def replace(name: str, content: bytes) -> Break:
    return lambda folder: (folder / name).write_bytes(content) and None


def truncate(name: str) -> Break:
    return lambda folder: os.truncate(folder / name, 100)


def remove(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def extra(name: str) -> Break:
    def broken(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("import os")

    return broken


def symlink(name: str) -> Break:
    def broken(folder: Path) -> None:
        aside = folder.parent / "aside"
        (folder / name).rename(aside)
        (folder / name).symlink_to(aside)

    return broken


def hard_link(folder: Path) -> None:
    os.link(folder / "weights.pt", folder.parent / "other-name")


def fifo(name: str) -> Break:
    def broken(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return broken


def flip_uncovered(folder: Path) -> None:
    flip("golden/0003.png")(folder)


def move(folder: Path) -> None:
    """A bundle that calls itself otherwise than its folder."""
    put("version", value="9.9.9")(folder)


def deep(folder: Path) -> None:
    text("deep: " + "[" * 5000 + "]" * 5000 + "\n")(folder)


def bomb(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    text("\n".join(lines) + "\n")(folder)


def anchor(folder: Path) -> None:
    text("notes: &a x\n")(folder)


def huge(folder: Path) -> None:
    text("# " + "x" * (2 << 20) + "\n")(folder)


def many(folder: Path) -> None:
    text("notes: [" + "1," * 30_000 + "]\n")(folder)


def folder_for_weights(folder: Path) -> None:
    (folder / "weights.pt").unlink()
    (folder / "weights.pt").mkdir()


CASES: dict[str, tuple[Break, Code]] = {
    # the bytes
    "a flipped bit in the weights": (flip("weights.pt"), MISMATCH),
    "a flipped bit in an image": (flip("golden/0000.png"), MISMATCH),
    "truncated weights": (truncate("weights.pt"), MISMATCH),
    "a wrong size": (put("weights", "size", value=4095), MISMATCH),
    "a wrong digest": (put("weights", "sha256", value="0" * 64), MISMATCH),
    "a wrong golden digest": (put("golden", 0, "sha256", value="0" * 64), MISMATCH),
    "a golden digest missing, unsigned": (drop("golden", 0, "sha256"), INVALID),
    # the files
    "no manifest": (remove("model.yaml"), INVALID),
    "no weights": (remove("weights.pt"), INVALID),
    "no image": (remove("golden/0001.png"), INVALID),
    "an extra file": (extra("sitecustomize.py"), INVALID),
    "an extra image": (extra("golden/0009.png"), INVALID),
    "a hidden git file": (extra(".gitignore"), INVALID),
    "an extra folder": (lambda folder: (folder / ".git").mkdir(), INVALID),
    "symlinked weights": (symlink("weights.pt"), INVALID),
    "a symlinked manifest": (symlink("model.yaml"), INVALID),
    "a symlinked image": (symlink("golden/0000.png"), INVALID),
    "a symlinked golden folder": (symlink("golden"), INVALID),
    "hard-linked weights": (hard_link, INVALID),
    "a pipe for weights": (fifo("weights.pt"), INVALID),
    "a pipe for the manifest": (fifo("model.yaml"), INVALID),
    "a pipe for an image": (fifo("golden/0000.png"), INVALID),
    "a folder for weights": (folder_for_weights, INVALID),
    # the paths
    "traversal": (put("weights", "file", value="../weights.pt"), INVALID),
    "inner traversal": (put("weights", "file", value="golden/../weights.pt"), INVALID),
    "an absolute path": (put("weights", "file", value="/etc/weights.pt"), INVALID),
    "a hidden name": (put("weights", "file", value=".weights.pt"), INVALID),
    "a back slash": (put("weights", "file", value="a\\weights.pt"), INVALID),
    "a NUL": (put("weights", "file", value="weights\0.pt"), INVALID),
    "an executable": (put("weights", "file", value="weights.py"), INVALID),
    "an image outside": (put("golden", 0, "image", value="../0000.png"), INVALID),
    "an image not in golden": (put("golden", 0, "image", value="weights.pt"), INVALID),
    "an image twice": (put("golden", 1, "image", value="golden/0000.png"), INVALID),
    # the YAML
    "an alias bomb": (bomb, INVALID),
    "an anchor": (anchor, INVALID),
    "deep nesting": (deep, INVALID),
    "a huge manifest": (huge, INVALID),
    "too many values": (many, INVALID),
    "a Python object": (text("x: !!python/object/apply:os.getcwd []\n"), INVALID),
    "a key twice": (text("name: can\n"), INVALID),
    "no YAML": (text("{"), INVALID),
    "no mapping": (replace("model.yaml", b"[1]"), INVALID),
    # the values
    "another schema": (put("schema", value=2), INVALID),
    "true for the schema": (put("schema", value=True), INVALID),
    "a number for the version": (put("version", value=1.0), INVALID),
    "a word for the version": (put("version", value="latest"), INVALID),
    "a path for the name": (put("name", value="../bottle"), INVALID),
    "another name": (put("name", value="can"), INVALID),
    "another version": (move, INVALID),
    "an unknown task": (put("task", value="dance"), INVALID),
    "a task that is not supported": (put("task", value="depth"), INVALID),
    "no classes": (put("classes", value=[]), INVALID),
    "a class twice": (put("classes", value=["bottle", "dent", "dent"]), INVALID),
    "a class that YAML reads as false": (put("classes", value=["scratch", "dent", False]), INVALID),
    "a mapping for classes": (put("classes", value={0: "dent"}), INVALID),
    "an unknown class to reject": (put("recipe", "reject", value=["crack"]), INVALID),
    "an unknown class expected": (
        put("golden", 0, "expect", value=[{"class": "crack", "box": [0, 0, 1, 1]}]),
        INVALID,
    ),
    "a box inside out": (
        put("golden", 0, "expect", value=[{"class": "dent", "box": [9, 0, 1, 1]}]),
        INVALID,
    ),
    "a box of three": (
        put("golden", 0, "expect", value=[{"class": "dent", "box": [0, 1, 1]}]),
        INVALID,
    ),
    "nothing expected": (drop("golden", 0, "expect"), INVALID),
    "a negative count": (put("golden", 1, "expect", "count", value=-1), INVALID),
    "a confidence above one": (put("recipe", "confidence", value=1.5), INVALID),
    "a rule for an unknown class": (rule(**{"class": "crack"}), INVALID),
    "a rule that nothing breaks": (rule(count={}), INVALID),
    "a rule that nothing holds": (rule(count={"min": 3, "max": 2}), INVALID),
    "a rule with a key nobody knows": (rule(region="body"), INVALID),
    "a rule in a zone that is not there": (rule(zone="body"), INVALID),
    "a part that is no class": (put("recipe", "part", value="jar"), INVALID),
    "a part that is rejected": (put("recipe", "part", value="dent"), INVALID),
    "empty expected without a part": (
        put("golden", 0, "expect", value={"verdict": "empty"}),
        INVALID,
    ),
    "zones in a list": (put("recipe", "zones", value=[[0, 0]]), INVALID),
    "a zone of two points": (put("recipe", "zones", value={"z": [[0, 0], [1, 1]]}), INVALID),
    "a zone in pixels": (put("recipe", "zones", value={"z": [[0, 0], [9, 0], [9, 9]]}), INVALID),
    "a zone of single numbers": (put("recipe", "zones", value={"z": [0, 1, 2]}), INVALID),
    "a zone of NaN": (
        put("recipe", "zones", value={"z": [[0, 0], [float("nan"), 0], [1, 1]]}),
        INVALID,
    ),
    "a zone that crosses itself": (
        put("recipe", "zones", value={"z": [[0, 0], [1, 1], [1, 0], [0, 1]]}),
        INVALID,
    ),
    "an adjustable that is no rule's": (
        put("recipe", "adjustable", value={"crack.confidence": [0.1, 0.9]}),
        INVALID,
    ),
    "an adjustable that nobody knows": (
        put("recipe", "adjustable", value={"scratch.colour": [0, 1]}),
        INVALID,
    ),
    "bounds beside the recipe's own": (
        put("recipe", "adjustable", value={"scratch.confidence": [0.9, 0.95]}),
        INVALID,
    ),
    "bounds of a confidence above one": (
        put("recipe", "adjustable", value={"scratch.confidence": [0.1, 1.5]}),
        INVALID,
    ),
    "half a count": (put("recipe", "adjustable", value={"scratch.count.max": [0, 1.5]}), INVALID),
    "an area inside out": (rule(area_px={"min": 9, "max": 3}), INVALID),
    "a rule with the id of another": (rule(id="scratch"), INVALID),
    "an unknown verdict expected": (put("golden", 0, "expect", value={"verdict": "good"}), INVALID),
    "a cause that is no rule": (
        put("golden", 0, "expect", value={"verdict": "ng", "causes": ["crack"]}),
        INVALID,
    ),
    "a cause of ok": (
        put("golden", 0, "expect", value={"verdict": "ok", "causes": ["dent"]}),
        INVALID,
    ),
    "an expectation of nothing": (put("golden", 0, "expect", value={}), INVALID),
    "an escape above one": (put("limits", "max_escape", value=1.5), INVALID),
    "true for a confidence": (put("recipe", "confidence", value=True), INVALID),
    "a negative limit": (put("limits", "min_recall", value=-0.1), INVALID),
    "a limit of NaN": (put("limits", "max_slice_drop", value=float("nan")), INVALID),
    "an infinite limit": (put("limits", "latency_ratio", value=float("inf")), INVALID),
    "true for a limit": (put("limits", "min_recall", value=True), INVALID),
    "a limit nobody knows": (put("limits", "min_recal", value=0.9), INVALID),
    "an odd image size": (put("input", "imgsz", value=321), INVALID),
    "a giant image size": (put("input", "imgsz", value=32000), INVALID),
    "a size of zero": (put("weights", "size", value=0), INVALID),
    "a short digest": (put("weights", "sha256", value="9f"), INVALID),
    "a range that is none": (put("requires", value={"torch": "newest"}), INVALID),
}


def accept(folder: Path, copy: Path, trust: Trust) -> None:
    verified_copy(read_manifest(folder), folder, copy, trust)


@pytest.mark.parametrize(("break_it", "code"), CASES.values(), ids=CASES.keys())
def test_a_bad_bundle_is_refused_by_its_code(tmp_path: Path, break_it: Break, code: Code) -> None:
    """Each fault gives its code, one sentence and a next step; nothing of it is left behind."""
    folder = make_bundle(tmp_path / "store")
    break_it(folder)
    with pytest.raises(BundleError) as caught:
        accept(folder, tmp_path / "copy", Trust())
    assert caught.value.code is code, caught.value
    assert caught.value.message.endswith(".")
    assert_public(caught.value.message, caught.value.hint)
    assert caught.value.hint
    assert not (tmp_path / "copy").exists()


SIGNED_CASES: dict[str, tuple[Break, Code]] = {
    "unsigned": (remove("model.sig"), UNTRUSTED),
    "an edited manifest": (put("recipe", "confidence", value=0.99), UNTRUSTED),
    "a limit taken away": (put("limits", "min_recall", value=0.0), UNTRUSTED),
    "flipped weights": (flip("weights.pt"), MISMATCH),
    "a flipped image": (flip("golden/0000.png"), MISMATCH),
    "a flipped image that only the signature covers": (flip_uncovered, UNTRUSTED),
    "a flipped bit in the signature": (flip("model.sig"), UNTRUSTED),
    "a truncated signature": (truncate("model.sig"), UNTRUSTED),
    "an empty signature": (
        lambda folder: (folder / "model.sig").write_bytes(b"") and None,
        UNTRUSTED,
    ),
    "a list for a signature": (replace("model.sig", b"[]"), UNTRUSTED),
    "a symlinked signature": (symlink("model.sig"), INVALID),
    "a git file that signing skips": (extra(".gitignore"), INVALID),
}


@pytest.mark.parametrize(("break_it", "code"), SIGNED_CASES.values(), ids=SIGNED_CASES.keys())
def test_a_signed_bundle_that_was_touched_is_refused(
    tmp_path: Path, line_keys: Any, break_it: Break, code: Code
) -> None:
    """After the signature no file can be changed, taken away or added."""

    def uncover(manifest: dict[str, Any]) -> None:
        del manifest["golden"][3]["sha256"]

    folder = make_bundle(tmp_path / "store", golden=4, edit=uncover, key=line_keys.private)
    break_it(folder)
    with pytest.raises(BundleError) as caught:
        accept(folder, tmp_path / "copy", line_keys.trust)
    assert caught.value.code is code, caught.value
    assert_public(caught.value.message, caught.value.hint)


def test_consistent_forgery_is_refused(tmp_path: Path, line_keys: Any) -> None:
    """Other weights with a manifest that fits them are still not what was signed."""
    good = make_bundle(tmp_path / "store", key=line_keys.private)
    forged = make_bundle(tmp_path / "forger", weights=b"other")
    shutil.copy(good / "model.sig", forged / "model.sig")
    with pytest.raises(BundleError) as caught:
        accept(forged, tmp_path / "copy", line_keys.trust)
    assert caught.value.code in (UNTRUSTED, MISMATCH)


def test_another_bundles_signature_vouches_for_nothing(
    tmp_path: Path, line_keys: Any, other_keys: Any
) -> None:
    """Signed by a key that this box does not know, a bundle is as good as unsigned."""
    folder = make_bundle(tmp_path / "store", key=other_keys.private)
    with pytest.raises(BundleError) as caught:
        accept(folder, tmp_path / "copy", line_keys.trust)
    assert caught.value.code is UNTRUSTED
    assert "line.pub" in caught.value.message
