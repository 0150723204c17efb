"""`edge-daemon fleet publish`: a bundle is put where stations fetch it from."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.fleet_metadata import (
    Keys,
    OnlineKey,
    RepositoryOption,
    repository_of,
    sign_and_publish,
)
from edge_daemon.cli.options import AsJson, ConfigFile, SwarmAuthority, authority_of, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.progress import fetching, reading
from edge_daemon.cli.references import RefOrFolder
from edge_daemon.cli.store import find_bundle, trust_of
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.courier.torrent import Torrent, describe
from edge_daemon.fleet.folder_origin import FolderOrigin
from edge_daemon.fleet.freshness.layout import REPOSITORY
from edge_daemon.fleet.publish import Origin, Package, packed
from edge_daemon.fleet.registry import RegistryOrigin
from edge_daemon.sources.http import Http, basic
from edge_daemon.sources.oci_login import OciLogin

if TYPE_CHECKING:  # python-tuf is an extra
    from edge_daemon.fleet.freshness.repository import Repository

_OCI = "oci:"
_REGISTRY = re.compile(
    r"(?P<scheme>https?://)?(?P<host>[A-Za-z0-9.\[\]-]+(:[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9][a-z0-9._/-]{0,254})(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
)


def publish(  # noqa: PLR0913, PLR0917 - each is an option
    bundle: RefOrFolder,
    to: Annotated[
        str,
        typer.Option(metavar="DIR|oci:HOST/REPOSITORY[:TAG]", help="Where stations fetch from."),
    ],
    file: ConfigFile = None,
    user: Annotated[str | None, typer.Option(help="A user of the registry.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="A file with the password.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with a bearer token.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the registry's authority.")] = None,
    swarm_ca: SwarmAuthority = None,
    repository: RepositoryOption = None,
    key: Keys = None,
    online_key: OnlineKey = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle as a store does, and put it where stations fetch it from.

    A transfer that was cut off is continued. Nothing becomes active anywhere. If the fleet's
    metadata lies beside it, or --repository names it, the bundle is listed there too.
    """
    if (user is None) != (password_file is None):
        raise WrongUsage("A user needs a password.", hint="Give --user and --password-file.")
    origin = _origin(to, user, password_file, token_file, ca)
    settings = read_settings(file)
    manifest, folder = find_bundle(bundle, settings)
    trust = trust_of(settings)
    with (
        reading(folder, "Checking") as count,
        packed(manifest, folder, trust, count) as package,
        fetching(f"Publishing {manifest.ref}") as heard,
    ):
        done = origin.put(package, heard)
        swarm = _swarm(package, origin, authority_of(settings, swarm_ca))
        listing, content = _listing(to, repository), package.pieces[-1].place.read_bytes()
    if listing is not None:
        listing.stage_bundle(manifest.ref.name, manifest.ref.version, content, time.time())
        if listing.missing():
            sign_and_publish(listing, key or (), online_key, err=as_json)
    if as_json:
        tell_json(
            {
                "model": str(package.ref),
                "where": done.where,
                "new": done.is_new,
                "bytes": package.size,
                "sent": done.sent,
                "signer": package.signer,
                "infohash": swarm.infohash if swarm is not None else None,
                "manifest_sha256": package.manifest.sha256,
            }
        )
        return
    tell(f"{package.ref} is {'published' if done.is_new else 'there already'}: {done.where}")
    if swarm is not None:
        tell(f"Stations share it as infohash {swarm.infohash}, {swarm.size} bytes.")
    if package.signer is None:
        tell("Nobody signed it that this device knows: few stations will take it.", err=True)


def _listing(to: str, given: Path | None) -> Repository | None:
    """The fleet's metadata: as named, or beside the bundles; None: there is none."""
    if given is not None:
        return repository_of(given)
    beside = Path(to) / REPOSITORY
    return repository_of(beside) if not to.startswith(_OCI) and beside.is_dir() else None


def _swarm(package: Package, origin: Origin, authority: bytes | None) -> Torrent | None:
    """What stations need to share it, put beside it; None where they do not."""
    if authority is None or not isinstance(origin, FolderOrigin):
        return None
    files = ((piece.path, piece.place) for piece in package.pieces)
    torrent = describe(package.ref.version, files, authority)
    origin.put_description(package.ref, torrent.content)
    return torrent


def _origin(
    to: str, user: str | None, password: Path | None, token: Path | None, ca: Path | None
) -> Origin:
    """Where to publish; the files are read when a registry asks for what is in them."""
    if not to.startswith(_OCI):
        if "://" in to:
            raise WrongUsage(
                f"{to} cannot be written to.",
                hint="Name the folder that the web server gives out, or oci:HOST/REPOSITORY.",
            )
        return FolderOrigin(Path(to))
    found = _REGISTRY.fullmatch(to[len(_OCI) :])
    if found is None:
        raise WrongUsage(
            f"{to} names no registry.", hint="Write oci:registry.plant:5000/line3/bottle."
        )
    base = f"{found['scheme'] or 'https://'}{found['host']}"

    def authority() -> str | None:
        return readable_path(ca, "--ca")

    def by_password() -> str | None:
        if user is None or password is None:
            return None
        return basic(user, read_secret(password, "--password-file"))

    def by_token() -> str | None:
        return None if token is None else read_secret(token, "--token-file")

    http = Http(base, authority)
    login = OciLogin(http, authority, by_password, by_token, "pull,push")
    return RegistryOrigin(http, login, found["repository"], found["tag"])
