"""A version never changes: what was first seen under it is remembered, whoever restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.errors import BundleError, Code, StateError
from edge_daemon.models.bundle import Manifest, read_manifest
from edge_daemon.models.first_seen import FirstSeen, parse_seen
from tests.sim.bundles import make_bundle


@pytest.fixture
def bottle(tmp_path: Path) -> Manifest:
    """The bundle that comes first under its version."""
    return read_manifest(make_bundle(tmp_path / "one", "bottle@1.0.0", weights=b"one" * 100))


@pytest.fixture
def other(tmp_path: Path) -> Manifest:
    """Another bundle under the same version."""
    return read_manifest(make_bundle(tmp_path / "two", "bottle@1.0.0", weights=b"two" * 100))


def is_refused(seen: FirstSeen, manifest: Manifest) -> bool:
    try:
        seen.refuse_change(manifest)
    except BundleError as error:
        return error.code is Code.DIGEST_MISMATCH
    return False


def test_the_first_one_is_the_only_one(bottle: Manifest, other: Manifest) -> None:
    """Another bundle under the same version is refused; the first one stays welcome."""
    seen = FirstSeen(None)
    assert not is_refused(seen, bottle)
    seen.remember(bottle)
    assert is_refused(seen, other)
    seen.remember(other)
    assert is_refused(seen, other)
    assert not is_refused(seen, bottle)


def test_a_restart_forgets_nothing(tmp_path: Path, bottle: Manifest, other: Manifest) -> None:
    """The file is read at the start."""
    file = tmp_path / "state" / "seen.json"
    before = FirstSeen(file)
    before.remember(bottle)
    before.save()
    after = FirstSeen(file)
    assert len(after) == 1
    assert after.knows(bottle.ref)
    assert is_refused(after, other)


def test_what_nobody_signed_keeps_no_signed_bundle_out(bottle: Manifest, other: Manifest) -> None:
    """A stranger cannot take a version's place before trust was asked for."""
    is_vouched = False
    seen = FirstSeen(None, lambda: is_vouched)
    seen.remember(bottle)
    is_vouched = True
    assert not is_refused(seen, other)
    seen.remember(other)
    assert is_refused(seen, bottle)
    assert len(seen) == 1


def test_a_disk_that_is_full_is_told_and_tried_again(
    tmp_path: Path, bottle: Manifest, other: Manifest
) -> None:
    """What was seen still counts in this process."""
    folder = tmp_path / "state"
    seen = FirstSeen(folder / "seen.json")
    seen.remember(bottle)
    folder.rename(tmp_path / "away")  # as unwritable as a full disk
    with capture_logs() as lines:
        seen.save()
    assert [line["event"] for line in lines] == ["bundle_memory_not_saved"]
    assert is_refused(seen, other)
    (tmp_path / "away").rename(folder)
    seen.save()
    assert len(FirstSeen(folder / "seen.json")) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"bottle@1.0.0": 1}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_no_empty_one(tmp_path: Path, content: bytes) -> None:
    """It would take every bundle for new; a person decides."""
    (tmp_path / "seen.json").write_bytes(content)
    with pytest.raises(StateError) as caught:
        FirstSeen(tmp_path / "seen.json")
    assert "remove it" in caught.value.hint


def test_the_file_says_a_digest_for_each_bundle() -> None:
    """Nothing else is understood."""
    assert parse_seen(b'{"bottle@1.0.0": "ab"}') == {"bottle@1.0.0": "ab"}
    with pytest.raises(ValueError, match="digest"):
        parse_seen(b'["bottle@1.0.0"]')
