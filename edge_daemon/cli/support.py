"""`edge-daemon support-bundle`: one archive for a support case, without secrets."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon import __version__, config
from edge_daemon.cli.check import examine
from edge_daemon.cli.check import plain as plain_findings
from edge_daemon.cli.journal import Records
from edge_daemon.cli.logs import journal_command
from edge_daemon.cli.options import ConfigFile, config_file
from edge_daemon.cli.output import tell
from edge_daemon.cli.station import Station
from edge_daemon.cli.status import plain as plain_status
from edge_daemon.config import Settings
from edge_daemon.core.credentials import HIDDEN, is_secret_key, public_source, redact
from edge_daemon.host.error_boundary import contained

LOG_LINES = 2000
_LIBRARIES = (
    *("edge-daemon", "torch", "torchvision", "ultralytics", "ultralytics-opencv-headless"),
    *("opencv-python", "opencv-python-headless", "numpy", "paho-mqtt", "pydantic", "msgspec"),
    *("model-signing", "cryptography", "structlog", "typer", "rich", "uvicorn", "starlette"),
    *("nvidia-ml-py", "tensorrt", "onnxruntime", "openvino", "watchdog", "jmespath"),
)

_OF_THEIR_OWN: dict[str, Callable[[str], str]] = {
    "source": public_source,
    "username": lambda _: HIDDEN,
}
_PLAIN = frozenset({"string", "number", "integer", "boolean", "null"})


def support_bundle(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .tar.gz to write.", show_default=False),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="A file with the daemon's lines, where there is no journal.")
    ] = None,
    file: ConfigFile = None,
) -> None:
    """Settings, check, status, versions, log, history and audit trail, without secrets.

    A part that cannot be read is left out, with the reason in its place.
    """
    path = config_file(file)
    settings, _ = config.examine(path)
    device = settings.device if settings else "unknown"
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = output or Path(f"edge-daemon-{device}-{stamp}.tar.gz")
    folder = target.name.split(".")[0]
    left_out = []
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, make in _parts(path, settings, log):
            content, fault = _made(make)
            if fault:
                left_out.append(f"{name}: {fault}")
            _put(archive, f"{folder}/{name}", redact(content))
    tell(f"{target}: {target.stat().st_size} bytes. Look into it before you send it.")
    for line in left_out:
        tell(f"  left out: {line}", err=True)


def _parts(
    path: Path, settings: Settings | None, log: Path | None
) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions.txt", _versions
    yield "config.yaml", lambda: _settings_file(path)
    yield "check.json", lambda: _json(plain_findings(examine(path)[0]))
    if settings is None:
        return
    station, records = Station(settings), Records(settings)
    yield "settings.json", lambda: _json(known_settings(settings.redacted()))
    yield "status.json", lambda: _json(plain_status(station, station.retained()))
    yield "history.json", lambda: _json(records.history(200))
    yield "audit.json", lambda: _json(records.audit(1000, heads=()))
    yield "log.jsonl", lambda: _log(settings.device, log)


def _made(make: Callable[[], str]) -> tuple[str, str]:
    """The content, or a sentence in its place and the reason."""
    content = ""
    with contained() as attempt:  # what is missing must not keep the rest from being sent
        content = make()
    if attempt.fault is None:
        return content, ""
    why = " ".join(str(attempt.fault).split()) or repr(attempt.fault)
    return f"Left out: {why}\n", why


def _json(plain: Any) -> str:
    return json.dumps(hidden(plain), indent=2, ensure_ascii=False) + "\n"


def hidden(plain: Any) -> Any:
    """The same document without secrets: by the names of keys, and inside of texts."""
    if isinstance(plain, dict):
        return {
            key: HIDDEN if is_secret_key(str(key)) and value else hidden(value)
            for key, value in plain.items()
        }
    if isinstance(plain, (list, tuple)):
        return [hidden(value) for value in plain]
    return redact(plain) if isinstance(plain, str) else plain


def _settings_file(path: Path) -> str:
    """The settings as they are written, comments left out."""
    return config.dump(known_settings(config.parse(path.read_text("utf-8")).value))


def known_settings(written: Any) -> Any:
    """Settings without anything that may be confidential: values of unknown keys, user names."""
    schema = config.schema()
    return _known(written, [schema], schema["$defs"])


def _known(written: Any, schemas: list[Any], groups: dict[str, Any]) -> Any:
    options = [each for schema in schemas for each in _options(schema, groups)]
    if isinstance(written, dict):
        keys = {key: each for one in options for key, each in one.get("properties", {}).items()}
        others = [one.get("additionalProperties") for one in options]
        return {
            key: _OF_THEIR_OWN[key](value)
            if key in _OF_THEIR_OWN and isinstance(value, str)
            else _known(value, [keys[key]] if key in keys else others, groups)
            for key, value in written.items()
        }
    if isinstance(written, (list, tuple)):
        items = [
            each for one in options for each in (one.get("items"), *one.get("prefixItems", ()))
        ]
        return [_known(value, items, groups) for value in written]
    if any(one.keys() & {"enum", "const"} or one.get("type") in _PLAIN for one in options):
        return redact(written) if isinstance(written, str) else written
    return HIDDEN


def _options(schema: Any, groups: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a JSON Schema allows, one by one; nothing where it is none."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _options(groups[schema["$ref"].rpartition("/")[2]], groups)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _options(each, groups)
    yield schema


def _versions() -> str:
    lines = [
        f"edge-daemon {__version__}",
        f"python {platform.python_version()} {platform.machine()}",
        f"kernel {platform.release()}",
        f"written {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
    ]
    for name in _LIBRARIES:
        found = next(iter(metadata.distributions(name=name)), None)
        if found is not None:
            lines.append(f"{name} {found.version}")
    release = Path("/etc/os-release")
    if release.exists():
        lines.append(release.read_text("utf-8"))
    return "\n".join(lines) + "\n"


def _log(device: str, file: Path | None) -> str:
    if file is not None:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, LOG_LINES))
    command = journal_command(device, LOG_LINES)
    if command is None:
        return "This machine has no journalctl; give the lines with --log FILE.\n"
    done = subprocess.run(  # noqa: S603 - a fixed program, a checked device name
        command, capture_output=True, text=True, errors="replace", timeout=30, check=False
    )
    return done.stdout or done.stderr


def _put(archive: tarfile.TarFile, name: str, content: str) -> None:
    body = content.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(body), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(body))
