"""Files that people provide: read whole, or refused in one sentence with the line.

`file` reads bytes and text from a path, whatever lies there; `text` reads YAML as plain values;
`watch` tells when a file or a folder changes; `durable` writes files of the daemon's own.
Settings, desired states, manifests of bundles, keys, passwords and payloads are read here.
"""

from edge_daemon.documents.file import (
    MALFORMED,
    DocumentError,
    decode,
    read_bytes,
    read_start,
    read_text,
)
from edge_daemon.documents.text import Document, KeyPath, Limits, dotted, dump, parse

__all__ = [
    "MALFORMED",
    "Document",
    "DocumentError",
    "KeyPath",
    "Limits",
    "decode",
    "dotted",
    "dump",
    "parse",
    "read_bytes",
    "read_start",
    "read_text",
]
