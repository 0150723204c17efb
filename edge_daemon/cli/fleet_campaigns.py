"""`edge-daemon fleet`: campaigns, which bring a bundle to many stations in waves."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.fleet_known import fleet_of, refuse_unfollowed, retained_at, signers_of
from edge_daemon.cli.fleet_metadata import (
    OnlineKey,
    RepositoryOption,
    renewed_timestamp,
    repository_of,
    sign_and_publish,
)
from edge_daemon.cli.options import (
    AsJson,
    ConfigFile,
    Inventory,
    SwarmAuthority,
    authority_of,
    read_settings,
)
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.references import RefOrFolder
from edge_daemon.cli.store import find_bundle
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.config import Settings
from edge_daemon.core.fleet.campaign import Campaign, as_mapping, canonical, read_campaign
from edge_daemon.core.fleet.ledger import groups
from edge_daemon.core.fleet.simulated import Outcome, Truth, run
from edge_daemon.core.fleet.waves import members
from edge_daemon.core.text import number_of
from edge_daemon.core.wording import listed
from edge_daemon.courier.torrent import describe, folder_files
from edge_daemon.documents import dump
from edge_daemon.errors import SenderError
from edge_daemon.fleet import messages
from edge_daemon.fleet.campaign_file import load_campaign
from edge_daemon.fleet.freshness.layout import CAMPAIGNS
from edge_daemon.fleet.ledger import gather, read_inventory, read_ledger
from edge_daemon.fleet.saying import kept_at, say, stop_of, time_after
from edge_daemon.host.disk import write_durably
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.times import iso_utc
from edge_daemon.models import countersigned
from edge_daemon.models.manifest import Manifest

app = typer.Typer()

CampaignFile = Annotated[
    Path, typer.Argument(help="The campaign's file.", metavar="FILE", exists=True, dir_okay=False)
]
Id = Annotated[str, typer.Argument(help="The campaign's id.", metavar="ID")]
Reason = Annotated[str, typer.Option(help="Why; it stays on record.")]
Who = Annotated[str, typer.Option(help="Who says it: ops, evaluator or andon.")]
Key = Annotated[Path, typer.Option(help="The private key (PEM, P-256).", exists=True)]

TRUTHS = {
    "equal": Truth(),
    "3.5 points worse": Truth(only_old=0.05, only_new=0.015),
    "7 points worse": Truth(only_old=0.08, only_new=0.01),
    "a third goes back": Truth(failing=1 / 3),
    "5 % are silent": Truth(silent=0.05),
}
"""What may be true of a new model, and is tried."""


@app.command("campaign")
def make(  # noqa: PLR0913, PLR0917 - one option for each word of a campaign
    bundle: RefOrFolder,
    id: Annotated[str, typer.Option(help="The campaign's id, such as 2026-48-bottle.")],  # noqa: A002
    serial: Annotated[
        int, typer.Option(min=1, help="A number larger than every earlier campaign's.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    waves: Annotated[str, typer.Option(help="Shares in percent, such as 1,10,50,100.")] = (
        "1,10,50,100"
    ),
    soak: Annotated[str, typer.Option(help="Minutes between two waves, such as 30,120,120.")] = "",
    canary: Annotated[
        list[str] | None, typer.Option(help="A station for the first wave; may be repeated.")
    ] = None,
    with_groups: Annotated[
        bool,
        typer.Option(
            "--groups", help="Stations of one `fleet.group`, as they report it, in waves apart."
        ),
    ] = False,
    hours: Annotated[float, typer.Option(min=0.1, help="Hours until it expires.")] = 168.0,
    with_wave: Annotated[
        bool, typer.Option("--with-wave", help="Stations fetch it with their wave, not early.")
    ] = False,
    swarm_ca: SwarmAuthority = None,
    file: ConfigFile = None,
) -> None:
    """Make a campaign's file; rules and windows are added to it with an editor."""
    shares = [round(each / 100.0, 9) for each in _numbers(waves, "waves")]
    minutes = _numbers(soak, "soak") if soak else [30.0] * (len(shares) - 1)
    now = float(int(time.time()))
    settings = read_settings(file)
    manifest, folder = find_bundle(bundle, settings)
    fetched = _fetched(folder, manifest, authority_of(settings, swarm_ca))
    made = read_campaign(
        {
            "id": id,
            "serial": serial,
            "model": str(manifest.ref),
            "sha256": manifest.weights.sha256,
            "waves": shares,
            "soak_s": [60.0 * each for each in minutes],
            "canaries": list(canary or ()),
            "groups": _reported_groups(settings, len(shares)) if with_groups else {},
            "not_before": now,
            "expires": now + 3600.0 * hours,
            **fetched,
            **({"fetch": "with_wave"} if with_wave else {}),
        }
    )
    write_durably(out, dump(as_mapping(made)).encode())
    tell(f"Made: {out}; it expires {iso_utc(made.expires)}.")
    if not fetched:
        tell("Made without --swarm-ca: neighbours cannot share it, each station asks the origin.")
    tell(f"Look at it, then: edge-daemon fleet simulate {out}")


@app.command()
def sign(
    file: CampaignFile, key: Key, repository: RepositoryOption = None, as_json: AsJson = False
) -> None:
    """Sign a campaign; stations want the marks of two different keys that they trust.

    With --repository the same key signs that it is the current one, in the fleet's metadata.
    """
    campaign, envelope = load_campaign(file)
    made = countersigned.sign(canonical(campaign), messages.KIND, key, envelope)
    if repository is not None:
        listing = repository_of(repository)
        listing.stage_campaign(campaign.id, campaign.serial, canonical(campaign), time.time())
        if CAMPAIGNS in listing.missing():  # else it is published already
            sign_and_publish(listing, (key,), None, err=as_json)
    write_durably(file, made + b"\n")
    keys = countersigned.marks_in(made)
    if as_json:
        tell_json({"campaign": campaign.id, "serial": campaign.serial, "keys": keys})
        return
    tell(
        f"Signed: {file}, campaign {campaign.id}, serial {campaign.serial}: {campaign.model} until "
        f"{iso_utc(campaign.expires)}."
    )
    listed_in = "" if repository is None else f" --repository {repository}"
    if keys == 1:
        again = f"edge-daemon fleet sign {file} --key KEY{listed_in}"
        tell(f"One key has signed it; stations want two: {again}")
    else:
        online = "" if repository is None else " --online-key KEY"
        begin = f"edge-daemon fleet start {file}{listed_in}{online}"
        tell(f"{keys} keys have signed it. Start it: {begin}")


@app.command()
def start(
    file: CampaignFile,
    config: ConfigFile = None,
    repository: RepositoryOption = None,
    online_key: OnlineKey = None,
) -> None:
    """Put a signed campaign on the broker; an evaluator opens its first wave.

    With --repository the fleet's metadata says first that it is the current one.
    """
    campaign, envelope = load_campaign(file)
    if envelope is None:
        raise WrongUsage(
            f"Nobody signed {file}.", hint=f"Sign it: edge-daemon fleet sign {file} --key KEY"
        )
    settings = read_settings(config)
    signers = signers_of(settings)
    topic = messages.campaign_topic(campaign.id)
    if signers is not None:  # else the stations find out
        messages.read_signed_campaign(topic, envelope, signers)
    stops = messages.stop_topic(campaign.id, "+")
    kept = retained_at(settings, [messages.campaign_topic("+"), stops])
    refuse_unfollowed(campaign, kept, signers)
    if repository is not None:
        _publish_listing(repository, campaign, online_key)
        _publish(settings, messages.TIMESTAMP, repository_of(repository).timestamp())
    _publish(settings, topic, envelope)
    tell(f"Started: {campaign.id}. Watch it: edge-daemon fleet status")


@app.command()
def pause(
    id: Id,  # noqa: A002 - the contract's word
    reason: Reason = "",
    who: Who = "ops",
    over: Annotated[bool, typer.Option("--over", help="End the pause.")] = False,
    file: ConfigFile = None,
) -> None:
    """Let no further station begin until `pause ID --over`."""
    topic = messages.pause_topic(id, who)
    messages.read_message(topic, messages.paused(0.0, reason, is_on=not over))
    settings = read_settings(file)
    with Client.of(settings) as client:
        at = time_after(kept_at(client, topic), topic, time.time())
        say(client, topic, messages.paused(at, reason, is_on=not over))
    tell(f"{id} goes on, as far as {who} is concerned." if over else f"Paused: {id}.")
    _warn_unknown(settings, id)


@app.command()
def stop(
    id: Id,  # noqa: A002 - the contract's word
    reason: Reason,
    who: Who = "ops",
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Also take it back from stations that have it.")
    ] = False,
    file: ConfigFile = None,
) -> None:
    """End a campaign for ever; a later one needs another id and a larger serial."""
    topic, body = stop_of(id, who, reason, time.time(), goes_back=rollback)
    settings = read_settings(file)
    _publish(settings, topic, body)
    tell(f"Stopped: {id}.")
    _warn_unknown(settings, id)


@app.command()
def timestamp(
    serial: Annotated[
        int | None,
        typer.Option(min=1, help="The newest campaign's serial, for stations with `trust.fresh`."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The private key (PEM, P-256) that signs it.", exists=True)
    ] = None,
    repository: RepositoryOption = None,
    online_key: OnlineKey = None,
    hours: Annotated[
        float, typer.Option(min=0.1, max=8784.0, help="Hours until it expires.")
    ] = 24.0,
    file: ConfigFile = None,
) -> None:
    """Sign which campaign is the newest; stations begin campaigns only while this is fresh.

    --repository renews the fleet's metadata, for stations with `trust.root`; --serial is for
    stations with `trust.fresh`.
    """
    if (serial is None) != (key is None) or (repository is None) != (online_key is None):
        raise WrongUsage(
            "Each timestamp needs the key that signs it.",
            hint="Give --serial with --key, --repository with --online-key, or all four.",
        )
    tuf = b""
    if repository is not None and online_key is not None:
        tuf = body = renewed_timestamp(repository_of(repository), online_key, hours)
    if serial is not None and key is not None:
        now = time.time()
        text = messages.timestamp_text(messages.Timestamp(now, now + 3600.0 * hours, serial), tuf)
        body = countersigned.sign(text, messages.TIMESTAMP_KIND, key)
    elif not tuf:
        raise WrongUsage("Nothing was named.", hint="Give --repository DIR with --online-key KEY.")
    _publish(read_settings(file), messages.TIMESTAMP, body)
    tell(f"Fresh for {hours:g} h" + (f", with serial {serial}." if serial is not None else "."))


@app.command()
def simulate(
    file: CampaignFile,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="Campaigns of each kind.")] = 100,
    stations: Annotated[int, typer.Option(min=1, max=20_000, help="How many stations.")] = 200,
    inventory: Inventory = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Try the rules of a campaign on simulated good and bad models."""
    campaign, _ = load_campaign(file)
    names = read_inventory(inventory) if inventory else _drawn_names(campaign, stations)
    found = {
        what: [run(campaign, names, truth, random.Random(seed + each)) for each in range(n)]  # noqa: S311 - a simulation
        for what, truth in TRUTHS.items()
    }
    if as_json:
        tell_json({what: _plain(outcomes) for what, outcomes in found.items()}, indent=2)
        return
    sizes = ", ".join(str(len(wave)) for wave in members(campaign, names))
    many = number_of(len(names), "station")
    tell(f"{campaign.id}: {many} in waves of {sizes}; {n} campaigns of each kind.")
    columns = (Column("the model"), Column("stopped"), Column("done"), Column("beyond wave 0"))
    rows = [
        (what, *(str(value) for value in _plain(outcomes).values()))
        for what, outcomes in found.items()
    ]
    show(FittedTable((*columns, Column("stations that had it")), rows))
    if not campaign.rules.slices:
        tell("Without rules.slices nothing looks at accuracy: a worse model is not noticed.")


# --------------------------------------------------------------------------- parts


def _reported_groups(settings: Settings, waves: int) -> dict[str, list[str]]:
    """Raises WrongUsage for a group that the waves are too few for."""
    with Client.of(settings) as client:
        kept = gather(client, fleet_of(settings).roots)
    found = groups(read_ledger(kept, time.time()))
    for name, devices in found.items():
        if len(devices) > waves:
            raise WrongUsage(
                f"The group {name} has {len(devices)} stations for {waves} waves: "
                f"{listed(devices)}.",
                hint="Give more waves, such as --waves 1,5,10,25,50,100, or make groups smaller.",
            )
    return {name: list(devices) for name, devices in found.items()}


def _fetched(folder: Path, manifest: Manifest, authority: bytes | None) -> dict[str, object]:
    """How stations share it: the same as where it is published, for the bytes are the same."""
    if authority is None:
        return {}
    torrent = describe(manifest.ref.version, folder_files(folder), authority)
    return {
        "infohash": torrent.infohash,
        "size": torrent.size,
        "manifest_sha256": manifest.sha256,
    }


def _plain(outcomes: list[Outcome]) -> dict[str, float]:
    return {
        "stopped": sum(bool(each.stopped) for each in outcomes),
        "done": sum(each.is_done for each in outcomes),
        "beyond_first": sum(each.opened > 0 for each in outcomes),
        "had": round(sum(each.had for each in outcomes) / len(outcomes), 1),
    }


def _drawn_names(campaign: Campaign, stations: int) -> tuple[str, ...]:
    """Those that the campaign names, and as many more as are wanted."""
    named = {*campaign.canaries, *(name for each in campaign.groups.values() for name in each)}
    more = (f"simulated-{number}" for number in range(max(0, stations - len(named))))
    return (*sorted(named), *more)


def _publish_listing(folder: Path, campaign: Campaign, online: Path | None) -> None:
    """Raises SenderError where the metadata does not list it as it is, and cannot now."""
    repository = repository_of(folder)
    repository.stage_campaign(campaign.id, campaign.serial, canonical(campaign), time.time())
    if repository.missing() and not sign_and_publish(repository, (), online):
        raise SenderError(
            f"The metadata in {folder} does not say yet that {campaign.id} is current.",
            hint="Both keys sign it with: edge-daemon fleet sign FILE --key KEY --repository DIR; "
            "then start it with --online-key.",
        )


def _numbers(text: str, what: str) -> list[float]:
    """Raises WrongUsage."""
    try:
        return [float(each.strip().rstrip("%m")) for each in text.split(",")]
    except ValueError:
        raise WrongUsage(f"{text!r} are no {what}.", hint="Write numbers: 1,10,50,100") from None


def _publish(settings: Settings, topic: str, body: bytes) -> None:
    with Client.of(settings) as client:
        say(client, topic, body)


def _warn_unknown(settings: Settings, id_: str) -> None:
    """A warning only: the broker keeps what was said, and may have forgotten the campaign."""
    topic = messages.campaign_topic(id_)
    if not retained_at(settings, [topic]).get(topic):
        tell(f"But no campaign {id_} is on this broker. See: edge-daemon fleet status", err=True)
