"""The sources of `fleet.sources`, for bundles that come without neighbours."""

from __future__ import annotations

from urllib.parse import urlsplit

from edge_daemon.core.values import BundleRef
from edge_daemon.courier.wire import From
from edge_daemon.sources.http import Http
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.source import Source
from edge_daemon.sources.web import WebSource


def directly(source: From, ref: BundleRef) -> tuple[Source, str]:
    """The source, and how it names this bundle: its version, or `repository/name:version`."""
    if source.kind == "http":
        return WebSource(Http(source.url, lambda: source.ca)), ref.version
    parts = urlsplit(source.url)
    above = parts.path.strip("/")
    repository = f"{above}/{ref.name}" if above else ref.name
    registry = OciSource(f"{parts.scheme}://{parts.netloc}", lambda: source.ca)
    return registry, f"{repository}:{ref.version.replace('+', '_')}"
