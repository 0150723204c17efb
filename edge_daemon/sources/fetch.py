"""One bundle from a source into the store, or the reason why not.

`model.yaml` comes first: it says what else belongs to the bundle, how large it is, and the digests.
The signature comes second, so no byte of weights is fetched that no trusted key vouches for. The
files then pass the same door as `models add`, which reads all of it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code
from edge_daemon.models.document import MAX_BYTES
from edge_daemon.models.files import is_inner_path
from edge_daemon.models.manifest import (
    MANIFEST_FILE,
    MAX_IMAGE_BYTES,
    SIGNATURE_FILE,
    Manifest,
    parse_manifest,
)
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.models.versions import equal_to
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.pull_folder import Part, Staging, pull_folder
from edge_daemon.sources.source import Offered, Source, SourceAway, Stream

_log = structlog.get_logger(__name__)

MAX_SIGNATURE_BYTES = 4 << 20
TRIES = 5
"""A source that breaks off so often without a byte in between is left for later."""


@dataclass(frozen=True)
class Fetched:
    """What became of one offer; `is_new`: it was not in the store before.

    `again_bytes`: that were there from before a cut, and came again: the server cannot begin within
    a file.
    """

    ref: BundleRef
    is_new: bool
    size_bytes: int = 0
    again_bytes: int = 0


@dataclass(frozen=True)
class PullTarget:
    """The store that a pull fills, and what a bundle must pass on its way in.

    Args:
        pins: which model.yaml was first seen under a version at each source.
        tell: hears of each chunk that came, in bytes, and of the whole size in bytes.
    """

    store: Store
    trust: Trust
    pins: Pins
    tell: Callable[[int, int], None] = lambda _chunk, _total: None


def look(source: Source, offered: Offered, name: str, target: PullTarget, pace: Pace) -> Manifest:
    """What a source offers, by its model.yaml alone.

    Raises BundleError where it may not be taken: it is not what it is called, or another bundle
    is known under its version.
    """
    manifest = parse_manifest(_manifest_of(source, offered, pace))
    ref = manifest.ref
    if ref.name != name or offered.version not in (None, ref.version):
        asked = name if offered.version is None else f"{name}@{offered.version}"
        raise BundleError(
            f"What the source offers as {asked} calls itself {ref}.",
            hint="Correct the source, or the name in sources.models.",
        )
    _refuse_other(manifest, target)
    target.pins.refuse_change(source.where, manifest)
    return manifest


def is_there(manifest: Manifest, target: PullTarget) -> bool:
    """Whether the store offers this very bundle."""
    return any(known.ref == manifest.ref for known in target.store.available())


def fetch(
    source: Source, offered: Offered, manifest: Manifest, target: PullTarget, pace: Pace
) -> Fetched:
    """Fetch what `look` gave, where the store does not have it.

    Raises BundleError where it is refused, and then nothing of it is left; SourceAway and BoxError
    where it may work later, and then what came is kept.
    """
    if is_there(manifest, target):
        return Fetched(manifest.ref, is_new=False)
    with pull_folder(target.store.root) as place:
        staging = Staging(place, manifest.sha256)
        try:
            pull = _Pull(source, offered, staging, target, pace)
            size = pull.run(manifest)
            target.store.add(staging.folder, target.trust)
        except BundleError:
            staging.remove()
            raise
        staging.remove()
    target.pins.remember(source.where, manifest)
    return Fetched(manifest.ref, True, size, pull.again_bytes)


def _refuse_other(manifest: Manifest, target: PullTarget) -> None:
    ref = manifest.ref
    versions = [
        known.ref.version for known in target.store.available() if known.ref.name == ref.name
    ]
    for version in equal_to(ref.version, versions) & set(versions):
        if target.store.manifest(BundleRef(ref.name, version)).sha256 != manifest.sha256:
            raise BundleError(
                f"The source has another {ref} than the store.",
                hint="A version never changes: give the new bundle a new version.",
            )


def _small(source: Source, offered: Offered, path: str, limit: int, pace: Pace) -> bytes | None:
    """A small file whole; None where there is none. Raises BundleError where it is too large."""
    for failures in range(1, TRIES):
        with suppress(SourceAway):
            return _small_once(source, offered, path, limit, pace)
        pace.before_again(failures)
    return _small_once(source, offered, path, limit, pace)


def _small_once(
    source: Source, offered: Offered, path: str, limit: int, pace: Pace
) -> bytes | None:
    try:
        with source.open(offered, path) as stream:
            content = b"".join(_chunks(stream, limit, path, pace))
    except FileNotFoundError:
        return None
    if stream.total not in (None, len(content)):
        raise SourceAway(f"{source.where} broke off {path}.")
    return content


def _manifest_of(source: Source, offered: Offered, pace: Pace) -> bytes:
    content = _small(source, offered, MANIFEST_FILE, MAX_BYTES, pace)
    if content is None:
        raise BundleError(
            f"The source has no {MANIFEST_FILE} of it.",
            hint="A bundle is complete once it has one.",
        )
    return content


def _chunks(stream: Stream, limit: int, path: str, pace: Pace) -> Iterator[bytes]:
    """Raises BundleError for more bytes than `limit`."""
    count = stream.start
    while chunk := stream.read(pace.chunk_bytes):
        count += len(chunk)
        if count > limit:
            raise _mismatch(f"{path} is larger than the {limit} bytes it may have.")
        pace.read(len(chunk))
        yield chunk


class _Pull:
    """The files of one bundle, one after the other."""

    def __init__(
        self, source: Source, offered: Offered, staging: Staging, target: PullTarget, pace: Pace
    ) -> None:
        self._source, self._offered = source, offered
        self._staging, self._door, self._pace = staging, target, pace
        self._total = 0
        self.again_bytes = 0

    def run(self, manifest: Manifest) -> int:
        """Fetch everything; its size in bytes."""
        content = _manifest_of(self._source, self._offered, self._pace)
        if parse_manifest(content).sha256 != manifest.sha256:
            raise BundleError(
                f"{manifest.ref} changed at the source while it was looked at.",
                hint="A version never changes: give the new bundle a new version.",
            )
        self._staging.write_whole(MANIFEST_FILE, content)
        self._sign()
        folder, weights = self._staging.folder, manifest.weights
        self._door.trust.vouch(folder, manifest.sha256, weights.sha256)
        files = self._weights(manifest)
        self._total = weights.size + sum(
            self._listed_size(image.image) or 0 for image in manifest.golden
        )
        largest = max(files, key=lambda path: files[path][0])
        size = files[largest][0]
        if not self._staging.is_whole(largest):
            self._staging.reserve(largest, size, 2 * self._total - size)
        digests = {image.image: image.sha256 for image in manifest.golden}
        files |= {image: (MAX_IMAGE_BYTES, sha256) for image, sha256 in digests.items()}
        self._refuse_extra(manifest, set(files))
        return sum(self._file(path, limit, sha256) for path, (limit, sha256) in files.items())

    def _sign(self) -> None:
        """The signature; where there is none, the rules of trust decide."""
        content = _small(
            self._source, self._offered, SIGNATURE_FILE, MAX_SIGNATURE_BYTES, self._pace
        )
        if content is not None:
            self._staging.write_whole(SIGNATURE_FILE, content)

    def _weights(self, manifest: Manifest) -> dict[str, tuple[int, str | None]]:
        """Path -> largest size in bytes, and the digest if one is declared for the file alone."""
        declared, listed = manifest.weights, self._offered.files
        if not declared.is_folder:
            if self._listed_size(declared.file) not in (None, declared.size):
                raise _mismatch(f"{declared.file} has another size at the source than declared.")
            return {declared.file: (declared.size, declared.sha256)}
        inner = {
            path: file for path, file in listed.items() if path.startswith(f"{declared.file}/")
        }
        if not inner:
            raise BundleError(
                f"The source does not say which files {declared.file} has.",
                hint="List all files of the bundle in files.txt beside its model.yaml.",
            )
        return {path: (file.size or declared.size, file.sha256) for path, file in inner.items()}

    def _refuse_extra(self, manifest: Manifest, wanted: set[str]) -> None:
        known = wanted | {MANIFEST_FILE, SIGNATURE_FILE}
        for path in sorted(set(self._offered.files) - known):
            raise BundleError(
                f"{manifest.ref}: {path[:128]!r} does not belong to the bundle.",
                hint="Remove it: a bundle holds only what model.yaml names.",
            )
        if odd := [path for path in wanted if not is_inner_path(path)]:
            raise BundleError(f"{odd[0][:128]!r} is no path in a bundle.", hint="Rename the file.")

    def _listed_size(self, path: str) -> int | None:
        file = self._offered.files.get(path)
        return file.size if file is not None else None

    def _file(self, path: str, limit: int, sha256: str | None) -> int:
        """Fetch one file, and what is missing of it after each break; its size in bytes."""
        if self._staging.is_whole(path):
            return self._staging.done(path)
        failures = 0
        while True:
            before = self._staging.done(path)
            try:
                return self._go_on(path, limit, sha256)
            except FileNotFoundError as error:
                raise BundleError(
                    f"The source has no {path}.", hint="Copy the bundle there again, complete."
                ) from error
            except SourceAway:
                failures = 1 if self._staging.done(path) > before else failures + 1
                if failures >= TRIES:
                    raise
                self._pace.before_again(failures)

    def _go_on(self, path: str, limit: int, sha256: str | None) -> int:
        listed = self._offered.files.get(path)
        expected = sha256 or (listed.sha256 if listed else None)
        with Part(self._staging, path) as part:
            part.read_back(min(self._staging.done(path), limit))
            try:
                is_whole = part.size == limit or self._append(path, part, limit)
            finally:
                part.save()
            if not is_whole:
                raise SourceAway(f"{self._source.where} broke off {path}.")
            found = part.end()
            size = part.size
        if expected is not None and found != expected:
            self._staging.drop(path)
            raise _mismatch(
                f"The digest of {path} is not the one expected: found {found}, declared {expected}."
            )
        self._staging.finish(path)
        return size

    def _append(self, path: str, part: Part, limit: int) -> bool:
        """Whether all of it came."""
        with self._source.open(self._offered, path, part.size) as stream:
            if stream.start != part.size:
                _log.info("source_begins_anew", source=self._source.where, path=path, at=part.size)
                self.again_bytes += part.size
                part.begin_anew()
            if stream.total is not None and stream.total > limit:
                raise _mismatch(f"{path} is larger than the {limit} bytes it may have.")
            for chunk in _chunks(stream, limit, path, self._pace):
                part.write(chunk)
                self._door.tell(len(chunk), self._total)
            return stream.total in (None, part.size)


def _mismatch(message: str) -> BundleError:
    return BundleError(
        message, hint="Copy the bundle to the source again, complete.", code=Code.DIGEST_MISMATCH
    )
