"""What others publish of parts -> feedback: presets for known formats, JMESPath for all others.

Tolerant of the form and strict about the meaning: without a part and a word nothing is said. Words
are compared without case; those that are not mapped change nothing. Each part is read on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from edge_daemon.config.feedback import FeedbackFields, FeedbackSource, FeedbackWords
from edge_daemon.core.rollout.values import Feedback, Source
from edge_daemon.core.values import Verdict
from edge_daemon.errors import SenderError
from edge_daemon.messaging.document import read_json, text_of
from edge_daemon.messaging.order_parts import attempted, meanings, text
from edge_daemon.messaging.paths import compiled

MAX_PARTS = 256  # in one payload
_HINT = "Correct what is published, or map it with `fields` under `feedback` in the settings."
_FLAT = FeedbackFields(part="part", verdict="verdict", by="by")

_Found = tuple[str | None, str | None, str | None]
"""The part, the word on it, and who says so."""


@dataclass(frozen=True)
class FeedbackReader:
    """One compiled source. `entries` finds the parts of a document, `find` reads one of them.

    `wanted`: where part and verdict are looked for, in words.
    """

    source: Source
    entries: Callable[[Any], Iterator[Any]]
    find: Callable[[Any], _Found]
    words: Mapping[str, Verdict]
    wanted: tuple[str, str]

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
        found = [attempted(partial(self._read, entry, topic)) for entry in entries]
        said = tuple(each for each in found if isinstance(each, Feedback))
        return said, [each for each in found if isinstance(each, SenderError)]

    def _read(self, entry: Any, topic: str) -> Feedback | None:
        """None where the word means nothing here."""
        part, word, by = self.find(entry)
        if part is None:
            raise _missing("part", self.wanted[0])
        if word is None:
            raise _missing("verdict", self.wanted[1])
        verdict = self.words.get(word.casefold())
        if verdict is None:
            return None
        return Feedback("", verdict, self.source, by or topic, part)


def _missing(what: str, where: str) -> SenderError:
    return SenderError(f"The feedback has no {what}: looked at {where}.", hint=_HINT)


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
    fields, words = source.fields or _FLAT, source.words or FeedbackWords()
    find = {
        key: compiled(f"feedback.fields.{key}", path)
        for key, path in fields.model_dump(exclude_none=True).items()
    }

    def entries(document: Any) -> Iterator[Any]:
        found = find["items"](document) if "items" in find else document
        yield from found if isinstance(found, list) else [found]

    def read(entry: Any, key: str) -> str | None:
        value = find[key](entry) if key in find else None
        return text(str(value).lower() if isinstance(value, bool) else value, key)

    def find_all(entry: Any) -> _Found:
        if not isinstance(entry, dict):
            raise SenderError("The feedback is not a JSON object.", hint=_HINT)
        return read(entry, "part"), read(entry, "verdict"), read(entry, "by")

    return FeedbackReader(
        Source(source.source),
        entries,
        find_all,
        meanings({Verdict.OK: words.ok, Verdict.NG: words.ng}),
        (f"`{fields.part}`", f"`{fields.verdict}`"),
    )


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
    return text(unit.get("UnitIdentifier"), "UnitIdentifier"), word, None
