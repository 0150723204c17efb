"""Where signatures are required, trust is asked before bytes are copied or a name counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest, verified_copy, vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair, sign
from tests.models.test_bad_bundles import put
from tests.sim.bundles import make_bundle
from tests.sim.flips import TAKEN, turn_bits


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Trust]:
    private, public = generate_keypair(tmp_path, "line3")
    return private, Trust((public,), required=True)


def versions(store: Store) -> list[str]:
    return [str(known.ref) for known in store.available()]


def test_what_nobody_signed_takes_no_name(tmp_path: Path, keys: tuple[Path, Trust]) -> None:
    """An unsigned 98.0.0 is not the newest; an unsigned 1.1.0 that came first keeps nobody out."""
    private, trust = keys
    root = tmp_path / "store"
    make_bundle(root, "bottle@1.0.0", key=private)
    make_bundle(root, "bottle@98.0.0")
    squatter = make_bundle(root, "bottle@1.1.0")
    store = Store(root, tmp_path / "state", read=vouched_reader(trust))
    assert versions(store) == ["bottle@1.0.0"]
    assert {problem.error.code for problem in store.offer().problems} == {Code.NOT_TRUSTED}
    squatter.rename(tmp_path / "gone")
    make_bundle(root, "bottle@1.1.0", golden=1, key=private)
    assert versions(store) == ["bottle@1.0.0", "bottle@1.1.0"]


def test_what_was_seen_unsigned_before_keeps_no_version(
    tmp_path: Path, keys: tuple[Path, Trust]
) -> None:
    """By a trial without signatures, or by a daemon that did not ask: the signed one counts."""
    private, trust = keys
    root, state = tmp_path / "store", tmp_path / "state"
    squatter = make_bundle(root, "bottle@1.1.0")
    assert versions(Store(root, state)) == ["bottle@1.1.0"]
    squatter.rename(tmp_path / "gone")
    make_bundle(root, "bottle@1.1.0", golden=1, key=private)
    assert versions(Store(root, state)) == []

    def strict() -> Store:
        return Store(root, state, read=vouched_reader(trust), vouched=lambda: trust.required)

    assert versions(strict()) == ["bottle@1.1.0"]
    (root / "bottle" / "1.1.0").rename(tmp_path / "replaced")
    make_bundle(root, "bottle@1.1.0", golden=0, key=private)
    assert versions(strict()) == []  # a version never changes, whoever signs it


def test_where_no_signature_is_required_each_bundle_counts(tmp_path: Path) -> None:
    """As before."""
    make_bundle(tmp_path / "store")
    store = Store(tmp_path / "store", read=vouched_reader(Trust()))
    assert versions(store) == ["bottle@1.0.0"]


@pytest.mark.parametrize("fault", ["unsigned", "stranger", "changed"])
def test_nothing_is_copied_before_a_key_vouches_for_it(
    tmp_path: Path, keys: tuple[Path, Trust], fault: str
) -> None:
    """Gigabytes of a stranger never reach the disk of the daemon's state."""
    private, trust = keys
    folder = make_bundle(tmp_path / "store", key=None if fault == "unsigned" else private)
    if fault == "stranger":
        stranger, _ = generate_keypair(tmp_path, "stranger")
        sign(folder, stranger)
    elif fault == "changed":
        put("recipe", "confidence", value=0.9)(folder)
    destination, read = tmp_path / "private", []
    with pytest.raises(BundleError) as caught:
        verified_copy(read_manifest(folder), folder, destination, trust, read.append)
    assert caught.value.code is Code.NOT_TRUSTED
    assert (read, destination.exists()) == ([], False)


@pytest.mark.parametrize("file", ["weights.pt", "weights_openvino_model"])
def test_weights_of_holes_are_refused_at_once(tmp_path: Path, file: str) -> None:
    """Some kilobytes on the disk, gigabytes when copied."""
    folder = make_bundle(tmp_path / "store", file=file)
    weights = folder / file
    with (weights / "weights.bin" if weights.is_dir() else weights).open("r+b") as opened:
        opened.truncate(6 << 30)
    size = sum(path.stat().st_size for path in [weights, *weights.rglob("*")] if path.is_file())
    put("weights", "size", value=size)(folder)
    destination, read = tmp_path / "private", []
    with pytest.raises(BundleError, match="holes"):
        verified_copy(read_manifest(folder), folder, destination, Trust(), read.append)
    assert (read, destination.exists()) == ([], False)


def test_no_bundle_with_a_turned_bit_is_taken(tmp_path: Path, keys: tuple[Path, Trust]) -> None:
    """In whichever file it is; scripts/bad_bundles --flips turns thousands."""
    private, trust = keys
    folder = make_bundle(tmp_path / "store", golden=3, key=private)
    fates = turn_bits(folder, tmp_path / "aside", trust, count=60, seed=7)
    assert fates.total() == 60
    assert not fates[TAKEN]
    assert set(fates) <= {"digest_mismatch", "not_trusted", "invalid_bundle", "harmless"}
