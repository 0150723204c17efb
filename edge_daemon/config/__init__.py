"""The YAML file of one device as frozen typed settings.

`settings` (of `fields`) says what may stand in the file and what it means, `file` joins it with the
lines of the document: `load` gives `Settings`, `validate` gives findings.
`desired` is the other file of a station: what its fleet wants of it.
"""

from edge_daemon.config.bundle_sources import BundleSource
from edge_daemon.config.camera import CameraSettings, PictureSettings
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
    validate,
)
from edge_daemon.config.fleet import FleetSettings
from edge_daemon.config.pictures import NgImages, PicturesSettings
from edge_daemon.config.proof import GateSettings, TrialSettings
from edge_daemon.config.settings import (
    DesiredSettings,
    HttpSettings,
    LogSettings,
    ModelsSettings,
    MqttSettings,
    OrderFields,
    OrderSource,
    OrderWords,
    ResultsSettings,
    Settings,
    SlotsSettings,
    TlsSettings,
    TrustSettings,
)
from edge_daemon.config.sources import kind_of
from edge_daemon.documents import dump, parse

__all__ = [
    "FOLDER",
    "VARIABLE",
    "BundleSource",
    "CameraSettings",
    "CollectSettings",
    "DesiredSettings",
    "Finding",
    "FleetSettings",
    "GateSettings",
    "HttpSettings",
    "LogSettings",
    "ModelsSettings",
    "MqttSettings",
    "NgImages",
    "OrderFields",
    "OrderSource",
    "OrderWords",
    "PictureSettings",
    "PicturesSettings",
    "PushSettings",
    "ResultsSettings",
    "Settings",
    "SlotsSettings",
    "TlsSettings",
    "TrialSettings",
    "TrustSettings",
    "dump",
    "examine",
    "find_config",
    "kind_of",
    "line_of",
    "load",
    "parse",
    "read_desired",
    "schema",
    "validate",
]
