"""Makes the sources that the settings name."""

from __future__ import annotations

from functools import partial

from edge_daemon.config import BundleSource
from edge_daemon.sources.folder import FolderSource
from edge_daemon.sources.http import Http, basic
from edge_daemon.sources.mlflow import MlflowSource
from edge_daemon.sources.mlflow_tags import MlflowTags
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.oci_login import OciLogin
from edge_daemon.sources.oci_referrers import OciReferrers
from edge_daemon.sources.source import Source
from edge_daemon.sources.web import WebSource
from edge_daemon.sources.write_back import Writer


def make_source(settings: BundleSource) -> Source:
    """The source, not asked yet; credentials are read from their files when they are used."""
    if settings.folder is not None:
        return FolderSource(settings.folder)
    if settings.oci is not None:
        return OciSource(
            settings.where, settings.readable_ca, partial(_basic, settings), settings.read_token
        )
    return (
        WebSource(_http(settings)) if settings.http is not None else MlflowSource(_http(settings))
    )


def make_writer(settings: BundleSource, device: str) -> Writer | None:
    """What tells the source of outcomes; None where its settings do not ask for that."""
    if not settings.write_back:
        return None
    if settings.oci is None:
        return MlflowTags(_http(settings), device)
    http = Http(settings.where, settings.readable_ca)
    login = OciLogin(
        http, settings.readable_ca, partial(_basic, settings), settings.read_token, "pull,push"
    )
    return OciReferrers(http, login, device)


def _http(settings: BundleSource) -> Http:
    return Http(settings.where, settings.readable_ca, partial(_authorization, settings))


def _authorization(settings: BundleSource) -> str | None:
    token = settings.read_token()
    return f"Bearer {token}" if token else _basic(settings)


def _basic(settings: BundleSource) -> str | None:
    password = settings.read_password()
    return basic(settings.user, password) if settings.user and password else None
