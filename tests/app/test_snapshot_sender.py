"""A picture that was asked for reaches the broker, or somebody hears why it did not."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import pytest

from edge_daemon.app import snapshot_sender
from edge_daemon.app.snapshot_sender import TRIES, SnapshotSender, send_picture
from edge_daemon.core.events import SnapshotTaken
from edge_daemon.core.values import Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import BrokerError, CameraError, Code
from edge_daemon.frames.images import Pictures, encode
from edge_daemon.messaging.in_flight import SendResult
from edge_daemon.messaging.messages import Delivery, Sent
from edge_daemon.messaging.mqtt import Session
from edge_daemon.messaging.topics import Topics

TOPICS = Topics("edge/cam1")
ASKED = Request("r-1", Verb.SNAPSHOT)
NOISE = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
JPEG = encode(NOISE, 90)


class Link:
    """A session with a broker that takes packets up to a size."""

    def __init__(self, room: int = 1 << 24, fates: Callable[[int], Sent | None] | None = None):
        self.online = True
        self.room = room
        self.sizes: list[int] = []
        self._fates = fates or (lambda _: SendResult(Delivery.DELIVERED))

    def room_for(self, topic: str) -> int:
        assert topic == TOPICS.snapshot
        return self.room

    def publish(self, topic: str, payload: bytes, *, qos: int) -> Sent | None:
        assert (topic, qos) == (TOPICS.snapshot, 1)
        self.sizes.append(len(payload))
        return self._fates(len(self.sizes))

    def send(self, jpeg: bytes = JPEG) -> None:
        send_picture(cast("Session", self), TOPICS.snapshot, jpeg)


def refusal(link: Link) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        link.send()
    return caught.value


def test_a_picture_that_fits_is_sent_as_it_is() -> None:
    """Once."""
    link = Link()
    link.send()
    assert link.sizes == [len(JPEG)]


def test_a_picture_that_is_too_large_is_made_to_fit() -> None:
    """Coarser or smaller, and a picture still."""
    link = Link(room=len(JPEG) // 4)
    link.send()
    assert 0 < link.sizes[0] <= link.room


def test_a_limit_under_which_nothing_can_be_seen_is_told() -> None:
    """With its number; nothing is sent."""
    link = Link(room=300)
    assert "300 bytes" in refusal(link).message
    assert link.sizes == []


def test_a_broker_that_hangs_up_shows_its_limit_and_gets_a_smaller_one() -> None:
    """MQTT 3.1.1 has no other word for it."""

    def fates(number: int) -> Sent:
        if number < 3:
            link.room //= 2  # what the session learns of the hang-up
            return SendResult(Delivery.LOST)
        return SendResult(Delivery.DELIVERED)

    link = Link(room=len(JPEG), fates=fates)
    link.send()
    assert len(link.sizes) == 3
    assert link.sizes[2] < link.sizes[1] < link.sizes[0]


def test_a_broker_that_hangs_up_each_time_is_given_up() -> None:
    """Every connection that it ends costs the station's results."""
    link = Link(fates=lambda _: SendResult(Delivery.LOST))
    assert "did not take the picture" in refusal(link).message
    assert len(link.sizes) == TRIES


def test_a_refusal_is_not_tried_again() -> None:
    """An access list says the same once more."""
    link = Link(fates=lambda _: SendResult(Delivery.REFUSED))
    assert TOPICS.snapshot in refusal(link).hint
    assert len(link.sizes) == 1


def test_a_broker_that_never_answers_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take the first one yet; a second would come twice."""
    monkeypatch.setattr(snapshot_sender, "ACKNOWLEDGE_S", 0.0)
    link = Link(fates=lambda _: SendResult())
    assert "did not take" in refusal(link).message
    assert len(link.sizes) == 1


class Camera:
    """Pictures, or the reason why there is none."""

    def __init__(self, made: bytes | CameraError) -> None:
        self._made = made

    def snapshot(self) -> bytes:
        if isinstance(self._made, CameraError):
            raise self._made
        return self._made


@pytest.mark.parametrize(
    ("made", "code"), [(JPEG, None), (CameraError("No frame came."), Code.PRECONDITION_FAILED)]
)
def test_what_became_of_it_is_told_to_the_driver(
    made: bytes | CameraError, code: Code | None
) -> None:
    """Exactly one word for each request, good or bad."""
    told: queue.SimpleQueue[SnapshotTaken] = queue.SimpleQueue()
    link, camera = cast("Session", Link()), cast("Pictures", Camera(made))
    SnapshotSender(link, TOPICS, camera, told.put).take(ASKED)
    event = told.get(timeout=30.0)
    assert event.request == ASKED
    assert (event.refusal is None) is (code is None)
    assert told.empty()


def test_what_was_sent_is_a_picture() -> None:
    """Whatever it was made to fit."""
    sent: list[bytes] = []
    link = Link(room=20_000)
    link.publish = lambda topic, payload, *, qos: (
        sent.append(payload) or SendResult(Delivery.DELIVERED)
    )  # type: ignore[method-assign, func-returns-value]
    link.send()
    shown = cv2.imdecode(np.frombuffer(sent[0], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[1] <= 640
