"""Takes passwords and tokens out of text that people or other programs will read."""

from __future__ import annotations

import re

HIDDEN = "***"

_IN_URL = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<who>[^\s/?#\"']*)@")
_WORD = (
    r"password|passwd|passphrase|pwd|pass|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
)
_ASSIGNED = re.compile(
    rf"(?P<word>\b[\w-]*(?:{_WORD}))(?P<sign>[\"']?\s*[=:]\s*[\"']?)(?P<value>[^\s&;,\"'}}]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?P<how>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_SECRET_KEY = re.compile(rf"(?:{_WORD}|authorization|credentials)$", re.IGNORECASE)


def redact(text: str) -> str:
    """The same text without user:password in URLs, `password=…`, `token: …` and Bearer values."""
    text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _BEARER.sub(rf"\g<how> {HIDDEN}", text)
    return _ASSIGNED.sub(rf"\g<word>\g<sign>{HIDDEN}", text)


def is_secret_key(key: str) -> bool:
    """Whether a field of this name holds a secret itself; `password_file` does not."""
    return _SECRET_KEY.search(key) is not None
