"""A certificate's end is told in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.core.values import Instant
from edge_daemon.host.certificates import AGAIN_S, Certificates, expiry_problems
from tests.sim.certificates import pem

DAY_S = 86_400.0
NOW = 1_795_000_000.0


def told(certificates: Certificates, at: float = 0.0) -> list[str]:
    certificates.look(Instant(at, NOW))
    return list(expiry_problems(certificates.ends, NOW))


@pytest.mark.parametrize(
    ("days", "problems"),
    [
        (15.0, []),
        (13.5, ["the file of mqtt.tls.certificate expires in 13 days"]),
        (1.5, ["the file of mqtt.tls.certificate expires in 1 day"]),
        (0.5, ["the file of mqtt.tls.certificate expires today"]),
        (-3.0, ["the file of mqtt.tls.certificate has expired: no broker will be joined anew"]),
    ],
)
def test_from_two_weeks_before_its_end_it_is_a_problem(
    tmp_path: Path, days: float, problems: list[str]
) -> None:
    """Enough time to have a new one made, and no noise before."""
    (tmp_path / "device.pem").write_bytes(pem(NOW, days))
    certificates = Certificates(tmp_path / "device.pem")
    assert told(certificates) == problems
    assert certificates.ends == {"certificate": pytest.approx(NOW + days * DAY_S, abs=1.0)}


def test_of_many_the_one_that_decides_counts(tmp_path: Path) -> None:
    """The device's chain breaks with the first; authorities are good while one of them is."""
    for name in ("own", "ca"):
        (tmp_path / name).write_bytes(pem(NOW, -100.0, 400.0))
    found = told(Certificates(tmp_path / "own", tmp_path / "ca"))
    assert [each.partition(" has")[0] for each in found] == ["the file of mqtt.tls.certificate"]


def test_a_renewed_one_ends_the_problem(tmp_path: Path) -> None:
    """Without a restart, and without reading the file every second."""
    path = tmp_path / "device.pem"
    path.write_bytes(pem(NOW, 2.0))
    certificates = Certificates(path)
    assert told(certificates)
    path.write_bytes(pem(NOW, 300.0))
    assert told(certificates, at=AGAIN_S - 1)
    assert told(certificates, at=AGAIN_S) == []


def test_what_cannot_be_read_is_told_elsewhere(tmp_path: Path) -> None:
    """No file, a folder, no certificate: the session and `check` say so."""
    (tmp_path / "text").write_text("hello")
    for path in (None, tmp_path, tmp_path / "missing", tmp_path / "text"):
        assert told(Certificates(path, path)) == []
