"""Every topic of the public contract, below one root; no other module writes a topic as text."""

from __future__ import annotations

from collections.abc import Iterable


class Topics:
    """The topics of one device below `root`, which the settings have checked."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.status = f"{root}/status"
        self.info = f"{root}/info"
        self.info_api = f"{root}/info/api"
        self.health = f"{root}/health"
        self.camera_status = f"{root}/camera/status"
        self.model_state = f"{root}/model/state"
        self.model_available = f"{root}/model/available"
        self.model_event = f"{root}/model/event"
        self.result = f"{root}/result"
        self.part = f"{root}/part"
        self.counts = f"{root}/counts"
        self.rollout_state = f"{root}/rollout/state"
        self.receipt = f"{root}/receipt"
        self.fleet = f"{root}/fleet"
        self.snapshot = f"{root}/snapshot"
        self.requests = f"{root}/request/+"
        """The filter of every request."""

    def request(self, verb: str) -> str:
        return f"{self.root}/request/{verb}"

    def response(self, verb: str) -> str:
        return f"{self.root}/response/{verb}"

    def verb_of(self, topic: str) -> str | None:
        """The verb of a request's topic as sent (checked by the inbox); None for other topics."""
        before, _, verb = topic.rpartition("/")
        return verb if before == f"{self.root}/request" and verb else None

    def is_own(self, topic: str) -> bool:
        """True for every topic below the root, ours to publish or to answer."""
        return topic.startswith(self.root + "/")

    def may_answer_at(self, topic: str, order_filters: Iterable[str]) -> bool:
        """Whether a sender's Response Topic may make us speak there.

        Not where we speak otherwise (a result that is none), and not where somebody acts on what
        comes: a request to any station, a work order, the broker's own topics.
        """
        levels = topic.split("/")
        if not is_publishable(topic) or topic.startswith("$") or "request" in levels[:-1]:
            return False
        if topic == self.root or (self.is_own(topic) and not topic.startswith(self.response(""))):
            return False
        return not any(is_match(_shared(one), topic) for one in order_filters)


def _shared(topic_filter: str) -> str:
    """The filter without `$share/<group>/`."""
    return topic_filter.split("/", 2)[-1] if topic_filter.startswith("$share/") else topic_filter


def is_match(topic_filter: str, topic: str) -> bool:
    """Whether MQTT's rules give `topic` to a subscription of `topic_filter`."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or level not in {"+", given[place]}:
            return False
    return len(wanted) == len(given)


def is_publishable(topic: str) -> bool:
    """Whether MQTT allows to publish to `topic`: a sender's Response Topic is not trusted."""
    return (
        bool(topic)
        and len(topic.encode("utf-8", "replace")) <= 65535
        and not (set(topic) & {"+", "#", "\0"})
    )
