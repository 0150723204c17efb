"""Who has what adds up: every station of the inventory is heard, silent or missing, by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.fleet.ledger import Presence, StationMessages, groups, holders, make_ledger
from edge_daemon.core.fleet.report import ReportedBundle
from tests.sim.fleet import NEW, OLD, digest_of, said

NOW = 1_795_341_600.0


def word(
    device: str, *, age_s: float = 0.0, status: str | None = "online", root: str = ""
) -> StationMessages:
    return StationMessages(root or f"edge/{device}", said(device, utc=NOW - age_s), status)


def test_a_station_is_silent_when_its_last_will_or_its_age_says_so() -> None:
    """Three reports that did not come; the limit itself is still in time."""
    given_ages = {"a": 0.0, "b": 180.0, "c": 181.0, "d": -180.0, "e": -181.0}
    words = [word(device, age_s=age) for device, age in given_ages.items()]
    found = make_ledger([*words, word("f", status="offline"), word("g", status="stopped")], NOW)
    assert [line.device for line in found.heard] == ["a", "b", "d"]
    assert {line.device: line.why for line in found.silent} == {
        "c": "its last report is 3 min old",
        "e": "its clock is 3 min ahead: the age of its report is not known",
        "f": "it is offline",
        "g": "it is stopped",
    }


def test_patience_is_the_readers_where_it_says_one() -> None:
    """A campaign waits longer or shorter than a dashboard."""
    words = [word("a", age_s=100.0)]
    assert make_ledger(words, NOW, patience_s=99.0).silent
    assert make_ledger(words, NOW, patience_s=100.0).heard


def test_the_inventory_names_who_is_missing_and_who_is_unknown() -> None:
    """A station without a report that is online says so."""
    found = make_ledger(
        [word("a"), word("x")], NOW, ["a", "b", "c"], quiet={"edge/c": "online", "edge/y": "online"}
    )
    assert {each.device: each.why for each in found.missing} == {
        "b": "it never reported",
        "c": "it is online, and has no report",
    }
    assert found.unknown == ("x",)
    assert [each.root for each in found.strangers] == ["edge/y"]
    assert not found.is_complete


def test_complete_is_only_what_an_inventory_confirms() -> None:
    """No list, no proof."""
    assert make_ledger([word("a")], NOW, ["a"]).is_complete
    assert not make_ledger([word("a")], NOW).is_complete
    assert not make_ledger([word("a", age_s=999)], NOW, ["a"]).is_complete


def test_nobody_speaks_for_another() -> None:
    """Below edge/ the access list binds the topic to the certificate, and not what stands in it."""
    found = make_ledger([word("a"), word("a", root="edge/b")], NOW, ["a", "b"])
    assert [line.root for line in found.lines] == ["edge/a"]
    assert {each.root: each.why for each in found.strangers} == {"edge/b": "it says that it is a"}
    assert [each.device for each in found.missing] == ["b"]


def test_of_two_with_one_name_neither_counts() -> None:
    """In a namespace of one's own there is no telling which of them it is."""
    found = make_ledger([word("a", root="acme/l1/a"), word("a", root="acme/l2/a")], NOW, ["a"])
    assert (found.lines, len(found.strangers), len(found.missing)) == ((), 2, 1)


@given(
    inventory=st.sets(st.sampled_from("abcdefgh")),
    heard=st.dictionaries(st.sampled_from("efghijkl"), st.floats(-1e6, 1e6)),
)
def test_it_adds_up_whatever_is_said(inventory: set[str], heard: dict[str, float]) -> None:
    """Inventory = heard + silent + missing, and beyond it only what is called unknown."""
    words = [word(device, age_s=age) for device, age in heard.items()]
    found = make_ledger(words, NOW, sorted(inventory))
    listed = [line for line in found.lines if line.device not in found.unknown]
    by_presence = [sum(line.presence is each for line in listed) for each in Presence]
    assert sum(by_presence) + len(found.missing) == len(inventory) == found.inventory
    assert set(found.unknown) == heard.keys() - inventory


def test_who_judges_by_a_bundle_and_who_only_has_it() -> None:
    """By version, by name, and by the digest, which finds another bundle of the same name."""
    forged = said("c", NEW, utc=NOW, sha256="f" * 64, stored=(ReportedBundle(NEW, "f" * 64),))
    words = [
        StationMessages(f"edge/{r.device}", r)
        for r in (said("a", OLD, utc=NOW), said("b", NEW, utc=NOW))
    ]
    found = make_ledger([*words, StationMessages("edge/c", forged)], NOW)
    judging = {(h.device, h.model, h.judges) for h in holders(found, NEW)}
    assert judging == {("a", NEW, False), ("b", NEW, True), ("c", NEW, True)}
    assert {h.device for h in holders(found, digest_of(NEW)[:12])} == {"a", "b"}
    assert {h.device for h in holders(found, "ffffff")} == {"c"}
    assert len(holders(found, "bottle")) == 5
    assert holders(found, "bottl") == holders(found, "") == ()
    assert [h.judges for h in holders(found, NEW)] == [True, True, False]


def test_stations_are_counted_by_what_they_say() -> None:
    """Most first; a station that judges by nothing is counted too."""
    reports = [said("a"), said("b"), said("c", NEW), said("d", None, site="hall-2")]
    found = make_ledger([StationMessages(f"edge/{each.device}", each) for each in reports], NOW)
    assert list(found.counts("model").items()) == [(OLD, 2), ("-", 1), (NEW, 1)]
    assert found.counts("site") == {"-": 3, "hall-2": 1}
    assert found.counts("phase") == {"confirmed": 3, "-": 1}


def test_groups_are_what_stations_call_their_own() -> None:
    """One that is silent now belongs to its group; a group of one keeps nobody apart."""
    named = {"b": "line3", "a": "line3", "c": "line4", "d": None}
    words = [
        StationMessages(f"edge/{name}", said(name, group=own, utc=NOW))
        for name, own in named.items()
    ]
    gone = StationMessages("edge/e", said("e", group="line3", utc=NOW - 86_400.0), "offline")
    assert groups(make_ledger([*words, gone], NOW)) == {"line3": ("a", "b", "e")}
