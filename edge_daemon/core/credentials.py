"""Takes passwords and tokens out of text that people or other programs will read."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# Every pattern takes a time that grows with the text, and no faster: the text may be a stranger's.
_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,31}://)(?P<rest>[^\s\"]+)")
_WORD = (
    r"password|passwd|passphrase|pwd|pass|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
)
_VALUE = r"\\\"(?:[^\\\"]|\\\\.)*\\\"|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s&;,\"'}\\]+"
_ASSIGNED = re.compile(
    rf"(?P<word>{_WORD})(?P<sign>\\?[\"']?\s*[=:]\s*)(?P<value>{_VALUE})",
    re.IGNORECASE,
)
# These say what they hold in a URL or a form, and something else in a sentence.
_IN_QUERY = re.compile(
    r"(?P<word>\b(?:psw|pswd|pw|pas|loginpas|auth|sig|sid|session(?:_?id)?))(?P<sign>=)"
    rf"(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?P<how>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_DIGEST = re.compile(rf"\b(?P<how>Digest)\s+(?:\w+=(?:{_VALUE})[,\s]*)+", re.IGNORECASE)
_PEM = re.compile(
    r"-----BEGIN (?P<what>[^-\n]+)-----"
    r"(?:(?:(?!-----BEGIN).){0,16384}?-----END (?P=what)-----|[A-Za-z0-9+/=\s\\]*)",
    re.DOTALL,
)
_SECRET_KEY = re.compile(rf"(?:{_WORD}|authorization|credentials)$", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without anything that looks like a secret.

    That is user:password in URLs, `password=…`, `token: …`, Bearer, Basic and Digest values, PEM
    blocks.
    """
    text = _PEM.sub(rf"{HIDDEN} \g<what> {HIDDEN}", text)
    text = _URL.sub(_without_user, text)
    text = _BEARER.sub(rf"\g<how> {HIDDEN}", text)
    text = _DIGEST.sub(rf"\g<how> {HIDDEN}", text)
    return _IN_QUERY.sub(_hidden_value, _ASSIGNED.sub(_hidden_value, text))


def is_secret_key(key: str) -> bool:
    """Whether a field of this name holds a secret itself; `password_file` does not."""
    return _SECRET_KEY.search(key) is not None


def public_source(source: str) -> str:
    """What may be shown of a camera's source: scheme, host and path of a URL, a device, a file.

    Nothing is shown that may be part of a password. If one contains `/`, `?` or `#`, it may be
    where other URLs have their path: then only the scheme is shown.
    """
    scheme, colon, rest = source.partition("://")
    if not colon:
        return HIDDEN if "@" in source else redact(source)
    authority, _, path = re.split(r"([/?#])", f"{rest}/", maxsplit=1)
    if "@" in path or not scheme.isalnum():
        return f"{scheme if scheme.isalnum() else HIDDEN}://{HIDDEN}"
    host = authority.rpartition("@")[2]
    if not re.fullmatch(r"[\w.-]+(?::\d+)?|\[[0-9a-fA-F:.%\w]+\](?::\d+)?", host):
        return f"{scheme}://{HIDDEN}"
    if rest[len(authority) :][:1] != "/":
        return f"{scheme}://{host}"
    levels = re.split(r"[?#;]", rest[len(authority) + 1 :], maxsplit=1)[0].split("/")
    # Some cameras take user and password as `user=…&password=…` in the path.
    shown = (HIDDEN if re.search(r"[=&?#;]", unquote(level)) else level for level in levels)
    return f"{scheme}://{host}/{'/'.join(shown)}"


def _without_user(url: re.Match[str]) -> str:
    scheme, rest = url["scheme"], url["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    after = rest[len(authority) :]
    if "@" in after:
        return f"{scheme}{HIDDEN}"  # a password may have any of these signs in it
    if "@" not in authority:
        return url[0]
    return f"{scheme}{HIDDEN}@{authority.rpartition('@')[2]}{after}"


def _hidden_value(found: re.Match[str]) -> str:
    quote = re.match(r"\\?[\"']?", found["value"])
    mark = quote[0] if quote else ""
    return f"{found['word']}{found['sign']}{mark}{HIDDEN}{mark}"
