"""Settings of feedback: where others publish what parts really are, and how to read it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge_daemon.config.fields import (
    Expression,
    Group,
    TopicFilter,
    one_meaning_each,
    preset_or_fields,
)


class FeedbackFields(Group):
    """Where the words on a part stand in the payload, as JMESPath."""

    items: Expression | None = None
    """The list of parts, which the other paths begin at; null: the payload, or each of its list."""
    part: Expression
    """Id or serial of the part, as the station tells it; or its number in the station's boot."""
    verdict: Expression
    """What the part is, in a word of `words`."""
    by: Expression | None = None
    """Who says so; null: the topic."""


class FeedbackWords(Group):
    """Which words mean what; case is ignored, others change nothing."""

    ok: tuple[str, ...] = ("ok", "pass", "passed", "good", "true")
    """The part is good."""
    ng: tuple[str, ...] = ("ng", "nok", "fail", "failed", "bad", "false")
    """The part is bad."""

    @model_validator(mode="after")
    def _one_meaning_each(self) -> FeedbackWords:
        one_meaning_each(*self.ok, *self.ng)
        return self


FeedbackPreset = Literal["flat", "ipc-cfx"]


class FeedbackSource(Group):
    """One topic on which others publish what parts are, such as a tester down the line."""

    topic: TopicFilter
    """MQTT topic filter; + and # are allowed."""
    preset: FeedbackPreset | None = None
    """A known payload shape; or give `fields`."""
    fields: FeedbackFields | None = None
    """A shape of one's own; or give `preset`."""
    words: FeedbackWords | None = None
    """Words of one's own, with `fields`; null: as in `flat`."""
    source: Literal["operator", "mes", "downstream", "challenge"] = Field(default="downstream")
    """Whose word it is, as feedback names it."""

    @model_validator(mode="after")
    def _preset_xor_fields(self) -> FeedbackSource:
        preset_or_fields(self.preset, self.fields, self.words)
        return self
