"""Settings of rollouts: what a candidate may do on this station, and what is kept of it."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge_daemon.config.fields import FilePath, Group, is_loopback
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.config.pictures import WebAddress
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.values import Bounds, Webhook
from edge_daemon.errors import PlanError


class WebhookSettings(Group):
    """Who may be told of a rollout by HTTP POST."""

    webhook: WebAddress
    """The address; a plan may name this one and no other."""
    token_file: FilePath | None = None
    """Holds the bearer token that is sent with it; null: none."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""
    allow_http: bool = False
    """Whether it may be called without TLS although it is another machine."""

    @model_validator(mode="after")
    def _encrypted(self) -> WebhookSettings:
        parts = urlsplit(self.webhook)
        if not parts.hostname:
            raise ValueError("webhook names no host, such as https://mes.plant.example/hook")
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname):
            raise ValueError(
                "webhook should begin with https://; http:// needs allow_http: true, because "
                "anybody in between can read the token"
            )
        return self

    def read_token(self) -> str | None:
        """The token as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.token_file, "rollouts.notify.token_file")

    def readable_ca(self) -> str | None:
        """The path of `ca`, for the TLS library; raises ConfigurationError."""
        return readable_path(self.ca, "rollouts.notify.ca")


class PairRetentionSettings(Group):
    """What is kept of pairs and feedback, for audits and replays; the older ones go."""

    most: int = Field(default=100_000, ge=1, le=10_000_000)
    """Pairs; each takes about a kilobyte of the state's disk."""
    days: float = Field(default=90.0, gt=0.0, le=3_660.0)
    """Older ones go, however few there are."""
    pictures_mb: int = Field(default=128, ge=0, le=1_000_000)
    """Pictures of parts on which both models disagree, for the status page; 0: none is kept."""


class CostSettings(Group):
    """What one wrong verdict costs here, for the reports of rollouts."""

    missed: float = Field(ge=0.0, le=1e9)
    """A bad part that was passed."""
    false_reject: float = Field(ge=0.0, le=1e9)
    """A good part that was rejected."""
    currency: str = Field(default="", max_length=8, pattern=r"^[\w€$£¥]*$")
    """As it is to be shown, such as EUR."""


class RolloutsSettings(Group):
    """Bounds for the plan of a rollout; of two limits the narrower one counts."""

    share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Of the parts whose verdict a candidate may give before it is active."""
    full: bool = True
    """Whether a rollout may make its candidate active by itself."""
    either_below: float = Field(default=0.0, ge=0.0, le=1.0)
    """Below this share the stricter of both verdicts counts, whatever the plan says."""
    parts: int = Field(default=0, ge=0, le=10_000_000)
    """Parts that each stage needs at least."""
    minutes: float = Field(default=0.0, ge=0.0, le=10_080.0)
    """Minutes of a running line that each stage needs at least."""
    alpha_advance: float = Field(default=1.0, gt=0.0, le=1.0)
    """The chance of a wrong advance that a plan may accept at most."""
    margin: float = Field(default=1.0, gt=0.0, le=1.0)
    """Recall that a plan may let a candidate lose at most."""
    false_reject_margin: float = Field(default=1.0, gt=0.0, le=1.0)
    """Good parts that a candidate may reject more, as a share, at most."""
    slices: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=16)
    """Slices that every rollout here is looked at by, as in a plan."""
    at_most_h: float | None = Field(default=None, gt=0.0, le=8_784.0)
    """Hours after which a rollout stops to wait; null: as the plan says."""
    on_inconclusive: Literal["hold", "stop"] | None = None
    """What becomes of it then; null: as the plan says."""
    notify: tuple[WebhookSettings, ...] = Field(default=(), max_length=8)
    """Addresses that a plan may name."""
    costs: CostSettings | None = None
    """What wrong verdicts cost; null: reports tell no costs."""
    keep: PairRetentionSettings = PairRetentionSettings()
    """Which pairs can be looked at later."""

    @field_validator("slices")
    @classmethod
    def _readable(cls, slices: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            read_plan({"slices": slices})
        except PlanError as error:
            raise ValueError(error.message) from None
        return slices

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            self.share,
            self.full,
            self.either_below,
            self.parts,
            self.minutes,
            self.alpha_advance,
            self.margin,
            self.false_reject_margin,
            read_plan({"slices": self.slices}).slices,
            self.at_most_h,
            self.on_inconclusive,
            tuple(
                Webhook(each.webhook, str(each.token_file) if each.token_file else None)
                for each in self.notify
            ),
        )
