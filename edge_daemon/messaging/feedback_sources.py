"""What others publish of parts -> feedback: presets for known formats, JMESPath for all others.

Tolerant of the form and strict about the meaning: without a part and a word nothing is said. Words
are compared without case; those that are not mapped change nothing. Each part is read on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from edge_daemon.config.feedback import FeedbackSource, FeedbackWords
from edge_daemon.core.rollout.values import Feedback, Source
from edge_daemon.core.values import Verdict
from edge_daemon.errors import SenderError
from edge_daemon.messaging.complaints import refuse_steering
from edge_daemon.messaging.document import read_json, text_of
from edge_daemon.messaging.order_parts import text
from edge_daemon.messaging.paths import compiled

MAX_PARTS = 256  # in one payload
_HINT = "Correct what is published, or map it with `fields` under `feedback` in the settings."


@dataclass(frozen=True)
class _Found:
    part: str | None
    word: str | None
    by: str | None = None


@dataclass(frozen=True)
class FeedbackReader:
    """One compiled source. `entries` finds the parts of a document, `found` reads one of them."""

    source: Source
    entries: Callable[[Any], Iterator[Any]]
    found: Callable[[Any], _Found]
    words: Mapping[str, Verdict]
    wanted: tuple[str, str]
    """Where part and verdict are looked for, in words."""

    def read(self, payload: bytes, topic: str) -> tuple[tuple[Feedback, ...], list[SenderError]]:
        """What is said of parts, and what cannot be read; nothing for an empty message.

        Raises:
            SenderError: the message as a whole is not readable.
        """
        if not text_of(payload):
            return (), []
        document = read_json(payload, "The feedback")
        entries = list(islice(self.entries(document), MAX_PARTS + 1))
        if len(entries) > MAX_PARTS:
            raise SenderError(
                f"The message has more than {MAX_PARTS} parts.", hint="Publish them as they come."
            )
        said: list[Feedback] = []
        refused: list[SenderError] = []
        for entry in entries:
            try:
                word = self._word(entry, topic)
            except SenderError as error:
                refused.append(error)
                continue
            if word is not None:
                said.append(word)
        return tuple(said), refused

    def _word(self, entry: Any, topic: str) -> Feedback | None:
        found = self.found(entry)
        for value, what, where in zip((found.part, found.word), _PARTS, self.wanted, strict=True):
            if value is None:
                raise SenderError(f"The feedback has no {what}: looked at {where}.", hint=_HINT)
        assert found.part is not None
        assert found.word is not None
        verdict = self.words.get(found.word.casefold())
        if verdict is None:
            return None
        part = refuse_steering("part", found.part)
        return Feedback("", verdict, self.source, found.by or topic, part)


_PARTS = ("part", "verdict")


def compile_feedback(source: FeedbackSource) -> FeedbackReader:
    """Make the reader of one configured source.

    Raises:
        ConfigurationError: for a JMESPath expression that does not compile.
    """
    if source.preset == "ipc-cfx":
        return FeedbackReader(
            Source(source.source),
            _cfx_units,
            _cfx_unit,
            _CFX_WORDS,
            (
                "`UnitIdentifier` of `InspectedUnits` and `TestedUnits`",
                "`Verification` and `OverallResult`",
            ),
        )
    fields = source.fields
    items = None if fields is None else fields.items
    part, verdict, by = ("part", "verdict", "by")
    if fields is not None:
        part, verdict, by = fields.part, fields.verdict, fields.by or ""
    find_items = None if items is None else compiled("feedback.fields.items", items)
    search = {
        "part": compiled("feedback.fields.part", part),
        "verdict": compiled("feedback.fields.verdict", verdict),
        "by": compiled("feedback.fields.by", by) if by else lambda _: None,
    }

    def entries(document: Any) -> Iterator[Any]:
        found = document if find_items is None else find_items(document)
        yield from found if isinstance(found, list) else [found]

    def read(entry: Any) -> _Found:
        if not isinstance(entry, dict):
            raise SenderError("The feedback is not a JSON object.", hint=_HINT)
        return _Found(*(text(_plain(find(entry)), key) for key, find in search.items()))

    words = _words(source.words or FeedbackWords())
    return FeedbackReader(
        Source(source.source), entries, read, words, (f"`{part}`", f"`{verdict}`")
    )


def _plain(value: Any) -> Any:
    """Truth values are words too."""
    return str(value).lower() if isinstance(value, bool) else value


def _words(words: FeedbackWords) -> dict[str, Verdict]:
    return {
        **{word.strip().casefold(): Verdict.OK for word in words.ok},
        **{word.strip().casefold(): Verdict.NG for word in words.ng},
    }


# --------------------------------------------------------------------------- IPC-CFX

_CFX_WORDS = {
    "passed": Verdict.OK,
    "failed": Verdict.NG,
    "defectconfirmed": Verdict.NG,
    "defectrejected": Verdict.OK,
}
"""TestResult and VerificationResult; Error, Aborted and NotVerifiedYet say nothing of the part."""


def _cfx_units(document: Any) -> Iterator[Any]:
    """Units of UnitsInspected and UnitsTested, in their envelope or without it.

    Other messages of a CFX endpoint come by the same topic, and hold none.
    """
    if not isinstance(document, dict):
        raise SenderError("The message is no CFX message: it is not a JSON object.", hint=_HINT)
    body = document.get("MessageBody", document)
    for name in ("InspectedUnits", "TestedUnits"):
        units = body.get(name) if isinstance(body, dict) else None
        yield from units if isinstance(units, list) else []


def _cfx_unit(unit: Any) -> _Found:
    """A person's verification counts before the machine's own result."""
    if not isinstance(unit, dict):
        raise SenderError("The unit is not a JSON object.", hint=_HINT)
    verified = text(unit.get("Verification"), "Verification")
    word = verified if verified and verified.casefold() in _CFX_WORDS else None
    if word is None:
        word = text(unit.get("OverallResult"), "OverallResult")
    return _Found(text(unit.get("UnitIdentifier"), "UnitIdentifier"), word)
