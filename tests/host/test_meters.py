"""Power and heat as the kernel tells them, from a tree of files; what is missing is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_daemon.core.rollout.blocks import Meter
from edge_daemon.host.meters import BoxMeters
from tests.sim.gpu import SimGpu


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def package(sys: Path, energy_uj: int, number: int = 0) -> None:
    folder = sys / f"class/powercap/intel-rapl:{number}"
    write(folder, name=f"package-{number}", energy_uj=energy_uj, max_energy_range_uj=1_000_000)


def test_a_box_that_tells_nothing_measures_nothing(tmp_path: Path) -> None:
    """Not 0 W and not 0 °C."""
    assert BoxMeters(None, tmp_path)() == Meter()
    assert BoxMeters(SimGpu(), tmp_path)() == Meter()


def test_the_energy_of_packages_never_falls_where_its_counter_begins_anew(tmp_path: Path) -> None:
    meters = BoxMeters(None, tmp_path)
    told = []
    for energy_uj in (900_000, 950_000, 50_000, 60_000):
        package(tmp_path, energy_uj)
        told.append(meters().joules["package_0"])
    assert told == pytest.approx([0.0, 0.05, 0.15, 0.16])


def test_parts_of_a_package_are_not_counted_twice(tmp_path: Path) -> None:
    package(tmp_path, 10)
    package(tmp_path, 10, number=1)
    write(tmp_path / "class/powercap/intel-rapl:0:0", name="core", energy_uj=5)
    assert set(BoxMeters(None, tmp_path)().joules) == {"package_0", "package_1"}


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_energy_that_only_root_may_read_is_not_measured(tmp_path: Path) -> None:
    package(tmp_path, 10)
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").chmod(0)
    assert BoxMeters(None, tmp_path)().joules == {}


def test_a_counter_that_cannot_be_read_for_a_while_tells_nothing_meanwhile(tmp_path: Path) -> None:
    meters = BoxMeters(None, tmp_path)
    package(tmp_path, 10)
    assert meters().joules == {"package_0": 0.0}
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").write_text("gone")
    assert meters().joules == {}


def test_rails_of_a_jetson_are_volts_times_amperes(tmp_path: Path) -> None:
    chip = tmp_path / "class/hwmon/hwmon3"
    write(chip, name="ina3221", in1_input=5000, curr1_input=2400, in1_label="VDD_IN")
    write(chip, in2_input=5000)  # without its current
    write(tmp_path / "class/hwmon/hwmon1", name="nvme", in1_input=1, curr1_input=1)
    assert BoxMeters(None, tmp_path)().watts == {"vdd_in": pytest.approx(12.0)}


def test_heat_is_told_by_zone_and_sensors_that_are_not_connected_are_left_out(
    tmp_path: Path,
) -> None:
    zones = tmp_path / "class/thermal"
    write(zones / "thermal_zone0", type="x86_pkg_temp", temp=61500)
    write(zones / "thermal_zone1", type="CPU-therm", temp=-256000)
    write(zones / "thermal_zone2", type="acpitz", temp="")
    assert BoxMeters(None, tmp_path)().celsius == {"x86_pkg_temp_0": 61.5}


def test_a_device_that_counts_its_energy_and_heat_is_a_source(tmp_path: Path) -> None:
    gpu = SimGpu()
    gpu.joules, gpu.heat_c = 1234.5, 47.0
    told = BoxMeters(gpu, tmp_path)()
    assert (told.joules, told.celsius) == ({"gpu": 1234.5}, {"gpu": 47.0})


def test_this_box_is_read_without_a_fault() -> None:
    """Whatever it has; all figures are of this world."""
    told = BoxMeters(None)()
    assert all(joules >= 0.0 for joules in told.joules.values())
    assert all(-40.0 < heat < 150.0 for heat in told.celsius.values())
