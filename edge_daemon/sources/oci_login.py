"""How a registry is told who asks: a header of one's own, or a token that its service issues."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from edge_daemon.sources.http import Http, json_object
from edge_daemon.sources.source import SourceAway

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class OciLogin:
    """The headers for one registry.

    Args:
        basic: the header for its user, for the registry or where it sends for a token; None: none.
        token: a bearer token for the registry itself; None: none.
        actions: what is wanted of a repository: `pull`, or `pull,push`.
    """

    def __init__(
        self,
        http: Http,
        ca: Callable[[], str | None] = lambda: None,
        basic: Callable[[], str | None] = lambda: None,
        token: Callable[[], str | None] = lambda: None,
        actions: str = "pull",
    ) -> None:
        self._http, self._ca, self._basic, self._token = http, ca, basic, token
        self._actions = actions
        self._issued: dict[str, str] = {}  # repository -> the header that the registry took

    def headers(self, repository: str) -> dict[str, str]:
        """Those of each request about this repository."""
        headers = {"Accept": f"{MANIFEST_TYPE}, {DOCKER_TYPE}"}
        token = self._token()
        given = f"Bearer {token}" if token else self._issued.get(repository) or self._basic()
        return {**headers, "Authorization": given} if given else headers

    def renew(self, repository: str) -> None:
        """Get a new token where the registry wants one: tokens end after minutes."""
        self._issued.pop(repository, None)
        challenge = self._challenge(repository)
        if challenge is not None:
            self._issued[repository] = f"Bearer {self._fetch_token(challenge, repository)}"

    def _challenge(self, repository: str) -> Mapping[str, str] | None:
        """What the registry wants first, or None where it takes what we have."""
        headers = self.headers(repository)
        with self._http.get(f"{self._http.base}/v2/", headers, (401,)) as answer:
            asked = answer.getheader("WWW-Authenticate") or ""
            if answer.status != 401:
                return None
        kind, _, rest = asked.partition(" ")
        return dict(_CHALLENGE.findall(rest)) if kind.lower() == "bearer" else None

    def _fetch_token(self, challenge: Mapping[str, str], repository: str) -> str:
        where, realm = self._http.base, challenge.get("realm", "")
        if where.startswith("https://") and urlsplit(realm).scheme != "https":
            raise SourceAway(f"{where} sends for a token to an address without TLS.")
        query = {"scope": f"repository:{repository}:{self._actions}"}
        if service := challenge.get("service"):
            query["service"] = service
        content = Http(realm, self._ca, self._basic).text(f"{realm}?{urlencode(query)}")
        answer = json_object(content, "the answer with the token")
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise SourceAway(f"{where} gives no token.", hint="Correct user and password_file.")
        return token
