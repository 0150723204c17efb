"""Every topic of the public contract, below one root; no other module writes a topic as text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.errors import ConfigurationError

MAX_ROOT_BYTES = 1024


def _check_name(name: str, what: str) -> None:
    problem = ""
    if not name:
        problem = "is empty"
    elif "\0" in name or not name.isprintable():
        problem = "has a character that cannot be printed"
    elif len(name.encode("utf-8", "replace")) > MAX_ROOT_BYTES:
        problem = f"is longer than {MAX_ROOT_BYTES} bytes"
    if problem:
        raise ConfigurationError(
            f"{what} {name[:80]!r} {problem}.", hint="Use levels such as edge/line3-cam1."
        )


@dataclass(frozen=True)
class Topics:
    """The topics of one device below `root`, any UNS path without wildcards or empty levels."""

    root: str

    def __post_init__(self) -> None:
        _check_name(self.root, "The MQTT root")
        if "+" in self.root or "#" in self.root:
            raise ConfigurationError(
                f"The MQTT root {self.root!r} has a wildcard.",
                hint="Name one place, such as acme/hall2/line3/cam1.",
            )
        if "" in self.root.split("/"):
            raise ConfigurationError(
                f"The MQTT root {self.root!r} has an empty level.",
                hint="Write it without a slash at either end and without a double slash.",
            )
        if self.root.startswith("$"):
            raise ConfigurationError(
                f"The MQTT root {self.root!r} begins with $, which belongs to the broker.",
                hint="Begin with a letter, such as edge/line3-cam1.",
            )

    @property
    def status(self) -> str:
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        return f"{self.root}/info"

    @property
    def info_api(self) -> str:
        return f"{self.root}/info/api"

    @property
    def health(self) -> str:
        return f"{self.root}/health"

    @property
    def camera_status(self) -> str:
        return f"{self.root}/camera/status"

    @property
    def model_state(self) -> str:
        return f"{self.root}/model/state"

    @property
    def model_available(self) -> str:
        return f"{self.root}/model/available"

    @property
    def model_event(self) -> str:
        return f"{self.root}/model/event"

    @property
    def result(self) -> str:
        return f"{self.root}/result"

    @property
    def part(self) -> str:
        return f"{self.root}/part"

    @property
    def counts(self) -> str:
        return f"{self.root}/counts"

    @property
    def rollout_state(self) -> str:
        return f"{self.root}/rollout/state"

    @property
    def receipt(self) -> str:
        return f"{self.root}/receipt"

    @property
    def fleet(self) -> str:
        return f"{self.root}/fleet"

    @property
    def snapshot(self) -> str:
        return f"{self.root}/snapshot"

    @property
    def requests(self) -> str:
        """The filter of every request."""
        return f"{self.root}/request/+"

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
