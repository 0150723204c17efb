"""The store: which bundles are complete, where they lie, and that none ever changes.

    <root>/<name>/<version>/model.yaml …     a bundle; complete once model.yaml is there
    <root>/.…                                not looked at: copies under way, mounted volumes' own
    <state>/bundles.json                     the digest of each manifest when it was first seen

A version is immutable: bundles that come back with another `model.yaml` are not offered.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import structlog

from edge_daemon.core.values import BundleRef, StoredBundle
from edge_daemon.errors import BoxError, BundleError, Code, SenderError
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.files import FileEntry, Folder, is_inner_path, sync_tree
from edge_daemon.models.first_seen import FirstSeen
from edge_daemon.models.manifest import MANIFEST_FILE, Manifest
from edge_daemon.models.misplaced import misplaced, place_of, visible_folders
from edge_daemon.models.shared_folder import SharedFolder, lock, move, opened
from edge_daemon.models.trust import Trust
from edge_daemon.models.versions import equal_to, order_of

_log = structlog.get_logger()

_INCOMING = ".incoming"
_LEAVING = ".leaving"
MEMORY_FILE = "bundles.json"

_Look = Union[Manifest, BundleError]
"""What one look at a folder gave: a complete bundle, or why it is none."""


@dataclass(frozen=True)
class Problem:
    """What is not offered, and why: a bundle that is not complete (yet) or not valid, or something
    that lies where no bundle does. `place` is its path within the store."""

    folder: Path
    place: str
    error: BundleError


@dataclass(frozen=True)
class Offer:
    """One look at the whole store: what it offers, oldest to newest within a name, and the rest.

    `below`: those offered that are older than the floor of their name, with that floor. `trouble`:
    what is wrong with the store's folder as a whole, to be read after its path; "" if nothing is.
    """

    known: tuple[StoredBundle, ...]
    problems: tuple[Problem, ...]
    below: tuple[tuple[BundleRef, str], ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Removed:
    """A bundle that was taken out, and the bytes that it held."""

    ref: BundleRef
    size_bytes: int


class Store:
    """The bundles below one folder. Any thread may call it; nothing here reads weights but `add`.

    `state` is a folder of this daemon's own where first-seen digests are kept; without one they
    are kept for this process only. `floor`: bundle name -> the oldest version to ask for. `read`
    reads a folder that is new or has changed, once, while others go on asking; `vouched`: whether
    it lets pass only what a key vouches for. Raises StateError when the digests cannot be read.
    """

    def __init__(
        self,
        root: Path,
        state: Path | None = None,
        floor: Mapping[str, str] | None = None,
        read: Callable[[Path], Manifest] = read_manifest,
        vouched: Callable[[], bool] = lambda: False,
    ) -> None:
        self.root = root
        self._floor = dict(floor or {})
        self._memory = FirstSeen(state / MEMORY_FILE if state else None, vouched)
        self._lock = threading.RLock()
        self._read = read
        self._looks: dict[Path, tuple[tuple[FileEntry, ...], _Look]] = {}

    # ----------------------------------------------------------------------- asking

    def offer(self) -> Offer:
        """Look at every folder of the store; unchanged ones are not read again."""
        found: list[StoredBundle] = []
        problems: list[Problem] = []
        names = visible_folders(self.root)
        folders = frozenset(folder for name in names for folder in visible_folders(name))
        for folder in sorted(folders):
            look = self._look(folder)
            if isinstance(look, BundleError):
                problems.append(Problem(folder, place_of(folder), look))
            else:
                found.append(StoredBundle(look.ref, look.weights.sha256))
        problems += (Problem(self.root / place, place, why) for place, why in misplaced(self.root))
        with self._lock:
            self._looks = {at: look for at, look in self._looks.items() if at in folders}
            self._memory.save()
        found.sort(key=lambda known: (known.ref.name, order_of(known.ref.version)))
        trouble = "" if folders else self._trouble()
        return Offer(tuple(found), tuple(problems), tuple(self._below(found)), trouble)

    def read_again(self) -> None:
        """Read every folder anew at the next look: the trusted keys changed, not the files."""
        with self._lock:
            self._looks.clear()

    def available(self) -> tuple[StoredBundle, ...]:
        """The complete, valid and unchanged bundles, oldest to newest within a name."""
        return self.offer().known

    def find(self, ref: BundleRef) -> Path:
        """The folder of a bundle. Raises SenderError(unknown_model), or why it is not offered."""
        self.manifest(ref)
        return self._place(ref)

    def manifest(self, ref: BundleRef) -> Manifest:
        """The manifest of a bundle; raises as `find`."""
        folder = self._place(ref)
        if not os.path.isdir(folder):  # nor where nobody may look
            raise self._unknown(ref)
        look = self._look(folder)
        with self._lock:
            self._memory.save()
        if isinstance(look, BundleError):
            raise BundleError(look.message, hint=look.hint, code=look.code) from look
        return look

    def size_bytes(self) -> int:
        """Bytes of all offered bundles."""
        known = self.available()
        with self._lock:
            return sum(self._size(self._place(each.ref)) for each in known)

    # ----------------------------------------------------------------------- changing

    def add(
        self,
        folder: Path,
        trust: Trust | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> BundleRef:
        """Copy a bundle into the store, verified; it appears there whole, at one moment.

        The same bundle again is no error. Raises BundleError as `read_manifest` and
        `verified_copy` do, and digest_mismatch when another one is there under its name;
        BoxError when the store cannot be written.
        """
        manifest = read_manifest(folder, placed=False)
        self._refuse_same_version(manifest)
        self._refuse_other(manifest, self._place(manifest.ref))
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # Under the lock: what lies in the workplace is left from a crash, and is removed.
            with (
                SharedFolder(self.root) as shared,
                self._locked(shared),
                shared.workplace(_INCOMING) as incoming,
            ):
                copy = secrets.token_hex(8)
                verified_copy(manifest, folder, opened(incoming) / copy, trust or Trust(), tell)
                self._put(shared, incoming, copy, manifest)
        except OSError as error:
            raise BoxError(
                f"The store {self.root} cannot be written: {error.strerror or error}.",
                hint="Free space there, and let this user write there.",
            ) from error
        self.manifest(manifest.ref)
        return manifest.ref

    def collect(self, keep: Set[BundleRef], quota_bytes: int) -> tuple[Removed, ...]:
        """Take out bundles not in `keep`, longest there first, until the rest fits the quota.

        Brief: they are moved aside, each at one moment, and `sweep` deletes them. What cannot be
        moved is logged and stays; nothing is taken out while a bundle is added. Raises
        BoxError or OSError where nothing can be moved at all.
        """
        removed: list[Removed] = []
        known = self.available()
        with (
            self._lock,
            SharedFolder(self.root) as shared,
            self._locked(shared, wait=False) as is_ours,
        ):
            if not is_ours:
                return ()
            sizes = {each.ref: self._size(self._place(each.ref)) for each in known}
            total = sum(sizes.values())
            for ref in sorted(set(sizes) - set(keep), key=self._arrived_ns):
                if total <= quota_bytes:
                    break
                if self._take_out(shared, ref):
                    removed.append(Removed(ref, sizes[ref]))
                    total -= sizes[ref]
        return tuple(removed)

    def sweep(self) -> None:
        """Delete what `collect` moved aside; takes as long as the file system needs."""
        with suppress(OSError), SharedFolder(self.root) as shared:
            shared.sweep(_LEAVING)

    # ----------------------------------------------------------------------- inside

    def _place(self, ref: BundleRef) -> Path:
        # A ref comes from a request: it must not lead out of the store.
        inner = all("/" not in part and is_inner_path(part) for part in (ref.name, ref.version))
        if not inner:
            raise self._unknown(ref)
        return self.root / ref.name / ref.version

    def _unknown(self, ref: BundleRef) -> SenderError:
        there = [known.ref.version for known in self.available() if known.ref.name == ref.name]
        offered = f"It has {ref.name} {', '.join(there[-5:])}." if there else ""
        return SenderError(
            f"The store has no bundle {ref}.",
            hint=f"{offered} Add it with 'edge-daemon models add'.".strip(),
            code=Code.UNKNOWN_MODEL,
        )

    def _trouble(self) -> str:
        """Why there is no bundle: an unmounted volume leaves nothing, or an empty folder."""
        try:
            with os.scandir(self.root):
                pass
        except FileNotFoundError:
            return "is not there"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        return f"is empty, and {len(self._memory)} bundles were seen in it" if self._memory else ""

    def _below(self, found: Iterable[StoredBundle]) -> Iterator[tuple[BundleRef, str]]:
        for known in found:
            floor = self._floor.get(known.ref.name)
            if floor is not None and order_of(known.ref.version).is_older_than(order_of(floor)):
                yield known.ref, floor

    def _look(self, folder: Path) -> _Look:
        try:
            self._refuse_outside(folder)
            with Folder(folder) as opened:
                entries, _ = opened.entries()
            look = self._read_once(folder, entries)
            if isinstance(look, Manifest):
                self._refuse_same_version(look)
                with self._lock:
                    self._memory.refuse_change(look)
                    self._memory.remember(look)
        except BundleError as error:
            return error
        except OSError as error:
            return BundleError(
                f"{place_of(folder)} cannot be read: {error.strerror or type(error).__name__}.",
                hint="Let the daemon's user read all of it.",
            )
        return look

    def _read_once(self, folder: Path, entries: tuple[FileEntry, ...]) -> _Look:
        """The content of the folder; read where its files changed, without the lock."""
        with self._lock:
            before = self._looks.get(folder)
        if before is not None and before[0] == entries:
            return before[1]
        try:
            look: _Look = self._read(folder)
        except BundleError as error:
            look = error
        with self._lock:
            self._looks[folder] = (entries, look)
        return look

    def _refuse_same_version(self, manifest: Manifest) -> None:
        """Of versions that are equal (`1.2`, `v1.2`, `1.2.0`) one counts: what was offered before,
        else the first by its text."""
        ref, beside = manifest.ref, visible_folders(self.root / manifest.ref.name)
        same = equal_to(ref.version, (folder.name for folder in beside))
        refs = [BundleRef(ref.name, version) for version in sorted(same)]
        for first in sorted(refs, key=lambda each: not self._memory.knows(each)):
            if first == ref:
                return
            if self._is_valid(self._place(first)):
                raise BundleError(
                    f"{ref} is the same version as {first}, which is in the store.",
                    hint="Give it a version of its own.",
                )

    def _is_valid(self, folder: Path) -> bool:
        try:
            with Folder(folder) as opened:
                entries, _ = opened.entries()
            return isinstance(self._read_once(folder, entries), Manifest)
        except (BundleError, OSError):
            return False

    def _refuse_outside(self, folder: Path) -> None:
        """Volumes are mounted by symbolic links within the store; none may lead out of it."""
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise BundleError(
                f"{place_of(folder)} is a link that leads out of the store.",
                hint="Copy the bundle itself into the store.",
            )

    def _refuse_other(self, manifest: Manifest, place: Path) -> None:
        self._memory.refuse_change(manifest)
        if not (place / MANIFEST_FILE).exists():
            return
        there = self._look(place)
        if isinstance(there, BundleError) or there.sha256 != manifest.sha256:
            raise BundleError(
                f"The store already holds another {manifest.ref}.",
                hint="A version never changes: give the new bundle a new version.",
                code=Code.DIGEST_MISMATCH,
            )

    def _put(self, shared: SharedFolder, incoming: int, copy: str, manifest: Manifest) -> None:
        """Move a private copy to its place; its modes are set while it is still private."""
        ref = manifest.ref
        if (self._place(ref) / MANIFEST_FILE).exists():
            return self._refuse_other(manifest, self._place(ref))
        private = opened(incoming) / copy
        for path in (private, *private.rglob("*")):
            shared.publish(path)
        sync_tree(private)
        with shared.inner(ref.name, create=True) as versions:
            with suppress(FileNotFoundError):  # a copy that was cut off: model.yaml is not there
                move(ref.version, versions, f"{copy}.remains", incoming)
            move(copy, incoming, ref.version, versions)
        shared.sync()
        return None

    @contextmanager
    def _locked(self, shared: SharedFolder, wait: bool = True) -> Iterator[bool]:
        """Whether this is the only writer, in any process; False only without `wait`."""
        fd = shared.lock_file(".lock")
        try:
            yield lock(fd, wait)
        finally:
            os.close(fd)

    def _take_out(self, shared: SharedFolder, ref: BundleRef) -> bool:
        try:
            with (
                shared.inner(ref.name) as versions,
                shared.resting_place(_LEAVING) as leaving,
            ):
                move(ref.version, versions, secrets.token_hex(8), leaving)
        except (OSError, BoxError) as error:
            _log.warning("bundle_not_removed", model=str(ref), error=str(error))
            return False
        return True

    def _size(self, place: Path) -> int:
        entries, _ = self._looks.get(place, ((), None))
        return sum(entry.size for entry in entries)

    def _arrived_ns(self, ref: BundleRef) -> int:
        entries, _ = self._looks.get(self._place(ref), ((), None))
        return max((entry.changed_ns for entry in entries), default=0)
