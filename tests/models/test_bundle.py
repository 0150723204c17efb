"""A good bundle is read as it is, and its copy is the very bytes that were checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_daemon.core.values import Adjustable, BundleRef, Rule, Verdict
from edge_daemon.core.zones import Zone
from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.bundle import digest_of, read_manifest, verified_copy
from edge_daemon.models.files import Folder
from edge_daemon.models.manifest import parse_manifest
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle, noise


def test_a_manifest_is_read_into_values(tmp_path: Path) -> None:
    """Everything that model.yaml says is there, typed; what is not known is only noted."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest |= {"products": ["BTL-500"], "requires": {"torch": ">=2"}, "colour": "green"}
        manifest["input"] = {"imgsz": [320, 640]}

    folder = make_bundle(tmp_path, "bottle@1.4.0", edit=edit)
    manifest = read_manifest(folder)
    assert manifest.ref == BundleRef("bottle", "1.4.0")
    assert manifest.classes == ("bottle", "scratch", "dent")
    assert manifest.imgsz == (320, 640)
    assert manifest.recipe.reject == {"scratch", "dent"}
    assert manifest.limits.min_recall == 0.9
    assert manifest.products == ("BTL-500",)
    assert dict(manifest.requires) == {"torch": ">=2"}
    assert [image.expectation.slice for image in manifest.golden] == ["normal", "low_light"]
    assert manifest.golden[1].expectation.count == 1
    assert manifest.notes == ("'colour' is not known and was not read",)
    assert manifest.sha256 == hashlib.sha256((folder / "model.yaml").read_bytes()).hexdigest()


def test_rules_and_expected_verdicts_are_read(tmp_path: Path) -> None:
    """The shorthand comes first, each rule has an id and the recipe's confidence by default."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["recipe"] = {
            "confidence": 0.4,
            "reject": ["dent"],
            "rules": [
                {
                    "class": "scratch",
                    "confidence": 0.6,
                    "area_px": {"min": 60},
                    "count": {"max": 1},
                },
                {"id": "caps", "class": "bottle", "count": {"min": 6, "max": 6}},
            ],
        }
        manifest["golden"][0]["expect"] = {"verdict": "ng", "causes": ["scratch"]}
        manifest["golden"][1]["expect"] = {"count": 1, "verdict": "ok"}
        manifest["limits"] |= {"max_escape": 0.1, "max_missed": 0.3}

    manifest = read_manifest(make_bundle(tmp_path, edit=edit))
    assert manifest.recipe.rules == (
        Rule("dent", "dent", 0.4, at_most=0),
        Rule("scratch", "scratch", 0.6, at_most=1, min_area_px=60.0),
        Rule("caps", "bottle", 0.4, at_least=6, at_most=6),
    )
    assert manifest.recipe.lowest_confidence == 0.4
    first, second = (image.expectation for image in manifest.golden)
    assert (first.verdict, first.causes, first.expected_count) == (Verdict.NG, ("scratch",), None)
    assert (second.verdict, second.expected_count) == (Verdict.OK, 1)
    verdicts = manifest.limits.verdicts
    assert (verdicts.max_escape, verdicts.max_false_reject, verdicts.max_missed) == (0.1, 0.1, 0.3)
    assert verdicts.asked == ("max_escape", "max_missed")


BODY = [[0.1, 0.2], [0.9, 0.2], [0.9, 1], [0.1, 1]]


def test_zones_a_part_and_what_may_be_tuned_are_read(tmp_path: Path) -> None:
    """As the manual shows them."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["recipe"] = {
            "confidence": 0.35,
            "part": "bottle",
            "reject": ["dent"],
            "zones": {"body": BODY},
            "rules": [
                {"class": "scratch", "confidence": 0.4, "zone": "body", "count": {"max": 0}},
                {"id": "one", "class": "bottle", "area_px": {"max": 9000}, "count": {"min": 1}},
            ],
            "adjustable": {
                "scratch.confidence": [0.3, 0.6],
                "dent.count.max": [0, 2],
                "one.area_px.max": [5000, 10000],
            },
        }
        manifest["golden"][0]["expect"] = {"verdict": "empty"}

    manifest = read_manifest(make_bundle(tmp_path, edit=edit))
    recipe = manifest.recipe
    body = Zone("body", ((0.1, 0.2), (0.9, 0.2), (0.9, 1.0), (0.1, 1.0)))
    assert (recipe.part, recipe.zones) == ("bottle", (body,))
    assert [rule.zone for rule in recipe.rules] == [None, body, None]
    assert recipe.adjustable[0] == Adjustable("scratch.confidence", 0.3, 0.6)
    assert recipe.lowest_confidence == 0.3
    assert manifest.golden[0].expectation.verdict is Verdict.EMPTY


def test_a_fault_of_a_zone_names_its_line(tmp_path: Path) -> None:
    """Also deep inside a list."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["recipe"]["zones"] = {"body": [*BODY[:3], [0.1, 1.01]]}

    folder = make_bundle(tmp_path, edit=edit)
    with pytest.raises(BundleError) as refused:
        read_manifest(folder)
    line = int(refused.value.message.split(":")[1])
    assert "1.01" in "".join((folder / "model.yaml").read_text().splitlines()[line - 1 : line + 2])
    assert "recipe.zones.body" in refused.value.message


@pytest.mark.parametrize("file", ["weights.pt", "w.torchscript", "w.engine", "w_openvino_model"])
def test_a_copy_holds_the_declared_bytes(tmp_path: Path, file: str) -> None:
    """Weights (a file or a folder) and golden images arrive unchanged, readable by us alone."""
    folder = make_bundle(tmp_path / "store", file=file)
    manifest = read_manifest(folder)
    verified = verified_copy(manifest, folder, tmp_path / "private", Trust())
    assert verified.sha256 == manifest.weights.sha256
    assert digest_of(verified.weights) == (manifest.weights.sha256, manifest.weights.size)
    assert [path.is_file() for path in verified.golden] == [True, True]
    assert verified.signer is None
    assert verified.folder.stat().st_mode & 0o077 == 0


def test_the_digest_of_a_folder_is_the_documented_one(tmp_path: Path) -> None:
    """Sorted lines of path, size and SHA-256, parted by NUL, ended by LF, hashed once more."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"1")
    lines = f"a\0001\0{hashlib.sha256(b'1').hexdigest()}\n"
    lines += f"b/x\0002\0{hashlib.sha256(b'12').hexdigest()}\n"
    assert digest_of(tmp_path) == (hashlib.sha256(lines.encode()).hexdigest(), 3)


def test_a_signed_copy_names_its_signer(tmp_path: Path, line_keys: Any) -> None:
    """The key that vouched for the copy is told."""
    folder = make_bundle(tmp_path / "store", key=line_keys.private)
    verified = verified_copy(read_manifest(folder), folder, tmp_path / "copy", line_keys.trust)
    assert verified.signer == line_keys.public


def test_golden_digests_may_be_missing_where_a_signature_covers_them(
    tmp_path: Path, line_keys: Any
) -> None:
    """With a trusted signature the manifest need not repeat the images' digests."""
    folder = make_bundle(tmp_path / "store", edit=_without_golden_digests, key=line_keys.private)
    manifest = read_manifest(folder)
    verified = verified_copy(manifest, folder, tmp_path / "copy", line_keys.trust)
    assert verified.signer is not None
    for image in manifest.golden:
        copied = verified.folder / image.image
        assert copied.read_bytes() == (folder / image.image).read_bytes()


def _without_golden_digests(manifest: dict[str, Any]) -> None:
    for entry in manifest["golden"]:
        del entry["sha256"]


def _swap_weights(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(noise("another"))


def _swap_image(folder: Path) -> None:
    image = folder / "golden" / "0000.png"
    image.write_bytes(image.read_bytes()[::-1])


def _swap_manifest(folder: Path) -> None:
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("0.35", "0.99"))


def _link_weights(folder: Path) -> None:
    (folder / "weights.pt").rename(folder.parent / "elsewhere.pt")
    (folder / "weights.pt").symlink_to("../elsewhere.pt")


def _remove_weights(folder: Path) -> None:
    (folder / "weights.pt").unlink()


def _add_file(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text("")


@pytest.mark.parametrize(
    ("swap", "code"),
    [
        (_swap_weights, Code.DIGEST_MISMATCH),
        (_swap_image, Code.DIGEST_MISMATCH),
        (_swap_manifest, Code.DIGEST_MISMATCH),
        (_link_weights, Code.INVALID_BUNDLE),
        (_remove_weights, Code.INVALID_BUNDLE),
        (_add_file, Code.INVALID_BUNDLE),
    ],
)
def test_what_is_swapped_after_the_look_is_not_loaded(
    tmp_path: Path, swap: Callable[[Path], None], code: Code
) -> None:
    """Between reading the manifest and copying, no change of any file goes through."""
    folder = make_bundle(tmp_path / "store")
    manifest = read_manifest(folder)
    swap(folder)
    with pytest.raises(BundleError) as caught:
        verified_copy(manifest, folder, tmp_path / "copy", Trust())
    assert caught.value.code is code
    assert not (tmp_path / "copy").exists()


def test_the_copy_does_not_change_with_its_source(tmp_path: Path) -> None:
    """Once verified, the bytes to be loaded are out of reach of whoever writes the store."""
    folder = make_bundle(tmp_path / "store")
    verified = verified_copy(read_manifest(folder), folder, tmp_path / "copy", Trust())
    _swap_weights(folder)
    assert digest_of(verified.weights)[0] == verified.sha256


def test_a_folder_that_cannot_be_written_blames_the_box(tmp_path: Path) -> None:
    """A copy that cannot be made is this box's fault, not the bundle's."""
    folder = make_bundle(tmp_path / "store")
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxError):
        verified_copy(read_manifest(folder), folder, tmp_path / "file" / "copy", Trust())


def test_a_copy_never_lands_on_an_existing_folder(tmp_path: Path) -> None:
    """A destination that is already there is not this call's own: refused, and left as it was."""
    folder = make_bundle(tmp_path / "store")
    (tmp_path / "copy").mkdir()
    with pytest.raises(BoxError):
        verified_copy(read_manifest(folder), folder, tmp_path / "copy", Trust())
    assert (tmp_path / "copy").is_dir()


def test_looking_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """A thousand looks at good and bad bundles cost not one descriptor."""
    good, bad = make_bundle(tmp_path), make_bundle(tmp_path, "bottle@2.0.0")
    _link_weights(bad)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_manifest(good)
        with pytest.raises(BundleError):
            read_manifest(bad)
        with Folder(bad) as opened, pytest.raises(BundleError):
            opened.open("weights.pt")
    assert len(os.listdir("/proc/self/fd")) == before


def test_words_that_yaml_1_1_bends_are_names(tmp_path: Path) -> None:
    """A class may be called `no`, `on` or `1:30`; the number 1.10 is still no version."""
    folder = make_bundle(tmp_path, classes=("bottle", "scratch", "dent"))
    text = (folder / "model.yaml").read_text()
    manifest = yaml.safe_load(text) | {"classes": []}
    listed = "classes: [bottle, scratch, dent, no, on, y, 1:30, 2026-11-22, 0x1F]\n"
    plain = yaml.safe_dump({k: v for k, v in manifest.items() if k != "classes"}) + listed
    classes = parse_manifest(plain.encode()).classes
    assert classes[3:] == ("no", "on", "y", "1:30", "2026-11-22", "0x1F")
    with pytest.raises(BundleError, match=r"model\.yaml:\d+: version must be text"):
        parse_manifest(plain.replace("version: 1.0.0", "version: 1.10").encode())


def test_a_fault_has_its_line_and_key(tmp_path: Path) -> None:
    """As for the settings: an editor leads there."""
    lines = yaml.safe_dump(SOUND, sort_keys=False).splitlines()
    line = lines.index("  size: 10") + 1
    lines[line - 1] = "  size: much"
    with pytest.raises(BundleError, match=rf"^model\.yaml:{line}: weights\.size must be"):
        parse_manifest("\n".join(lines).encode())
    with pytest.raises(BundleError, match=r"^model\.yaml:2: has the character U\+0096"):
        parse_manifest("schema: 1\n# \x96\n".encode())


YAMLISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["detect", "weights.pt", "1.0.0", "golden/a.png", "a" * 64, "dent"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["file", "sha256", "size", "imgsz", "image", "expect", "class", "box", "count"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
KEYS = ["schema", "name", "version", "weights", "task", "classes", "input", "requires"]
KEYS += ["products", "recipe", "golden", "limits", "lineage", "metrics"]
SOUND: dict[str, Any] = {
    "schema": 1,
    "name": "bottle",
    "version": "1.0.0",
    "weights": {"file": "weights.pt", "sha256": "a" * 64, "size": 10},
    "task": "detect",
    "classes": ["bottle", "dent"],
    "input": {"imgsz": 320},
}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"2026-13-45: 1")
@example(b"{? [a]: b}")
@example(b"schema: !!python/object/apply:os.system [true]")
@example(b"schema: " + b"9" * 5000)
@example(b"schema: 0b")
@example(b"<<: 1")
@example(b"schema: 1:2:3.4e999")
@example(b"!!set {a, b}")
@example(b"\xff\xfe")
@example(b"&a a: *a")
@example(b"---\na: 1\n---\nb: 1")
@settings(max_examples=150, deadline=None)
def test_no_bytes_whatever_raise_anything_but_a_bundle_error(content: bytes) -> None:
    """Bytes from strangers are refused in words; nothing else comes out."""
    with pytest.raises(BundleError) as caught:
        parse_manifest(content)
    assert caught.value.code is Code.INVALID_BUNDLE
    assert caught.value.hint


@given(st.dictionaries(st.sampled_from(KEYS), YAMLISH, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_wrong_value_raises_anything_but_a_bundle_error(changes: dict[str, Any]) -> None:
    """Any value in any place is read or refused by its key; what is read has the right types."""
    with contextlib.suppress(BundleError):
        manifest = parse_manifest(yaml.safe_dump(SOUND | changes).encode())
        assert manifest.weights.size > 0
        assert len(set(manifest.classes)) == len(manifest.classes) > 0
        assert manifest.recipe.reject <= set(manifest.classes)
