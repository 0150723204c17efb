"""Settings of a station among many: where it stands, and when its model may change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from edge_daemon.config.fields import FilePath, Group, Name, TopicFilter, beside_file

BETWEEN_ORDERS = "between_orders"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_WINDOW = re.compile(rf"{_CLOCK}-{_CLOCK}")


def _window(text: str) -> str:
    if text == BETWEEN_ORDERS:
        return text
    if _WINDOW.fullmatch(text) is None or text[:5] == text[6:]:
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
    trust: FleetTrust = FleetTrust()
    """Whose campaigns may change the model here."""
