"""Types of settings, each with its check and its error message."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import jmespath
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from edge_daemon.config.sources import kind_of
from edge_daemon.core.values import ModelChoice

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become folder names, topic levels and unit instances."""

FLOOR_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$"
"""The number of a version alone: its pre-releases are older, so there is no doubt what is meant."""

DEVICE_PATTERN = r"^(cpu|cuda:\d{1,2})$"

SHARED = ("$share", "$queue", "$exclusive")
"""First levels by which brokers know a subscription that only one of several gets."""

MOST_TOPIC_BYTES = 1024


class Group(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        defer_build=True,  # most groups are validated by the one that holds them, and by no other
    )


def printable(text: str) -> str:
    """The text; raises ValueError if a character of it is invisible."""
    for character in text:
        if not character.isprintable():
            raise ValueError(f"should have no control characters, but has U+{ord(character):04X}")
    return text


def beside_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths mean: beside the configuration file."""
    printable(str(path))
    folder = (info.context or {}).get("folder")
    return Path(folder, path) if folder else path


def model_choice(value: Any) -> ModelChoice:
    """`name@version` or `name`; raises ValueError."""
    if isinstance(value, ModelChoice):
        return value
    name, at, version = str(value).partition("@")
    if not _fits(NAME_PATTERN, name) or (at and not _fits(r"[\w.+!-]{1,64}", version)):
        raise ValueError("should be name@version, or a name alone for its newest version")
    return ModelChoice(name, version or None)


def _fits(pattern: str, text: str) -> bool:
    """Whether the whole text matches: `$` alone allows a line break at the end."""
    return re.fullmatch(pattern, text) is not None


def _jmespath(expression: str) -> str:
    try:
        jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"is no JMESPath expression: {first_line}") from None
    return expression


def _topic(topic: str) -> str:
    if len(printable(topic).encode()) > MOST_TOPIC_BYTES:
        raise ValueError(f"should have {MOST_TOPIC_BYTES} bytes at most")
    return topic


def _topic_filter(topic: str) -> str:
    levels = _topic(topic).split("/")
    if levels[0] in SHARED:
        raise ValueError(
            f"should be no {levels[0]} subscription: of several stations one would get each order"
        )
    if "#" in topic and ("#" not in levels[-1:] or topic.count("#") > 1):
        raise ValueError("should have # as its last level only")
    if any("+" in level and level != "+" for level in levels):
        raise ValueError("should have + as a whole level only")
    return topic


def _topic_name(topic: str) -> str:
    if "+" in _topic(topic) or "#" in topic:
        raise ValueError("should be one topic, without + and #")
    if topic.startswith(("/", "$")) or topic.endswith("/") or "//" in topic:
        raise ValueError("should have no empty level and no $ at its start")
    return topic


def _fitting(pattern: str, words: str) -> AfterValidator:
    """Refuses what does not match the pattern; `words` say how it should be."""

    def fit(text: str) -> str:
        if not _fits(pattern, text):
            raise ValueError(f"should {words}, but it is {text!r}")
        return text

    return AfterValidator(fit)


def _host_name(text: str) -> str:
    """A host's name or address alone; raises ValueError for what else people write there."""
    printable(text)
    if "://" in text or "/" in text:
        raise ValueError("should be a host alone, without a scheme such as mqtt:// and without /")
    if "[" in text or "]" in text:
        raise ValueError("should be an address without brackets")
    if " " in text or "@" in text:
        raise ValueError("should be a host alone, without spaces and without a user")
    if text.count(":") == 1:
        raise ValueError("should be a host alone; the port has a key of its own")
    if ":" in text and _address(text) is None:
        raise ValueError("should be a host's name or address, and is no IPv6 address")
    return text


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not _fits(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError("should be host:port, such as 127.0.0.1:9464 or [::1]:9464")
    _host_name(host.removeprefix("[").removesuffix("]"))
    return text


def _source(text: str, info: ValidationInfo) -> str:
    if kind_of(printable(text)).is_path:
        return str(beside_file(Path(text), info))
    return text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(text)
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached by that name or address."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _product(text: str) -> str:
    """As orders name it: their ids are stripped before they are looked up."""
    if not text:
        raise ValueError("should be a product's id, but it is empty")
    if text != text.strip():
        raise ValueError(f"should have no spaces around it, as ids of orders have none: {text!r}")
    return printable(text)


def one_meaning_each(*words: str) -> None:
    """Raises ValueError where two words of a mapping are the same to whoever compares them."""
    plain = [word.strip().casefold() for word in words]
    wrong = sorted({word for word in plain if not word or plain.count(word) > 1})
    if wrong:
        raise ValueError(f"{wrong[0]!r} is empty or stands twice; each word has one meaning")


def preset_or_fields(preset: str | None, fields: Group | None, words: Group | None) -> None:
    """Raises ValueError unless messages are read in one way: as a known shape, or by paths."""
    if (preset is None) == (fields is None):
        raise ValueError("should have either a preset or fields of its own")
    if words is not None and fields is None:
        raise ValueError("words go with fields; a preset has its own words")


_NAME_WORDS = (
    "begin with a letter or digit and have only those, dots, dashes and underscores (64 at most)"
)
Name = Annotated[
    str,
    _fitting(NAME_PATTERN, _NAME_WORDS),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""

Floor = Annotated[
    str,
    _fitting(FLOOR_PATTERN, "be a version's number in quotes, such as '1.2.0'"),
    WithJsonSchema({"type": "string", "pattern": FLOOR_PATTERN}),
]
Device = Annotated[
    str,
    _fitting(DEVICE_PATTERN, "be cpu or cuda:N, such as cuda:0"),
    WithJsonSchema({"type": "string", "pattern": DEVICE_PATTERN}),
]
Product = Annotated[str, Field(max_length=256), AfterValidator(_product)]
Host = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_host_name)]
User = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(printable)]
Listen = Annotated[str, AfterValidator(_listen)]
Source = Annotated[str, Field(min_length=1, max_length=2_048), AfterValidator(_source)]
FilePath = Annotated[Path, AfterValidator(beside_file)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Ratio = Annotated[float, Field(ge=1.0, le=100.0)]
Expression = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_jmespath)]
TopicFilter = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_topic_filter)]
TopicName = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_topic_name)]
Count = Annotated[
    int | None,
    Field(ge=1, le=8),
    BeforeValidator(lambda given: None if given == "auto" else given),
    PlainSerializer(lambda count: "auto" if count is None else count),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 8}]}),
]
"""So many, or `auto`, which is None."""
Choice = Annotated[
    ModelChoice,
    BeforeValidator(model_choice),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["bottle@1.3.0", "bottle"]}),
]
