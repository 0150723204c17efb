"""Is the settings file valid, and can the right users read the files that it names?"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_daemon import config
from edge_daemon.cli.checks.certificates import MAX_PEM_BYTES, check_certificates
from edge_daemon.cli.checks.finding import Finding, error, ok, warning
from edge_daemon.config import Settings
from edge_daemon.config.fields import is_loopback
from edge_daemon.core.credentials import redact
from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.errors import ConfigurationError


def check_file(path: Path) -> tuple[Settings | None, list[Finding]]:
    """The settings and the findings about the file; None with at least one error."""
    settings, faults = config.examine(path)
    if settings is None:
        remedy = "Correct it; `edge-daemon config schema` explains every key."
        return None, [_fault(each, remedy) for each in faults]
    return settings, [ok("settings", f"{path} is valid."), *_remarks(settings)]


def _remarks(settings: Settings) -> Iterator[Finding]:
    mqtt = settings.mqtt
    for key, path, read in _named_files(settings):
        if path is not None:
            yield from _readable(key, path) if read is None else _secret(key, path, read)
    if mqtt.tls is not None:
        yield from check_certificates(mqtt.tls)
    yield from _desired(settings)
    if not settings.models.trust.required:
        yield warning(
            "models.trust.required",
            "Unsigned bundles are accepted: whoever can write to the store decides what runs.",
            "For a line: set required: true, and sign with `edge-daemon models sign`.",
        )
    if mqtt.username is not None and mqtt.tls is None and not is_loopback(mqtt.host):
        yield warning(
            "mqtt.tls",
            f"The password for {mqtt.host} crosses the network unencrypted.",
            "Set mqtt.tls: {} and the port of the broker's TLS listener, usually 8883.",
        )
    if redact(settings.camera.source) != settings.camera.source:
        yield warning(
            "camera.source",
            "The camera's password stands in the settings file.",
            "Let only the daemon's user read the file: chmod 640, owner root, its group.",
        )


def _named_files(
    settings: Settings,
) -> Iterator[tuple[str, Path | None, Callable[[], str | None] | None]]:
    """Each key that names a file, the file, and what reads the secret that it holds."""
    mqtt, http, pictures = settings.mqtt, settings.http, settings.results.pictures
    yield "mqtt.password_file", mqtt.password_file, mqtt.read_password
    yield "http.token_file", http.token_file, http.read_token
    for key in ("ca", "certificate", "key") if mqtt.tls is not None else ():
        yield f"mqtt.tls.{key}", getattr(mqtt.tls, key), None
    if pictures is not None and (sftp := pictures.copy_to_sftp) is not None:
        key = "results.pictures.copy_to_sftp"
        yield f"{key}.password_file", sftp.password_file, sftp.read_password
        yield f"{key}.key_file", sftp.key_file, None
        yield f"{key}.known_hosts_file", sftp.known_hosts_file, None
    if pictures is not None and (s3 := pictures.copy_to_s3) is not None:
        key = "results.pictures.copy_to_s3"
        yield f"{key}.secret_key_file", s3.secret_key_file, s3.read_secret_key
        yield f"{key}.ca", s3.ca, None
    for number, hook in enumerate(settings.rollouts.notify):
        yield f"rollouts.notify.{number}.token_file", hook.token_file, hook.read_token
        yield f"rollouts.notify.{number}.ca", hook.ca, None


def _desired(settings: Settings) -> Iterator[Finding]:
    if settings.desired is None:
        return
    if not settings.desired.file.exists():
        told = f"{settings.desired.file} is not there: nothing is desired until it comes."
        yield warning("desired.file", told, "Put it there by rename, or remove desired.")
        return
    wished, faults = config.read_desired(settings.desired.file, settings.links)
    for fault in faults:
        yield _fault(fault, "Correct it; until then nothing of it is followed.")
    if wished is not None:
        models = ", ".join(str(ref) for ref in wished.models) or "no model"
        held = {None: "", True: ", held", False: ", not held"}[wished.hold]
        yield ok("desired.file", f"{settings.desired.file} wishes for {models}{held}.")


def _fault(found: config.Finding, remedy: str) -> Finding:
    """A fault in a file; `remedy` where it brings none of its own."""
    told = f"{found.key}: {found.message}." if found.key else f"The file {found.message}."
    return error(f"{found.file}:{found.line}", told, found.hint or remedy)


def _secret(key: str, path: Path, read: Callable[[], str | None]) -> Iterator[Finding]:
    try:
        read()
    except ConfigurationError as fault:
        yield error(key, fault.message, fault.hint)
        return
    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning(key, f"Every user of this machine may read {path}.", f"chmod 640 {path}")


def _readable(key: str, path: Path) -> Iterator[Finding]:
    try:
        read_bytes(path, MAX_PEM_BYTES)
    except DocumentError as fault:
        yield error(
            key, f"{path} {fault.message}.", "Correct the path, or let the daemon's user read it."
        )
