"""Valid settings that `run` would refuse, as findings with their lines.

Files that the settings name are read if they exist and can be read: settings are also validated on
machines that have no keys. `check` reports those that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge_daemon import config
from edge_daemon.config import Finding, Settings
from edge_daemon.documents import KeyPath, dotted
from edge_daemon.errors import ConfigurationError
from edge_daemon.fleet.freshness.refresh import checked_root
from edge_daemon.frames.sources import check_source
from edge_daemon.messaging.feedback_sources import compile_feedback
from edge_daemon.messaging.orders import compile_source
from edge_daemon.messaging.topics import Topics
from edge_daemon.models.countersigned import Signers
from edge_daemon.models.trust import Trust


def faults_in(file: Path) -> tuple[Settings | None, list[Finding]]:
    """The settings of a file, and its faults; none where `run` would begin.

    The settings are None where the file itself is at fault.
    """
    settings, found = config.examine(file)
    return settings, found if settings is None else list(_refusals(file, settings))


def _refusals(path: Path, settings: Settings) -> Iterator[Finding]:
    for key, attempt in _attempts(settings):
        if (error := _refusal(attempt)) is not None:
            name = dotted(key)
            message = error.message.removeprefix(f"{name}: ").rstrip(".")
            yield Finding(path, config.line_of(path, key), name, message, error.hint)


def _refusal(attempt: Callable[[], object]) -> ConfigurationError | None:
    try:
        attempt()
    except ConfigurationError as error:
        return error
    return None


def _attempts(settings: Settings) -> Iterator[tuple[KeyPath, Callable[[], object]]]:
    mqtt, http, camera = settings.mqtt, settings.http, settings.camera
    yield ("mqtt", "root"), partial(Topics, settings.root)
    for number, source in enumerate(settings.orders):
        yield ("orders", number), partial(compile_source, source)
    for number, feedback in enumerate(settings.feedback):
        yield ("feedback", number), partial(compile_feedback, feedback)
    yield ("camera", "source"), partial(check_source, camera.source)
    for number, key in enumerate(settings.models.trust.public_keys):
        if _is_readable(key):
            yield ("models", "trust", "public_keys", number), partial(Trust, [key])
    for number, key in enumerate(settings.fleet.trust.keys if settings.fleet else ()):
        if _is_readable(key):
            yield ("fleet", "trust", "keys", number), partial(Signers, [key])
    trust = settings.fleet.trust if settings.fleet else None
    if trust is not None and _is_readable(trust.root):
        yield ("fleet", "trust", "root"), partial(checked_root, trust)
    if _is_readable(mqtt.password_file):
        yield ("mqtt", "password_file"), mqtt.read_password
    if _is_readable(http.token_file):
        yield ("http", "token_file"), http.read_token


def _is_readable(path: Path | None) -> bool:
    return path is not None and os.access(path, os.R_OK)
