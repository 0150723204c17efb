"""Settings of a station among many: where it stands, and when its model may change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from edge_daemon.config.fields import FilePath, Group, Name, TopicFilter, beside_file, printable
from edge_daemon.config.pictures import WebAddress
from edge_daemon.core.fleet.campaign import is_window
from edge_daemon.core.fleet.station import BETWEEN_ORDERS


def _window(text: str) -> str:
    if text != BETWEEN_ORDERS and not is_window(text):
        raise ValueError(f"should be such as 22:00-05:00, or {BETWEEN_ORDERS}, but it is {text!r}")
    return text


def _root(text: str) -> str:
    if "#" in text or "" in text.split("/"):
        raise ValueError("should be the stations' roots such as edge/+, without # and empty levels")
    return text


def _mirror(text: str, info: ValidationInfo) -> str:
    """As it is; a relative folder lies beside the settings file."""
    if text.startswith(("http://", "https://")):
        return text
    if "://" in text:
        raise ValueError(f"should be an http:// or https:// address, or a folder, but is {text!r}")
    return str(beside_file(Path(text), info))


Mirror = Annotated[str, Field(min_length=1, max_length=2_048), AfterValidator(_mirror)]
Window = Annotated[str, AfterValidator(_window)]
Roots = Annotated[TopicFilter, AfterValidator(_root)]


class FleetTrust(Group):
    """Whose campaigns this station follows."""

    keys: tuple[FilePath, ...] = Field(default=(), max_length=16)
    """Public keys (PEM); two different ones of them must have signed a campaign. None: no campaign
    is followed."""
    fresh: bool = False
    """Whether a new campaign also needs a signed `fleet/timestamp` that has not expired."""
    root: FilePath | None = None
    """The first root of the fleet's metadata (TUF). With it a campaign is only begun while the
    metadata lists it and has not expired; `keys` may be empty then."""
    metadata: Mirror | None = None
    """Where the metadata is read: the web address or the folder of `metadata`. null: only by
    `fleet/timestamp` and `edge-daemon fleet keys refresh`."""
    metadata_ca: FilePath | None = None
    """PEM of the authority of that web server; null: the system's."""
    expires_grace_s: int = Field(default=0, ge=0, le=2_592_000)
    """So long after it expired the metadata is still believed."""

    @property
    def is_given(self) -> bool:
        """Whether campaigns are followed at all."""
        return bool(self.keys) or self.root is not None


class FleetSource(Group):
    """Where a campaign's bundle is fetched from."""

    http: WebAddress | None = None
    """A web server that gives out the folder of `edge-daemon fleet publish`."""
    oci: WebAddress | None = None
    """A registry and what stands before a bundle's name in it: `https://registry.plant/models`.
    Stations do not share what comes from there."""
    metered: bool = False
    """Whether its bytes cost money: then only the station that the site elected asks it."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""

    @model_validator(mode="after")
    def _one_kind(self) -> FleetSource:
        if (self.http is None) == (self.oci is None):
            raise ValueError("has one place: http or oci")
        return self


class ShareSettings(Group):
    """How the stations of a site give a campaign's bundle to each other."""

    interface: Annotated[str, Field(min_length=1, max_length=45), AfterValidator(printable)]
    """The network interface of the plant's network, such as eth0, or its address; nothing is
    shared on others."""
    peers: Literal["site", "none"] = "site"
    """Whether neighbours are also looked for by multicast in the local network (`site`), or only
    where the broker says that they are (`none`)."""
    port: int = Field(default=6882, ge=0, le=65_535)
    """UDP port on which neighbours ask; 0: any."""
    up_mbit: float = Field(default=40.0, gt=0.0, le=100_000.0)
    """Megabits a second at most that leave this station, so that the line's network stays free."""
    down_mbit: float = Field(default=80.0, gt=0.0, le=100_000.0)
    """Megabits a second at most that come, from neighbours and from the origin together."""
    certificate: FilePath
    """PEM of this station's swarm certificate, `<device>-swarm.pem` of `make_certificates`."""
    key: FilePath
    """PEM of its key."""
    ca: FilePath
    """PEM of the plant's authority: who shows a certificate of another one gets no byte."""


class FleetSettings(Group):
    """One station of many: it says at `<root>/fleet` what it has and judges by."""

    site: Name | None = None
    """The plant or hall; stations of a site share a network."""
    group: Name | None = None
    """The line, or whatever must not change as a whole: never two of a group at the same time."""
    window: tuple[Window, ...] = Field(default=(), max_length=16)
    """When a campaign may change the model: `22:00-05:00` in local time, or `between_orders`;
    empty: at any time."""
    report_every_s: int = Field(default=60, ge=10, le=3_600)
    """Seconds after which the report is said again; three without one are silence."""
    roots: tuple[Roots, ...] = Field(default=("edge/+",), min_length=1, max_length=16)
    """Where all stations' topics lie, for `edge-daemon fleet` and the page; + is one level."""
    sources: tuple[FleetSource, ...] = Field(default=(), max_length=8)
    """Where the bundle of a campaign is fetched from, the first one that has it; empty: it comes
    another way."""
    share: ShareSettings | Literal["none"] = "none"
    """How stations of the site give bundles to each other, so that the origin gives each once;
    needs `site` and the extra `fleet`. none: each takes them from the sources itself."""
    trust: FleetTrust = FleetTrust()
    """Whose campaigns may change the model here."""

    @model_validator(mode="after")
    def _shares_in_a_site(self) -> FleetSettings:
        if self.share != "none" and self.site is None:
            raise ValueError("share needs site: stations of one site share")
        if self.share != "none" and not self.sources:
            raise ValueError("share needs sources: somebody has to fetch it first")
        return self
