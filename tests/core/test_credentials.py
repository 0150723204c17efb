"""What leaves the box tells no secret, in whatever shape people write it."""

from __future__ import annotations

import json

import pytest

from edge_daemon.core.credentials import public_source, redact

SOURCES = {
    "rtsp://cam/1": "rtsp://cam/1",
    "rtsp://cam:554/live/ch1": "rtsp://cam:554/live/ch1",
    "rtsp://10.0.0.5": "rtsp://10.0.0.5",
    "rtsp://[fe80::1]:554/live": "rtsp://[fe80::1]:554/live",
    "rtsp://u:hunter2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunter2@[fe80::1]/1": "rtsp://[fe80::1]/1",
    "rtsp://:hunter2@cam/1": "rtsp://cam/1",
    "rtsp://hunter2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunt'er2@cam/1": "rtsp://cam/1",
    'rtsp://u:hunt"er2@cam/1': "rtsp://cam/1",
    "rtsp://u:hunt er2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunt@er2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunt:er2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunt%40er2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunt/er2@cam/1": "rtsp://***",
    "rtsp://u:12/hunter2@cam/1": "rtsp://***",
    "rtsp://u:hunt#er2@cam/1": "rtsp://***",
    "rtsp://u:hunt?er2@cam/1": "rtsp://***",
    "rtsp://u:hunt[er2@cam/1": "rtsp://cam/1",
    "rtsp://u:hunter2": "rtsp://***",
    "rtsp://cam/1?password=hunter2": "rtsp://cam/1",
    "rtsp://cam/1?psw=hunter2": "rtsp://cam/1",
    "http://cam/cgi?loginuse=u&loginpas=hunter2": "http://cam/cgi",
    "http://cam/1?auth=hunter2": "http://cam/1",
    "http://cam/1?sig=hunter2#hunter2": "http://cam/1",
    "http://cam/1#hunter2": "http://cam/1",
    "http://cam?token=hunter2": "http://cam",
    "http://cam/1;jsessionid=hunter2": "http://cam/1",
    "rtsp://cam/user=u_password=hunter2_channel=1": "rtsp://cam/***",
    "rtsp://cam/user%3Du%26pw%3Dhunter2/1": "rtsp://cam/***/1",
    "rtsp://cam/1?x=hunter2@er2": "rtsp://***",
    "/etc/edge-daemon/rtsp:/u:hunter2@cam/1": "***",
    "/dev/video0": "/dev/video0",
    "/films/line.mp4": "/films/line.mp4",
    "conveyor:?defects=0.1": "conveyor:?defects=0.1",
}


@pytest.mark.parametrize("piece", ["pass-", "a-", "a+", "-----BEGIN X-----", "Digest a=b, "])
def test_a_long_text_of_a_stranger_holds_nobody_up(piece: str) -> None:
    """With steps that grow with the square of its length this would take an hour."""
    assert "hunter2" not in redact(f"{piece * 50_000} password=hunter2")


@pytest.mark.parametrize("source", SOURCES)
def test_of_a_source_only_scheme_host_and_path_are_told(source: str) -> None:
    """Never user, password or query, whatever stands in them; where it is in doubt, less."""
    assert public_source(source) == SOURCES[source]
    assert not any(part in public_source(source) for part in ("hunt", "er2", "u:"))


@pytest.mark.parametrize(
    "text",
    [
        "open rtsp://u:hunter2@cam/1 failed",
        "open rtsp://u:hunt'er2@cam/1 failed",
        "open rtsp://u:hunt/er2@cam/1 failed",
        "open rtsp://u:hunt#er2@cam/1 failed",
        "GET /cgi?loginuse=u&loginpas=hunter2 HTTP/1.1",
        "GET /cgi?psw=hunter2&auth=hunter2&sig=hunter2",
        "password=hunter2",
        'password = "hunter2 with er2"',
        "passphrase: 'hunter2 with er2'",
        json.dumps({"mqtt": {"password": "hunter2 with er2"}}),
        json.dumps({"said": json.dumps({"password": "hunter2 with er2"})}),
        "Authorization: Bearer hunter2hunter2",
        "Authorization: Basic aHVudGVyMg==hunter2",
        'Authorization: Digest username="u", realm="cam er2", response="hunter2"',
        "-----BEGIN PRIVATE KEY-----\nhunter2\nhunter2\n-----END PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4\n\nhunter2\n-----END EC PRIVATE KEY-----",
        json.dumps({"key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"}),
        "-----BEGIN PRIVATE KEY-----\nhunter2hunter2",
    ],
)
def test_of_a_text_what_is_secret_by_its_form_is_hidden(text: str) -> None:
    """In the log, in an answer, in a document inside of another one."""
    assert "hunt" not in redact(text)
    assert "er2" not in redact(text)
    assert "***" in redact(text)
    assert redact(redact(text)) == redact(text)


def test_a_document_is_one_afterwards() -> None:
    """Quotes stay where they were."""
    document = {"password": "hunter2 with er2", "n": 1, "url": "rtsp://u:p@cam/1"}
    hidden = {"password": "***", "n": 1, "url": "rtsp://***@cam/1"}
    assert json.loads(redact(json.dumps(document))) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "password_file: /etc/edge-daemon/pw",
        "signature: the key does not match",
        "see https://edge-daemon.example/docs?page=2",
        "the author is kim, and the pass was good",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A log without its facts helps nobody."""
    assert redact(text) == text
