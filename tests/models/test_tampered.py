"""Signed bundles that somebody without the key has changed: whatever the shape, none is taken."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import verified_copy, vouched_reader
from edge_daemon.models.trust import sign
from tests.models.test_bad_bundles import (
    Break,
    extra,
    fifo,
    hard_link,
    put,
    remove,
    replace,
    symlink,
    truncate,
)
from tests.sim.bundles import make_bundle

SIGNATURE = "model.sig"


def signature(change: Callable[[dict[str, Any]], None]) -> Break:
    """The signature's own document, changed."""

    def broken(folder: Path) -> None:
        document = json.loads((folder / SIGNATURE).read_text())
        change(document)
        (folder / SIGNATURE).write_text(json.dumps(document))

    return broken


def spelled(old: str, new: str) -> Break:
    """Another spelling of a key, as other readers of JSON may take it."""

    def broken(folder: Path) -> None:
        text = (folder / SIGNATURE).read_text()
        assert f'"{old}"' in text
        (folder / SIGNATURE).write_text(text.replace(f'"{old}"', f'"{new}"'))

    return broken


def twice(folder: Path) -> None:
    """The same key once more, with nothing in it."""
    text = (folder / SIGNATURE).read_text().rstrip()
    (folder / SIGNATURE).write_text(text[:-1] + ', "dsseEnvelope": {}}')


def grown(name: str) -> Break:
    def broken(folder: Path) -> None:
        with (folder / name).open("ab") as file:
            file.write(b"\0")

    return broken


def sparse(folder: Path) -> None:
    os.truncate(folder / SIGNATURE, 1 << 33)


def borrowed(folder: Path) -> None:
    """The signature of another bundle that the same key has signed."""
    other = make_bundle(folder.parents[1], "bottle@3.0.0", key=folder.parents[2] / "key")
    (other / SIGNATURE).replace(folder / SIGNATURE)


SHAPES: dict[str, Break] = {
    "code beside the weights": extra("sitecustomize.py"),
    "a file that loaders look for": extra("config.json"),
    "an image that nobody named": extra("golden/0009.png"),
    "linked weights": symlink("weights.pt"),
    "a linked manifest": symlink("model.yaml"),
    "a linked signature": symlink(SIGNATURE),
    "linked images": symlink("golden"),
    "weights with another name": hard_link,
    "a pipe for weights": fifo("weights.pt"),
    "a pipe for the signature": fifo(SIGNATURE),
    "longer weights": grown("weights.pt"),
    "shorter weights": truncate("weights.pt"),
    "other rules": put("recipe", "reject", value=[]),
    "no signature": remove(SIGNATURE),
    "an empty signature": replace(SIGNATURE, b"{}"),
    "5 MB of signature": replace(SIGNATURE, b'{"x": "' + b"x" * 5_000_000 + b'"}'),
    "a deep signature": replace(SIGNATURE, b"[" * 100_000 + b"]" * 100_000),
    "a signature of holes": sparse,
    "another spelling of the envelope": spelled("dsseEnvelope", "dsse_envelope"),
    "another spelling of the payload": spelled("payload", "Payload"),
    "a key twice": twice,
    "nobody's signature": signature(
        lambda document: document["dsseEnvelope"].update(signatures=[])
    ),
    "the signature of another bundle": borrowed,
}


@pytest.mark.parametrize("tamper", SHAPES.values(), ids=SHAPES.keys())
def test_no_bundle_that_was_changed_after_it_was_signed_is_taken(
    tmp_path: Path, line_keys: Any, tamper: Break
) -> None:
    """Refused in words, and nothing of it is left."""
    (tmp_path / "key").symlink_to(line_keys.private)
    folder = make_bundle(tmp_path / "store", golden=2, key=line_keys.private)
    tamper(folder)
    with pytest.raises(BundleError) as caught:
        verified_copy(
            vouched_reader(line_keys.trust)(folder), folder, tmp_path / "copy", line_keys.trust
        )
    assert caught.value.code in {Code.INVALID_BUNDLE, Code.NOT_TRUSTED, Code.DIGEST_MISMATCH}
    assert not (tmp_path / "copy").exists()


def test_the_wrong_key_vouches_for_nothing(tmp_path: Path, line_keys: Any, other_keys: Any) -> None:
    """However well it signs."""
    folder = make_bundle(tmp_path / "store", golden=2, key=line_keys.private)
    sign(folder, other_keys.private)
    with pytest.raises(BundleError) as caught:
        vouched_reader(line_keys.trust)(folder)
    assert caught.value.code is Code.NOT_TRUSTED
