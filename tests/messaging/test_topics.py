"""Topics: one root, no wildcards in it, and MQTT's own rules for matching."""

from __future__ import annotations

import pytest

from edge_daemon.messaging.topics import Topics, is_match, is_publishable


def test_the_topics_of_the_contract() -> None:
    """Every public topic lies below the root, by its public name."""
    topics = Topics("acme/hall2/line3/_vision/cam1")
    root = topics.root
    assert topics.model_state == f"{root}/model/state"
    assert topics.model_available == f"{root}/model/available"
    assert topics.model_event == f"{root}/model/event"
    assert topics.camera_status == f"{root}/camera/status"
    assert {topics.status, topics.info, topics.health, topics.result, topics.snapshot} == {
        f"{root}/{name}" for name in ("status", "info", "health", "result", "snapshot")
    }
    assert topics.request("swap") == f"{root}/request/swap"
    assert topics.response("swap") == f"{root}/response/swap"


def test_a_request_topic_gives_its_verb() -> None:
    """Only one level below `request` is a verb."""
    topics = Topics("edge/d")
    assert topics.verb_of("edge/d/request/swap") == "swap"
    for other in ("edge/d/request/", "edge/d/request", "edge/d/request/a/b", "edge/e/request/swap"):
        assert topics.verb_of(other) is None


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("+/+", "/a", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("a/+/c", "a//c", True),
        ("a", "a/b", False),
    ],
)
def test_filters_match_as_mqtt_says(topic_filter: str, topic: str, matches: bool) -> None:
    """MQTT 5 §4.7, with its corner cases."""
    assert is_match(topic_filter, topic) is matches


def test_a_response_topic_with_a_wildcard_is_not_published_to() -> None:
    """A broker ends the connection for that; a stranger must not be able to make it so."""
    assert is_publishable("reply/here")
    for topic in ("", "a/+", "a/#", "a\0", "x" * 70_000):
        assert not is_publishable(topic)


@pytest.mark.parametrize(
    ("topic", "may"),
    [
        ("ops/kim", True),
        ("request", True),
        ("edge/cam1/response/swap", True),
        ("edge/cam1/response/swap/kim", True),
        ("edge/cam1/result", False),
        ("edge/cam1/model/event", False),
        ("edge/cam1", False),
        ("edge/cam1/request/hold", False),
        ("edge/cam2/request/hold", False),
        ("$SYS/broker/load", False),
        ("mes/line3/orders", False),
        ("erp/orders/7", False),
        ("ops/+/#", False),
    ],
)
def test_where_a_sender_may_have_its_answers(topic: str, may: bool) -> None:
    """Never where a station, an order's reader or a reader of results would act on them."""
    filters = ("mes/+/orders", "$share/stations/erp/#")
    assert Topics("edge/cam1").may_answer_at(topic, filters) is may
