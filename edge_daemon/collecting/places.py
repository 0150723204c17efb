"""Where collected pictures are sent to: a folder, a bucket, a web server, or Label Studio."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Protocol
from urllib.parse import quote, urlsplit

from edge_daemon.collecting.catalogue import Collected
from edge_daemon.collecting.exports import dataset
from edge_daemon.collecting.formats.label_studio import task
from edge_daemon.config import PushSettings
from edge_daemon.config.collect import WebSettings
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import FolderPlace, Place
from edge_daemon.frames.s3_place import S3Place

KEYS = "collect.push"
TIMEOUT_S = 60.0
_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".json": "application/json"}
_DONE = range(200, 300)
_NOT_ALLOWED = (401, 403)


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
        key = f"{KEYS}.http"
        server = Server(web.url, lambda: readable_path(web.ca, f"{key}.ca"), _bearer(web, key))
        return Files(WebPlace(server))
    studio = settings.label_studio
    assert studio is not None
    key = f"{KEYS}.label_studio"
    server = Server(
        studio.url,
        lambda: readable_path(studio.ca, f"{key}.ca"),
        lambda: f"Token {read_secret(studio.token_file, f'{key}.token_file')}",
    )
    return LabelStudio(server, studio.project)


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


class Server:
    """One web server; credentials are read when they are used, and go to no other."""

    def __init__(
        self,
        url: str,
        ca: Callable[[], str | None],
        authorization: Callable[[], str | None],
    ) -> None:
        self.url = url.rstrip("/")
        self.name = self.url.partition("://")[2]
        self._ca, self._authorization = ca, authorization

    def send(self, method: str, path: str, content: bytes, kind: str) -> None:
        """Raises BoxError for whatever is not taken; a redirect is no answer to this."""
        parts = urlsplit(self.url)
        headers = {"Content-Type": kind, "Content-Length": str(len(content))}
        authorization = self._authorization()
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            with closing(self._connection()) as connection:
                connection.request(method, f"{parts.path}{path}", content, headers)
                answer = connection.getresponse()
                answer.read(1 << 16)
        except ssl.SSLCertVerificationError as error:
            raise BoxError(
                f"{self.name} shows a certificate that is not trusted", hint=f"Check {KEYS}."
            ) from error
        except ssl.SSLError as error:
            raise BoxError(
                f"{self.name} does not speak TLS", hint="Does its address begin with http://?"
            ) from error
        except (OSError, HTTPException) as error:
            raise BoxError(
                f"{self.name} cannot be reached", hint="Does it run?", detail=str(error)
            ) from error
        if answer.status in _NOT_ALLOWED:
            raise BoxError(f"{self.name} does not accept the token", hint=f"Check {KEYS}.")
        if answer.status not in _DONE:
            raise BoxError(
                f"{self.name} did not take a picture ({answer.status})", hint="See its log."
            )

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if parts.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=self._ca())
            except ssl.SSLError as error:
                raise BoxError(
                    f"the ca of {KEYS} holds no certificate", hint="Put the authority's PEM there."
                ) from error
            return HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
        return HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)


class WebPlace:
    """Implements `Place`: a PUT for each file."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.name = server.name

    def open(self) -> None:
        """Each file has its own connection."""

    def put(self, path: str, content: bytes) -> None:
        kind = _TYPES[path[path.rindex(".") :]]
        self._server.send("PUT", f"/{quote(path)}", content, kind)

    def close(self) -> None:
        """Nothing is held."""


class LabelStudio:
    """Each picture as a task with the picture in it; one sent twice is there twice."""

    def __init__(self, server: Server, project: int) -> None:
        self._server, self._project = server, project
        self.name = f"Label Studio at {server.name}"

    def open(self) -> None:
        """Each task has its own connection."""

    def send(self, picture: Collected) -> None:
        kind = _TYPES[picture.record.suffix]
        text = base64.b64encode(picture.path.read_bytes()).decode()
        (item,) = dataset([picture]).items
        body = json.dumps([task(item, f"data:{kind};base64,{text}")]).encode()
        path = f"/api/projects/{self._project}/import"
        self._server.send("POST", path, body, "application/json")

    def close(self) -> None:
        """Nothing is held."""


def _bearer(web: WebSettings, key: str) -> Callable[[], str | None]:
    token_file = web.token_file
    if token_file is None:
        return lambda: None
    return lambda: f"Bearer {read_secret(token_file, f'{key}.token_file')}"
