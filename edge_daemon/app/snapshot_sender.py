"""Sends a requested picture, as large as the broker accepts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_daemon.core.events import SnapshotTaken
from edge_daemon.core.values import Refusal, Request
from edge_daemon.errors import BrokerError, EdgeDaemonError
from edge_daemon.frames.images import Pictures, reduced
from edge_daemon.messaging.messages import Delivery
from edge_daemon.messaging.mqtt import Session
from edge_daemon.messaging.topics import Topics

TRIES = 4
"""A broker without an announced limit closes the connection twice; then pictures get smaller."""
ACKNOWLEDGE_S = 10.0
RETURN_S = 10.0
_LOOK_S = 0.1


class SnapshotSender:
    """Takes a picture for each request, on a thread of its own; `put` gets the result."""

    def __init__(
        self,
        session: Session,
        topics: Topics,
        pictures: Pictures,
        put: Callable[[SnapshotTaken], None],
    ) -> None:
        self._session = session
        self._topic = topics.snapshot
        self._pictures = pictures
        self._put = put

    def take(self, request: Request) -> None:
        """Returns at once."""
        threading.Thread(target=self._take, args=(request,), name="snapshot", daemon=True).start()

    def _take(self, request: Request) -> None:
        refusal = None
        try:
            send_picture(self._session, self._topic, self._pictures.snapshot())
        except EdgeDaemonError as error:
            refusal = Refusal.of(error)
        self._put(SnapshotTaken(request, refusal))


def send_picture(session: Session, topic: str, jpeg: bytes) -> None:
    """Publish the picture and wait until the broker has it; raises BrokerError if it does not."""
    for _ in range(TRIES):
        _wait_for(session)
        room = session.room_for(topic)
        fitting = reduced(jpeg, room)
        if fitting is None:
            raise BrokerError(
                f"The broker takes at most {room} bytes here, and no picture is so small.",
                hint="Let the broker take larger messages, or look at the status page.",
            )
        sent = session.publish(topic, fitting, qos=1)
        delivery = sent.wait(ACKNOWLEDGE_S) if sent is not None else Delivery.LOST
        if delivery is Delivery.DELIVERED:
            return
        if delivery is Delivery.REFUSED:
            raise BrokerError(
                f"The broker refused the picture of {len(fitting)} bytes.",
                hint=f"Let this station write to {topic}, and the broker take that size.",
            )
        if delivery is None:
            break
    raise BrokerError(
        f"The broker did not take the picture of {len(jpeg)} bytes.",
        hint="Look at the broker's log, or at the status page.",
    )


def _wait_for(session: Session) -> None:
    """A broker that closed the connection is back within seconds."""
    pause = threading.Event()
    for _ in range(round(RETURN_S / _LOOK_S)):
        if session.online:
            return
        pause.wait(_LOOK_S)
