"""What the demo sets up is taken down again, also where it gets no further."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from edge_daemon.demo.stage import Plan, Stage
from edge_daemon.errors import BoxError


def test_without_its_broker_the_demo_says_what_to_install_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store with its signed bundles is there by then."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(sys.modules, "iotcore", None)
    with pytest.raises(BoxError, match="needs its embedded broker") as raised, Stage(Plan(30.0)):
        pass
    assert "pip install 'edge-daemon[demo]'" in raised.value.hint
    assert not list(tmp_path.glob("edge-daemon-demo-*"))
