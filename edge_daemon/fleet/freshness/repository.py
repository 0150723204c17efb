"""The publisher's side of the fleet's metadata: changes are staged, signed, and then published.

What is staged no station reads, so that people may sign it one after the other, also on a machine
without a network. What is published is written from the bottom up, the timestamp last: whatever
breaks off in between, stations go on reading the state before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Role,
    Root,
    TargetFile,
    Targets,
)

from edge_daemon.core.text import number_of
from edge_daemon.errors import SenderError
from edge_daemon.fleet.freshness import signing
from edge_daemon.fleet.freshness.files import Files, Made, later
from edge_daemon.fleet.freshness.layout import (
    BUNDLES,
    CAMPAIGNS,
    DAYS,
    HOURS,
    ONLINE,
    PATHS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    THRESHOLDS,
    TIMESTAMP,
    bundle_path,
    campaign_path,
)
from edge_daemon.fleet.freshness.refresh import alone

_SIGNED_FOR = {ROOT: (ROOT, TARGETS), ONLINE: (SNAPSHOT, TIMESTAMP)}
"""The roles of TUF that a group of keys signs; the others are called as TUF knows them."""


@dataclass(frozen=True)
class Listed:
    """One role: its keys as (name, id), how many must sign, its version, and when it expires, in
    POSIX seconds."""

    role: str
    keys: tuple[tuple[str, str], ...]
    threshold: int
    version: int
    expires: float


class Repository:
    """One folder; `now_utc` is POSIX seconds everywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = Files(folder)

    @property
    def is_there(self) -> bool:
        return self._files.version(ROOT) > 0

    def create(
        self, keys: Mapping[str, Sequence[Path]], thresholds: Mapping[str, int], now_utc: float
    ) -> None:
        """Stage the first root and what it delegates; `keys` are public ones.

        Raises SenderError where there is a repository, or a role has fewer keys than must sign.
        """
        if self.is_there or self._files.waiting():
            raise SenderError(
                f"{self.folder} has a root already.",
                hint=f"See it: edge-daemon fleet keys show {self.folder}",
            )
        read = {role: [signing.public_key(path) for path in given] for role, given in keys.items()}
        wanted = {**THRESHOLDS, **thresholds}
        root = Root(1, expires=later(now_utc, DAYS[ROOT]))
        for whose, roles in _SIGNED_FOR.items():
            for role in roles:
                root.roles[role] = Role([], wanted[whose])
                for key in read[whose]:
                    root.add_key(key, role)
        targets = Targets(1, expires=later(now_utc, DAYS[TARGETS]))
        delegated = {
            role: DelegatedRole(role, [], wanted[role], terminating=True, paths=[path])
            for role, path in PATHS.items()
        }
        targets.delegations = Delegations({}, delegated)
        for role in delegated:
            for key in read[role]:
                targets.add_key(key, role)
        for role in read:
            _refuse_too_few(role, root if role in _SIGNED_FOR else targets)
        self._files.stage(ROOT, Metadata(root))
        self._files.stage(TARGETS, Metadata(targets))
        for role in delegated:
            self._files.stage(role, Metadata(Targets(1, expires=later(now_utc, DAYS[role]))))

    # ------------------------------------------------------------------ what is there

    def show(self) -> tuple[Listed, ...]:
        """The roles as stations know them; raises SenderError where nothing is published."""
        found = []
        for role in (ROOT, TARGETS, BUNDLES, CAMPAIGNS, SNAPSHOT, TIMESTAMP):
            above = self._files.newest(TARGETS if role in PATHS else ROOT).signed
            given, signed = above.get_delegated_role(role), self._files.newest(role).signed
            keys = tuple((signing.name_of(above.get_key(id_)), id_) for id_ in given.keyids)
            until = signed.expires.timestamp()
            found.append(Listed(role, keys, given.threshold, signed.version, until))
        return tuple(found)

    def missing(self) -> dict[str, int]:
        """What is staged, and how many signatures each still wants."""
        return {role: self._missing(role, made) for role, made in self._files.waiting().items()}

    def campaigns(self) -> tuple[str, ...]:
        """The targets of the campaigns that are published."""
        return tuple(self._files.newest(CAMPAIGNS).signed.targets)

    # ------------------------------------------------------------------ changes

    def stage_campaign(self, campaign: str, serial: int, text: bytes, now_utc: float) -> None:
        """List this campaign, and no other: stations follow the newest.

        Raises SenderError where one with this serial or a larger one is listed.
        """
        path = campaign_path(campaign)
        made = TargetFile.from_data(path, text, ["sha256"])
        made.unrecognized_fields["custom"] = {"serial": serial}
        draft = self._draft(CAMPAIGNS, now_utc)
        if draft.targets == {path: made}:
            return
        for other in draft.targets.values():
            if _serial(other) >= serial:
                raise SenderError(
                    f"{other.path} has serial {_serial(other)}, and {campaign} has {serial}.",
                    hint="A later campaign has a larger serial.",
                )
        self._files.keep_target(path, made.hashes["sha256"], text)
        draft.targets = {path: made}
        self._files.stage(CAMPAIGNS, Metadata(draft))

    def stage_bundle(self, name: str, version: str, manifest: bytes, now_utc: float) -> bool:
        """List a bundle by its manifest; whether that is news.

        Raises SenderError where another manifest is listed under this version.
        """
        path = bundle_path(name, version)
        made = TargetFile.from_data(path, manifest, ["sha256"])
        draft = self._draft(BUNDLES, now_utc)
        known = draft.targets.get(path)
        if known is not None and known.hashes != made.hashes:
            raise SenderError(
                f"Another bundle is listed as {name}@{version}.",
                hint="A version never changes: give the new bundle a new version.",
            )
        if known is not None:
            return False
        self._files.keep_target(path, made.hashes["sha256"], manifest)
        draft.targets[path] = made
        self._files.stage(BUNDLES, Metadata(draft))
        return True

    def stage_keys(
        self, role: str, add: Path | None, remove: str | None, now_utc: float
    ) -> tuple[str, ...]:
        """Give a role a key, take one away, or both; what must be signed for it.

        Raises SenderError where too few keys would be left, or the key is not there.
        """
        place, below = (TARGETS, (role,)) if role in PATHS else (ROOT, (TARGETS,))
        above = self._draft(place, now_utc)
        for each in _SIGNED_FOR.get(role, (role,)):
            if remove is not None:
                held = above.get_delegated_role(each).keyids
                gone = signing.matching({id_: above.get_key(id_) for id_ in held}, remove)
                above.revoke_key(gone.keyid, each)
            if add is not None:
                above.add_key(signing.public_key(add), each)
        _refuse_too_few(role, above)
        self._files.stage(place, Metadata(above))
        for each in below:  # what the remaining keys did not sign is signed anew
            if each not in self._files.waiting() and self._missing(each, self._files.newest(each)):
                self._files.stage(each, Metadata(self._draft(each, now_utc)))
        return tuple(self._files.waiting())

    def sign(self, signers: Iterable[CryptoSigner]) -> tuple[str, ...]:
        """Sign what is staged with every key that counts for it; the roles that were signed.

        Raises SenderError where a key counts for none of them.
        """
        done: list[str] = []
        staged = self._files.waiting()
        for each in signers:
            mine = [role for role in staged if each.public_key.keyid in self._key_ids(role, staged)]
            if not mine:
                raise SenderError(
                    "One of these keys signs nothing that waits.",
                    hint=f"See who must sign: edge-daemon fleet keys show {self.folder}",
                )
            for role in mine:
                staged[role].sign(each, append=True)
                self._files.stage(role, staged[role])
            done += mine
        return tuple(dict.fromkeys(done))

    # ------------------------------------------------------------------ publishing

    def publish(
        self, online: CryptoSigner, now_utc: float, hours: float = HOURS
    ) -> tuple[str, ...]:
        """Give stations what is staged, if it is signed whole; the roles that are new.

        Raises SenderError where signatures are missing, or others published meanwhile.
        """
        with alone(self.folder):
            staged = self._files.waiting()
            if wanted := {role: count for role, count in self.missing().items() if count}:
                roles = ", ".join(f"{role} {count}" for role, count in wanted.items())
                raise SenderError(
                    f"Signatures are missing: {roles}.",
                    hint=f"Sign: edge-daemon fleet keys sign {self.folder} --key KEY",
                )
            self._refuse_other_key(online, staged.get(ROOT) or self._files.newest(ROOT))
            for role, made in staged.items():
                self._refuse_overtaken(role, made)
            for role, made in staged.items():
                self._files.publish(role, made)
            self._files.snapshot(online, now_utc)
            self._files.timestamp(online, now_utc, hours)
            for role in staged:
                self._files.unstage(role)
        return tuple(staged)

    def renew(self, online: CryptoSigner, now_utc: float, hours: float = HOURS) -> bytes:
        """A new timestamp, and a new snapshot where that one is half through; the timestamp."""
        with alone(self.folder):
            root = self._files.newest(ROOT)
            self._refuse_other_key(online, root)
            snapshot = self._files.newest(SNAPSHOT)
            is_old = snapshot.signed.expires < later(now_utc, DAYS[SNAPSHOT] / 2)
            if is_old or signing.missing(SNAPSHOT, snapshot, root.signed, None):
                self._files.snapshot(online, now_utc)
            return self._files.timestamp(online, now_utc, hours)

    def timestamp(self) -> bytes:
        """As stations read it."""
        return self._files.content(TIMESTAMP)

    # ------------------------------------------------------------------ inside

    def _draft(self, role: str, now_utc: float) -> Any:
        """What is staged of it, else the newest one as its next version."""
        staged = self._files.waiting().get(role)
        if staged is not None:
            return deepcopy(staged.signed)
        made = self._files.newest(role).signed
        made.version += 1
        made.expires = later(now_utc, DAYS[role])
        return made

    def _above(self, role: str, staged: Mapping[str, Made]) -> Any:
        """What delegates to it, as it will be."""
        place = TARGETS if role in PATHS else ROOT
        return (staged.get(place) or self._files.newest(place)).signed

    def _before(self, role: str) -> Root | None:
        """The root that a new one follows; None for the first, and for other roles."""
        if role != ROOT or not self.is_there:
            return None
        root = self._files.newest(ROOT).signed
        assert isinstance(root, Root)
        return root

    def _missing(self, role: str, made: Made) -> int:
        above = self._above(role, self._files.waiting())
        return signing.missing(role, made, above, self._before(role))

    def _key_ids(self, role: str, staged: Mapping[str, Made]) -> set[str]:
        before = self._before(role)
        old = before.get_delegated_role(role).keyids if before else ()
        return {*self._above(role, staged).get_delegated_role(role).keyids, *old}

    def _refuse_other_key(self, online: CryptoSigner, root: Made) -> None:
        if online.public_key.keyid not in root.signed.get_delegated_role(TIMESTAMP).keyids:
            raise SenderError(
                "This is not the online key of the repository.",
                hint=f"See which is: edge-daemon fleet keys show {self.folder}",
            )

    def _refuse_overtaken(self, role: str, made: Made) -> None:
        published = self._files.version(role)
        is_again = made.signed.version == published and self._files.newest(role) == made
        if made.signed.version != published + 1 and not is_again:
            raise SenderError(
                f"Others published {role} since this change was made.",
                hint=f"Remove {self.folder}/staged/{role}.json, and make the change again.",
            )


def _refuse_too_few(role: str, above: Root | Targets) -> None:
    for each in _SIGNED_FOR.get(role, (role,)):
        given = above.get_delegated_role(each)
        if len(given.keyids) < given.threshold:
            left = number_of(len(given.keyids), "key")
            raise SenderError(
                f"{role} would have {left}, and {given.threshold} must sign.",
                hint="Put another key in its place: edge-daemon fleet keys rotate DIR ROLE KEY PUB",
            )


def _serial(target: TargetFile) -> int:
    custom = target.custom
    serial = custom.get("serial") if isinstance(custom, dict) else None
    return serial if isinstance(serial, int) else 0
