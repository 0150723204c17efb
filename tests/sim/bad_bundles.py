"""A table of bundles that must never judge a part: what is wrong with each, and what it is told.

Made from copies of one good bundle of the demo. `signed` says when it is signed: `before` the fault
(an attacker without the key), or `after` it (an honest mistake, or a key in the wrong hands), so
that the fault must be found by what comes after the signature.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.config import dump, parse
from edge_daemon.demo.stage import BUNDLES
from edge_daemon.errors import Code
from edge_daemon.models.bundle import digest_of
from edge_daemon.models.trust import generate_keypair, sign
from tests.models.test_bad_bundles import CASES, drop, flip, put, remove, text, truncate

GOOD = BUNDLES / "bottle" / "1.0.0"

Make = Callable[[Path, Path], None]
"""Gets the bundle's folder, and the folder with the weights made by `tests.sim.bad_weights`."""


@dataclass(frozen=True)
class Case:
    """One bundle. `codes` are what it may be refused with; none: it must be accepted.

    `check`: the check that must be among those failed. `swap_in`: weights that somebody puts in
    its place when the request has come to `swap_at`.
    """

    title: str
    make: Make
    codes: frozenset[str]
    signed: str = "before"
    check: str = ""
    swap_in: str = ""
    swap_at: str = ""
    is_heavy: bool = False  # a worker loads it


def make_weights(folder: Path) -> Path:
    """Make all weights once; returns the canary that must never be there."""
    canary = folder / "canary"
    if not (folder / "writeratload.torchscript").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.sim.bad_weights"]
        command += [str(GOOD / "weights.pt"), str(folder), str(canary)]
        subprocess.run(
            command,
            check=True,
            env=os.environ | {"YOLO_CONFIG_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        generate_keypair(folder, "stranger")
    canary.unlink(missing_ok=True)
    return canary


def place(store: Path, key: Path, version: str, case: Case, made: Path) -> Path:
    """Put one bundle into the store, whole at one moment."""
    incoming = store / ".made" / version / "bottle" / version
    shutil.copytree(GOOD, incoming)
    edit(incoming, version=version)
    if case.signed == "before":
        sign(incoming, key)
    case.make(incoming, made)
    if case.signed == "after":
        sign(incoming, key)
    place = store / "bottle" / version
    incoming.rename(place)
    return place  # what lies beside it in `.made` may be part of the fault: links lead there


def edit(folder: Path, **changes: object) -> None:
    """Change keys of the manifest."""
    manifest = parse((folder / "model.yaml").read_text()).value
    (folder / "model.yaml").write_text(dump(manifest | changes))


def bring(file: str, **changes: object) -> Make:
    """Other weights, described as they are."""

    def make(folder: Path, made: Path) -> None:
        source = made / file
        weights = f"weights{source.suffix}"
        (folder / "weights.pt").unlink()
        shutil.copy(source, folder / weights)
        sha256, size = digest_of(folder / weights)
        described = {"file": weights, "sha256": sha256, "size": size}
        edit(folder, weights=described, **changes)

    return make


def _only(change: Callable[[Path], object]) -> Make:
    def make(folder: Path, _: Path) -> None:
        change(folder)

    return make


def _weights(title: str, file: str, *codes: str, check: str = "", **changes: object) -> Case:
    make = bring(file, **changes)
    return Case(title, make, frozenset(codes), "after", check, is_heavy=True)


def _sign_as_stranger(folder: Path, made: Path) -> None:
    sign(folder, made / "stranger.key")


def _forge(folder: Path, made: Path) -> None:
    """Other weights and a manifest that fits them, under the signature of the good ones."""
    signature = (folder / "model.sig").read_bytes()
    bring("deaf.pt")(folder, made)
    (folder / "model.sig").write_bytes(signature)


def _other_signature(folder: Path, made: Path) -> None:
    """A signature by the right key, of another bundle."""
    edit(folder, notes="another")


def _can(folder: Path, _: Path) -> None:
    bring("weights.pt")(folder, BUNDLES / "can" / "1.0.0")


def _bad_image(folder: Path, _: Path) -> None:
    image = folder / "golden" / "0001.jpg"
    image.write_bytes(b"no picture at all")
    manifest = parse((folder / "model.yaml").read_text()).value
    manifest["golden"][0]["sha256"] = hashlib.sha256(image.read_bytes()).hexdigest()
    (folder / "model.yaml").write_text(dump(manifest))


def _openvino(folder: Path, _: Path) -> None:
    (folder / "weights.pt").unlink()
    inner = folder / "weights_openvino_model"
    inner.mkdir()
    (inner / "weights.xml").write_text("<net/>")
    (inner / "weights.bin").write_bytes(b"0" * 100)
    sha256, size = digest_of(inner)
    edit(folder, weights={"file": inner.name, "sha256": sha256, "size": size})


def _from_the_table() -> list[Case]:
    """Those that need no network; each as somebody without the key would change a good bundle."""
    unlike = ("png", "unsigned", "image", "golden digest", "negative count")
    # A digest that was changed after the signature is told by either.
    digest, untrusted = str(Code.DIGEST_MISMATCH), str(Code.NOT_TRUSTED)
    return [
        Case(
            title, _only(make), frozenset({str(code)} | ({untrusted} if code == digest else set()))
        )
        for title, (make, code) in CASES.items()
        if not any(word in title for word in unlike)
    ]


def _signatures() -> list[Case]:
    untrusted = frozenset({"not_trusted"})
    return [
        Case("unsigned", _only(remove("model.sig")), untrusted),
        Case("a flipped signature", _only(flip("model.sig")), untrusted),
        Case("a cut signature", _only(truncate("model.sig")), untrusted),
        Case("signed by a stranger", _sign_as_stranger, untrusted, "by its maker"),
        Case("a forgery that fits its manifest", _forge, untrusted),
        Case("a note added after the signature", _other_signature, untrusted),
        Case(
            "a limit taken away after the signature",
            _only(put("limits", "min_recall", value=0.0)),
            untrusted,
        ),
        Case(
            "a digest taken away after the signature",
            _only(drop("golden", 0, "sha256")),
            untrusted,
        ),
        Case(
            "a flipped golden image",
            _only(flip("golden/0001.jpg")),
            frozenset({"digest_mismatch"}),
        ),
    ]


def _honest_mistakes() -> list[Case]:
    """Signed by the right key, and wrong all the same."""

    def mistake(title: str, make: Make, *codes: str, heavy: bool = False) -> Case:
        return Case(title, make, frozenset(codes), "after", is_heavy=heavy)

    needs = _only(put("requires", value={"torch": ">=99"}))
    gpu = _only(put("requires", value={"gpu": ">=7"}))
    program = _only(
        lambda folder: text(
            f"x: !!python/object/apply:os.system ['touch {folder.parents[3]}/canary']\n"
        )(folder)
    )
    return [
        mistake("needs another torch", needs, "incompatible"),
        mistake("needs a GPU", gpu, "incompatible"),
        mistake("a task without boxes", _only(put("task", value="depth")), "invalid_bundle"),
        mistake("a manifest that runs a program", program, "invalid_bundle"),
        mistake("a golden image that is none", _bad_image, "invalid_bundle", heavy=True),
        mistake("an OpenVINO folder of nothing", _openvino, "load_failed", heavy=True),
    ]


def _pickles() -> list[Case]:
    load = "load_failed"
    return [
        _weights("weights of noise", "noise.pt", load, check="load"),
        _weights("weights of one byte", "empty.pt", load, check="load"),
        _weights("half of the weights, described as whole", "half.pt", load, check="load"),
        _weights("a pickle with a program", "pickle.pt", load, check="load"),
        _weights("an old pickle with a program", "legacy.pt", load, check="load"),
        _weights("a program beside a good network", "passenger.pt", load, check="load"),
        _weights("a file without a model", "nomodel.pt", load, check="load"),
        _weights("a fork with a module nobody knows", "unknown.pt", load, "incompatible"),
        _weights("a zip bomb", "bomb.pt", load, "no_memory"),
        _weights("a tensor of 32 GiB in two bytes", "swollen.pt", "no_memory", load),
        _weights("TorchScript of noise", "noise.torchscript", load),
        _weights("ONNX of noise", "noise.onnx", load),
        _weights("ONNX with its data in /etc/passwd", "external.onnx", load, "invalid_bundle"),
        _weights("ONNX that asks for 256 GiB", "hog.onnx", "no_memory", load),
        _weights("a native engine of noise", "noise.engine", load, "incompatible"),
    ]


def _programs() -> list[Case]:
    """TorchScript: programs that the safe loader of pickles never sees."""
    wrote = ("load_failed", "gate_failed")
    return [
        _weights("a loader that hangs", "hangatload.torchscript", "load_timeout"),
        _weights("a loader that takes all memory", "hogatload.torchscript", "no_memory"),
        _weights("a loader that writes a file", "writeratload.torchscript", *wrote),
        _weights("a model that hangs", "hang.torchscript", "load_timeout"),
        _weights("a model that takes all memory", "hogatwork.torchscript", "no_memory"),
        _weights("a model that writes a file", "writer.torchscript", *wrote),
        _weights("a model that reads /etc/shadow", "reader.torchscript", *wrote),
        _weights("a model that fails at its 15th inference", "late.torchscript", "gate_failed"),
    ]


def _networks() -> list[Case]:
    failed = "gate_failed"
    worse = {"min_recall": 0.3, "max_slice_drop": 0.05, "latency_ratio": 100}
    slow = {"min_recall": 0.3, "max_slice_drop": 0.05, "latency_ratio": 1.5}
    return [
        _weights("a fork that fails at its first inference", "fork.pt", failed, "load_failed"),
        _weights("NaN weights", "nan.pt", failed),
        _weights("one infinite weight", "infinity.pt", failed),
        _weights("a model that finds nothing", "deaf.pt", failed, check="golden.recall"),
        _weights("a model that finds everything", "everything.pt", failed),
        _weights("renamed classes", "renamed.pt", "incompatible", check="compatibility.classes"),
        _weights("permuted outputs", "permuted.pt", failed, check="golden.recall"),
        _weights("a model for brighter light", "worse.pt", failed),
        _weights(
            "a model worse in low light only",
            "dim.torchscript",
            failed,
            check="golden.drop",
            limits=worse,
        ),
        _weights("a slow model", "slow.torchscript", failed, check="latency.median", limits=slow),
        Case(
            "the can's model under a bottle's name",
            _can,
            frozenset({"incompatible"}),
            "after",
            is_heavy=True,
        ),
    ]


def _recipe(**recipe: object) -> Make:
    return _only(lambda folder: edit(folder, recipe={"confidence": 0.35, **recipe}))


def _rules(*rules: dict[str, object]) -> Make:
    return _recipe(rules=[{"class": "dent", "count": {"max": 0}}, *rules])


def _golden(keep: Callable[[dict[str, Any]], bool]) -> Make:
    """Only the golden images that this keeps; the others are removed with their files."""

    def make(folder: Path, _: Path) -> None:
        manifest = parse((folder / "model.yaml").read_text()).value
        kept = [image for image in manifest["golden"] if keep(image)]
        for image in manifest["golden"]:
            if image not in kept:
                (folder / image["image"]).unlink()
        edit(folder, golden=kept)

    return make


def _relabelled(change: Callable[[Any], Any]) -> Make:
    """Golden images with another expectation, as if the defects were none."""

    def make(folder: Path, _: Path) -> None:
        manifest = parse((folder / "model.yaml").read_text()).value
        edit(
            folder,
            golden=[image | {"expect": change(image["expect"])} for image in manifest["golden"]],
        )

    return make


def _both(first: Make, second: Make) -> Make:
    def make(folder: Path, made: Path) -> None:
        first(folder, made)
        second(folder, made)

    return make


def _shown(image: dict[str, Any]) -> set[str]:
    expect = image["expect"]
    return {box["class"] for box in expect} if isinstance(expect, list) else set()


def _without(*labels: str) -> Callable[[Any], Any]:
    def change(expect: Any) -> Any:
        if not isinstance(expect, list):
            return expect
        return [box for box in expect if box["class"] not in labels]

    return change


def _verdicts() -> list[Case]:
    """The same good weights; what is weaker is the verdict, or its proof."""
    weaker, escape = "recipe.weaker", "golden.escape"
    scratch = {"class": "scratch", "confidence": 0.35}
    table: list[tuple[str, Make, str]] = [
        ("nothing is rejected", _recipe(reject=[]), weaker),
        ("a recipe without reject", _recipe(), weaker),
        ("dents are no longer rejected", _recipe(reject=["scratch"]), weaker),
        ("scratches are no longer rejected", _recipe(reject=["dent"]), weaker),
        ("good bottles are rejected instead", _recipe(reject=["bottle"]), weaker),
        ("confidence 1.0", _recipe(confidence=1.0, reject=["scratch", "dent"]), weaker),
        ("confidence 0.99", _recipe(confidence=0.99, reject=["scratch", "dent"]), weaker),
        ("confidence 0.6", _recipe(confidence=0.6, reject=["scratch", "dent"]), weaker),
        ("one scratch may be there", _rules(scratch | {"count": {"max": 1}}), weaker),
        ("a thousand scratches may be there", _rules(scratch | {"count": {"max": 1000}}), weaker),
        ("scratches are required", _rules(scratch | {"count": {"min": 1}}), weaker),
        (
            "only a huge scratch counts",
            _rules(scratch | {"count": {"max": 0}, "area_px": {"min": 1e6}}),
            weaker,
        ),
        (
            "only a tiny scratch counts",
            _rules(scratch | {"count": {"max": 0}, "area_px": {"max": 1}}),
            weaker,
        ),
        (
            "a scratch counts from 0.9 on",
            _rules(scratch | {"confidence": 0.9, "count": {"max": 0}}),
            weaker,
        ),
        (
            "a scratch counts in a corner only",
            _recipe(
                zones={"corner": [[0, 0], [0.1, 0], [0.1, 0.1]]},
                rules=[
                    {"class": "dent", "count": {"max": 0}},
                    scratch | {"zone": "corner", "count": {"max": 0}},
                ],
            ),
            weaker,
        ),
        (
            "only frames with a scratch are judged",
            _recipe(part="scratch", rules=[{"class": "dent", "count": {"max": 0}}]),
            weaker,
        ),
        ("no golden images", _golden(lambda _: False), escape),
        (
            "golden images without a defect",
            _golden(lambda image: not _shown(image) & {"scratch", "dent"}),
            escape,
        ),
        (
            "golden images of dents only",
            _golden(lambda image: "scratch" not in _shown(image)),
            escape,
        ),
        ("golden images of counts only", _golden(lambda image: not _shown(image)), escape),
        (
            "golden defects that are called nothing",
            _relabelled(_without("scratch", "dent")),
            escape,
        ),
        ("golden dents that are called nothing", _relabelled(_without("dent")), escape),
        (
            "golden images that are all called good",
            _relabelled(lambda _: {"verdict": "ok"}),
            escape,
        ),
        (
            "golden images of other causes",
            _relabelled(
                lambda expect: (
                    {"verdict": "ng", "causes": ["scratch", "dent"]}
                    if isinstance(expect, list)
                    else expect
                )
            ),
            escape,
        ),
        (
            "good bottles that a count rejects",
            _both(
                _relabelled(lambda shown: shown | {"verdict": "ok"} if "count" in shown else shown),
                _recipe(
                    reject=["scratch", "dent"],
                    rules=[{"id": "few", "class": "bottle", "count": {"max": 1}}],
                ),
            ),
            "golden.false_reject",
        ),
    ]
    return [
        Case(f"verdicts: {title}", make, frozenset({"gate_failed"}), "after", check, is_heavy=True)
        for title, make, check in table
    ]


def _swapped() -> list[Case]:
    """Somebody changes the file between two looks at it."""
    return [
        Case(
            "weights swapped between the look and the check",
            _only(lambda _: None),
            frozenset({"digest_mismatch"}),
            "after",
            swap_in="good bytes, one flipped",
            swap_at="offered",
        ),
        Case(
            "the good weights put in between the check and the load",
            bring("deaf.pt"),
            frozenset({"gate_failed"}),
            "after",
            "golden.recall",
            swap_in="good.pt",
            swap_at="load",
            is_heavy=True,
        ),
    ]


def controls() -> list[Case]:
    """What must be accepted, or a table of refusals proves nothing."""
    return [
        Case(
            "CONTROL: the good bundle", _only(lambda _: None), frozenset(), "after", is_heavy=True
        ),
        Case(
            "CONTROL: a program put in between the check and the load",
            _only(lambda _: None),
            frozenset(),
            "after",
            swap_in="pickle.pt",
            swap_at="load",
            is_heavy=True,
        ),
    ]


def cases() -> list[Case]:
    """From the bytes on the disk to what the model finds; the controls come last."""
    return [
        *_from_the_table(),
        *_signatures(),
        *_honest_mistakes(),
        *_pickles(),
        *_programs(),
        *_networks(),
        *_verdicts(),
        *_swapped(),
        *controls(),
    ]
