"""The YAML file of one device as frozen typed settings.

`settings` (of `fields`) says what may stand in the file and what it means, `file` joins it with the
lines of the document: `load` gives `Settings`, `examine` also gives findings.
`desired` is the other file of a station: what its fleet wants of it.
"""

from edge_daemon.config.bundle_sources import BundleSource
from edge_daemon.config.camera import CameraSettings
from edge_daemon.config.collect import CollectSettings, PushSettings
from edge_daemon.config.desired import read_desired
from edge_daemon.config.file import (
    FOLDER,
    VARIABLE,
    Finding,
    examine,
    find_config,
    line_of,
    load,
    schema,
)
from edge_daemon.config.fleet import FleetSettings
from edge_daemon.config.pictures import PicturesSettings
from edge_daemon.config.proof import GateSettings
from edge_daemon.config.settings import (
    MqttSettings,
    OrderFields,
    OrderSource,
    OrderWords,
    Settings,
    SlotsSettings,
    TlsSettings,
)
from edge_daemon.config.sources import kind_of
from edge_daemon.documents import dump, parse

__all__ = [
    "FOLDER",
    "VARIABLE",
    "BundleSource",
    "CameraSettings",
    "CollectSettings",
    "Finding",
    "FleetSettings",
    "GateSettings",
    "MqttSettings",
    "OrderFields",
    "OrderSource",
    "OrderWords",
    "PicturesSettings",
    "PushSettings",
    "Settings",
    "SlotsSettings",
    "TlsSettings",
    "dump",
    "examine",
    "find_config",
    "kind_of",
    "line_of",
    "load",
    "parse",
    "read_desired",
    "schema",
]
