"""The door of a bundle: read it, check it, and copy it byte for byte as it was checked.

read_manifest    what the folder says, and that exactly the right files are there
verified_copy    the same bytes in a private folder, each compared with its digest while it
                 was written; only that copy is ever loaded, so nothing can change between
                 the check and the load
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.document import MAX_BYTES
from edge_daemon.models.files import Copied, FileEntry, Folder, digest_of, folder_digest, free_bytes
from edge_daemon.models.first_bytes import refuse_unlike
from edge_daemon.models.manifest import (
    MANIFEST_FILE,
    MAX_IMAGE_BYTES,
    SIGNATURE_FILE,
    Manifest,
    parse_manifest,
)
from edge_daemon.models.onnx import refuse_external_data
from edge_daemon.models.picture_size import MAX_PIXELS, picture_size
from edge_daemon.models.trust import Trust

__all__ = ["Manifest", "Verified", "digest_of", "read_manifest", "verified_copy"]

SPARSE_BYTES = 64 << 20
"""A file below this size is copied however it lies on the disk."""

_COPY_AGAIN = "Copy the bundle again, complete."


@dataclass(frozen=True)
class Verified:
    """A private copy whose every byte was checked.

    `weights` and `golden` (in the manifest's order) are absolute paths inside `folder`;
    `signer` is the key that signed it; None for an unsigned bundle.
    """

    manifest: Manifest
    folder: Path
    weights: Path
    golden: tuple[Path, ...]
    signer: Path | None

    @property
    def sha256(self) -> str:
        return self.manifest.weights.sha256

    def leave_weights_and_images(self) -> None:
        """Remove what a model must not read: the answers that it is tested for."""
        for name in (MANIFEST_FILE, SIGNATURE_FILE):
            (self.folder / name).unlink(missing_ok=True)


def read_manifest(folder: Path, *, placed: bool = True) -> Manifest:
    """Read `model.yaml`, and check that the folder holds exactly the files it declares.

    `placed`: the folder must be called `<name>/<version>`, as it is in a store. No weights are
    read. Raises BundleError: invalid_bundle, or digest_mismatch when a size is not as declared.
    """
    try:
        with Folder(folder) as opened:
            manifest = parse_manifest(_manifest_bytes(opened))
            _check_files(manifest, *opened.entries())
    except OSError as error:
        raise BundleError(
            f"The bundle in {folder.name} cannot be read:"
            f" {error.strerror or type(error).__name__}.",
            hint="Let the daemon's user read all of it.",
        ) from error
    if placed and (folder.parent.name, folder.name) != (manifest.ref.name, manifest.ref.version):
        raise BundleError(
            f"The bundle in {folder.parent.name}/{folder.name} calls itself {manifest.ref}.",
            hint=f"Put it in {manifest.ref.name}/{manifest.ref.version}.",
        )
    return manifest


def vouched_reader(trust: Trust) -> Callable[[Path], Manifest]:
    """`read_manifest` for a store: what was revoked is not offered, nor, where signatures are
    required, what no key vouches for; so it takes no name and no version from what is signed."""

    def read(folder: Path) -> Manifest:
        manifest = read_manifest(folder)
        if trust.required or trust.revoked:
            trust.vouch(folder, manifest.sha256, manifest.weights.sha256)
        return manifest

    return read


def verified_copy(
    manifest: Manifest,
    folder: Path,
    destination: Path,
    trust: Trust,
    tell: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Copy a bundle to `destination`, a new folder of this process's own, and vouch for it.

    `tell` hears how many bytes were read, as they are.

    On any error nothing is left there. Raises BundleError: digest_mismatch when bytes are not
    those of the manifest, not_trusted as `Trust.verify` (over the copy), invalid_bundle when
    the folder changed its shape or an image is covered by nothing, load_failed for weights that
    are plainly another kind of file; BoxError when this box cannot write the copy.
    """
    trust.vouch(folder, manifest.sha256, manifest.weights.sha256)
    try:
        destination.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    try:
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, destination, ignore_errors=True)
            copied = _copy(manifest, folder, destination, tell)
            verified = _check(manifest, destination, trust, copied)
            undo.pop_all()
            return verified
    except FileNotFoundError as error:
        raise BundleError(f"A file of {manifest.ref} vanished.", hint=_COPY_AGAIN) from error
    except OSError as error:
        raise _cannot_write(destination, error) from error


def _copy(
    manifest: Manifest, folder: Path, destination: Path, tell: Callable[[int], None]
) -> dict[str, Copied]:
    with Folder(folder) as opened:
        files, folders = opened.entries()
        _check_files(manifest, files, folders)
        _refuse_sparse(manifest.ref, opened, files)
        _refuse_without_room(destination, sum(entry.size for entry in files))
        return {
            entry.path: opened.copy(entry.path, destination, entry.size, tell) for entry in files
        }


def _refuse_sparse(ref: BundleRef, folder: Folder, files: tuple[FileEntry, ...]) -> None:
    """Refuse a file that is mostly holes: weights are not, and a copy would grow."""
    for entry in files:
        if entry.size < SPARSE_BYTES:
            continue
        fd = folder.open(entry.path)
        try:
            holds_little = _holds_little(fd, entry.size)
        finally:
            os.close(fd)
        if holds_little:
            raise BundleError(
                f"{entry.path} of {ref} is mostly holes: it holds no weights.", hint=_COPY_AGAIN
            )


def _holds_little(fd: int, size: int) -> bool:
    """Whether less than a sixteenth was ever written; False if holes cannot be seen."""
    written = at = 0
    try:
        while at < size and written < size // 16:
            at = os.lseek(fd, at, os.SEEK_DATA)
            end = os.lseek(fd, at, os.SEEK_HOLE)
            written, at = written + end - at, end
    except OSError as error:
        return error.errno == errno.ENXIO  # only a hole is left; else the system knows none
    return written < size // 16


def _refuse_without_room(destination: Path, size_bytes: int) -> None:
    """Refuse a copy that does not fit: the disk holds the daemon's journal too."""
    if free_bytes(destination) < size_bytes:
        raise BoxError(
            f"The bundle takes {size_bytes >> 20} MiB, which the disk does not have left.",
            hint="Free space where the daemon's state is.",
        )


def _check(
    manifest: Manifest, destination: Path, trust: Trust, copied: dict[str, Copied]
) -> Verified:
    _check_digests(manifest, copied)
    signer = trust.verify(destination)
    for image in manifest.golden:
        if image.sha256 is None and signer is None:
            raise BundleError(
                f"{image.image} has no sha256, and no trusted signature covers it.",
                hint="Add its sha256, or sign the bundle.",
            )
        _refuse_huge(image.image, destination / image.image)
    weights = destination / manifest.weights.file
    refuse_unlike(weights)
    if weights.suffix == ".onnx":
        refuse_external_data(weights)
    golden = tuple(destination / image.image for image in manifest.golden)
    return Verified(manifest, destination, weights, golden, signer)


def _refuse_huge(image: str, path: Path) -> None:
    """Refuse images that fill the memory when decoded: every compared model decodes them."""
    width, height = picture_size(path) or (0, 0)
    if width * height > MAX_PIXELS:
        raise BundleError(
            f"{image} has {width} x {height} pixels; at most {MAX_PIXELS // 1_000_000} million"
            " are taken.",
            hint="Scale it down, and its boxes with it.",
        )


def _manifest_bytes(folder: Folder) -> bytes:
    try:
        return folder.read(MANIFEST_FILE, MAX_BYTES)
    except FileNotFoundError as error:
        raise BundleError(
            f"The folder {folder.path.name} has no {MANIFEST_FILE}.",
            hint="A bundle is complete once it has one.",
        ) from error


# --------------------------------------------------------------------------- exactly these files


def _check_files(
    manifest: Manifest, files: tuple[FileEntry, ...], folders: tuple[str, ...]
) -> None:
    """Refuse missing and extra files, and sizes that are not as declared."""
    sizes = {entry.path: entry.size for entry in files}
    weights = _weights_sizes(manifest, sizes)
    if not weights:
        raise BundleError(
            f"{manifest.ref}: the weights {manifest.weights.file} are missing.", hint=_COPY_AGAIN
        )
    images = {image.image for image in manifest.golden}
    for missing in sorted(images - set(sizes)):
        raise BundleError(f"{manifest.ref}: {missing} is missing.", hint=_COPY_AGAIN)
    allowed = {MANIFEST_FILE, SIGNATURE_FILE, *weights, *images}
    needed = {str(parent) for path in allowed for parent in Path(path).parents}
    for extra in sorted((set(sizes) - allowed) | (set(folders) - needed - {"golden"})):
        raise BundleError(
            f"{manifest.ref}: {extra[:128]!r} does not belong to the bundle.",
            hint="Remove it: a bundle holds only what model.yaml names.",
        )
    for image in sorted(images):
        if sizes[image] > MAX_IMAGE_BYTES:
            raise BundleError(f"{image} is larger than {MAX_IMAGE_BYTES} bytes.", hint="Shrink it.")
    if sum(weights.values()) != manifest.weights.size:
        raise BundleError(
            f"{manifest.ref}: the weights have {sum(weights.values())} bytes,"
            f" {MANIFEST_FILE} says {manifest.weights.size}.",
            hint=_COPY_AGAIN,
            code=Code.DIGEST_MISMATCH,
        )


def _weights_sizes(manifest: Manifest, sizes: dict[str, int]) -> dict[str, int]:
    declared = manifest.weights
    if declared.is_folder:
        return {path: size for path, size in sizes.items() if path.startswith(f"{declared.file}/")}
    return {path: size for path, size in sizes.items() if path == declared.file}


# --------------------------------------------------------------------------- exactly these bytes


def _check_digests(manifest: Manifest, copied: dict[str, Copied]) -> None:
    declared = {MANIFEST_FILE: manifest.sha256}
    declared |= {image.image: image.sha256 for image in manifest.golden if image.sha256}
    found = {path: file.sha256 for path, file in copied.items()}
    weights = manifest.weights
    declared[weights.file] = weights.sha256
    if weights.is_folder:
        prefix = f"{weights.file}/"
        found[weights.file] = folder_digest(
            tuple(
                Copied(path[len(prefix) :], file.size, file.sha256)
                for path, file in copied.items()
                if path.startswith(prefix)
            )
        )
    for path, digest in declared.items():
        if found.get(path) != digest:
            changed = path == MANIFEST_FILE
            raise BundleError(
                f"{manifest.ref}: the digest of {path} is not the one expected:"
                f" found {found.get(path)}, declared {digest}.",
                hint="It was changed while it was read; try again." if changed else _COPY_AGAIN,
                code=Code.DIGEST_MISMATCH,
            )


def _cannot_write(destination: Path, error: OSError) -> BoxError:
    return BoxError(
        f"The bundle cannot be copied: {error.strerror or type(error).__name__}.",
        hint="Free space, and let this user read the bundle and write its copy.",
        detail=f"{destination}: {error}",
    )
