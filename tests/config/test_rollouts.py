"""Settings of rollouts: which addresses a plan may name, and how they may be reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_daemon.config.rollouts import RolloutsSettings, WebhookSettings
from edge_daemon.core.rollout.values import Webhook
from edge_daemon.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "https://mes.plant.example/hook?line=3",
        "http://127.0.0.1:8080/hook",
        "http://[::1]/hook",
        "http://localhost/hook",
    ],
)
def test_tls_or_this_machine(url: str) -> None:
    settings = RolloutsSettings.model_validate({"notify": [{"webhook": url}]})
    assert settings.bounds.notify == (Webhook(url),)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://mes.plant.example/hook", "allow_http"),
        ("http://127.0.0.1.evil.example/", "allow_http"),
        ("http://localhost.evil.example/", "allow_http"),
        ("https://kim:secret@mes.plant.example/", "https://host"),
        ("file:///etc/passwd", "https://host"),
        ("https:///hook", "names no host"),
    ],
)
def test_what_may_not_be_called(url: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RolloutsSettings.model_validate({"notify": [{"webhook": url}]})


def test_a_plants_own_network_may_be_called_without_tls_where_somebody_says_so() -> None:
    plain = {"webhook": "http://mes.plant.example/hook", "allow_http": True}
    assert WebhookSettings.model_validate(plain).webhook == plain["webhook"]


def test_the_token_is_read_when_it_is_used(tmp_path: Path) -> None:
    """So it may be changed without a restart; a file that is gone is said in one sentence."""
    file = tmp_path / "token"
    plain = {"webhook": "https://mes.plant.example/", "token_file": str(file)}
    settings = WebhookSettings.model_validate(plain)
    with pytest.raises(ConfigurationError, match="token_file"):
        settings.read_token()
    file.write_text("first\n")
    assert settings.read_token() == "first"
    file.write_text("second\n")
    assert settings.read_token() == "second"
