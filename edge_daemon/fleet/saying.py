"""What people say of a campaign, at the command line and on the page: retained, and taken."""

from __future__ import annotations

from edge_daemon.core.fleet.heard import MOST_WHY
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
