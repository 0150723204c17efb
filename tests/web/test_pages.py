"""What is answered at which path."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import msgspec
import pytest

from edge_daemon.messaging.answer import Answer
from edge_daemon.web.access import COMMAND_HEADER, Rules
from edge_daemon.web.pages import FRESH_S, MAX_REQUEST_BYTES, STATIC, Pages
from edge_daemon.web.reply_box import ReplyBox
from edge_daemon.web.state import PageState
from tests.sim.clock import SimClock
from tests.sim.fake_page import FakePage

_T = TypeVar("_T")
COMMAND = {COMMAND_HEADER: "1", "content-type": "application/json"}


def said(answer_id: str, body: bytes, code: str = "") -> Answer:
    """An answer, as the control room gives it."""
    return Answer(answer_id, msgspec.Raw(body), code=code)


@asynccontextmanager
async def visit(
    fake: FakePage, answers: ReplyBox | None = None, *, commands: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    pages = Pages(fake.sources(commands=commands), Rules("127.0.0.1"), answers or ReplyBox())
    transport = httpx.ASGITransport(app=pages.app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
    finally:
        await pages.close()


def get(fake: FakePage, path: str, *, commands: bool = False) -> httpx.Response:
    async def talk() -> httpx.Response:
        async with visit(fake, commands=commands) as client:
            return await client.get(path)

    return asyncio.run(talk())


def talk(work: Callable[[], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        return await work()

    return asyncio.run(run())


def test_the_page_and_its_parts_are_there_and_name_nothing_from_elsewhere() -> None:
    """The page works without a network: all that it loads is its own, and nothing is inline."""
    page = get(FakePage(), "/")
    assert page.headers["content-type"].startswith("text/html")
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert get(FakePage(), f"/{path}").status_code == 200
    assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", page.text)
    for name in ("page.js", "page.css", "index.html"):
        addresses = re.findall(r"https?://[^\s\"']+", (STATIC / name).read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML\s*=[^=]|insertAdjacent", (STATIC / "page.js").read_text())


@pytest.mark.parametrize("name", ["index.html", "token.html", "page.js", "page.css"])
def test_no_link_begins_at_the_root(name: str) -> None:
    """A proxy may lead to the page below a path of its own, which nobody here knows."""
    text = (STATIC / name).read_text()
    links = re.findall(r"""(?:href|src|action|fetch|url)\W{1,4}["'`]([^"'`]*)""", text)
    links += re.findall(r"""["'`](/[a-z][^"'`]*)""", text)
    assert links or name == "page.css"
    assert [link for link in links if link.startswith("/")] == []


def test_a_slash_too_many_leads_nowhere_else() -> None:
    """An absolute redirect would leave the proxy's path."""
    assert get(FakePage(), "/api/state/").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../pages.py", "/static/%2e%2e%2fpages.py", "/ng/%2e%2e", "/x"]
)
def test_only_named_files_are_served(path: str) -> None:
    """No path leads to a file that was not meant."""
    assert get(FakePage(), path).status_code == 404


def test_the_state_reads_as_the_struct_that_documents_it() -> None:
    """`/api/state` is a `PageState`, with the history's last seconds where asked so."""
    fake = FakePage()
    fake.seconds(3, 4, 5)
    whole = get(fake, "/api/state").content
    assert msgspec.json.decode(whole, type=PageState).history.ok == (3, 4, 5)
    newest = msgspec.json.decode(get(fake, "/api/state?seconds=2").content, type=PageState)
    assert (newest.history.ok, newest.history.at) == ((4, 5), (1001, 1002))
    assert msgspec.json.decode(get(fake, "/api/state?seconds=0").content)["history"]["at"] == []
    assert get(fake, "/api/state?seconds=many").status_code == 400


def test_however_many_ask_the_house_is_looked_at_once() -> None:
    """A crowd of viewers costs one look."""
    fake = FakePage()

    async def crowd() -> None:
        async with visit(fake) as client:
            await asyncio.gather(*(client.get("/api/state") for _ in range(50)))

    talk(crowd)
    assert fake.looks == 1


def test_a_state_that_is_no_longer_fresh_is_put_together_anew() -> None:
    """By the daemon's clock, not by how often somebody asks."""
    fake, clock = FakePage(), SimClock()
    fake.clock = clock

    async def reload() -> None:
        async with visit(fake) as client:
            for passed_s in (0.0, FRESH_S, FRESH_S):
                clock.advance(passed_s)
                await client.get("/api/state")

    talk(reload)
    assert fake.looks == 2


def test_health_fails_when_inference_does() -> None:
    """`/healthz` and `/readyz` say 503 and why."""
    fake = FakePage()
    assert get(fake, "/healthz").status_code == 200
    fake.good = False
    answer = get(fake, "/healthz")
    assert (answer.status_code, answer.json()["good"]) == (503, False)
    assert "11 s" in answer.json()["reasons"][0]
    assert get(fake, "/readyz").status_code == 503


def test_metrics_come_with_the_type_that_prometheus_reads() -> None:
    """`/metrics` is the registry's text."""
    answer = get(FakePage(), "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text == "edge_camera_up 1\n"


def test_a_snapshot_is_a_jpeg_or_a_sentence() -> None:
    """Where no frame comes the answer is 503 with the next step."""
    fake = FakePage()
    assert get(fake, "/snapshot.jpg").headers["content-type"] == "image/jpeg"
    fake.go_dark()
    dark = get(fake, "/snapshot.jpg")
    assert (dark.status_code, "Look at the camera" in dark.text) == (503, True)


def test_receipts_models_and_rejected_parts_are_found_by_their_names() -> None:
    """One entry of the timeline, one picture; others are 404."""
    assert get(FakePage(), "/api/swaps/s1").json() == {"id": "s1", "events": []}
    assert get(FakePage(), "/api/swaps/s2").status_code == 404
    assert get(FakePage(), "/ng/a.jpg").content == b"picture"
    assert get(FakePage(), "/ng/b.jpg").status_code == 404
    assert get(FakePage(), "/api/models/bottle@1.0.0").json() == {"model": "bottle@1.0.0"}
    assert get(FakePage(), "/api/models/bottle@2.0.0").status_code == 404


def test_commands_are_not_there_unless_configured() -> None:
    """The page that only shows has no path that asks for anything."""
    fake = FakePage()

    async def ask() -> httpx.Response:
        async with visit(fake) as client:
            return await client.post("/api/request/hold", headers=COMMAND, content=b"{}")

    assert talk(ask).status_code == 404
    assert fake.asked == []


def test_a_request_goes_through_the_same_door_and_is_answered() -> None:
    """The first answer is the reply, the later ones are asked for by id."""
    fake, answers = FakePage(), ReplyBox()

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with visit(fake, answers, commands=True) as client:
            post = asyncio.ensure_future(
                client.post("/api/request/swap", headers=COMMAND, json={"model": "bottle@1.4.0"})
            )
            while not fake.asked:
                await asyncio.sleep(0)
            _, _, fresh_id, reply = fake.asked[0]
            answers.expect("another")(said("another", b"{}"))
            reply(said("x", b'{"id":"x","status":"accepted"}'))
            first = await post
            reply(said("x", b'{"id":"x","status":"succeeded"}'))
            later = await client.get(f"/api/answers/{fresh_id}")
            assert (await client.get("/api/answers/x")).content == later.content
            return first, later

    first, later = talk(ask)
    verb, payload, *_ = fake.asked[0]
    assert (verb, json.loads(payload)) == ("swap", {"model": "bottle@1.4.0"})
    assert (first.status_code, first.json()["status"]) == (200, "accepted")
    assert later.json()["status"] == "succeeded"


def test_a_refusal_is_a_conflict_whatever_its_words_are() -> None:
    """The code says so, not the text: a request may well speak of an "error"."""
    fake = FakePage()

    async def ask(answer: Answer) -> int:
        async with visit(fake, commands=True) as client:
            post = asyncio.ensure_future(
                client.post("/api/request/hold", headers=COMMAND, content=b"{}")
            )
            while not fake.asked:
                await asyncio.sleep(0)
            fake.asked.pop()[3](answer)
            return (await post).status_code

    assert talk(lambda: ask(said("x", b'{"detail":""error""}'))) == 200
    assert talk(lambda: ask(said("x", b"{}", "gate_failed"))) == 409


def test_a_request_that_is_no_json_or_too_large_is_not_handed_in() -> None:
    """What a form could send, and what could fill the memory, ends at the door."""
    fake = FakePage()

    async def ask() -> list[int]:
        async with visit(fake, commands=True) as client:
            form = {**COMMAND, "content-type": "application/x-www-form-urlencoded"}
            large = b" " * (MAX_REQUEST_BYTES + 1)
            answers = [
                await client.post("/api/request/swap", headers=form, content=b"model=x"),
                await client.post("/api/request/swap", headers=COMMAND, content=large),
            ]
            return [answer.status_code for answer in answers]

    assert talk(ask) == [415, 413]
    assert fake.asked == []


def test_answers_are_kept_for_few_and_the_oldest_goes() -> None:
    """Whoever never comes back for an answer costs nothing for long."""
    answers = ReplyBox(kept=2)
    ways = {each: answers.expect(each) for each in "abc"}
    for each, reply in ways.items():
        reply(said(each, each.encode()))
    assert answers.get("a") is None
    assert [found.body for each in "bc" if (found := answers.get(each))] == [b"b", b"c"]
