"""A plain web server as a source; any that gives out files will do.

<url>/<name>/versions.txt                a version a line; not needed for one fixed version
<url>/<name>/<version>/model.yaml …      a bundle as in a store
<url>/<name>/<version>/files.txt         a path a line; needed for OpenVINO folders only
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import quote

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BundleError
from edge_daemon.models.files import is_inner_path
from edge_daemon.models.versions import is_version
from edge_daemon.sources.choice import ALL, FILES, NEWEST, VERSIONS, chosen
from edge_daemon.sources.http import Http
from edge_daemon.sources.source import Offered, RemoteFile, Stream

MOST_LINES = 4096


class WebSource:
    """Implements `Source`."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.where = http.base

    def offered(self, name: str, which: str) -> tuple[Offered, ...]:
        base = f"{self.where}/{quote(name)}"
        if which not in (NEWEST, ALL):
            return (self._offer(name, which),)
        try:
            listed = self._lines(f"{base}/{VERSIONS}")
        except FileNotFoundError as error:
            raise BundleError(
                f"{self.where} has no {name}/{VERSIONS}.",
                hint="Write a version a line into it, or name one version in sources.models.",
            ) from error
        versions = [line for line in listed if is_version(line)]
        others = [line for line in listed if line != VERSIONS]  # `ls` lists its own output
        if others and not versions:  # the page of a proxy, for example
            raise BundleError(
                f"{self.where} has no version in {name}/{VERSIONS}, but {others[0][:64]!r}.",
                hint="Write a version a line into it. Is this the right address?",
            )
        return tuple(self._offer(name, version) for version in chosen(versions, which))

    def open(self, offered: Offered, path: str, at: int = 0) -> AbstractContextManager[Stream]:
        return self._http.stream(f"{offered.base}/{quote(path)}", at)

    def _offer(self, name: str, version: str) -> Offered:
        place = f"{self.where}/{quote(name)}/{quote(version)}"
        origin = Origin("http", self.where, name, version=version)
        try:
            listed = self._lines(f"{place}/{FILES}")
        except FileNotFoundError:
            return Offered(version, origin, version, base=place)
        paths = (line.removeprefix("./") for line in listed)
        files = {path: RemoteFile(path) for path in paths if path != FILES}
        if odd := [path for path in files if not is_inner_path(path)]:
            raise BundleError(
                f"{odd[0][:128]!r} in {FILES} is no path in a bundle.", hint="Mend it."
            )
        return Offered(version, origin, version, files, base=place)

    def _lines(self, url: str) -> list[str]:
        text = self._http.text(url).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line][:MOST_LINES]
