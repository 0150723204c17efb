"""Which camera a source means."""

from __future__ import annotations

import pytest

from edge_daemon.config import CameraSettings
from edge_daemon.config.sources import SOURCES, kind_of
from edge_daemon.demo.conveyor_camera import ConveyorCamera
from edge_daemon.frames.av_camera import AvCamera
from edge_daemon.frames.opencv_camera import OpenCVCamera
from edge_daemon.frames.sources import named, open_camera


@pytest.mark.parametrize(
    ("source", "camera"),
    [
        ("rtsp://10.0.0.1/stream", AvCamera),
        ("HTTPS://10.0.0.1/stream", AvCamera),
        ("/data/line.mp4", AvCamera),
        ("line.mp4", AvCamera),
        ("/dev/video0", OpenCVCamera),
        ("conveyor:", ConveyorCamera),
        ("conveyor:?fps=5", ConveyorCamera),
    ],
)
def test_a_source_means_a_camera(source: str, camera: type) -> None:
    """The table decides by how the source begins; nothing is connected before `open`."""
    assert isinstance(open_camera(CameraSettings(source=source)), camera)


def test_every_line_of_the_table_is_there() -> None:
    """What the table names by text can be imported."""
    for kind in SOURCES:
        for place in filter(None, (kind.opens, kind.checks)):
            assert callable(named(place)), place


def test_a_scheme_that_no_kind_has_is_no_file() -> None:
    """A typing error in a scheme must not become the name of a file."""
    with pytest.raises(ValueError, match=r"rtsp://.*conveyor:"):
        kind_of("rtps://10.0.0.1/stream")
