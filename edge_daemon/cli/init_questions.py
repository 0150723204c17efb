"""The questions of `edge-daemon init`, the answers that are valid, and why others are not.

An answer is checked by writing it into the file and reading that as the daemon would, so this
module has no rules of its own about settings.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.cli.checks.refusals import faults_in
from edge_daemon.cli.init_text import Answers, settings_text, split_broker
from edge_daemon.cli.look import look_through
from edge_daemon.config import Finding, Settings
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.sources import offered
from edge_daemon.messaging.client import Client

NEW, NONE = "new", "none"
LOOK_S = 1.0
_PARTS = ("frame", "trigger", "track", NONE)


@dataclass(frozen=True)
class Question:
    """One thing to know of a station.

    Args:
        name: the answer's, and the flag's: `--name`.
        asks: the prompt.
        keys: where its faults stand in the settings.
        check: what no settings file says; raises ValueError with the end of a sentence.
        attempt: tries it on this machine; gives why it did not work, or "".
        is_path: a relative path means: from where the command was typed.
    """

    name: str
    asks: str
    keys: tuple[str, ...]
    check: Callable[[str], object] = str
    attempt: Callable[[Settings], str] | None = None
    is_path: bool = False


def _known_parts(text: str) -> None:
    if text not in _PARTS:
        raise ValueError(f"should be one of {', '.join(_PARTS)}")


def _key_there(text: str) -> None:
    if text not in {NEW, NONE} and not Path(text).is_file():
        raise ValueError(f"names no file; give a public key (PEM), {NEW} or {NONE}")


def _try_camera(settings: Settings) -> str:
    look = look_through(settings.camera, LOOK_S)
    if look.fault is not None:
        return str(look.fault)
    return "" if look.frames else f"{look.source} opens, and no frame comes."


def _try_broker(settings: Settings) -> str:
    try:
        with Client.of(settings):
            return ""
    except EdgeDaemonError as error:
        return str(error)


QUESTIONS = (
    Question("device", "Name of this station", ("device",)),
    Question("camera", "Camera", ("camera",), attempt=_try_camera),
    Question("broker", "MQTT broker, HOST:PORT", ("mqtt",), split_broker, _try_broker),
    Question("store", "Folder of models", ("models.store", "state_dir"), is_path=True),
    Question(
        "key",
        f"Public key that models are signed for: FILE, {NEW}, or {NONE} for a trial",
        ("models.trust",),
        _key_there,
        is_path=True,
    ),
    Question("model", "Model that judges first, NAME or NAME@VERSION", ("models.initial",)),
    Question("product", "Product of work orders that it judges", ("links",)),
    Question("parts", f"What makes a part: {' | '.join(_PARTS)}", ("parts",), _known_parts),
)


def default(name: str, answers: Answers, cameras: list[tuple[str, str]]) -> str:
    """The value if nothing else is given."""
    if name == "camera":
        return cameras[0][0] if cameras else answers.camera
    if name == "key":
        return NEW
    if name == "model":
        names = stored(Path(answers.store))
        return names[0] if len(names) == 1 else ""
    return answers.answer(name)


def stored(store: Path) -> list[str]:
    """The names of the models that lie in a store."""
    return sorted({path.parent.parent.name for path in store.glob("*/*/model.yaml")})


def cameras_here(folder: Path = Path("/dev")) -> list[tuple[str, str]]:
    """Each camera of this machine: its path and its name."""
    found = []
    for path in sorted(folder.glob("video*")):
        try:
            offer = offered(str(path))
        except (EdgeDaemonError, OSError):
            continue  # a node for metadata, or one that others hold
        if offer is not None and offer.formats:
            width, height = offer.largest
            found.append((str(path), f"{offer.card}, up to {width} x {height}"))
    return found


def largest_mode(source: str) -> tuple[tuple[int, int] | None, str]:
    """Size and format of the largest picture that a device lists; (None, "") for other sources."""
    try:
        offer = offered(source)
    except (EdgeDaemonError, OSError):
        return None, ""
    if offer is None or offer.largest == (0, 0):
        return None, ""
    fits = (
        one.fourcc
        for one in offer.formats
        if offer.largest in [(size.width, size.height) for size in one.sizes]
    )
    return offer.largest, next(fits, "")


def faults_of(text: str) -> tuple[Settings | None, list[Finding]]:
    """What `config validate` says of a settings file with this text."""
    with tempfile.TemporaryDirectory(prefix="edge-daemon-") as folder:
        draft = Path(folder) / "settings.yaml"
        draft.write_text(text, encoding="utf-8")
        return faults_in(draft)


def why_not(question: Question, answers: Answers) -> str:
    """Why this answer is not valid, as the end of a sentence; "" if it is."""
    text = answers.answer(question.name)
    try:
        question.check(text)
    except ValueError as error:
        return str(error)
    if question.name == "product" and text and not answers.model:
        return "needs a model that judges it"
    if question.name == "key":
        answers = answers.with_one("key", "" if text in {NEW, NONE} else text)
    for fault in faults_of(settings_text(answers))[1]:
        if any(fault.key == key or fault.key.startswith(f"{key}.") for key in question.keys):
            return f"{fault.message}. {fault.hint}".strip()
    return ""


def absolute(question: Question, text: str) -> str:
    """A path as it can stand in a file anywhere."""
    is_word = question.name == "key" and text in {NEW, NONE}
    looks_like_file = question.name == "camera" and os.path.isfile(text)
    if text and ((question.is_path and not is_word) or looks_like_file):
        return str(Path(text).absolute())
    return text
