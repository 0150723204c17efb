"""Sources of bundles: one place each, and what is wanted of it in that place's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon import config
from edge_daemon.config import BundleSource
from edge_daemon.errors import ConfigurationError

WEB = "https://models.plant"


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ({"folder": "/media/usb", "models": {"bottle": "newest"}}, "folder"),
        ({"http": WEB, "models": {"bottle": "1.4.0", "can": "all"}}, "http"),
        ({"oci": WEB, "models": {"bottle": "line3/bottle:stable"}}, "oci"),
        ({"oci": WEB, "models": {"bottle": f"line3/bottle@sha256:{'a' * 64}"}}, "oci"),
        ({"mlflow": WEB, "models": {"bottle": "bottle@champion", "can": "Can 5/3"}}, "mlflow"),
    ],
)
def test_each_kind_in_its_own_words(plain: dict[str, Any], kind: str) -> None:
    """Every five minutes, at full speed, unless the settings say otherwise."""
    source = BundleSource.model_validate(plain)
    assert (source.kind, source.every_s, source.rate_kb) == (kind, 300, None)


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        ({"models": {"bottle": "newest"}}, "has one place"),
        ({"folder": "/a", "http": WEB, "models": {"bottle": "newest"}}, "has one place"),
        ({"folder": "/a", "models": {}}, "at least 1"),
        ({"folder": "/a", "models": {"bottle": "../1"}}, "newest, all, or a version"),
        ({"oci": WEB, "models": {"bottle": "newest"}}, "repository:tag"),
        ({"mlflow": WEB, "models": {"bottle": "newest"}}, "model@alias"),
        ({"http": "ftp://x", "models": {"bottle": "newest"}}, "should be https"),
        ({"http": "https://a:b@x", "models": {"bottle": "newest"}}, "should be https"),
        ({"http": WEB, "user": "x", "models": {"bottle": "all"}}, "together or not at all"),
        ({"folder": "/a", "token_file": "t", "models": {"bottle": "all"}}, "not folders"),
    ],
)
def test_what_is_wrong_is_said(plain: dict[str, Any], why: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(ValidationError, match=why):
        BundleSource.model_validate(plain)


def test_secrets_are_read_from_files_beside_the_settings(tmp_path: Path) -> None:
    """No secret stands in the settings; a missing file is named with its key."""
    station = tmp_path / "station.yaml"
    station.write_text(
        "device: d\ncamera: {source: /dev/video0}\nmodels: {trust: {required: false}}\n"
        f"sources: [{{http: '{WEB}', models: {{bottle: newest}}, token_file: token}}]\n"
    )
    (source,) = config.load(station).sources
    with pytest.raises(ConfigurationError, match=r"sources\.token_file"):
        source.read_token()
    (tmp_path / "token").write_text("secret\n")
    assert source.read_token() == "secret"
    assert source.read_password() is None
