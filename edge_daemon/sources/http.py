"""One HTTP client for sources and webhooks: ranges, bounded redirects, time-outs, the plant's CA.

Credentials are read from their file for each request, and go to the source's own host only.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urljoin, urlsplit

from edge_daemon.errors import BundleError
from edge_daemon.sources.source import SourceAway, Stream

TIMEOUT_S = 30.0
MOST_REDIRECTS = 5
MOST_JSON_BYTES = 4 << 20

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def basic(user: str, password: str) -> str:
    """The header for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def json_object(content: bytes, what: str) -> dict[str, Any]:
    """A server's answer; raises BundleError where it is no JSON object."""
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is no JSON.", hint="Is this the right address?") from error
    if not isinstance(plain, dict):
        raise BundleError(f"{what} is no JSON object.", hint="Is this the right address?")
    return plain


@dataclass(frozen=True)
class Answer:
    """What a server said; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Http:
    """Reads from one server.

    Args:
        base: the server's address; messages name it.
        ca: path of PEM certificates to trust; None: the system's.
        authorization: the header that goes to this server, read when it is used; None: none.
    """

    def __init__(
        self,
        base: str,
        ca: Callable[[], str | None] = lambda: None,
        authorization: Callable[[], str | None] = lambda: None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.base = base.rstrip("/")
        self._ca, self._authorization, self._timeout_s = ca, authorization, timeout_s

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, answers: tuple[int, ...] = ()
    ) -> Iterator[HTTPResponse]:
        """The answer with status 200 or 206, or one of `answers`, after at most five redirects.

        Raises FileNotFoundError for 404, SourceAway for everything else.
        """
        first = urlsplit(url)
        for _ in range(MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise SourceAway(f"{self.base} sends on to what is no web address.")
            if first.scheme == "https" and parts.scheme != "https":
                raise SourceAway(f"{self.base} sends on to an address without TLS.")
            with closing(self._connection(url)) as connection:
                answer = self._asked(connection, url, headers or {})
                if answer.status not in (301, 302, 303, 307, 308):
                    self._check(answer, answers)
                    yield answer
                    return
                url = urljoin(url, answer.getheader("Location") or "")
        raise SourceAway(f"{self.base} sends on more than {MOST_REDIRECTS} times.")

    @contextmanager
    def stream(
        self, url: str, at: int, headers: Mapping[str, str] | None = None
    ) -> Iterator[Stream]:
        """A file from this byte on; from its beginning where the server knows no ranges."""
        wanted = {"Accept-Encoding": "identity", **(headers or {})}
        if at:
            wanted.setdefault("Range", f"bytes={at}-")
        with self.get(url, wanted, (416,) if at else ()) as answer:
            if answer.status != 416:
                yield self._stream(answer, at)
                return
        with self.get(url, {**wanted, "Range": "bytes=0-"}) as answer:  # it is shorter now
            yield self._stream(answer, 0)

    def text(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """A small document whole; raises as `get`, and BundleError where it is too large."""
        with self.get(url, headers) as answer, self._as_away():
            content = answer.read(MOST_JSON_BYTES + 1)
            if answer.length and len(content) <= MOST_JSON_BYTES:
                raise SourceAway(f"{self.base} broke off a short answer.")
        if len(content) > MOST_JSON_BYTES:
            raise BundleError(
                f"{self.base} answers with more than {MOST_JSON_BYTES >> 20} MiB, not with a list.",
                hint="Is this the right address?",
            )
        return content

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status that this body is answered with; a redirect is not followed.

        Raises SourceAway where there is no answer.
        """
        with closing(self._connection(url)) as connection:
            return self._asked(connection, url, headers, ("POST", body)).status

    def exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """A small answer whole, whatever its status; a redirect is not followed.

        Raises SourceAway where there is none.
        """
        with closing(self._connection(url)) as connection, self._as_away():
            answer = self._asked(connection, url, headers, (method, body))
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read(MOST_JSON_BYTES))

    # ------------------------------------------------------------------ inside

    def _connection(self, url: str) -> HTTPConnection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            port = parts.port
        except ValueError as error:
            raise SourceAway(f"{self.base} sends on to what is no web address.") from error
        if parts.scheme == "http":
            return HTTPConnection(host, port, timeout=self._timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._ca())
        except ssl.SSLError as error:
            raise SourceAway(
                f"The ca of {self.base} holds no certificate.",
                hint="Put the authority's PEM there.",
            ) from error
        except OSError as error:
            raise SourceAway(
                f"The ca of {self.base} cannot be read: {error.strerror}.",
                hint="Let the daemon's user read it.",
            ) from error
        return HTTPSConnection(host, port, timeout=self._timeout_s, context=context)

    def _asked(
        self,
        connection: HTTPConnection,
        url: str,
        headers: Mapping[str, str],
        sent: tuple[str, bytes | None] = ("GET", None),
    ) -> HTTPResponse:
        with self._as_away():
            method, body = sent
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, self._headers(url, headers))
            return connection.getresponse()

    def _headers(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        made = {"User-Agent": "edge-daemon", **headers}
        if urlsplit(url)[:2] != urlsplit(self.base)[:2]:
            made.pop("Authorization", None)
        elif "Authorization" not in made and (given := self._authorization()):
            made["Authorization"] = given
        return made

    def _check(self, answer: HTTPResponse, answers: tuple[int, ...]) -> None:
        status = answer.status
        if status in (200, 206, *answers):
            return
        if status == 404:
            raise FileNotFoundError(2, "the server has no such file")
        if status in (401, 403):
            raise SourceAway(
                f"{self.base} refuses the credentials ({status}).",
                hint="Correct user, password_file or token_file of the source.",
            )
        raise SourceAway(
            f"{self.base} answers {status} {answer.reason}.", hint="See the server's log."
        )

    def _stream(self, answer: HTTPResponse, at: int) -> Stream:
        if (answer.getheader("Content-Encoding") or "identity") != "identity":
            raise SourceAway(f"{self.base} sends files in another encoding than they have.")
        start, total = 0, None
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.getheader("Content-Range") or "")
            if found is None or int(found[1]) not in (0, at):
                raise SourceAway(f"{self.base} answers with another range than was asked for.")
            start, total = int(found[1]), int(found[2])
        elif answer.length is not None:
            total = answer.length

        def read(count: int) -> bytes:
            with self._as_away():
                return answer.read1(count)

        return Stream(start, total, read)

    @contextmanager
    def _as_away(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise SourceAway(
                f"The certificate of {self.base} is not trusted: {error.verify_message}.",
                hint="Name the plant's authority in the setting ca beside the address.",
            ) from error
        except ssl.SSLError as error:
            raise SourceAway(
                f"{self.base} does not speak TLS.", hint="Does its address begin with http://?"
            ) from error
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceAway(
                f"{self.base} cannot be reached: {why}.",
                hint="Is the server up, and the address right?",
            ) from error
