"""`edge-daemon fleet keys`: who may say which bundles and campaigns there are."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.fleet_metadata import Keys, OnlineKey, repository_of, sign_and_publish
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show as show_table
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.core.text import number_of
from edge_daemon.fleet.freshness.layout import BUNDLES, FIRST_KEYS, KEY_ROLES, ONLINE
from edge_daemon.fleet.freshness.mirror import mirror_of
from edge_daemon.fleet.freshness.refresh import refresh_once
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.times import iso_utc
from edge_daemon.models.trust import generate_keypair

app = typer.Typer(no_args_is_help=True, help="Keys of the fleet's metadata (TUF).")

Repo = Annotated[Path, typer.Argument(metavar="DIR", help="The repository, such as DIR/_tuf.")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(KEY_ROLES)}.")]
Public = Annotated[Path, typer.Argument(metavar="PUB", exists=True, help="A public key (PEM).")]
KeyName = Annotated[
    str, typer.Argument(metavar="KEY", help="A key: its name, its id, or its file.")
]


@app.command()
def init(
    folder: Repo,
    keys: Annotated[
        Path, typer.Option("--keys", help="The folder of the keys; missing ones are made.")
    ],
    qa: Annotated[int, typer.Option(min=1, max=8, help="How many QA keys must sign a bundle.")] = 1,
) -> None:
    """Make a repository: three root keys, of which two sign, and keys of QA, ops and release.

    Keys that lie in the folder are used: NAME.pub alone where somebody keeps the private one.
    """
    repository = repository_of(folder)
    names = {**FIRST_KEYS}
    if qa > 1:
        names[BUNDLES] = tuple(f"qa-{number + 1}" for number in range(qa))
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (name for several in names.values() for name in several):
        if not (keys / f"{name}.pub").exists():
            generate_keypair(keys, name)
    public = {role: [keys / f"{name}.pub" for name in several] for role, several in names.items()}
    repository.create(public, {BUNDLES: qa}, time.time())
    private = [keys / f"{name}.key" for role in names for name in names[role] if role != ONLINE]
    online = keys / f"{names[ONLINE][0]}.key"
    there = [each for each in private if each.exists()]
    if sign_and_publish(repository, there, online if online.exists() else None):
        root = folder / "metadata" / "1.root.json"
        digest = hashlib.sha256(root.read_bytes()).hexdigest()
        tell(f"Copy {root} to every station as fleet.trust.root. Its SHA-256 is {digest}.")
        tell("Take root-1.key, root-2.key and root-3.key to three places without a network.")


@app.command()
def add(
    folder: Repo, role: Role, public: Public, key: Keys = None, online_key: OnlineKey = None
) -> None:
    """Give ROLE one more key."""
    _change(folder, role, (public, None), (key, online_key))


@app.command()
def rotate(
    folder: Repo,
    role: Role,
    old: KeyName,
    public: Public,
    key: Keys = None,
    online_key: OnlineKey = None,
) -> None:
    """Replace KEY of ROLE by the key PUB."""
    _change(folder, role, (public, old), (key, online_key))


@app.command()
def revoke(
    folder: Repo, role: Role, old: KeyName, key: Keys = None, online_key: OnlineKey = None
) -> None:
    """Take KEY from ROLE: what it signed no longer counts."""
    _change(folder, role, (None, old), (key, online_key))


@app.command()
def sign(folder: Repo, key: Keys = None, online_key: OnlineKey = None) -> None:
    """Sign what waits; with the online key it is published when enough have signed.

    Where a key is kept without a network, carry the whole folder there and its `staged` back.
    """
    repository = repository_of(folder)
    if not repository.missing():
        raise WrongUsage(
            f"Nothing waits in {folder}.", hint=f"Look: edge-daemon fleet keys show {folder}"
        )
    sign_and_publish(repository, key or (), online_key)


@app.command()
def show(folder: Repo, as_json: AsJson = False) -> None:
    """Show each role: its keys, how many must sign, and when it expires."""
    repository = repository_of(folder)
    found, missing = repository.show(), repository.missing()
    if as_json:
        roles = [
            {
                "role": each.role,
                "keys": [{"name": name, "id": id_} for name, id_ in each.keys],
                "threshold": each.threshold,
                "version": each.version,
                "expires": iso_utc(each.expires),
            }
            for each in found
        ]
        waiting = {"waiting": missing, "campaigns": list(repository.campaigns())}
        tell_json({"roles": roles, **waiting}, indent=2)
        return
    columns = (Column("role"), Column("version"), Column("sign"), Column("keys"), Column("until"))
    rows = [
        (
            each.role,
            str(each.version),
            f"{each.threshold} of {len(each.keys)}",
            ", ".join(f"{name} {id_[:8]}" for name, id_ in each.keys),
            iso_utc(each.expires),
        )
        for each in found
    ]
    show_table(FittedTable(columns, rows))
    for role, count in missing.items():
        how = f"{number_of(count, 'signature')} missing" if count else "all have signed"
        tell(f"waits: {role}, {how}")


@app.command()
def refresh(
    place: Annotated[
        str | None,
        typer.Option("--from", metavar="DIR|URL", help="Where from; else fleet.trust.metadata."),
    ] = None,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="The clock was ahead before, and is right now.")
    ] = False,
    file: ConfigFile = None,
) -> None:
    """Bring this station fresh metadata, such as from a USB stick; a running daemon notices it."""
    settings = read_settings(file)
    trust = settings.fleet.trust if settings.fleet else None
    if trust is None or trust.root is None:
        raise WrongUsage("This station pins no root.", hint="Set fleet.trust.root.")
    chosen = place or trust.metadata
    if chosen is None:
        raise WrongUsage("Nothing says where from.", hint="Give --from FOLDER.")
    kept = refresh_once(
        trust, settings.state_folder, mirror_of(chosen, trust.metadata_ca), SystemClock(),
        trust_clock=trust_clock,
    )  # fmt: skip
    assert kept.current is not None
    current = ", ".join(sorted(kept.current.campaigns)) or "none"
    tell(f"Fresh until {iso_utc(kept.current.until)}. Current campaigns: {current}.")


def _change(
    folder: Path,
    role: str,
    change: tuple[Path | None, str | None],
    signed_by: tuple[list[Path] | None, Path | None],
) -> None:
    if role not in KEY_ROLES:
        raise WrongUsage(f"{role} is no role.", hint=f"Name one of {', '.join(KEY_ROLES)}.")
    repository = repository_of(folder)
    waiting = repository.stage_keys(role, *change, time.time())
    tell(f"To be signed: {', '.join(waiting)}.")
    keys, online = signed_by
    sign_and_publish(repository, keys or (), online)
