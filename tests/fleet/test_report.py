"""A station's report: said when it is news, said again in time, and read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_daemon.core.fleet.report import (
    CampaignStatus,
    Chain,
    Measures,
    Phase,
    Report,
    ReportedBundle,
)
from edge_daemon.core.values import BundleRef, Instant, StoredBundle
from edge_daemon.errors import SenderError
from edge_daemon.fleet.report import StationIdentity, StationReport, StationSnapshot
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging.fleet_payloads import MOST_STORED, read_report, report
from edge_daemon.messaging.payloads import ActiveModel, ModelState

TEN = 1_795_341_600.0
V1, V2 = (StoredBundle(BundleRef("bottle", v), d * 64) for v, d in (("1.0.0", "1"), ("2.0.0", "2")))
PLACE = StationIdentity("cam1", "b7", "hall-2", "line3", every_s=60)


def judging(bundle: StoredBundle, *, trial: bool = False) -> ModelState:
    active = ActiveModel(str(bundle.ref), bundle.sha256, "A", "then", trial)
    return ModelState(active=active, swap_id="s1")


def at(seconds: float, model: ModelState, *stored: StoredBundle, audit: int = 0) -> StationSnapshot:
    now = Instant(seconds, TEN + seconds)
    return StationSnapshot(now, model, stored, Anchor(audit, "ab" * 32) if audit else Anchor())


def told(*seen: StationSnapshot, campaign_status: CampaignStatus | None = None) -> list[Report]:
    """What a station says that sees this, one after the other."""
    said: list[bytes] = []
    station = StationReport(PLACE, said.append, lambda: campaign_status)
    for each in seen:
        station.hear(each)
    return [read_report(each) for each in said]


def test_it_says_what_it_has_and_judges_by() -> None:
    """All of it in one message, so that a reader needs no other."""
    (said,) = told(at(0, judging(V1), V1, V2, audit=41))
    assert (said.device, said.site, said.group) == ("cam1", "hall-2", "line3")
    assert (said.model, said.sha256, said.phase) == ("bottle@1.0.0", "1" * 64, Phase.CONFIRMED)
    assert said.stored == (
        ReportedBundle("bottle@1.0.0", "1" * 64),
        ReportedBundle("bottle@2.0.0", "2" * 64),
    )
    assert (said.receipt, said.chain) == ("s1", Chain(41, "ab" * 32))
    assert (said.said_utc, said.every_s, said.campaign_status) == (TEN, 60, None)


def test_it_is_said_when_it_is_news_and_again_in_time() -> None:
    """A second without news is silent; a longer audit trail alone is no news."""
    quiet = [at(second, judging(V1), audit=second + 1) for second in range(1, 60)]
    swapped = at(60.5, judging(V2, trial=True))
    said = told(at(0, judging(V1)), *quiet, at(60, judging(V1)), swapped, at(120, judging(V2)))
    assert [(each.seq, each.said_utc - TEN) for each in said] == [
        (0, 0),
        (1, 60),
        (2, 60.5),
        (3, 120),
    ]
    assert [each.phase for each in said[2:]] == [Phase.TRIAL, Phase.CONFIRMED]


def test_figures_alone_are_told_in_time_and_not_each_second() -> None:
    """A line judges a hundred parts a second; a broker of 2,000 stations need not hear of each."""
    said: list[bytes] = []
    seconds = iter(range(1000))

    def moving() -> CampaignStatus:
        parts = next(seconds)
        told = Measures({"dark": {"n": parts, "old": parts, "new": parts}}, frames=30 * parts)
        return CampaignStatus("c-1", 118, Phase.TRIAL, measures=told)

    station = StationReport(PLACE, said.append, moving)
    for second in range(16):
        station.hear(at(second, judging(V2)))
    reports = [read_report(each) for each in said]
    assert [each.said_utc - TEN for each in reports] == [0, 5, 10, 15]
    last = reports[-1].campaign_status
    assert last is not None
    assert (last.measures.counts["dark"]["n"], last.measures.frames) == (15, 450)


def test_a_station_without_a_model_says_so() -> None:
    """Null, not an empty name."""
    (said,) = told(at(0, ModelState()))
    assert (said.model, said.sha256, said.phase, said.stored) == (None, None, None, ())


def test_a_full_store_is_told_in_part_with_the_one_that_judges() -> None:
    """2,000 stations with 500 bundles each would be too much for one reader."""
    many = [StoredBundle(BundleRef("bottle", f"1.0.{n}"), "3" * 64) for n in range(100)]
    (said,) = told(at(0, judging(V2), *many, V2))
    assert (len(said.stored), said.stored_more) == (MOST_STORED, 101 - MOST_STORED)
    assert said.stored[0].model == "bottle@2.0.0"


def test_the_stand_in_a_campaign_goes_through_the_wire() -> None:
    """Every field comes back as it was."""
    counts = {"low_light": {"n": 86, "old": 77, "new": 78, "only_old": 3, "only_new": 0}}
    golden = {"low_light": {"n": 20, "old": 19, "new": 20}}
    measured = Measures(counts, golden, 4000, 3, 21.5, 22.0)
    why = "outside its window"
    status = CampaignStatus(
        "c-1", 118, Phase.WAITING, 1, True, 2, "7" * 64, why, measured, goes_back=True
    )
    (said,) = told(replace(at(0, judging(V1)), proof=Chain(40, "cd" * 32)), campaign_status=status)
    assert (said.campaign_status, said.phase) == (status, Phase.WAITING)
    assert said.proof == Chain(40, "cd" * 32)
    assert read_report(report(said)) == said


GOOD = json.loads(report(told(at(0, judging(V1), V1))[0]))
IN_CAMPAIGN = {**GOOD, "campaign": "c-1", "serial": 118}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'"' + b"x" * 300_000 + b'"',
        json.dumps({**GOOD, "seq": "one"}).encode(),
        json.dumps({**GOOD, "phase": "dancing"}).encode(),
        json.dumps({**GOOD, "time": "yesterday"}).encode(),
        json.dumps({**GOOD, "every_s": 0}).encode(),
        json.dumps({**GOOD, "device": ""}).encode(),
        json.dumps({**GOOD, "site": "\x1b[2J"}).encode(),
        json.dumps({**GOOD, "bundle": "b" * 1000}).encode(),
        json.dumps({**GOOD, "campaign": "c"}).encode(),
        json.dumps({**GOOD, "stored": GOOD["stored"] * 65}).encode(),
        json.dumps({**IN_CAMPAIGN, "frames": {"captured": 1, "uninspected": 2}}).encode(),
        json.dumps({**IN_CAMPAIGN, "counts": {"dark": {"n": "all"}}}).encode(),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(payload: bytes) -> None:
    """Strangers' bytes never come in as values."""
    with pytest.raises(SenderError):
        read_report(payload)


def test_a_report_of_a_newer_daemon_is_read() -> None:
    """Fields that this version does not know change nothing."""
    said = read_report(json.dumps({**GOOD, "bytes": {"origin": 0}}).encode())
    assert said == read_report(json.dumps(GOOD).encode())
