"""The retained topic `fleet`: what one station of many has, judges by, and is doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from edge_daemon.core.fleet.report import Chain, Held, Phase, Report, Stand
from edge_daemon.core.text import is_line
from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.field_types import AuditHead, Digest, HealthWord, Model, Time, one_of
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.times import iso_utc, parse_iso

PhaseWord = Annotated[str, one_of(Phase)]
MOST_NAME = 512
MOST_STORED = 64
"""Bundles that one report names."""
_PHASES = {phase.value: phase for phase in Phase}


class HeldLine(msgspec.Struct, frozen=True):
    """A bundle in the station's store."""

    model: Model
    sha256: Digest


class SliceCounts(msgspec.Struct, frozen=True):
    """Objects of one slice, and how many of them the old and the new model found."""

    n: int
    old: int
    new: int


class Fetched(msgspec.Struct, frozen=True):
    """Bytes of the campaign's bundle, by where they came from."""

    origin: int = 0
    peers: int = 0


class FleetReport(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`<root>/fleet`: one station of many. `boot` and `seq` say which of two reports is newer.

    `time` is the station's; it is said again after `every_s` at the latest. `bundle` is what judges
    there, `stored` are the bundles of its store, but for `stored_more`. The fields from `campaign`
    to `bytes` are null where it is in no campaign; `from` is the digest that it judged by when it
    joined, `bytes` is what was fetched of the campaign's bundle. After `fresh_until` it begins no
    campaign; null: nothing limits it, or nothing came yet. `chain` is the newest row of its audit
    trail, `receipt` the swap that made `bundle` active.
    """

    device: str
    boot: str
    seq: int
    time: Time
    every_s: int
    version: str
    site: str | None = None
    group: str | None = None
    phase: PhaseWord | None = None
    bundle: Model | None = None
    sha256: Digest | None = None
    stored: tuple[HeldLine, ...] = ()
    stored_more: int = 0
    held: bool = False
    health: HealthWord = "good"
    receipt: str | None = None
    chain: AuditHead | None = None
    campaign: str | None = None
    serial: int | None = None
    open: int | None = None
    stopped: bool = False
    wave: int | None = None
    from_: Digest | None = None
    why: str | None = None
    counts: Mapping[str, SliceCounts] = {}
    bytes: Fetched | None = None
    fresh_until: Time | None = None


def report(said: Report) -> bytes:
    """The report as the wire names it."""
    return encode(_with_campaign(_station(said), said.stand))


def _station(said: Report) -> FleetReport:
    return FleetReport(
        device=said.device,
        boot=said.boot,
        seq=said.seq,
        time=iso_utc(said.said_utc),
        every_s=said.every_s,
        version=said.version,
        site=said.site,
        group=said.group,
        phase=said.phase.value if said.phase is not None else None,
        bundle=said.model,
        sha256=said.sha256,
        stored=tuple(HeldLine(each.model, each.sha256) for each in said.stored),
        stored_more=said.stored_more,
        held=said.held,
        health="good" if said.is_healthy else "degraded",
        receipt=said.receipt,
        chain=AuditHead(said.chain.seq, said.chain.hash) if said.chain else None,
        fresh_until=None if said.fresh_until is None else iso_utc(said.fresh_until),
    )


def _with_campaign(report: FleetReport, stand: Stand | None) -> FleetReport:
    if stand is None:
        return report
    return msgspec.structs.replace(
        report,
        campaign=stand.campaign,
        serial=stand.serial,
        open=stand.opened,
        stopped=stand.stopped,
        wave=stand.wave,
        from_=stand.from_sha256,
        why=stand.why,
        bytes=Fetched(stand.bytes.get("origin", 0), stand.bytes.get("peers", 0))
        if stand.bytes
        else None,
        counts={
            name: SliceCounts(each["n"], each["old"], each["new"])
            for name, each in stand.counts.items()
        },
    )


def read_report(payload: bytes) -> Report:
    """A station's report; raises SenderError for anything that is none."""
    document = read_json(payload, "The report")
    try:
        read = msgspec.convert(document, FleetReport)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from error
    said_utc = parse_iso(read.time)
    if said_utc is None:
        raise _unfit(f"its time {read.time[:40]!r} is no time")
    if read.phase is not None and read.phase not in _PHASES:
        raise _unfit(f"its phase {read.phase[:40]!r} is none")
    for name in (*_names(read), *(each.model for each in read.stored)):
        _check_name(name)
    if read.every_s < 1 or len(read.stored) > MOST_STORED or not read.device:
        raise _unfit("one of device, every_s and stored is out of bounds")
    phase = None if read.phase is None else _PHASES[read.phase]
    return Report(
        device=read.device,
        boot=read.boot,
        seq=read.seq,
        said_utc=said_utc,
        every_s=read.every_s,
        version=read.version,
        site=read.site,
        group=read.group,
        phase=phase,
        model=read.bundle,
        sha256=read.sha256,
        stored=tuple(Held(each.model, each.sha256) for each in read.stored),
        stored_more=read.stored_more,
        held=read.held,
        is_healthy=read.health == "good",
        receipt=read.receipt,
        chain=Chain(read.chain.seq, read.chain.hash) if read.chain else None,
        stand=_stand(read, phase),
        fresh_until=_fresh_until(read),
    )


def _stand(read: FleetReport, phase: Phase | None) -> Stand | None:
    if read.campaign is None:
        return None
    if read.serial is None or phase is None:
        raise _unfit("it names a campaign without a serial or a phase")
    return Stand(
        read.campaign,
        read.serial,
        phase,
        -1 if read.open is None else read.open,
        read.stopped,
        read.wave,
        read.from_,
        read.why,
        {name: {"n": c.n, "old": c.old, "new": c.new} for name, c in read.counts.items()},
        {} if read.bytes is None else {"origin": read.bytes.origin, "peers": read.bytes.peers},
    )


def _fresh_until(read: FleetReport) -> float | None:
    if read.fresh_until is None:
        return None
    until = parse_iso(read.fresh_until)
    if until is None:
        raise _unfit(f"its fresh_until {read.fresh_until[:40]!r} is no time")
    return until


def _names(read: FleetReport) -> tuple[str | None, ...]:
    """What of it people are shown."""
    place = (read.device, read.site, read.group, read.version)
    return (*place, read.boot, read.bundle, read.sha256, read.receipt, read.campaign, read.why)


def _check_name(name: str | None) -> None:
    """What is shown to people: short, and without characters that steer a terminal."""
    if name is not None and (len(name) > MOST_NAME or not name.isprintable()):
        raise _unfit(f"it has a name that cannot be shown: {name[:40]!r}")


def _unfit(why: str) -> SenderError:
    return SenderError(
        f"The report is not one of a station: {why}.",
        hint="Only a station writes there: look at the broker's access list.",
    )


class _Because(msgspec.Struct, frozen=True):
    answered: int = 0
    of: int = 0
    bad: int = 0
    slices: dict[Annotated[str, msgspec.Meta(max_length=64)], SliceCounts] = {}


class _Opening(msgspec.Struct, frozen=True):
    """What is shown of the payload of an opened wave."""

    at: Annotated[str, msgspec.Meta(max_length=40)] = ""
    by: Annotated[str, msgspec.Meta(max_length=64)] = ""
    because: _Because = _Because()


def read_opening(payload: bytes) -> dict[str, Any] | None:
    """Who opened a wave, when, and what was known, as plain values; None: it cannot be read."""
    try:
        said = msgspec.convert(read_json(payload, "The opening"), _Opening)
    except (SenderError, msgspec.ValidationError):
        return None
    if not all(map(is_line, (said.by, said.at, *said.because.slices))):
        return None
    return dict(msgspec.to_builtins(said))
