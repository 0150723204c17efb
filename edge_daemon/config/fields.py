"""The kinds of values that settings hold, each with its check and the sentence when it fails."""

from __future__ import annotations

import re
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

from edge_daemon.core.values import ModelChoice

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become folder names, topic levels and unit instances."""

FLOOR_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$"
"""The number of a version alone: its pre-releases are older, so there is no doubt what is meant."""

DEVICE_PATTERN = r"^(cpu|cuda:\d{1,2})$"

CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https")


class Group(BaseModel):
    """A frozen group of settings; a key that nobody reads is an error, not a comment."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )


def beside_file(path: Path, info: ValidationInfo) -> Path:
    """Relative paths mean: beside the configuration file."""
    folder = (info.context or {}).get("folder")
    return Path(folder, path) if folder else path


def model_choice(value: Any) -> ModelChoice:
    """`name@version` or `name`; raises ValueError."""
    if isinstance(value, ModelChoice):
        return value
    name, at, version = str(value).partition("@")
    if not re.match(NAME_PATTERN, name) or (at and not re.match(r"^[\w.+!-]{1,64}$", version)):
        raise ValueError("should be name@version, or a name alone for its newest version")
    return ModelChoice(name, version or None)


def _jmespath(expression: str) -> str:
    try:
        jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"is no JMESPath expression: {first_line}") from None
    return expression


def _topic_filter(topic: str) -> str:
    levels = topic.split("/")
    if "#" in topic and ("#" not in levels[-1:] or topic.count("#") > 1):
        raise ValueError("should have # as its last level only")
    if any("+" in level and level != "+" for level in levels):
        raise ValueError("should have + as a whole level only")
    return topic


def _topic_name(topic: str) -> str:
    if "+" in topic or "#" in topic:
        raise ValueError("should be one topic, without + and #")
    if topic.startswith(("/", "$")) or topic.endswith("/") or "//" in topic:
        raise ValueError("should have no empty level and no $ at its start")
    return topic


def _name(text: str) -> str:
    if not re.match(NAME_PATTERN, text):
        raise ValueError(
            f"should begin with a letter or digit and have only those, dots, dashes and "
            f"underscores (64 at most), but it is {text!r}"
        )
    return text


def _device(text: str) -> str:
    if not re.match(DEVICE_PATTERN, text):
        raise ValueError(f"should be cpu or cuda:N, such as cuda:0, but it is {text!r}")
    return text


def _floor(text: str) -> str:
    if not re.match(FLOOR_PATTERN, text):
        raise ValueError(f"should be a version's number in quotes, such as '1.2.0', not {text!r}")
    return text


Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})
]
Floor = Annotated[
    str, AfterValidator(_floor), WithJsonSchema({"type": "string", "pattern": FLOOR_PATTERN})
]
Device = Annotated[
    str, AfterValidator(_device), WithJsonSchema({"type": "string", "pattern": DEVICE_PATTERN})
]
FilePath = Annotated[Path, AfterValidator(beside_file)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Ratio = Annotated[float, Field(ge=1.0, le=100.0)]
Expression = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_jmespath)]
TopicFilter = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_topic_filter)]
TopicName = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_topic_name)]
Choice = Annotated[
    ModelChoice,
    BeforeValidator(model_choice),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["bottle@1.3.0", "bottle"]}),
]
