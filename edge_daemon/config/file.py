"""From a file to `Settings`, or to findings with file, line, key and what is allowed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge_daemon.config.settings import Settings
from edge_daemon.core.credentials import redact
from edge_daemon.documents import Document, DocumentError, KeyPath, dotted, parse, read_text
from edge_daemon.errors import ConfigurationError

FOLDER = Path("/etc/edge-daemon")
VARIABLE = "EDGE_DAEMON_CONFIG"
MAX_BYTES = 256 * 1024


@dataclass(frozen=True)
class Finding:
    """One fault of a settings file: where, what, and the correct form."""

    file: Path
    line: int
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}: {key}{self.message}.{hint}"


def find_config(
    given: Path | None,
    name: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folder: Path = FOLDER,
) -> Path:
    """The file to read: the given one, else EDGE_DAEMON_CONFIG, else /etc/edge-daemon/NAME.yaml.

    Without a name, the folder's only file. Raises ConfigurationError if there is none.
    """
    if given is not None:
        return given
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    if name is not None:
        return folder / f"{name}.yaml"
    files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if len(files) == 1:
        return files[0]
    hint = f"Give --config FILE, or set {VARIABLE}."
    if files:
        names = ", ".join(file.stem for file in files)
        raise ConfigurationError(f"{folder} has several devices: {names}.", hint=hint)
    raise ConfigurationError(f"There is no settings file in {folder}.", hint=hint)


def load(path: Path) -> Settings:
    """The settings of one device; raises ConfigurationError that lists every fault found."""
    settings, findings = examine(path)
    if settings is None:
        raise ConfigurationError("\n".join(str(finding) for finding in findings))
    return settings


def examine(path: Path) -> tuple[Settings | None, list[Finding]]:
    """Settings and no findings, or None and every fault found, in the order of the lines."""
    document = read_document(path)
    if isinstance(document, Finding):
        return None, [document]
    if not isinstance(document.value, dict):
        return None, [Finding(path, 1, "", "has no settings", "Start from configs/station.yaml.")]
    folder = path.resolve().parent
    try:
        settings = Settings.model_validate(document.value, context={"folder": folder})
    except ValidationError as error:
        return None, list(found_by_pydantic(path, document, error, Settings))
    findings = list(_contradictions(path, document, settings))
    return (None, findings) if findings else (settings, [])


def read_document(path: Path) -> Document | Finding:
    """The file as plain values with lines, or why it cannot be read."""
    try:
        return parse(read_text(path, MAX_BYTES))
    except DocumentError as error:
        return Finding(path, error.line, "", error.message, error.hint)


def line_of(path: Path, key: KeyPath) -> int:
    """The line on which a key stands, or the nearest group that is written; 1 where none is."""
    document = read_document(path)
    return 1 if isinstance(document, Finding) else document.line(key)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors: `edge-daemon config schema`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "edge-daemon settings",
    }


def _contradictions(path: Path, document: Document, settings: Settings) -> Iterator[Finding]:
    """Contradictions between groups that are each valid."""
    trust = settings.models.trust
    if trust.required and not trust.public_keys:
        yield _at(
            path,
            document,
            ("models", "trust"),
            "requires signed bundles, but names no public key to check them with",
            "Add public_keys: [FILE.pub], or for a trial required: false.",
        )
    if not settings.http.is_local and settings.http.token_file is None:
        yield _at(
            path,
            document,
            ("http", "listen"),
            "can be reached from elsewhere, but no token is asked for",
            "Add token_file: FILE, or listen on 127.0.0.1.",
        )
    store = settings.models.store
    if settings.state_folder == store or store in settings.state_folder.parents:
        yield _at(
            path,
            document,
            ("state_dir",),
            f"puts this device's state ({settings.state_folder}) into the store of models",
            "Choose another state_dir or device name.",
        )


def _at(path: Path, document: Document, key: KeyPath, message: str, hint: str) -> Finding:
    return Finding(path, document.line(key), dotted(key), message, hint)


def found_by_pydantic(
    path: Path, document: Document, error: ValidationError, root: type[BaseModel]
) -> tuple[Finding, ...]:
    """Every fault that pydantic found in a document of this class, in the order of the lines."""
    findings = []
    for fault in error.errors():
        loc = tuple(part for part in fault["loc"] if part != "[key]")
        findings.append(_at(path, document, loc, *_words(fault, loc, root)))
    return tuple(sorted(findings, key=lambda finding: finding.line))


_SAYINGS: dict[str, tuple[str, str]] = {
    "missing": ("is missing", "It has no default that could be right everywhere."),
    "extra_forbidden": ("is no known key", ""),
    "value_error": ("{error}", ""),
    "literal_error": ("should be {expected}, but it is {given}", ""),
    "string_type": ("should be text, but it is {given}", "Put it in quotes."),
    "model_type": ("should be a group of keys, but it is {given}", ""),
    "dict_type": ("should be a group of keys, but it is {given}", ""),
    "tuple_type": ("should be a list, but it is {given}", "Put it in brackets: [ ... ]."),
}


def _words(fault: ErrorDetails, loc: KeyPath, root: type[BaseModel]) -> tuple[str, str]:
    """What pydantic found, as a predicate of the key and the next step."""
    kind = fault["type"]
    given = _short(fault["input"])
    if kind not in _SAYINGS:
        says = fault["msg"].removeprefix("Input ").split(", unable")[0]
        return f"{says[:1].lower()}{says[1:]}, but it is {given}", ""
    message, hint = _SAYINGS[kind]
    context: dict[str, Any] = fault.get("ctx", {})
    if kind == "extra_forbidden":
        hint = _known_keys(loc, root)
    elif kind == "literal_error":
        words = context["expected"].replace(" or ", ",").split(",")
        hint = _meant(fault["input"], [word.strip(" '") for word in words])
    return message.format(**{**context, "given": given}), hint


def _short(given: Any) -> str:
    text = redact(repr(given))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(loc: KeyPath, root: type[BaseModel]) -> str:
    group = _group_at(loc[:-1], root)
    known = sorted(group.model_fields) if group else []
    return _meant(loc[-1], known) or f"Known here: {', '.join(known)}."


def _meant(given: object, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(given), words, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else ""


def _group_at(path: KeyPath, root: type[BaseModel]) -> type[BaseModel] | None:
    """The class whose keys stand at this path."""
    group: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, int):
            continue
        if group is None or part not in group.model_fields:
            return None
        group = _group_in(group.model_fields[part].annotation)
    return group


def _group_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _group_in(inner)
        if found is not None:
            return found
    return None
