"""What is installed is pinned with hashes, names no place, and is what the tests ran with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "scripts" / name for name in ("requirements.lock", "torch.lock")]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def _pins(lock: Path) -> list[tuple[Requirement, int]]:
    """Each requirement, and how many hashes it has."""
    entries = re.split(r"\n(?=[a-z])", lock.read_text())
    pins = [entry for entry in entries if not entry.startswith("#")]
    return [(Requirement(re.split(r" \\|\n", pin)[0]), pin.count("--hash=sha256:")) for pin in pins]


def _on(python: str, machine: str) -> dict[str, str]:
    return {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.9",
        "platform_machine": machine,
        "sys_platform": "linux",
    }


def _installed(lock: Path, python: str, machine: str) -> dict[str, str]:
    where = _on(python, machine)
    found = [pin for pin, _ in _pins(lock) if pin.marker is None or pin.marker.evaluate(where)]
    names = [canonicalize_name(pin.name) for pin in found]
    assert len(names) == len(set(names)), "one library in two versions"
    return {canonicalize_name(pin.name): str(pin.specifier).lstrip("=") for pin in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_hashes_and_no_place(lock: Path) -> None:
    """An exact version, at least one digest, and no address of a registry."""
    assert "://" not in lock.read_text()
    for pin, hashes in _pins(lock):
        assert str(pin.specifier).startswith("=="), pin
        assert hashes > 0, pin


def _requirements(text: str) -> list[str]:
    lines = text.split("dependencies = [", 1)[1].split("\n]", 1)[0]
    return re.findall(r'"([^"]+)"', lines)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_is_needed_is_locked(python: str, machine: str) -> None:
    """On each Python, every dependency has a version that pyproject.toml accepts; torch apart."""
    locked = _installed(LOCKS[0], python, machine)
    if machine == "x86_64":
        locked |= {"torch": _installed(LOCKS[1], python, machine)["torch"]}
    for text in _requirements((ROOT / "pyproject.toml").read_text()):
        need = Requirement(text)
        if need.name == "torch" and machine != "x86_64":
            continue
        assert need.specifier.contains(locked[canonicalize_name(need.name)]), need


def test_the_box_gets_what_the_tests_ran_with() -> None:
    """Where scripts/constraints.txt pins a version for this Python, the locks have the same."""
    where = _on("3.11", "x86_64")
    locked = _installed(LOCKS[1], "3.11", "x86_64") | _installed(LOCKS[0], "3.11", "x86_64")
    lines = (ROOT / "scripts/constraints.txt").read_text().splitlines()
    tested = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for pin in tested:
        name = canonicalize_name(pin.name)
        if name in locked and (pin.marker is None or pin.marker.evaluate(where)):
            assert pin.specifier.contains(locked[name]), pin


def test_the_labelling_tools_are_pinned_with_all_that_is_installed_for_them() -> None:
    """Exact versions, each once: pip is told to install nothing else."""
    lines = (ROOT / "scripts" / "labelling.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert names == sorted(set(names))
    assert {"datumaro", "label-studio-sdk"} < set(names)
