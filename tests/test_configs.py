"""What is shipped as an example works, is safe, and says the defaults as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge_daemon import config
from edge_daemon.config import settings as settings_module

CONFIGS = Path(__file__).parents[1] / "configs"
DESIRED = CONFIGS / "desired" / "line3-cam1.yaml"
FILES = sorted(file for file in CONFIGS.rglob("*.yaml") if file != DESIRED)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_a_shipped_file_is_valid_and_safe(file: Path) -> None:
    """It is accepted as it stands, and asks for signed bundles with a named key."""
    assert config.examine(file)[1] == []
    trust = config.load(file).models.trust
    assert trust.required
    assert trust.public_keys


def test_every_preset_has_an_example() -> None:
    """Whatever the MES speaks, there is a file to begin with."""
    shown = {order.preset for file in FILES for order in config.load(file).orders}
    assert shown == {None, *get_args(settings_module.Preset)}


def test_the_desired_state_fits_the_station() -> None:
    """The example wishes for models that station.yaml links, without a finding."""
    links = config.load(CONFIGS / "station.yaml").links
    assert config.read_desired(DESIRED, links)[1] == ()


def test_cameras_on_one_box_do_not_meet() -> None:
    """State, topics and ports differ; the store is one."""
    both = [config.load(file) for file in sorted((CONFIGS / "two-cameras").glob("*.yaml"))]
    assert len(both) == 2
    for part in ("state_folder", "root", "http"):
        assert getattr(both[0], part) != getattr(both[1], part)
    assert both[0].models.store == both[1].models.store


def test_the_commented_file_shows_the_defaults() -> None:
    """station.yaml names every key, and what it shows as a default is one."""
    shown = config.load(CONFIGS / "station.yaml")
    document = config.parse((CONFIGS / "station.yaml").read_text()).value
    assert set(document) == set(type(shown).model_fields)
    least = config.Settings.model_validate(
        {"device": "d", "camera": {"source": "conveyor:"}, "models": {}}
    )
    for group in ("mqtt", "slots", "orders", "gate", "trial", "results", "http", "desired", "log"):
        assert getattr(shown, group) == getattr(least, group), group
        if isinstance(document[group], dict):
            assert set(document[group]) == set(type(getattr(shown, group)).model_fields), group
    assert shown.camera.model_copy(update={"source": least.camera.source}) == least.camera
    assert (shown.state_dir, shown.models.store) == (least.state_dir, least.models.store)


def test_nats_asks_everybody_for_a_certificate() -> None:
    """Its own port is for this machine alone: nobody gives a certificate there."""
    text = (CONFIGS / "nats/nats.conf").read_text()
    assert re.findall(r"^listen: (.*)$", text, re.MULTILINE) == ['"127.0.0.1:4222"']
    (mqtt,) = re.findall(r"^mqtt \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert "verify: true" in mqtt
