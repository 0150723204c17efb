"""The desired-state file is read narrowly: a doubt is a finding with its line, never a guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon.config import read_desired
from edge_daemon.core.desired import Desired
from edge_daemon.core.values import BundleRef

LINKS = {"BTL-500": "bottle", "BTL-250": "bottle", "CAN-330": "can"}

Read = Callable[[str], Desired]
Said = Callable[[str], list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def _read(text: str) -> Desired:
        file = tmp_path / "desired.yaml"
        file.write_text(text)
        wished, findings = read_desired(file, LINKS)
        assert findings == ()
        assert wished is not None
        return wished

    return _read


@pytest.fixture
def said(tmp_path: Path) -> Said:
    def _said(text: str) -> list[str]:
        file = tmp_path / "desired.yaml"
        file.write_text(text)
        wished, findings = read_desired(file, LINKS)
        assert wished is None
        return [str(finding).removeprefix(f"{file}:") for finding in findings]

    return _said


def test_products_and_bundle_names_say_the_same(read: Read) -> None:
    """A linked product stands for its bundle's name; each name has one version."""
    wished = read("models: {BTL-500: bottle@1.4.0, BTL-250: bottle@1.4.0, can: can@1.0.0}")
    assert wished.models == (BundleRef("bottle", "1.4.0"), BundleRef("can", "1.0.0"))
    assert wished.hold is None


def test_a_comment_or_another_order_is_no_change(read: Read) -> None:
    """What counts is what the file says; another reason is another content."""
    first = read("models: {bottle: bottle@1.4.0, can: can@1.0.0}")
    second = read("# note\nmodels:\n  CAN-330: can@1.0.0\n  BTL-500: bottle@1.4.0\n")
    third = read("models: {bottle: bottle@1.4.0, can: can@1.0.0}\nreason: again")
    assert first.digest == second.digest != third.digest


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("models:\n  bottle: bottle", "2: models.bottle: should be name@version"),
        ('hold: true\nreason: "a\\e[2Jb"', "2: reason: should be one line"),
        ("models:\n  BTL-500: can@1.0.0", "2: models.BTL-500: is linked to bottle, but can@1.0.0"),
        ("models:\n  JAR: bottle@1.0.0", "2: models.JAR: is neither a linked product nor"),
        ("models:\n  jar: jar@1.0.0", "2: models.jar: names jar, which no product is linked to"),
        (
            "models:\n  BTL-500: bottle@1.0.0\n  BTL-250: bottle@2.0.0",
            "3: models.BTL-250: wants bottle@2.0.0, but another line wants bottle@1.0.0",
        ),
        ("modles: {}", "1: modles: is no known key. Did you mean models?"),
        ("hold: perhaps", "1: hold: should be a valid boolean"),
        ("models: {bottle: bottle@1.0.0, bottle: bottle@2.0.0}", "1: has the key 'bottle' twice"),
        ("", "1: wishes for nothing"),
        ("models: [", "1: is not YAML"),
        ("a: " + "x" * 300_000, "1: is larger than"),
    ],
)
def test_a_fault_has_its_line_and_key(said: Said, text: str, finding: str) -> None:
    """File, line, key, what is wrong: so that whoever wrote it finds it."""
    assert [line for line in said(text) if line.startswith(finding)], said(text)


def test_without_links_there_is_one_model(tmp_path: Path) -> None:
    """A station that knows no products judges with the one model that is named."""
    file = tmp_path / "desired.yaml"
    file.write_text("models: {jar: jar@1.0.0}")
    assert read_desired(file, {})[0] is not None
    file.write_text("models: {jar: jar@1.0.0, can: can@1.0.0}")
    assert [finding.key for finding in read_desired(file, {})[1]] == ["models.can"]


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    """Configured and missing: somebody must know."""
    wished, findings = read_desired(tmp_path / "none.yaml", LINKS)
    assert wished is None
    assert "cannot be read" in findings[0].message
