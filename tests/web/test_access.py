"""Who may come in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_daemon.web.access import STRANGER, AccessMiddleware, Rules

LOCAL = Rules("127.0.0.1")
GUARDED = Rules("0.0.0.0", is_local=False, device="cam1", token="s3cret")


class Caller:
    """A browser or a script before the door; it keeps the cookies that it is given."""

    def __init__(self, rules: Rules, host: str, app: ASGIApp | None = None) -> None:
        self._door = AccessMiddleware(app or PlainTextResponse("inside"), rules)
        self._url = f"http://{host}"
        self._cookies = httpx.Cookies()

    def get(self, path: str, headers: Mapping[Any, Any] | None = None) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, headers))

    def post(self, path: str, headers: Mapping[Any, Any] | None = None) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, headers))

    async def _ask(
        self, method: str, path: str, headers: Mapping[Any, Any] | None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._door)
        async with httpx.AsyncClient(
            transport=transport, base_url=self._url, cookies=self._cookies
        ) as browser:
            answer = await browser.request(method, path, headers=headers)
            self._cookies = browser.cookies
            return answer


def client(rules: Rules, host: str = "127.0.0.1:9464") -> Caller:
    return Caller(rules, host)


@pytest.mark.parametrize("host", ["127.0.0.1:9464", "localhost:9464", "localhost", "[::1]:80"])
def test_this_machine_comes_in_by_any_of_its_names(host: str) -> None:
    """Loopback needs no token, whatever name and port lead there."""
    assert client(LOCAL).get("/", headers={"host": host}).text == "inside"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"])
def test_a_name_that_was_rebound_to_us_sees_nothing(host: str) -> None:
    """DNS rebinding ends at the Host header, health checks included."""
    answer = client(LOCAL).get("/healthz", headers={"host": host})
    assert (answer.status_code, "inside" in answer.text) == (421, False)
    assert "add it to http.hosts" in answer.text


def test_the_names_of_a_proxy_are_known() -> None:
    """In Host, and in Origin where the proxy says another Host than the browser did."""
    proxied = replace(LOCAL, names=frozenset({"line3.plant.example"}))
    for host in ("line3.plant.example", "LINE3.plant.example:8443"):
        assert client(proxied).get("/", headers={"host": host}).text == "inside"
    assert client(proxied).get("/", headers={"host": "plant.example"}).status_code == 421
    command = {"x-edge-daemon": "1", "origin": "https://line3.plant.example"}
    assert client(proxied).post("/api/request/hold", headers=command).text == "inside"
    assert client(LOCAL).post("/api/request/hold", headers=command).status_code == 403
    other = {**command, "origin": "https://evil.example"}
    assert client(proxied).post("/api/request/hold", headers=other).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
def test_other_sites_may_not_ask(headers: dict[str, str]) -> None:
    """A page from elsewhere, open in an operator's browser, neither reads nor commands."""
    assert client(LOCAL).get("/api/state", headers=headers).status_code == 403
    command = {**headers, "x-edge-daemon": "1"}
    assert client(LOCAL).post("/api/request/swap", headers=command).status_code == 403


def test_a_link_from_elsewhere_may_be_followed() -> None:
    """A person who clicks a link in a wiki sees the page."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client(LOCAL).get("/", headers=headers).text == "inside"


def test_what_changes_something_needs_the_header_that_no_form_can_send() -> None:
    """Without the custom header a POST is refused, even from here."""
    here = {"origin": "http://127.0.0.1:9464"}
    assert client(LOCAL).post("/api/request/hold", headers=here).status_code == 403
    good = {**here, "x-edge-daemon": "1"}
    assert client(LOCAL).post("/api/request/hold", headers=good).text == "inside"


def test_without_the_token_nothing_is_seen() -> None:
    """From elsewhere everything but the health checks needs the token."""
    caller = client(GUARDED, "10.0.0.7:9464")
    for path in ("/", "/api/state", "/live.mjpg", "/metrics", "/ng/x.jpg", "/static/page.js"):
        assert caller.get(path).status_code == 401
    assert caller.get("/healthz").text == "inside"
    assert caller.get("/readyz").text == "inside"


def test_who_has_no_token_is_known_as_a_stranger() -> None:
    """Health checks are answered in brief to those who would see nothing else."""
    seen: list[bool] = []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(STRANGER in scope)
        await PlainTextResponse("inside")(scope, receive, send)

    caller = Caller(GUARDED, "10.0.0.7:9464", inside)
    caller.get("/readyz")
    caller.get("/readyz", headers={"authorization": "Bearer s3cret"})
    Caller(LOCAL, "localhost", inside).get("/readyz")
    assert seen == [True, False, False]


def test_a_browser_is_asked_for_the_token() -> None:
    """A person gets a form; its answer is the same way in as a link."""
    answer = client(GUARDED).get("/", headers={"accept": "text/html"})
    assert (answer.status_code, 'name="token"' in answer.text) == (401, True)


def test_the_token_is_taken_as_bearer() -> None:
    """Prometheus and scripts send it in a header."""
    good = {"authorization": "Bearer s3cret"}
    assert client(GUARDED).get("/metrics", headers=good).text == "inside"
    for wrong in ("Bearer s3cre", "Bearer ", "s3cret", "Basic s3cret", "Bearer s3crét"):
        encoded = wrong.encode("latin-1")
        assert (
            client(GUARDED).get("/metrics", headers={b"authorization": encoded}).status_code == 401
        )


def test_a_link_with_the_token_is_exchanged_for_a_cookie() -> None:
    """The token leaves the address bar at once, and the cookie is not the token."""
    caller = client(GUARDED, "station.example:9464")
    welcome = caller.get("/?token=s3cret")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "./")  # whatever leads here
    cookie = welcome.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "s3cret" not in cookie
    assert caller.get("/api/state").text == "inside"
    assert client(GUARDED).get("/?token=wrong").status_code == 401


def test_browsers_are_told_to_load_nothing_from_elsewhere() -> None:
    """Every answer, refusals too, carries the policy: no inline script, no frame, no other site."""
    for answer in (client(LOCAL).get("/"), client(GUARDED).get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
