"""Settings of the places where new bundles come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_daemon.config.fields import FilePath, Group, Name, User, printable
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.config.pictures import WebAddress

Kind = Literal["folder", "http", "oci", "mlflow"]
Wanted = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(printable)]

_FORMS: Mapping[Kind, tuple[str, str]] = {
    "folder": (r"newest|all|[0-9A-Za-z][0-9A-Za-z._+-]{0,63}", "newest, all, or a version"),
    "http": (r"newest|all|[0-9A-Za-z][0-9A-Za-z._+-]{0,63}", "newest, all, or a version"),
    "oci": (
        r"[a-z0-9][a-z0-9._/-]{0,254}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})",
        "repository:tag or repository@sha256:…, such as line3/bottle:stable",
    ),
    "mlflow": (
        r"[^/:@]{1,255}(@[A-Za-z0-9_-]{1,255}|/[0-9]{1,9})",
        "model@alias or model/version, such as bottle@champion",
    ),
}
"""What `models` may say of each kind, and the same in words."""


class BundleSource(Group):
    """One place where bundles come from. It fills the store and makes nothing active."""

    folder: FilePath | None = None
    """A USB stick or a mounted share, laid out as the store is: `<name>/<version>/model.yaml`."""
    http: WebAddress | None = None
    """A web server that gives out files: `<url>/<name>/<version>/model.yaml`, and
    `<url>/<name>/versions.txt` with a version a line."""
    oci: WebAddress | None = None
    """An OCI registry; each file of a bundle is a layer with its path as title."""
    mlflow: WebAddress | None = None
    """An MLflow server; the artifacts of a registered model are a bundle."""
    models: dict[Name, Wanted] = Field(min_length=1, max_length=256)
    """Name of the bundle -> what is wanted of it: `newest`, `all` or a version of a folder or web
    server, `repository:tag` of a registry, `model@alias` or `model/version` of MLflow."""
    every_s: int = Field(default=300, ge=1, le=604_800)
    """Seconds between two looks."""
    rate_kb: int | None = Field(default=None, ge=1, le=10_485_760)
    """Kilobytes a second at most, so that the line's network stays free; null: no limit."""
    write_back: bool = False
    """Whether MLflow or the registry is told what became of a bundle from there: MLflow by a tag
    `edge.<device>` of the version, a registry by an artifact that refers to the bundle. What is
    told names the device and the reason; the user or token must be allowed to write there."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""
    user: User | None = None
    """User name, where the server asks for one."""
    password_file: FilePath | None = None
    """File that holds the user's password and nothing else."""
    token_file: FilePath | None = None
    """File that holds a bearer token and nothing else; instead of user and password."""

    @model_validator(mode="after")
    def _one_kind(self) -> BundleSource:
        if sum(getattr(self, kind) is not None for kind in _FORMS) != 1:
            raise ValueError("has one place: folder, http, oci or mlflow")
        pattern, words = _FORMS[self.kind]
        for name, wanted in self.models.items():
            if re.fullmatch(pattern, wanted) is None:
                raise ValueError(f"models.{name} should be {words}, but it is {wanted!r}")
        return self

    @model_validator(mode="after")
    def _written_back(self) -> BundleSource:
        if self.write_back and self.oci is None and self.mlflow is None:
            raise ValueError("write_back is for mlflow and oci")
        return self

    @model_validator(mode="after")
    def _credentials(self) -> BundleSource:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file are given together or not at all")
        if self.user is not None and self.token_file is not None:
            raise ValueError("should have either user and password_file, or token_file")
        has_any = self.user or self.token_file or self.ca
        if self.folder is not None and has_any:
            raise ValueError("user, password_file, token_file and ca are for servers, not folders")
        return self

    @property
    def kind(self) -> Kind:
        return next(kind for kind in _FORMS if getattr(self, kind) is not None)

    @property
    def where(self) -> str:
        """Its folder or address; it never has credentials."""
        return str(self.folder or self.http or self.oci or self.mlflow).rstrip("/")

    def read_password(self) -> str | None:
        """The password as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.password_file, "sources.password_file")

    def read_token(self) -> str | None:
        """The token as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.token_file, "sources.token_file")

    def readable_ca(self) -> str | None:
        """The path of `ca`, for the TLS library; raises ConfigurationError."""
        return readable_path(self.ca, "sources.ca")
