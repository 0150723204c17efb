"""What people say of a campaign, at the command line and on the page: retained, and taken."""

from __future__ import annotations

from contextlib import suppress

from edge_daemon.core.fleet.heard import MOST_WHY, Paused
from edge_daemon.core.text import is_line
from edge_daemon.errors import BrokerError, SenderError
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import NOBODY, Client, remedy


def say(client: Client, topic: str, body: bytes) -> None:
    """Publish it, retained; raises BrokerError where the broker does not take it."""
    refused = client.publish(topic, body, retain=True)
    if refused and refused != NOBODY:
        raise BrokerError(
            f"The broker does not take {topic}: {refused}.",
            hint=remedy(refused, "Allow this user to write there in the broker's access list."),
        )


def stop_of(campaign: str, who: str, why: str, utc: float, *, goes_back: bool) -> tuple[str, bytes]:
    """Topic and payload of a stop; raises SenderError for one that nobody could read."""
    if not why.strip() or not is_line(why) or len(why) > MOST_WHY:
        raise SenderError(
            "A stop needs a reason.", hint=f"Write one line of {MOST_WHY} characters at most."
        )
    topic = messages.stop_topic(campaign, who)
    body = messages.stopped(utc, why.strip(), goes_back=goes_back)
    messages.read_message(topic, body)
    return topic, body


def kept_at(client: Client, topic: str) -> bytes:
    """What the broker keeps there; b"" also where we may only write: a button says what it must."""
    with suppress(BrokerError):
        return client.retained([topic]).get(topic, b"")
    return b""


def time_after(kept: bytes, topic: str, now_utc: float) -> float:
    """The time of a pause, or of its end: later than that of the one that the broker keeps.

    The newest counts, and whoever said that one may have had a clock that was ahead.
    """
    try:
        known = messages.read_message(topic, kept) if kept else None
    except SenderError:
        return now_utc
    return max(now_utc, known.at + 1.0) if isinstance(known, Paused) else now_utc
