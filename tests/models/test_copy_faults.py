"""A copy that fails half-way: who is to blame, and that nothing of it stays."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.files import MAX_DEPTH, MAX_ENTRIES, Folder
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle, noise


def vanish(folder: Path) -> None:
    (folder / "weights.pt").unlink()


def grow(folder: Path) -> None:
    with (folder / "weights.pt").open("ab") as file:
        file.write(b"more")


def fill(_: Path) -> None:
    """The disk takes no byte beyond the first hundred thousand of a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


@contextmanager
def disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("happens", "kind", "code", "words"),
    [
        (vanish, BundleError, Code.INVALID_BUNDLE, "vanished"),
        (grow, BundleError, Code.DIGEST_MISMATCH, "is larger than"),
        (fill, BoxError, None, "cannot be copied"),
    ],
)
def test_what_happens_while_it_is_copied_is_a_sentence_and_leaves_nothing(
    tmp_path: Path,
    happens: Callable[[Path], None],
    kind: type[EdgeDaemonError],
    code: Code | None,
    words: str,
) -> None:
    """The bundle's fault where its files change, this box's where the disk refuses."""
    folder = make_bundle(tmp_path / "store", weights=noise("large", 300_000))
    manifest, once = read_manifest(folder), [happens]

    def tell(_: int) -> None:
        if once:
            once.pop()(folder)

    with disk(), pytest.raises(kind, match=words) as raised:
        verified_copy(manifest, folder, tmp_path / "copy", Trust(), tell)
    assert code is None or raised.value.code is code
    assert raised.value.hint
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_does_not_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal lies on the same disk."""
    folder = make_bundle(tmp_path / "store")
    manifest, disk = read_manifest(folder), os.statvfs(tmp_path)
    left = os.statvfs_result((disk.f_bsize, disk.f_frsize, disk.f_blocks, 0, 0, *disk[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: left)
    begun: list[int] = []
    with pytest.raises(BoxError, match="does not have left"):
        verified_copy(manifest, folder, tmp_path / "copy", Trust(), begun.append)
    assert begun == []
    assert not (tmp_path / "copy").exists()


def test_a_folder_is_bounded(tmp_path: Path) -> None:
    """Whatever somebody copied there: no walk without end, and one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be opened as a folder"):
        Folder(tmp_path / "file")
    deep = tmp_path / "deep"
    (deep / "/".join("d" * MAX_DEPTH)).mkdir(parents=True)
    with Folder(deep) as opened, pytest.raises(BundleError, match="deeper than"):
        opened.entries()
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MAX_ENTRIES + 1):
        (many / str(number)).touch()
    with Folder(many) as opened, pytest.raises(BundleError, match="holds more than"):
        opened.entries()
