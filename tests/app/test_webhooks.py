"""Webhooks as the settings name them: a real server by TLS, with the plant's own authority."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.app.webhooks import post_of
from edge_daemon.config.rollouts import WebhookSettings
from edge_daemon.errors import EdgeDaemonError
from tests.sim.certificates import authority_and_server
from tests.sim.web_ear import WebEar


def test_the_plants_authority_vouches_for_the_server(tmp_path: Path) -> None:
    """With its certificate in the settings the notice arrives, with the token; a renewed one
    counts from the next notice on."""
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "token").chmod(0o600)
    authority, server = authority_and_server(tmp_path)
    with WebEar(server).listening() as ear:
        settings = WebhookSettings(webhook=ear.url, ca=authority, token_file=tmp_path / "token")
        post = post_of(settings)
        assert post(b'{"id": 1}') == 204
        (tmp_path / "token").write_text("renewed\n")
        assert post(b'{"id": 2}') == 204
    assert [body["id"] for body in ear.heard] == [1, 2]
    assert [each["Authorization"] for each in ear.headers] == ["Bearer s3cret", "Bearer renewed"]


@pytest.mark.parametrize("whose", ["the usual ones", "another plant's"])
def test_a_server_that_nobody_vouches_for_hears_nothing(tmp_path: Path, whose: str) -> None:
    """Neither the notice nor the token leaves the station."""
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "token").chmod(0o600)
    other = tmp_path / "other"
    other.mkdir()
    _, server = authority_and_server(tmp_path)
    ca = None if whose == "the usual ones" else authority_and_server(other)[0]
    with WebEar(server).listening() as ear:
        settings = WebhookSettings(webhook=ear.url, ca=ca, token_file=tmp_path / "token")
        with pytest.raises(EdgeDaemonError, match="certificate"):
            post_of(settings)(b'{"id": 1}')
    assert ear.heard == []
