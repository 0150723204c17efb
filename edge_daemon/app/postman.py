"""Sends the picture that was asked for, as large as the broker takes it."""

from __future__ import annotations

import threading

from edge_daemon.control.messages import Delivery
from edge_daemon.control.mqtt import Session
from edge_daemon.errors import BrokerError
from edge_daemon.frames.images import reduced

TRIES = 4
"""A broker that announces no limit shows it by hanging up: twice, then smaller pictures follow."""
ACKNOWLEDGE_S = 10.0
RETURN_S = 10.0
_LOOK_S = 0.1


def send_picture(session: Session, topic: str, jpeg: bytes) -> None:
    """Publish the picture and wait until the broker has it; raises BrokerError where it has not."""
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
    """A broker that hung up is back within seconds."""
    pause = threading.Event()
    for _ in range(round(RETURN_S / _LOOK_S)):
        if session.online:
            return
        pause.wait(_LOOK_S)
