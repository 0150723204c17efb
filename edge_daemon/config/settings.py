"""The settings as frozen values: one class for each group, with unit and reason at the field.

The docstrings below the fields are the descriptions in `edge-daemon config schema`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from edge_daemon.config.bundle_sources import BundleSource
from edge_daemon.config.camera import CameraSettings
from edge_daemon.config.collect import CollectSettings
from edge_daemon.config.drift import DriftSettings
from edge_daemon.config.feedback import FeedbackSource
from edge_daemon.config.fields import (
    Choice,
    Count,
    Device,
    Digest,
    Expression,
    FilePath,
    Floor,
    Group,
    Host,
    Listen,
    Name,
    Product,
    TopicFilter,
    TopicName,
    User,
    is_loopback,
    one_meaning_each,
    preset_or_fields,
)
from edge_daemon.config.fleet import FleetSettings
from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.config.parts import PartsSettings
from edge_daemon.config.pictures import NgImages, PicturesSettings
from edge_daemon.config.proof import GateSettings, TrialSettings
from edge_daemon.config.rollouts import RolloutsSettings
from edge_daemon.config.sources import kind_of


class TlsSettings(Group):
    """TLS to the broker; the broker's certificate is always checked."""

    ca: FilePath | None = None
    """File with the certificate authorities to trust (PEM); null: the system's."""
    certificate: FilePath | None = None
    """The device's own certificate (PEM), where the broker asks for one."""
    key: FilePath | None = None
    """The private key of `certificate` (PEM)."""

    def readable_files(self) -> tuple[str | None, str | None, str | None]:
        """The paths of ca, certificate and key, for the TLS library, which would wait for a pipe.

        Raises ConfigurationError where one cannot be read.
        """
        return (
            readable_path(self.ca, "mqtt.tls.ca"),
            readable_path(self.certificate, "mqtt.tls.certificate"),
            readable_path(self.key, "mqtt.tls.key"),
        )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together or not at all")
        return self


class MqttSettings(Group):
    """The broker, and where this device stands in its topic tree."""

    host: Host = "127.0.0.1"
    """Host name or address of the broker."""
    port: int = Field(default=1883, ge=1, le=65_535)
    """TCP port; 1883 plain, 8883 with TLS by custom."""
    protocol: Annotated[
        Literal[5, 4], WithJsonSchema({"enum": [5, "5", "3.1.1", 4, "4", 311, "311"]})
    ] = 5
    """MQTT version: 5, or 3.1.1 (also written 4 or 311) for old brokers."""
    root: TopicName | None = None
    """Topics of this device lie below it, a UNS path for example; null: `edge/<device>`."""
    username: User | None = None
    """User name, where the broker asks for one."""
    password_file: FilePath | None = None
    """File that holds the password and nothing else, so that no secret stands in this file."""
    tls: TlsSettings | None = None
    """TLS; null: plain TCP. `{}` trusts the system's certificate authorities."""
    keepalive_s: int = Field(default=30, ge=5, le=3_600)
    """Seconds between pings; a dead link is noticed after one and a half of them."""
    session_expiry_s: int = Field(default=86_400, ge=0, le=4_294_967_295)
    """Seconds the broker keeps requests for an absent daemon (MQTT 5)."""

    @field_validator("protocol", mode="before")
    @classmethod
    def _paho_number(cls, value: Any) -> Any:
        number = {"5": 5, "5.0": 5, "3.1.1": 4, "4": 4, "311": 4}.get(str(value))
        if number is None:
            raise ValueError("should be 5 or 3.1.1")
        return number

    @model_validator(mode="after")
    def _password_with_user(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username beside it")
        return self

    def read_password(self) -> str | None:
        """The password as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.password_file, "mqtt.password_file")


class TrustSettings(Group):
    """Whose bundles may be loaded."""

    public_keys: tuple[FilePath, ...] = ()
    """Public keys (PEM); a bundle is trusted when one of them signed it."""
    required: bool = True
    """false accepts unsigned bundles too: for trials, never for a line."""


class ModelsSettings(Group):
    """Where bundles lie, whose are accepted, and which one starts."""

    store: FilePath = Path("/var/lib/edge-daemon/models")
    """Folder with `<name>/<version>/model.yaml`; new bundles are noticed as they arrive."""
    trust: TrustSettings = TrustSettings()
    """Whose bundles may be loaded; a signature is required unless `required: false`."""
    revoked: tuple[Digest, ...] = ()
    """SHA-256 of weights or of a model.yaml that may not be loaded any more, by any signer."""
    initial: Choice | None = None
    """What to judge with on the very first start: `name@version`, or `name` for its newest."""
    floor: dict[Name, Floor] = Field(default_factory=dict)
    """Bundle name -> oldest version that may be asked for; a rollback may still go below it."""
    quota_mb: int | None = Field(default=None, ge=1, le=10_485_760)
    """Megabytes of bundles; beyond it the oldest that nothing needs go. null: none ever goes."""


class SlotsSettings(Group):
    """Where models are resident."""

    count: Count = None
    """Places for resident bundles; 1 has no spare place: a swap unloads first, frames wait. auto:
    2, and on a CPU up to 4 where memory allows."""
    isolation: Literal["process", "thread"] = "process"
    """process: a crash or a hanging load cannot touch the frames; thread: less memory."""
    device: Device = "cpu"
    """`cpu` or `cuda:N`; explicit, so that a broken driver is an error and not a slow line."""
    spare: Literal["hot", "warm", "off"] = "warm"
    """hot: the active bundle stands by twice; warm: a started worker without a bundle; off."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """CPU threads of one worker's inference; null: chosen from the number of cores."""
    memory_limit_mb: int | None = Field(default=None, ge=64, le=1_048_576)
    """Megabytes of host memory that one bundle may take; null: half of the box's."""


class WorkersSettings(Group):
    """How the worker processes are started."""

    start: Literal["auto", "fork", "spawn"] = "auto"
    """fork: from one process that has imported everything, in a tenth of a second; spawn: each
    imports by itself, in seconds and with its own memory; auto: fork where that works."""


class OrderFields(Group):
    """Where a work order's parts stand in the payload, as JMESPath."""

    order: Expression | None = None
    """The order's id."""
    product: Expression | None = None
    """The product's id; it selects the model by `links`. null: known by the order's id alone."""
    status: Expression | None = None
    """The order's state; without one, arrival means running."""


class OrderWords(Group):
    """Which of the MES's words mean what; case is ignored, others change nothing."""

    dispatched: tuple[str, ...] = ("dispatched",)
    """The order will come: its model is prepared."""
    running: tuple[str, ...] = ("running",)
    """The order is being made: its model judges from the next captured frame on."""
    completed: tuple[str, ...] = ("completed",)
    """The order is done: the model stays."""

    @model_validator(mode="after")
    def _one_meaning_each(self) -> OrderWords:
        one_meaning_each(*self.dispatched, *self.running, *self.completed)
        return self


Preset = Literal["flat", "umh-core", "b2mml", "opc-10031-4", "value"]


class OrderSource(Group):
    """One topic on which a MES publishes work orders, and how to read them."""

    topic: TopicFilter
    """MQTT topic filter; + and # are allowed."""
    preset: Preset | None = None
    """A known payload shape; or give `fields`."""
    fields: OrderFields | None = None
    """A shape of one's own; or give `preset`."""
    words: OrderWords | None = None
    """The MES's words for its states, with `fields`; null: as in `flat`."""

    @model_validator(mode="after")
    def _preset_xor_fields(self) -> OrderSource:
        preset_or_fields(self.preset, self.fields, self.words)
        if self.fields is not None and self.fields.product is self.fields.order is None:
            raise ValueError("fields should have a product, or an order told with one before")
        return self


class ResultsSettings(Group):
    """What is published of each frame."""

    publish: Literal["all", "ng", "none"] = "all"
    """all: each captured frame; ng: rejected and uninspected ones; none: nothing on MQTT."""
    ng_images: NgImages | None = None
    """Where pictures of rejected parts are kept; null: nowhere."""
    pictures: PicturesSettings | None = None
    """Where pictures of parts are kept, to be found by serial number; null: nowhere."""


class HttpSettings(Group):
    """The status page, metrics and health."""

    listen: Listen | None = "127.0.0.1:9464"
    """host:port; null: no HTTP at all. Loopback, unless other machines must see it."""
    token_file: FilePath | None = None
    """File with a token that every caller must present; required when not on loopback."""
    hosts: tuple[Host, ...] = ()
    """Names by which people reach the page through a proxy; on loopback no other is answered."""
    view_width: int | None = Field(default=1280, ge=160, le=16_384)
    """Pixels that a picture of the live view is wide, at most; null: as the camera gives them."""
    commands: bool = False
    """Whether the page may ask for swaps, rollbacks and holds; false: it only shows."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Host (without brackets) and port to listen on; None: no HTTP."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """Whether no other machine can reach the page."""
        return self.address is None or is_loopback(self.address[0])

    def read_token(self) -> str | None:
        """The token as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.token_file, "http.token_file")


class DesiredSettings(Group):
    """Where a fleet says which models it wants on this station."""

    file: FilePath
    """The desired-state file: a version for each model, and a hold; its changes are noticed."""


class AuditSettings(Group):
    """Who did what, as a chain of hashes."""

    keep_years: int | None = Field(default=None, ge=1, le=100)
    """Years that rows are kept; older ones are cut off, on record. null: all are kept."""


class LogSettings(Group):
    """How much is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severity that is written."""


class Settings(Group):
    """One device: one camera, its models, its line. Read once, handed down, never changed."""

    device: Name
    """Name of this camera station; letters, digits, dot, dash and underscore."""
    camera: CameraSettings
    models: ModelsSettings
    mqtt: MqttSettings = MqttSettings()
    slots: SlotsSettings = SlotsSettings()
    workers: WorkersSettings = WorkersSettings()
    links: dict[Product, Name] = Field(default_factory=dict)
    """Product id -> name of the bundle that judges it."""
    orders: tuple[OrderSource, ...] = Field(default=(), max_length=32)
    """Where work orders come from; the product of the running one selects the model."""
    gate: GateSettings = GateSettings()
    trial: TrialSettings = TrialSettings()
    results: ResultsSettings = ResultsSettings()
    parts: PartsSettings | None = None
    """What a part is, and one result for each on `<root>/part`; null: only frames are told."""
    feedback: tuple[FeedbackSource, ...] = Field(default=(), max_length=32)
    """Where others publish what parts really are, besides `request/feedback`; needs `parts`."""
    collect: CollectSettings | None = None
    """Which pictures are kept for the next training, and where; null: none."""
    rollouts: RolloutsSettings = RolloutsSettings()
    """What a model that is tried beside the active one may do here, whoever asks for it."""
    drift: DriftSettings | None = None
    """Watches whether pictures and verdicts are as they were; null: not watched."""
    http: HttpSettings = HttpSettings()
    sources: tuple[BundleSource, ...] = Field(default=(), max_length=16)
    """Where new bundles come from; a source fills the store and makes nothing active."""
    fleet: FleetSettings | None = None
    """One station of many: it reports at `<root>/fleet`; null: it does not."""
    desired: DesiredSettings | None = None
    """A file whose changes become requests, a mounted ConfigMap for example; null: none."""
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()
    state_dir: FilePath = Path("/var/lib/edge-daemon")
    """What must survive a restart lies below it, in a folder of this device's name."""

    @property
    def heard_filters(self) -> tuple[str, ...]:
        """Topic filters of what others publish: those of orders, and then those of feedback."""
        orders = tuple(source.topic for source in self.orders)
        return (*orders, *(source.topic for source in self.feedback))

    @property
    def audit_share(self) -> float:
        """Of the passed parts, those that a person is to look at; 0 where no parts are counted."""
        return 0.0 if self.parts is None else self.parts.audit

    @property
    def root(self) -> str:
        """The topic below which this device's topics lie."""
        return self.mqtt.root or f"edge/{self.device}"

    @property
    def state_folder(self) -> Path:
        """This device's own part of `state_dir`, so that several devices may share it."""
        return self.state_dir / self.device

    @property
    def scratch_folder(self) -> Path:
        """Where the private copies of bundles lie; workers may read there."""
        return self.state_folder / "scratch"

    def redacted(self) -> dict[str, Any]:
        """The settings as plain values that may leave the box: no credentials in the source."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain["camera"]["source"] = kind_of(self.camera.source).public(self.camera.source)
        return plain
