"""Who may call: the right host name, the right origin, the token; and what browsers are told.

A page on the internet can make an operator's browser call this address, and with DNS rebinding
read the answer. So the Host header must name this box where we listen on loopback only, nothing
is answered to other sites' requests, and what changes something needs a header that no form can
send. With a token everything but the health checks needs it: as `Authorization: Bearer`, or as
the cookie that `/?token=…` is exchanged for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMMAND_HEADER = "x-edge-daemon"
"""A browser sends it to another site only after a CORS preflight, which is never answered."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""For container runtimes: answered in brief to callers without the token."""

STRANGER = "edge_daemon.stranger"
"""In the scope of a request that was let in without the token it would need elsewhere."""

WRONG_TOKEN_S = 0.5
"""A wrong token is answered after this delay, so that guessing takes too long."""

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_QUESTION = Path(__file__).parent / "static" / "token.html"


@dataclass(frozen=True)
class Rules:
    """Listening on `host`, which only this machine reaches (`is_local`) or others too.

    `token` is what callers must know; None: nothing. `names` are those under which people reach
    the page through a proxy, in lower case.
    """

    host: str
    is_local: bool = True
    device: str = ""
    token: str | None = None
    names: frozenset[str] = frozenset()


class AccessMiddleware:
    """ASGI middleware: callers who are not allowed reach nothing behind it."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._cookie = f"edge-daemon-{rules.device}"
        token = (rules.token or "").encode()
        self._badge = hmac.new(token, b"status page", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # we speak no websockets
        refusal = await self._refusal(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if not self._knows_host(headers):
            return _plain(421, self._how_to_be_known())
        if _is_foreign(headers, self._rules.names):
            return _plain(403, "Other sites may not ask here.")
        if scope["method"] not in ("GET", "HEAD") and COMMAND_HEADER not in headers:
            return _plain(
                403, f"A request that changes something needs the header {COMMAND_HEADER}."
            )
        if self._rules.token is None or path == "/static/page.css":
            return None
        if path in OPEN_PATHS and not self._is_known(headers):
            scope[STRANGER] = True
            return None
        return await self._check_token(scope, headers)

    def _knows_host(self, headers: Headers) -> bool:
        if not self._rules.is_local:
            return True  # the token, bound to the true address by the cookie, keeps strangers out
        known = _LOCAL_NAMES | {self._rules.host} | self._rules.names
        return _host_name(headers.get("host", "")) in known

    def _how_to_be_known(self) -> str:
        return (
            "The name in this address is not known as one of this station's: add it to http.hosts "
            f"in its settings and restart it, or ask for {self._rules.host} on its own box."
        )

    def _is_known(self, headers: Headers) -> bool:
        """Whether the caller has the token, or its cookie."""
        given = headers.get("authorization", "")
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        return _same(given, f"Bearer {self._rules.token}") or _same(cookie, self._badge)

    async def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        if self._is_known(headers):
            return None
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if shown and _same(shown, self._rules.token or ""):
            here = scope["path"].rpartition("/")[2]  # a proxy may know the page by another path
            welcome = RedirectResponse(f"./{here}", 303)
            welcome.set_cookie(self._cookie, self._badge, httponly=True, samesite="strict")
            return welcome
        if shown or "authorization" in headers:
            await asyncio.sleep(WRONG_TOKEN_S)
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            return Response(_QUESTION.read_bytes(), 401, media_type="text/html")
        return Response(
            "The token is missing or wrong.\n",
            401,
            {"www-authenticate": 'Bearer realm="edge-daemon"'},
            "text/plain",
        )


def _host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_foreign(headers: Headers, names: frozenset[str]) -> bool:
    """Whether another site's page asks; a link that a person follows is allowed.

    Behind a proxy the Host may differ from the browser's: then that one must be a known name.
    """
    origin = headers.get("origin", "").partition("://")[2]
    if "origin" in headers and origin != headers.get("host") and _host_name(origin) not in names:
        return True
    site = headers.get("sec-fetch-site", "none")
    follows = headers.get("sec-fetch-mode") == "navigate"
    return site not in ("none", "same-origin") and not follows


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _plain(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status)
