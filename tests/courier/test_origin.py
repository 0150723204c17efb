"""Pieces from a web server, in whatever state it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.courier.origin import WebOrigin
from edge_daemon.courier.torrent import PIECE_BYTES, Torrent, describe, folder_files
from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Http
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway
from tests.sim.bundles import make_bundle, noise
from tests.sim.web_shelf import WebShelf

REF = "bottle@1.4.0"
PACE = Pace(wait=lambda _: False)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[WebShelf]:
    make_bundle(tmp_path, REF, weights=noise("w", 4 * PIECE_BYTES + 99))
    with WebShelf(tmp_path).serving() as serving:
        yield serving


@pytest.fixture
def torrent(shelf: WebShelf) -> Torrent:
    folder = shelf.root / "bottle" / "1.4.0"
    made = describe(folder.name, folder_files(folder), b"x\n")
    (folder.parent / "1.4.0.torrent").write_bytes(made.content)
    return made


def origin_of(shelf: WebShelf) -> WebOrigin:
    return WebOrigin(Http(shelf.url, timeout_s=2.0), BundleRef.parse(REF))


def test_it_is_asked_for_what_is_missing_and_for_no_more(shelf: WebShelf, torrent: Torrent) -> None:
    origin = origin_of(shelf)
    assert origin.torrent(torrent.infohash) == torrent
    last = torrent.pieces - 1
    for piece in (0, last):
        assert torrent.is_piece(piece, origin.piece(torrent, piece, PACE))
    size = torrent.files[-1].size
    assert shelf.sent["bottle/1.4.0/weights.pt"] == size - 4 * PIECE_BYTES


def test_pieces_in_a_row_are_asked_for_once(shelf: WebShelf, torrent: Torrent) -> None:
    origin = origin_of(shelf)
    first = torrent.files[-1].first
    for piece in range(first, first + 4):
        assert torrent.is_piece(piece, origin.piece(torrent, piece, PACE, ahead=32))
    assert [each for each in shelf.asked if each[0].endswith("weights.pt")] == [
        ("bottle/1.4.0/weights.pt", f"bytes=0-{torrent.files[-1].size - 1}")
    ]


def test_a_server_without_ranges_serves_too(shelf: WebShelf, torrent: Torrent) -> None:
    shelf.no_ranges = True
    origin = origin_of(shelf)
    for piece in (torrent.pieces - 1, 0, torrent.pieces - 2):
        assert torrent.is_piece(piece, origin.piece(torrent, piece, PACE))


def test_a_server_that_breaks_off_is_asked_again(shelf: WebShelf, torrent: Torrent) -> None:
    shelf.hang_ups = 1
    origin = origin_of(shelf)
    piece = torrent.files[-1].first
    with pytest.raises(SourceAway):
        origin.piece(torrent, piece, PACE)
    assert torrent.is_piece(piece, origin.piece(torrent, piece, PACE))


def test_poisoned_pieces_are_refused_one_by_one(shelf: WebShelf, torrent: Torrent) -> None:
    weights = shelf.root / "bottle" / "1.4.0" / "weights.pt"
    content = bytearray(weights.read_bytes())
    content[PIECE_BYTES + 5] ^= 1
    weights.write_bytes(content)
    origin, first = origin_of(shelf), torrent.files[-1].first
    assert torrent.is_piece(first, origin.piece(torrent, first, PACE))
    with pytest.raises(BundleError, match="other bytes"):
        origin.piece(torrent, first + 1, PACE)
    assert origin.bad == 1
    assert torrent.is_piece(first + 2, origin.piece(torrent, first + 2, PACE))


@pytest.mark.parametrize("size", [0, 10, 10 * PIECE_BYTES])
def test_a_file_of_another_length_is_no_piece(shelf: WebShelf, torrent: Torrent, size: int) -> None:
    (shelf.root / "bottle" / "1.4.0" / "weights.pt").write_bytes(bytes(size))
    with pytest.raises((SourceAway, BundleError)):
        origin_of(shelf).piece(torrent, torrent.pieces - 1, PACE)


def test_a_file_that_is_gone_and_a_description_of_another_bundle(
    shelf: WebShelf, torrent: Torrent
) -> None:
    origin = origin_of(shelf)
    with pytest.raises(BundleError):
        origin.torrent("00" * 32)
    (shelf.root / "bottle" / "1.4.0.torrent").unlink()
    with pytest.raises(FileNotFoundError):
        origin.torrent(torrent.infohash)
    (shelf.root / "bottle" / "1.4.0" / "weights.pt").unlink()
    with pytest.raises(SourceAway, match="has no weights"):
        origin.piece(torrent, torrent.pieces - 1, PACE)
