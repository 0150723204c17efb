"""Where collected pictures are sent to: a folder, a bucket, a web server, or Label Studio."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from edge_daemon.collecting.catalogue import Collected
from edge_daemon.collecting.exports import dataset
from edge_daemon.collecting.formats.label_studio import task
from edge_daemon.config import PushSettings
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import FolderPlace, Place
from edge_daemon.frames.s3_place import S3Place
from edge_daemon.sources.http import Http

KEYS = "collect.push"
TIMEOUT_S = 60.0
_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".json": "application/json"}


class Target(Protocol):
    """Takes one picture with its record. Raises OSError, or BoxError in its own words."""

    name: str
    """As a sentence calls it."""

    def open(self) -> None:
        """Reach it; nothing where that is done already."""

    def send(self, picture: Collected) -> None:
        """There when it returns; a second time it does no harm where the place has names."""

    def close(self) -> None:
        """Let it go; `open` reaches it anew. Never raises."""


def target_of(settings: PushSettings) -> Target:
    """Where the settings want them, not reached yet."""
    if settings.folder is not None:
        return Files(FolderPlace(settings.folder, f"{KEYS}.folder"))
    if settings.s3 is not None:
        return Files(S3Place(settings.s3, f"{KEYS}.s3"))
    if settings.http is not None:
        web = settings.http
        return Files(WebPlace(_server(web.url, web.ca, "Bearer", web.token_file, "http")))
    studio = settings.label_studio
    assert studio is not None
    server = _server(studio.url, studio.ca, "Token", studio.token_file, "label_studio")
    return LabelStudio(server, studio.project)


def _server(url: str, ca: Path | None, kind: str, token_file: Path | None, setting: str) -> Http:
    """Its credentials are read when they are used, and go to no other."""

    def authorization() -> str | None:
        if token_file is None:
            return None
        return f"{kind} {read_secret(token_file, f'{KEYS}.{setting}.token_file')}"

    return Http(url, lambda: readable_path(ca, f"{KEYS}.{setting}.ca"), authorization, TIMEOUT_S)


class Files:
    """The picture and its record as two files, the picture last."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.name = place.name

    def open(self) -> None:
        self._place.open()

    def send(self, picture: Collected) -> None:
        path = picture.record.picture
        files = {
            f"{path[: -len(picture.record.suffix)]}.json": picture.path.with_suffix(".json"),
            path: picture.path,
        }
        for name, file in files.items():
            self._place.put(name, file.read_bytes())

    def close(self) -> None:
        self._place.close()


class WebPlace:
    """Implements `Place`: a PUT for each file."""

    def __init__(self, server: Http) -> None:
        self._server = server
        self.name = _name_of(server)

    def open(self) -> None:
        """Each file has its own connection."""

    def put(self, path: str, content: bytes) -> None:
        kind = _TYPES[path[path.rindex(".") :]]
        _send(self._server, "PUT", f"/{quote(path)}", content, kind)

    def close(self) -> None:
        """Nothing is held."""


class LabelStudio:
    """Each picture as a task with the picture in it; one sent twice is there twice."""

    def __init__(self, server: Http, project: int) -> None:
        self._server, self._project = server, project
        self.name = f"Label Studio at {_name_of(server)}"

    def open(self) -> None:
        """Each task has its own connection."""

    def send(self, picture: Collected) -> None:
        kind = _TYPES[picture.record.suffix]
        text = base64.b64encode(picture.path.read_bytes()).decode()
        (item,) = dataset([picture]).items
        body = json.dumps([task(item, f"data:{kind};base64,{text}")]).encode()
        path = f"/api/projects/{self._project}/import"
        _send(self._server, "POST", path, body, "application/json")

    def close(self) -> None:
        """Nothing is held."""


def _name_of(server: Http) -> str:
    return server.base.partition("://")[2]


def _send(server: Http, method: str, path: str, content: bytes, kind: str) -> None:
    """Raises BoxError for whatever is not taken; a redirect is no answer to this."""
    headers = {"Content-Type": kind}
    status = server.exchange(method, f"{server.base}{path}", content, headers).status
    name = _name_of(server)
    if status in (401, 403):
        raise BoxError(f"{name} does not accept the token", hint=f"Check {KEYS}.")
    if status not in range(200, 300):
        raise BoxError(f"{name} did not take a picture ({status})", hint="See its log.")
