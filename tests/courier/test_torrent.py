"""What a swarm is told of a bundle is the same for everybody, and nothing else passes for it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.courier.torrent import (
    MOST_BYTES,
    PIECE_BYTES,
    decode,
    describe,
    encode,
    folder_files,
    read_torrent,
)
from edge_daemon.errors import BundleError

CA = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SIZES = {
    "golden/a.png": 70_000,
    "golden/b.png": PIECE_BYTES,
    "model.sig": PIECE_BYTES + 1,
    "model.yaml": 96,
    "weights.pt": 5 * PIECE_BYTES + 12_345,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "1.4.0"
    for path, size in SIZES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(random.Random(path).randbytes(size))
    return folder


def test_the_library_makes_the_same_of_the_folder(bundle: Path) -> None:
    lt: Any = pytest.importorskip("libtorrent", reason="needs the extra fleet")
    made = lt.create_torrent(
        lt.list_files(str(bundle)), PIECE_BYTES, lt.create_torrent_flags_t.v2_only
    )
    made.set_root_cert(CA.decode())
    lt.set_piece_hashes(made, str(bundle.parent))
    theirs = lt.torrent_info(made.generate())
    ours = describe("1.4.0", folder_files(bundle), CA)
    assert str(theirs.info_hashes().v2) == ours.infohash
    assert theirs.num_pieces() == ours.pieces
    assert lt.load_torrent_buffer(ours.content).ti.info_hashes() == theirs.info_hashes()


def test_every_copy_gives_the_same_infohash_and_every_authority_another(bundle: Path) -> None:
    files = folder_files(bundle)
    first = describe("1.4.0", files, CA)
    assert describe("1.4.0", reversed(files), CA.replace(b"\n", b"\r\n")) == first
    assert describe("1.4.0", files, CA.replace(b"MIIB", b"MIIC")).infohash != first.infohash
    assert first.size == sum(SIZES.values())


def test_each_piece_is_known_by_its_bytes(bundle: Path) -> None:
    torrent = describe("1.4.0", folder_files(bundle), CA)
    for piece in range(torrent.pieces):
        file, at, size = torrent.place_of(piece)
        content = (bundle / file.path).read_bytes()[at : at + size]
        assert torrent.is_piece(piece, content)
        assert not torrent.is_piece(piece, content[:-1])
        assert not torrent.is_piece(piece, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexError):
        torrent.place_of(torrent.pieces)


def test_a_description_of_another_bundle_is_refused(bundle: Path) -> None:
    torrent = describe("1.4.0", folder_files(bundle), CA)
    assert read_torrent(torrent.content, torrent.infohash) == torrent
    for content in (b"", b"de", b"i1e", torrent.content[:-1], torrent.content + b"x", b"l" * 999):
        with pytest.raises(BundleError):
            read_torrent(content, torrent.infohash)
    with pytest.raises(BundleError, match="another bundle"):
        read_torrent(torrent.content, "0" * 64)
    with pytest.raises(BundleError, match="larger"):
        read_torrent(b"d" + bytes(MOST_BYTES), torrent.infohash)


def swapped_layer(top: dict[bytes, Any]) -> None:
    layers = top[b"piece layers"]
    for root, layer in layers.items():
        layers[root] = layer[32:] + layer[:32]


def short_layer(top: dict[bytes, Any]) -> None:
    top[b"piece layers"] = {root: each[:-32] for root, each in top[b"piece layers"].items()}


def no_layers(top: dict[bytes, Any]) -> None:
    top[b"piece layers"] = {}


@pytest.mark.parametrize("harm", [swapped_layer, short_layer, no_layers])
def test_hashes_of_pieces_that_nobody_signed_are_refused(
    bundle: Path, harm: Callable[[dict[bytes, Any]], None]
) -> None:
    torrent = describe("1.4.0", folder_files(bundle), CA)
    top: Any = decode(torrent.content)
    harm(top)
    with pytest.raises(BundleError):
        read_torrent(encode(top), torrent.infohash)


@pytest.mark.parametrize("path", [b"..", b".", b"a/b", b"", b"\xff", b"x\0y"])
def test_no_path_leads_out_of_the_bundle(bundle: Path, path: bytes) -> None:
    torrent = describe("1.4.0", folder_files(bundle), CA)
    info: Any = decode(torrent.content)[b"info"]  # type: ignore[index, call-overload]
    info[b"file tree"][path] = {b"": {b"length": 1, b"pieces root": bytes(32)}}
    text = encode({b"info": info, b"piece layers": {}})
    with pytest.raises(BundleError):
        read_torrent(text, hashlib.sha256(encode(info)).hexdigest())
    info[b"file tree"] = {b"model.yaml": info[b"file tree"][b"model.yaml"]}
    info[b"name"] = path
    text = encode({b"info": info, b"piece layers": {}})
    with pytest.raises(BundleError):
        read_torrent(text, hashlib.sha256(encode(info)).hexdigest())


def test_random_bytes_are_refused_and_never_a_crash(bundle: Path) -> None:
    torrent = describe("1.4.0", folder_files(bundle), CA)
    chance = random.Random(5)
    for _ in range(500):
        content = bytearray(torrent.content)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if bytes(content) != torrent.content:
            with suppress(BundleError):  # what is outside the hashed part may mean the same
                assert read_torrent(bytes(content), torrent.infohash).files == torrent.files
