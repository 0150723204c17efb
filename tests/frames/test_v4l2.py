"""A V4L2 device does what the settings say, and what it did not take is told.

The device is simulated below the C library: OpenCV and our own calls meet the same protocol.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.frames import v4l2_layout as layout
from edge_daemon.frames.v4l2 import variable
from tests.sim.v4l2 import CAN_BE_BUILT, SimDevice

needs_compiler = pytest.mark.skipif(not CAN_BE_BUILT, reason="needs cc and the kernel's headers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("v4l2")


def test_the_numbers_are_the_kernel_s() -> None:
    """As linux/videodev2.h gives them on machines of 64 bits, structure sizes included."""
    assert layout.QUERY_CAPABILITY == 0x80685600
    assert layout.ENUM_FORMAT == 0xC0405602
    assert layout.GET_FORMAT == 0xC0D05604
    assert layout.GET_PARAMETERS == 0xC0CC5615
    assert layout.QUERY_MENU == 0xC02C5625
    assert layout.GET_CONTROLS == 0xC0205647
    assert layout.SET_CONTROLS == 0xC0205648
    assert layout.ENUM_SIZE == 0xC02C564A
    assert layout.ENUM_INTERVAL == 0xC034564B
    assert layout.QUERY_CONTROL == 0xC0E85667


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Exposure Time, Absolute", "exposure_time_absolute"),
        ("White Balance, Automatic", "white_balance_automatic"),
        ("Focus (absolute)", "focus_absolute"),
        ("Gain", "gain"),
    ],
)
def test_controls_are_named_as_v4l2_ctl_names_them(given: str, name: str) -> None:
    """What people find on the web for their camera can stand in the settings."""
    assert variable(given) == name


@needs_compiler
def test_without_settings_a_device_is_left_as_it_is(folder: Path) -> None:
    """No control is touched, and nothing is remarked: as before there were such settings."""
    seen = SimDevice(folder).look()
    assert seen["size"] == [640, 480]
    assert seen["remarks"] == []
    assert seen["controls"] == {
        "brightness": 128,
        "white_balance_automatic": 1,
        "gain": 16,
        "power_line_frequency": 1,
        "auto_exposure": 3,
        "exposure_time_absolute": 250,
    }


@needs_compiler
def test_a_device_without_vga_gives_what_it_has(folder: Path) -> None:
    """The opening does not depend on a size that nobody asked for."""
    seen = SimDevice(folder, least_width=1280).look()
    assert seen["size"] == [1280, 720]
    assert seen["remarks"] == []


@needs_compiler
def test_a_device_gives_what_is_asked_for(folder: Path) -> None:
    """Size, format, rate, exposure, gain and any other control; nothing is remarked."""
    seen = SimDevice(folder).look(
        size=[1280, 720],
        format="MJPG",
        fps=60,
        exposure_us=2000,
        gain=40,
        controls={"white_balance_automatic": False, "power_line_frequency": "60 hz"},
    )
    assert seen["size"] == [1280, 720]
    assert seen["in_place"] == [True, True, True]
    assert seen["fps"] == 60
    assert seen["remarks"] == []
    assert seen["controls"]["auto_exposure"] == 1
    assert seen["controls"]["exposure_time_absolute"] == 20
    assert seen["controls"]["gain"] == 40
    assert seen["controls"]["white_balance_automatic"] == 0
    assert seen["controls"]["power_line_frequency"] == 2


@needs_compiler
def test_what_a_device_did_not_take_is_told_with_what_it_has(folder: Path) -> None:
    """The next best size is no silent VGA; a wrong control does not keep the camera away."""
    seen = SimDevice(folder, "YUYV").look(
        size=[1920, 1080],
        format="MJPG",
        fps=60,
        exposure_us=900_000,
        gain=400,
        controls={"exposure_absolute": 3, "power_line_frequency": "sixty"},
    )
    assert seen["size"] == [1280, 720]
    assert seen["remarks"] == [
        "camera.size is 1920x1080, and the device gives 1280x720",
        "camera.format is MJPG, and the device gives YUYV",
        "camera.fps is 60, and the device gives 10",
        "camera.controls.exposure_absolute is 3: "
        "the device has no such control, but exposure_time_absolute",
        "camera.controls.power_line_frequency is sixty, and the device has 1: "
        "the device takes 0 Disabled, 1 50 Hz, 2 60 Hz",
        "camera.exposure_us is 900000, and the device has 204700",
        "camera.gain is 400, and the device has 100",
    ]


@needs_compiler
def test_an_automatic_mode_that_the_settings_ask_for_stays(folder: Path) -> None:
    """`controls` have the last word on it, and then the exposure says why it is another one."""
    seen = SimDevice(folder).look(exposure_us=2000, controls={"auto_exposure": 3})
    assert seen["controls"]["auto_exposure"] == 3
    assert seen["remarks"] == [
        "camera.exposure_us is 2000, and the device has 25000: "
        "Permission denied; the device takes 3 to 2047"
    ]


@needs_compiler
@pytest.mark.parametrize("pixels", ["GREY", "Y16", "BA81"])
def test_mono_16_bit_and_bayer_pictures_are_taken(folder: Path, pixels: str) -> None:
    """They come as BGR: dark on the left, bright on the right, and no channel on its own."""
    seen = SimDevice(folder, pixels).look(format=pixels)
    assert seen["remarks"] == []
    columns = seen["left_to_right"]
    greys = [column[0] for column in columns]
    assert all(max(column) - min(column) <= 1 for column in columns)
    assert [round(grey / 64) for grey in greys] == [0, 1, 2, 3]
