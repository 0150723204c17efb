"""`edge-daemon init`: asks a few questions and writes a station's settings file."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from typer import Abort

from edge_daemon import config
from edge_daemon.cli.checks.refusals import faults_in
from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.init_questions import (
    NEW,
    NONE,
    QUESTIONS,
    Question,
    absolute,
    cameras_here,
    default,
    faults_of,
    largest_mode,
    stored,
    why_not,
)
from edge_daemon.cli.init_text import Answers, settings_text
from edge_daemon.cli.options import AsJson
from edge_daemon.cli.output import busy, harmless, tell, tell_json
from edge_daemon.errors import BoxError, ConfigurationError, SenderError
from edge_daemon.host.disk import write_durably
from edge_daemon.models.trust import generate_keypair

_TO = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help=f"The file to write; else ${config.VARIABLE}, else NAME.yaml in {config.FOLDER} where"
        " that may be written, else here.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class _Way:
    """How answers come: the flags that were given, and whether questions may be asked."""

    given: dict[str, str | None]
    asks: bool
    cameras: list[tuple[str, str]]


def init(  # noqa: PLR0913, PLR0917 - a command takes its options as arguments
    device: Annotated[str | None, typer.Option(help="The name of this station.")] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="/dev/videoN, an RTSP or HTTP URL, a video file, or conveyor:"),
    ] = None,
    broker: Annotated[str | None, typer.Option(help="The MQTT broker, HOST:PORT.")] = None,
    store: Annotated[str | None, typer.Option(help="The folder of models.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help=f"The public key (PEM) that checks models; {NEW}: make a pair; {NONE}: no key."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that judges first: NAME or NAME@VERSION.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="The product that this model judges.")] = None,
    parts: Annotated[
        str | None, typer.Option(help="What a part is: frame, trigger, track or none.")
    ] = None,
    http: Annotated[str | None, typer.Option(help="HOST:PORT of the status page.")] = None,
    state: Annotated[str | None, typer.Option(help="The folder of the state.")] = None,
    to: _TO = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a station's settings file: asks for the camera, the broker and the models.

    What an option gives is not asked. The file is checked as `config validate` does.
    """
    given = {
        "device": device,
        "camera": camera,
        "broker": broker,
        "store": store,
        "key": key,
        "model": model,
        "product": product,
        "parts": parts,
    }
    way = _Way(given, not yes, cameras_here() if camera is None else [])
    warnings: list[str] = []
    named = to or (Path(os.environ[config.VARIABLE]) if os.environ.get(config.VARIABLE) else None)
    folder = _folder(named)
    answers = _asked(QUESTIONS[0], _beginning(folder, http, state), way, warnings)
    target = named.absolute() if named is not None else folder / f"{answers.device}.yaml"
    if target.exists() and not overwrite:
        raise SenderError(
            f"{target} is there already, and is left as it is.",
            hint="Name another file with --config, or replace it with --overwrite.",
        )
    for question in QUESTIONS[1:]:
        answers = _asked(question, answers, way, warnings)
    size, fourcc = largest_mode(answers.camera)
    answers = replace(answers, size=size, format=fourcc)
    answers, private_key = _write(answers, target)
    steps = _next(target, answers, private_key)
    if as_json:
        key = str(private_key) if private_key else None
        plain = {"file": str(target), "key": key, "warnings": warnings, "next": steps}
        tell_json(plain, indent=2)
        return
    for warning in warnings:
        tell(f"Warning: {warning}", err=True)
    tell(f"{target} is valid.")
    if private_key is not None:
        tell(f"{private_key} signs models for it: keep it where nobody else can read it.")
    tell("Next:")
    for step in steps:
        tell(f"  {step}")


def _beginning(folder: Path, http: str | None, state: str | None) -> Answers:
    """The defaults: for the whole system, or for a file in one's own folder."""
    answers = Answers()
    if folder != config.FOLDER:
        answers = replace(answers, store=str(folder / "models"), state=str(folder / "state"))
    if http is not None:
        answers = replace(answers, http=http)
    if state is not None:
        answers = replace(answers, state=str(Path(state).absolute()))
    return answers


def _folder(named: Path | None) -> Path:
    """Where the file goes."""
    if named is not None:
        return named.absolute().parent
    return config.FOLDER if os.access(config.FOLDER, os.W_OK) else Path.cwd()


# --------------------------------------------------------------------------- asking


def _asked(question: Question, answers: Answers, way: _Way, warnings: list[str]) -> Answers:
    """The answers with this one, asked again until it is valid."""
    text = way.given[question.name]
    if question.name == "product" and text is None and not answers.model:
        return answers
    while True:
        if text is None:
            text = _prompted(question, answers, way)
        tried = answers.with_one(question.name, absolute(question, text.strip()))
        fault = why_not(question, tried)
        if not fault and _works(question, tried, way, warnings):
            return tried
        if fault:
            said = f"--{question.name} {text!r} {fault.rstrip('.')}."
            if not way.asks:
                raise WrongUsage(said)
            tell(said, err=True)
        text = None


def _prompted(question: Question, answers: Answers, way: _Way) -> str:
    usual = default(question.name, answers, way.cameras)
    if not way.asks:
        return usual
    if question.name == "camera":
        for path, words in way.cameras:
            tell(f"  {path}: {words}", err=True)
        tell("  or rtsp://..., http://..., a video file, conveyor: (a drawn line)", err=True)
    if question.name == "model":
        for name in stored(Path(answers.store)):
            tell(f"  {name} is in the store", err=True)
    try:
        return str(typer.prompt(harmless(question.asks), default=usual, err=True))
    except Abort:
        raise _nobody_answers(question) from None


def _works(question: Question, answers: Answers, way: _Way, warnings: list[str]) -> bool:
    """Whether the answer is accepted: it works here, or the user keeps it anyway."""
    if question.attempt is None:
        return True
    settings, _ = faults_of(settings_text(replace(answers, key="")))
    if settings is None:
        return True  # something else is wrong, and is told at its own question
    with busy(f"Trying the {question.name}"):
        why = question.attempt(settings)
    if not why:
        return True
    if not way.asks:
        warnings.append(why)
        return True
    tell(why, err=True)
    try:
        taken = typer.confirm("Use it anyway?", err=True)
    except Abort:
        raise _nobody_answers(question) from None
    if taken:
        warnings.append(why)
    return taken


def _nobody_answers(question: Question) -> WrongUsage:
    tell("", err=True)  # the prompt still stands in its line
    return WrongUsage(
        f"There is no answer to: {question.asks}?",
        hint=f"Give --{question.name}, or --yes for the defaults.",
    )


# --------------------------------------------------------------------------- writing


def _write(answers: Answers, target: Path) -> tuple[Answers, Path | None]:
    """Check the complete file, then write it in one step.

    Returns the answers as they were written, and the private key of a new pair.
    """
    private: Path | None = None
    public = target.parent / f"{answers.device}.pub"
    wants_new = answers.key == NEW
    if answers.key in {NEW, NONE}:
        answers = replace(answers, key=str(public) if wants_new else "")
    text = settings_text(answers)
    _, found = faults_of(text)
    if found:
        told = [replace(fault, file=target) for fault in found]
        raise ConfigurationError("\n".join(str(fault) for fault in told))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if wants_new:
            private = _new_pair(answers.device, public)
        Path(answers.store).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BoxError(
            f"{error.filename} cannot be made: {error.strerror}.",
            hint="Run it as root, or name folders of your own: --config, --store, --state.",
        ) from error
    write_durably(target, text.encode(), 0o640)  # a camera's URL may hold its password
    with suppress(OSError):  # the daemon's user reads it as one of the folder's group
        os.chown(target, -1, target.parent.stat().st_gid)
    _, found = faults_in(target)
    if found:
        raise ConfigurationError("\n".join(str(fault) for fault in found))
    return answers, private


def _new_pair(device: str, public: Path) -> Path | None:
    """The private key that goes with `public`; a pair that is there is used again.

    None where it is kept elsewhere.
    """
    if not public.exists():
        generate_keypair(public.parent, device)
    private = public.with_suffix(".key")
    return private if private.exists() else None


def _next(target: Path, answers: Answers, private_key: Path | None) -> list[str]:
    """The next two commands."""
    place = f"--config {shlex.quote(str(target))}"
    check = f"edge-daemon check {place}"
    name, _, version = answers.model.partition("@")
    if not stored(Path(answers.store)):
        key = str(private_key) if private_key else "KEY" if answers.key else ""
        signed = f" --key {shlex.quote(key)}" if key else ""
        wanted = f"--name {name or 'NAME'} --version {version or '1.0.0'}"
        pack = f"edge-daemon models pack best.pt {wanted} --reject DEFECT,..."
        part = " --part CLASS" if answers.parts == "track" else ""
        return [f"{pack}{part}{signed} --add {place}", check]
    if target.parent == config.FOLDER:
        return [check, f"systemctl enable --now edge-daemon@{target.stem}"]
    return [check, f"edge-daemon run {place}"]
