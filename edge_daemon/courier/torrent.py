"""What a swarm is told of a bundle: a BitTorrent v2 description (BEP 52) of its folder.

The same bytes and the same plant authority give the same infohash, whoever makes it; so a signed
campaign can name it, and a station that got the bundle on a stick has neighbours too. A piece is
checked against it before it counts. That is about transport only: what a bundle is worth, its
signature says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.files import is_inner_path

BLOCK_BYTES = 16 << 10
PIECE_BYTES = 256 << 10
MOST_BYTES = 8 << 20
"""Of a description: 40 GiB of weights have no more."""
_MOST_DEPTH = 16
_MOST_FILES = 4096
_BLOCKS = PIECE_BYTES // BLOCK_BYTES
_ZERO = bytes(32)

Value = Union[int, bytes, list[Any], dict[bytes, Any]]


@dataclass(frozen=True)
class FileOf:
    """One file: its path in the bundle, its size in bytes, the number of its first piece in the
    whole bundle, and the hash of each of its pieces."""

    path: str
    size: int
    first: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True)
class Torrent:
    """A bundle as a swarm sees it; `content` is the file that clients read.

    `infohash`: SHA-256 in hex. `name`: the folder's, which is the bundle's version. `authority`:
    PEM of who signs the certificates of its peers.
    """

    content: bytes
    infohash: str
    name: str
    files: tuple[FileOf, ...]
    authority: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)

    @property
    def pieces(self) -> int:
        return sum(len(file.hashes) for file in self.files)

    def place_of(self, piece: int) -> tuple[FileOf, int, int]:
        """The file that holds a piece, its first byte there, and how many bytes it has."""
        for file in self.files:
            if file.first <= piece < file.first + len(file.hashes):
                at = (piece - file.first) * PIECE_BYTES
                return file, at, min(PIECE_BYTES, file.size - at)
        raise IndexError(f"there is no piece {piece}")

    def is_piece(self, piece: int, content: bytes) -> bool:
        """Whether these are its bytes."""
        file, _, size = self.place_of(piece)
        if len(content) != size:
            return False
        is_small = file.size <= PIECE_BYTES
        return (
            _root(_leaves(content), None if is_small else _BLOCKS)
            == file.hashes[piece - file.first]
        )


def describe(name: str, files: Iterable[tuple[str, Path]], authority: bytes) -> Torrent:
    """The description of a bundle from its files: path in the bundle, and where each lies."""
    tree: dict[bytes, Any] = {}
    layers: dict[bytes, bytes] = {}
    for path, place in files:
        size, hashes = _hashes(place)
        here = tree
        for part in path.split("/"):
            here = here.setdefault(part.encode(), {})
        here[b""] = {b"length": size}
        if hashes:
            root = _file_root(hashes)
            here[b""][b"pieces root"] = root
            if size > PIECE_BYTES:
                layers[root] = b"".join(hashes)
    info = {
        b"file tree": tree,
        b"meta version": 2,
        b"name": name.encode(),
        b"piece length": PIECE_BYTES,
        b"ssl-cert": normal(authority),
    }
    content = encode({b"info": info, b"piece layers": layers})
    return read_torrent(content, hashlib.sha256(encode(info)).hexdigest())


def normal(authority: bytes) -> bytes:
    """PEM without what editors change: the ends of lines, and empty ones."""
    lines = (line.strip() for line in authority.splitlines())
    return b"".join(line + b"\n" for line in lines if line)


def folder_files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a bundle's folder, as `describe` takes them."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def read_torrent(content: bytes, infohash: str) -> Torrent:
    """The description of this infohash; raises BundleError for any other bytes."""
    if len(content) > MOST_BYTES:
        raise _wrong(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        top = _mapping(decode(content))
        info = _mapping(top.get(b"info"))
        if hashlib.sha256(encode(info)).hexdigest() != infohash:
            raise _wrong("it is of another bundle")
        if info.get(b"meta version") != 2 or info.get(b"piece length") != PIECE_BYTES:
            raise _wrong("it has another version, or pieces of another size")
        files = _files(_mapping(info[b"file tree"]), _mapping(top.get(b"piece layers")))
        name, authority = info[b"name"].decode(), info[b"ssl-cert"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong("it cannot be read") from error
    if "/" in name or not is_inner_path(name) or not isinstance(authority, bytes) or not files:
        raise _wrong("it names no bundle")
    return Torrent(content, infohash, name, files, authority)


# --------------------------------------------------------------------------- hashes


def _leaves(content: bytes) -> list[bytes]:
    view = memoryview(content)
    return [
        hashlib.sha256(view[at : at + BLOCK_BYTES]).digest()
        for at in range(0, len(content), BLOCK_BYTES)
    ]


def _root(hashes: list[bytes], width: int | None, pad: bytes = _ZERO) -> bytes:
    """The root over hashes that are padded to `width`; None: to the next power of two."""
    row, wanted = list(hashes), width or 1 << (len(hashes) - 1).bit_length()
    row += [pad] * (wanted - len(row))
    while len(row) > 1:
        row = [hashlib.sha256(row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]


def _hashes(place: Path) -> tuple[int, list[bytes]]:
    """Size in bytes, and the hash of each piece; that of a small file is its root."""
    size, found = place.stat().st_size, []
    with place.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            found.append(_root(_leaves(piece), None if size <= PIECE_BYTES else _BLOCKS))
    return size, found


def _file_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    return _root(hashes, None, _root([_ZERO] * _BLOCKS, _BLOCKS))


# --------------------------------------------------------------------------- reading


def _files(tree: Mapping[bytes, Any], layers: Mapping[bytes, Any]) -> tuple[FileOf, ...]:
    found: list[FileOf] = []
    first = 0
    for path, said in _walk(tree, "", 0):
        size, root = said[b"length"], said.get(b"pieces root", b"")
        if not is_inner_path(path) or not isinstance(size, int) or size < 0:
            raise _wrong(f"{path[:128]!r} is no path in a bundle")
        hashes = _hashes_of(size, root, layers)
        found.append(FileOf(path, size, first, hashes))
        first += len(hashes)
        if len(found) > _MOST_FILES:
            raise _wrong(f"it has more than {_MOST_FILES} files")
    return tuple(found)


def _walk(tree: Mapping[bytes, Any], above: str, depth: int) -> Iterable[tuple[str, Any]]:
    if depth > _MOST_DEPTH:
        raise _wrong("its folders are too deep")
    for part, inner in tree.items():
        if part == b"":
            yield above, _mapping(inner)
        else:
            path = f"{above}/{part.decode()}" if above else part.decode()
            yield from _walk(_mapping(inner), path, depth + 1)


def _hashes_of(size: int, root: bytes, layers: Mapping[bytes, Any]) -> tuple[bytes, ...]:
    if size == 0:
        return ()
    if size <= PIECE_BYTES:
        return (root,)
    layer = layers[root]
    hashes = [layer[at : at + 32] for at in range(0, len(layer), 32)]
    if len(layer) % 32 or len(hashes) != -(-size // PIECE_BYTES) or _file_root(hashes) != root:
        raise _wrong("the hashes of its pieces are not those that were signed")
    return tuple(hashes)


def _mapping(value: object) -> dict[bytes, Any]:
    if not isinstance(value, dict):
        raise TypeError("no mapping")
    return value


def _wrong(why: str) -> BundleError:
    return BundleError(
        f"The origin's description for the swarm is no good: {why}.",
        hint="Publish the bundle again: edge-daemon fleet publish BUNDLE --to DIR",
        code=Code.DIGEST_MISMATCH,
    )


# --------------------------------------------------------------------------- bencoding (BEP 3)


def encode(value: Value) -> bytes:
    """The one way to write a value down."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(content: bytes) -> Value:
    """The value that was written down; raises ValueError, and RecursionError for a deep one."""
    value, end = _decode(content, 0, 0)
    if end != len(content):
        raise ValueError("something follows it")
    return value


def _decode(content: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > 4 * _MOST_DEPTH:
        raise ValueError("it is too deep")
    kind = content[at : at + 1]
    if kind == b"i":
        end = content.index(b"e", at, at + 24)
        return int(content[at + 1 : end]), end + 1
    if kind == b"l":
        items: list[Any] = []
        at += 1
        while content[at : at + 1] != b"e":
            item, at = _decode(content, at, depth + 1)
            items.append(item)
        return items, at + 1
    if kind == b"d":
        return _decode_mapping(content, at + 1, depth)
    colon = content.index(b":", at, at + 12)
    end = colon + 1 + int(content[at:colon])
    if not at < end <= len(content) or not content[at:colon].isdigit():
        raise ValueError("a text is cut off")
    return content[colon + 1 : end], end


def _decode_mapping(content: bytes, at: int, depth: int) -> tuple[Value, int]:
    found: dict[bytes, Any] = {}
    while content[at : at + 1] != b"e":
        key, at = _decode(content, at, depth + 1)
        if not isinstance(key, bytes):
            raise ValueError("a key is no text")
        found[key], at = _decode(content, at, depth + 1)
    return found, at + 1
