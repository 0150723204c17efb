"""Every picture reaches the other place, whatever happens in between, and none twice."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.collecting.places import target_of
from edge_daemon.collecting.push import Push
from edge_daemon.config.collect import PushSettings
from edge_daemon.host.blame import MOST_TRIES
from tests.collecting.album import album
from tests.frames.test_part_pictures import UTC
from tests.frames.test_s3_place import settings as s3_settings
from tests.sim.s3 import s3_station
from tests.sim.taker import Taker

LATER = UTC + 100_000.0


@pytest.fixture
def taker() -> Iterator[Taker]:
    with Taker().serving() as serving:
        yield serving


def push_to(kept: Path, /, utc: float = LATER, **place: Any) -> Push:
    return Push(kept, target_of(PushSettings.model_validate(place)), lambda: utc)


def lying(folder: Path) -> dict[str, bytes]:
    """The pictures and records of a folder, as another place has them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for each in Catalogue(folder)
        for path in (each.path, each.path.with_suffix(".json"))
    }


def test_a_folder_gets_every_picture_once(tmp_path: Path) -> None:
    """A second round, and a second life, send what came meanwhile and no more."""
    kept, there = tmp_path / "kept", tmp_path / "share"
    album(kept, 5)
    there.mkdir()
    first = push_to(kept, folder=str(there)).send_all()
    assert (first.sent, first.waiting, first.fault) == (5, 0, "")
    found = {
        str(path.relative_to(there)): path.read_bytes()
        for path in there.rglob("*")
        if path.is_file()
    }
    assert found == lying(kept)
    assert push_to(kept, folder=str(there)).send_all().sent == 0


def test_a_share_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Nothing is made in its place; longer between two tries; health says so until it is back."""
    kept, there = tmp_path / "kept", tmp_path / "share"
    album(kept, 3)
    push = push_to(kept, folder=str(there))
    waits = []
    for _ in range(3):
        assert push.send_all().sent == 0
        waits.append(push.wait_s)
    assert waits == sorted(set(waits))
    (problem,) = push.problems()
    assert "(3 wait)" in problem
    assert not there.exists()
    there.mkdir()
    assert push.send_all().sent == 3
    assert push.problems() == ()


def test_what_cannot_be_noted_is_not_sent_again(tmp_path: Path, taker: Taker) -> None:
    """The station's own disk takes nothing: one picture went, no other does, and health says so."""
    catalogue = album(tmp_path / "kept", 3)
    note = next(iter(catalogue)).path.with_suffix(".sent")
    note.symlink_to(note)  # cannot be opened, whoever asks
    push = push_to(tmp_path / "kept", http={"url": taker.url})
    assert (push.send_all().sent, push.send_all().sent) == (1, 0)
    (problem,) = push.problems()
    assert "(2 wait): what was sent cannot be noted in collect.folder" in problem
    note.unlink()
    assert push.send_all().sent == 2
    assert push.problems() == ()
    pictures = [path for _, path, _ in taker.taken if path.endswith(".jpg")]
    assert len(pictures) == len(set(pictures)) == 3


def test_a_part_s_result_is_waited_for(tmp_path: Path) -> None:
    """The record is sent whole: the newest pictures are left for the next round."""
    kept, there = tmp_path / "kept", tmp_path / "share"
    album(kept, 4)  # half a minute apart
    there.mkdir()
    assert push_to(kept, utc=UTC + 92.0, folder=str(there)).send_all().sent == 3


def test_a_bucket_gets_them(tmp_path: Path) -> None:
    album(tmp_path / "kept", 2)
    with s3_station() as server:
        wanted = s3_settings(server, tmp_path).model_dump(mode="json")
        pushed = push_to(tmp_path / "kept", s3=wanted).send_all()
        prefix = f"{tmp_path.name}/"
        found = {key.removeprefix(prefix): body for key, body in server.objects().items()}
    assert pushed.sent == 2
    assert lying(tmp_path / "kept").items() <= found.items()


def test_a_web_server_gets_them_with_its_token(tmp_path: Path, taker: Taker) -> None:
    """A wrong token is a problem in words, and loses nothing."""
    album(tmp_path / "kept", 2)
    token = tmp_path / "token"
    token.write_text("old\n")
    taker.needs = "Bearer secret"
    push = push_to(tmp_path / "kept", http={"url": f"{taker.url}/line3", "token_file": str(token)})
    assert push.send_all().sent == 0
    assert "does not accept the token" in push.problems()[0]
    token.write_text("secret\n")
    assert push.send_all().sent == 2
    assert taker.files() == {
        f"/line3/{path}": content for path, content in lying(tmp_path / "kept").items()
    }
    records = [path for _, path, _ in taker.taken]
    assert records[0].endswith(".json"), "the picture comes last"


def test_label_studio_gets_a_task_with_the_picture_in_it(tmp_path: Path, taker: Taker) -> None:
    """With what each model found as a prediction."""
    album(tmp_path / "kept", 2)
    token = tmp_path / "token"
    token.write_text("abc\n")
    taker.needs = "Token abc"
    studio = {"url": taker.url, "project": 7, "token_file": str(token)}
    assert push_to(tmp_path / "kept", label_studio=studio).send_all().sent == 2
    assert {path for _, path, _ in taker.taken} == {"/api/projects/7/import"}
    pictures = [each.path.read_bytes() for each in Catalogue(tmp_path / "kept")]
    for (_, _, content), picture in zip(taker.taken, pictures, strict=True):
        (task,) = json.loads(content)
        kind, _, text = task["data"]["image"].partition(";base64,")
        assert kind == "data:image/jpeg"
        assert base64.b64decode(text) == picture
        assert [each["model_version"] for each in task["predictions"]] == [
            "bottle@1.4.0",
            "bottle@1.5.0",
        ]


def test_one_picture_that_is_refused_holds_up_no_other(tmp_path: Path, taker: Taker) -> None:
    """It is tried again while the others go on, and given up after some rounds."""
    catalogue = album(tmp_path / "kept", 6)
    taker.refuses = next(iter(catalogue)).record.name
    push = push_to(tmp_path / "kept", http={"url": taker.url})
    assert push.send_all().sent == 5
    _, other, *_ = catalogue
    for _ in range(MOST_TRIES):
        other.path.with_suffix(".sent").unlink()  # one more that the place takes
        push.send_all()
    assert [each.record.name for each in push.waiting()] == []
    assert push.send_all().fault == ""


def test_a_place_that_fails_is_not_asked_for_every_picture(tmp_path: Path, taker: Taker) -> None:
    album(tmp_path / "kept", 20)
    taker.status = 500
    pushed = push_to(tmp_path / "kept", http={"url": taker.url}).send_all()
    assert (pushed.sent, pushed.refused, pushed.waiting) == (0, 3, 20)
    assert "did not take a picture (500)" in pushed.fault


def test_what_is_purged_takes_its_mark_along(tmp_path: Path) -> None:
    kept, there = tmp_path / "kept", tmp_path / "share"
    catalogue = album(kept, 2)
    there.mkdir()
    push_to(kept, folder=str(there)).send_all()
    for each in list(catalogue):
        catalogue.remove(each)
    assert not [path for path in kept.rglob("*") if path.is_file() and path.parent != kept]


@pytest.mark.parametrize(
    "given", [{}, {"folder": "/a", "http": {"url": "http://x"}}, {"http": {"url": "ftp://x"}}]
)
def test_there_is_one_place(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PushSettings.model_validate(given)


def test_what_is_wrong_with_tls_is_said(tmp_path: Path, taker: Taker) -> None:
    """A server without it is no wrong certificate, and neither is a file that holds none."""
    album(tmp_path / "kept", 1)
    ca = tmp_path / "ca.pem"
    ca.write_text("none")
    secure = taker.url.replace("http://", "https://")
    pushed = push_to(tmp_path / "kept", http={"url": secure}).send_all()
    assert pushed.fault.endswith("does not speak TLS")
    pushed = push_to(tmp_path / "kept", http={"url": secure, "ca": str(ca)}).send_all()
    assert pushed.fault == f"The ca of {secure} holds no certificate"
    assert taker.taken == []
