"""Neighbours are heard of by the broker; what is no word of a station changes nothing."""

from __future__ import annotations

import json

import pytest

from edge_daemon.courier.peers import (
    LASTS_S,
    Peers,
    is_peer_topic,
    peer,
    peer_topic,
    peers_filter,
)
from edge_daemon.courier.site import MOST, Neighbour, Site, address_of
from edge_daemon.courier.wire import Progress
from edge_daemon.errors import BoxError, SenderError

NOW = 1_790_000_000.0
SWARM = "86" * 32
THERE = Progress(infohash=SWARM, at="10.2.3.14", port=6882, have=0.42)


def test_what_a_station_says_is_what_its_neighbours_hear() -> None:
    heard = Peers()
    heard.hear(peer_topic("hall-2", "cam1"), peer(THERE, NOW))
    heard.hear(peer_topic("hall-2", "cam2"), peer(Progress(at="fd00::2", port=7, have=1.0), NOW))
    assert heard.there(NOW) == [
        Neighbour("cam1", "10.2.3.14", 6882, SWARM, 0.42),
        Neighbour("cam2", "fd00::2", 7, "", 1.0),
    ]
    assert peers_filter("hall-2") == "fleet/site/hall-2/peer/+"
    assert is_peer_topic(peer_topic("hall-2", "cam1"))
    assert not is_peer_topic("fleet/2026-48/campaign")


def test_a_station_that_says_nothing_more_is_forgotten() -> None:
    heard = Peers()
    heard.hear(peer_topic("h", "cam1"), peer(THERE, NOW))
    assert heard.there(NOW + LASTS_S - 1.0)
    assert not heard.there(NOW + LASTS_S)
    heard.hear(peer_topic("h", "cam1"), peer(THERE, NOW + 300.0))
    assert heard.there(NOW + LASTS_S)
    heard.hear(peer_topic("h", "cam1"), b"")
    assert not heard.there(NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"at": "models.example:80"},
        {"at": "10.2.3.14"},
        {"at": "10.2.3.14:0"},
        {"at": "10.2.3.14:99999"},
        {"at": "224.0.0.1:6882"},
        {"at": "0.0.0.0:6882"},
        {"at": "10.2.3.400:6882"},
        {"at": ["10.2.3.14:6882"]},
        {"swarm": "86"},
        {"swarm": 7},
        {"have": 1.5},
        {"have": "all"},
        {"have": True},
        {"have": float("nan")},
        {"until": "later"},
    ],
)
def test_what_no_station_says_is_refused(changed: dict[str, object]) -> None:
    heard = Peers()
    said = {**json.loads(peer(THERE, NOW)), **changed}
    with pytest.raises(SenderError):
        heard.hear(peer_topic("h", "cam1"), json.dumps(said).encode())
    assert not heard.there(NOW)


@pytest.mark.parametrize("body", [b"[]", b"x", b"\xff\xfe", b"{" * 5000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(SenderError):
        Peers().hear(peer_topic("h", "cam1"), body)


def test_a_crowd_of_invented_stations_stays_bounded() -> None:
    heard = Peers()
    for number in range(MOST + 100):
        heard.hear(peer_topic("h", f"ghost{number}"), peer(THERE, NOW))
    assert len(heard.there(NOW)) == MOST
    assert not heard.there(NOW + LASTS_S)
    heard.hear(peer_topic("h", "cam1"), peer(THERE, NOW + LASTS_S))
    assert [each.device for each in heard.there(NOW + LASTS_S)] == ["cam1"]


def test_a_site_knows_who_is_in_a_swarm() -> None:
    site = Site("cam1")
    site.know(
        [
            Neighbour("cam1", "10.0.0.1", 1, SWARM, 0.9),
            Neighbour("cam2", "10.0.0.2", 2, SWARM, 0.5),
            Neighbour("cam3", "10.0.0.3", 3, "aa" * 32, 1.0),
        ]
    )
    assert site.having(SWARM, 0.1) == {"cam1": 0.1, "cam2": 0.5}
    assert site.places(SWARM) == [("10.0.0.2", 2)]


def test_all_of_a_site_are_taken_for_ones_that_want_a_new_bundle_until_they_speak() -> None:
    """Or each would take itself for the only one, and all of them would ask the origin."""
    site = Site("cam1")
    assert not site.has_neighbours
    site.know([Neighbour("cam2", "10.0.0.2", 2), Neighbour("cam3", "10.0.0.3", 3, "aa" * 32, 1.0)])
    assert site.has_neighbours
    assert site.having(SWARM, 0.0) == {"cam1": 0.0}
    assert site.having(SWARM, 0.0, is_new=True) == {"cam1": 0.0, "cam2": 0.0, "cam3": 0.0}
    site.know([Neighbour("cam2", "10.0.0.2", 2, SWARM, 0.5)])
    assert site.having(SWARM, 0.0, is_new=True) == {"cam1": 0.0, "cam2": 0.5}


def test_an_interface_is_its_address() -> None:
    assert address_of("lo") == "127.0.0.1"
    assert address_of("10.2.3.4") == "10.2.3.4"
    with pytest.raises(BoxError, match="nosuch0"):
        address_of("nosuch0")
