"""The retained topic `fleet`: what one station of many has, judges by, and is doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from edge_daemon.core.fleet.report import (
    CampaignStatus,
    Chain,
    Measures,
    Phase,
    Report,
    ReportedBundle,
)
from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import read_json
from edge_daemon.messaging.field_types import AuditHead, Digest, HealthWord, Model, Time, one_of
from edge_daemon.messaging.payloads import FoundObjects, encode
from edge_daemon.messaging.times import iso_utc, parse_iso

PhaseWord = Annotated[str, one_of(Phase)]
FREEZE, ROLLBACK = "freeze", "rollback"
ScopeWord = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [FREEZE, ROLLBACK]})]
"""What a stop means for those that have the bundle already."""
MOST_NAME = 512
MOST_STORED = 64
"""Bundles that one report names."""
_PHASES = {phase.value: phase for phase in Phase}
_T = TypeVar("_T")


class HeldLine(msgspec.Struct, frozen=True):
    """A bundle in the station's store."""

    model: Model
    sha256: Digest


class SliceCounts(FoundObjects, frozen=True):
    """Bad parts of one slice, and how many of them the old and the new model rejected.

    `only_old`, `only_new`: how many more only one of them rejects, of which nobody said what they
    are.
    """

    only_old: int = 0
    only_new: int = 0


class JudgedFrames(msgspec.Struct, frozen=True):
    """Frames since it judges by the campaign's bundle, and those of them without a verdict."""

    captured: int
    uninspected: int


class LatencyBeside(msgspec.Struct, frozen=True):
    """The 99th percentile of a frame's milliseconds before the swap, and after it."""

    before_p99: float | None = None
    after_p99: float | None = None


class TrailRow(msgspec.Struct, frozen=True):
    """A row of the audit trail in its place; `hash` covers the rest of it, and `prev_hash` all
    rows before.
    """

    seq: int
    utc: float
    kind: str
    body: str
    prev_hash: str
    hash: str


class ShownReceipt(msgspec.Struct, frozen=True):
    """`<root>/receipt`: of the swap that is in force, as its audit trail has it.

    `receipt` is the text whose SHA-256 stands in the body of `row`, which the report names.
    """

    device: str
    receipt: str
    row: TrailRow


class Fetched(msgspec.Struct, frozen=True):
    """Bytes of the campaign's bundle, by where they came from."""

    origin: int = 0
    peers: int = 0


class FleetReport(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`<root>/fleet`: one station of many. `boot` and `seq` say which of two reports is newer.

    `time` is the station's; it is said again after `every_s` at the latest. `bundle` is what judges
    there, `stored` are the bundles of its store, but for `stored_more`. The fields from `campaign`
    on are null or empty where it is in no campaign; `from` is the digest that it judged by when it
    joined, `counts` are parts of its line that both models judged, `golden` the objects of the
    bundle's golden images, `bytes` is what was fetched of it. After `fresh_until` it begins no
    campaign; null: nothing limits it, or nothing came yet. `chain` is the newest row of its audit
    trail, `receipt` the swap that made `bundle` active, `proof` the row of the trail that holds the
    digest of that receipt.
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
    proof: AuditHead | None = None
    campaign: str | None = None
    serial: int | None = None
    open: int | None = None
    stopped: bool = False
    scope: ScopeWord | None = None
    wave: int | None = None
    from_: Digest | None = None
    why: str | None = None
    counts: Mapping[str, SliceCounts] = {}
    golden: Mapping[str, FoundObjects] = {}
    frames: JudgedFrames | None = None
    latency_ms: LatencyBeside | None = None
    bytes: Fetched | None = None
    fresh_until: Time | None = None


def report(said: Report) -> bytes:
    """The report as the wire names it."""
    station = FleetReport(
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
        proof=AuditHead(said.proof.seq, said.proof.hash) if said.proof else None,
        fresh_until=None if said.fresh_until is None else iso_utc(said.fresh_until),
    )
    return encode(_with_campaign(station, said.campaign_status))


def _with_campaign(report: FleetReport, status: CampaignStatus | None) -> FleetReport:
    if status is None:
        return report
    told = status.measures
    measured = told.before_ms is not None or told.after_ms is not None
    return msgspec.structs.replace(
        report,
        campaign=status.campaign,
        serial=status.serial,
        open=status.opened,
        stopped=status.stopped,
        scope=(ROLLBACK if status.goes_back else FREEZE) if status.stopped else None,
        wave=status.wave,
        from_=status.from_sha256,
        why=status.why,
        counts={name: SliceCounts(**each) for name, each in told.counts.items()},
        golden={name: FoundObjects(**each) for name, each in told.golden.items()},
        frames=JudgedFrames(told.frames, told.uninspected) if told.frames else None,
        latency_ms=LatencyBeside(told.before_ms, told.after_ms) if measured else None,
        bytes=Fetched(status.bytes.get("origin", 0), status.bytes.get("peers", 0))
        if status.bytes
        else None,
    )


def read_receipt(payload: bytes) -> ShownReceipt:
    """What a station shows; raises SenderError for anything else."""
    return _read(payload, "The receipt", ShownReceipt)


def _read(payload: bytes, what: str, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(read_json(payload, what), kind)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from error


def read_report(payload: bytes) -> Report:
    """A station's report; raises SenderError for anything that is none."""
    read = _read(payload, "The report", FleetReport)
    if read.phase is not None and read.phase not in _PHASES:
        raise _unfit(f"its phase {read.phase[:40]!r} is none")
    _refuse_unshowable(read)
    if read.every_s < 1 or len(read.stored) > MOST_STORED or not read.device:
        raise _unfit("one of device, every_s and stored is out of bounds")
    phase = None if read.phase is None else _PHASES[read.phase]
    return Report(
        device=read.device,
        boot=read.boot,
        seq=read.seq,
        said_utc=_utc("time", read.time),
        every_s=read.every_s,
        version=read.version,
        site=read.site,
        group=read.group,
        phase=phase,
        model=read.bundle,
        sha256=read.sha256,
        stored=tuple(ReportedBundle(each.model, each.sha256) for each in read.stored),
        stored_more=read.stored_more,
        held=read.held,
        is_healthy=read.health == "good",
        receipt=read.receipt,
        chain=Chain(read.chain.seq, read.chain.hash) if read.chain else None,
        proof=Chain(read.proof.seq, read.proof.hash) if read.proof else None,
        campaign_status=_campaign_status(read, phase),
        fresh_until=None if read.fresh_until is None else _utc("fresh_until", read.fresh_until),
    )


def _campaign_status(read: FleetReport, phase: Phase | None) -> CampaignStatus | None:
    if read.campaign is None:
        return None
    if read.serial is None or phase is None:
        raise _unfit("it names a campaign without a serial or a phase")
    return CampaignStatus(
        read.campaign,
        read.serial,
        phase,
        -1 if read.open is None else read.open,
        read.stopped,
        read.wave,
        read.from_,
        read.why,
        _measures(read),
        {} if read.bytes is None else {"origin": read.bytes.origin, "peers": read.bytes.peers},
        read.scope == ROLLBACK,
    )


def _measures(read: FleetReport) -> Measures:
    frames, latency = read.frames or JudgedFrames(0, 0), read.latency_ms or LatencyBeside()
    if not 0 <= frames.uninspected <= frames.captured:
        raise _unfit("it has more frames without a verdict than frames")
    return Measures(
        {name: msgspec.structs.asdict(each) for name, each in read.counts.items()},
        {name: msgspec.structs.asdict(each) for name, each in read.golden.items()},
        frames.captured,
        frames.uninspected,
        latency.before_p99,
        latency.after_p99,
    )


def _utc(key: str, text: str) -> float:
    utc = parse_iso(text)
    if utc is None:
        raise _unfit(f"its {key} {text[:40]!r} is no time")
    return utc


def _refuse_unshowable(read: FleetReport) -> None:
    """What is shown to people is short, and has no characters that steer a terminal."""
    names = (read.device, read.site, read.group, read.version, read.boot, read.bundle, read.sha256)
    others = (read.receipt, read.campaign, read.why, *(each.model for each in read.stored))
    for name in (*names, *others):
        if name is not None and (len(name) > MOST_NAME or not name.isprintable()):
            raise _unfit(f"it has a name that cannot be shown: {name[:40]!r}")


def _unfit(why: str) -> SenderError:
    return SenderError(
        f"The report is not one of a station: {why}.",
        hint="Only a station writes there: look at the broker's access list.",
    )
