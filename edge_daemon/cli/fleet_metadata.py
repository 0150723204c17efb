"""How commands change the fleet's metadata: they stage it, sign it and publish it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_daemon.cli.output import tell
from edge_daemon.core.text import number_of
from edge_daemon.errors import ConfigurationError
from edge_daemon.fleet.freshness.layout import REPOSITORY

if TYPE_CHECKING:  # python-tuf is an extra: other commands must work without it
    from edge_daemon.fleet.freshness.repository import Repository

RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        "--repository",
        metavar="DIR",
        help=f"The fleet's metadata, such as /srv/models/{REPOSITORY}.",
    ),
]
OnlineKey = Annotated[
    Path | None,
    typer.Option(
        "--online-key", exists=True, help="The publisher's key; with it changes are published."
    ),
]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", exists=True, help="A private key that signs; may be repeated."),
]


def repository_of(folder: Path) -> Repository:
    """The repository in a folder, which may not be there; raises ConfigurationError."""
    try:
        from edge_daemon.fleet.freshness.repository import Repository  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"The fleet's metadata needs a library that is not installed: {error.name}.",
            hint="Install it: pip install 'edge-daemon[fleet]'",
        ) from error
    return Repository(folder)


def sign_and_publish(
    repository: Repository, keys: Sequence[Path], online: Path | None, *, err: bool = False
) -> bool:
    """Sign what is staged, publish it where it is signed whole, and tell what is missing.

    `err`: told on stderr, where stdout holds a document. Returns whether stations read it now.
    """
    from edge_daemon.fleet.freshness.signing import signer  # noqa: PLC0415 - an extra

    if keys:
        signed = repository.sign([signer(key) for key in keys])
        tell(f"Signed: {', '.join(signed)}.", err=err)
    missing = repository.missing()
    for role, count in missing.items():
        if count:
            wanted = number_of(count, "signature")
            command = f"edge-daemon fleet keys sign {repository.folder} --key KEY"
            tell(f"{role} still needs {wanted}: {command}", err=err)
    if any(missing.values()):
        return False
    if online is None:
        if missing:
            command = f"edge-daemon fleet keys sign {repository.folder} --online-key KEY"
            tell(f"All have signed. Publish it: {command}", err=err)
        return False
    if missing:
        done = repository.publish(signer(online), time.time())
        tell(f"Published: {', '.join(done)}.", err=err)
    return True


def renewed_timestamp(repository: Repository, online: Path, hours: float) -> bytes:
    """A new timestamp that expires after so many hours."""
    from edge_daemon.fleet.freshness.signing import signer  # noqa: PLC0415 - an extra

    return repository.renew(signer(online), time.time(), hours)
