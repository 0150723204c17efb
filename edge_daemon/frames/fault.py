"""What can be wrong with a camera, in words that a technician can act on.

A video library says only "not opened". `diagnose` then asks the network and the device file for the
cause, with a short time limit of its own, and never shows the credentials.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from urllib.parse import urlsplit

from edge_daemon.core.credentials import public_source, redact
from edge_daemon.errors import CameraError

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TLS = frozenset({"rtsps", "https"})
_PATIENCE_S = 2.0


class SourceError(CameraError):
    """A camera error whose cause is known; message and hint have no credentials in them."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(redact(message), hint=redact(hint))


def diagnose(source: str) -> SourceError:
    """Why `source` (URL, device or file) could not be opened. Takes two seconds at most, or so."""
    scheme = urlsplit(source).scheme.lower()
    if "://" in source and scheme in _PORTS:
        return _diagnose_url(source)
    return _diagnose_path(source)


def _diagnose_path(path: str) -> SourceError:
    device = path.startswith("/dev/")
    if not os.path.exists(path):
        hint = "Is the camera plugged in? `ls /dev/video*` shows what is." if device else ""
        return SourceError(
            f"There is no {'device' if device else 'file'} {path}.",
            hint=hint or "Check camera.source.",
        )
    if not os.access(path, os.R_OK):
        group = "Add the daemon's user to the group `video`." if device else "Check its owner."
        return SourceError(f"{path} may not be read.", hint=group)
    if device and stat.S_ISCHR(os.stat(path).st_mode):
        return SourceError(
            f"{path} is there but gives no video.",
            hint=f"Does another program use it (`fuser {path}`)? Is it the capture node?",
        )
    return SourceError(f"{path} is no video that can be decoded.", hint="Try `ffprobe` on it.")


def _diagnose_url(url: str) -> SourceError:
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    try:
        port = parts.port or _PORTS[scheme]
    except ValueError:
        return SourceError(f"{public_source(url)} has no valid port.", hint="Check camera.source.")
    where = f"{host}:{port}"
    deadline = time.monotonic() + _PATIENCE_S
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE_S) as line:
            if scheme in _TLS:
                return _unplayable(url)
            line.settimeout(max(0.1, deadline - time.monotonic()))
            line.sendall(_question(scheme, url))
            answer = line.recv(64).decode("latin-1")
    except socket.gaierror:
        return SourceError(f"No host is known as {host}.", hint="Check camera.source and DNS.")
    except TimeoutError:
        return SourceError(f"{where} does not answer.", hint="Is the camera on, and the cable in?")
    except OSError as error:
        return SourceError(
            f"{where} refused the connection: {error.strerror or error}.",
            hint="Is the camera's video server on, and the port right?",
        )
    return _judge_answer(url, answer)


def _question(scheme: str, url: str) -> bytes:
    """The mildest request that an honest server answers with a status line; no credentials."""
    parts = urlsplit(url)
    place = (parts.netloc.rpartition("@")[2], parts.path or "/")
    path = place[1] + (f"?{parts.query}" if parts.query else "")
    if scheme == "rtsp":
        ask = f"DESCRIBE rtsp://{place[0]}{path} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp"
    else:
        ask = f"GET {path} HTTP/1.1\r\nHost: {place[0]}\r\nConnection: close"
    return f"{ask}\r\n\r\n".encode("latin-1", "replace")


def _judge_answer(url: str, answer: str) -> SourceError:
    words = answer.split()
    status = words[1] if len(words) > 1 and words[0].startswith(("RTSP/", "HTTP/")) else ""
    if status in {"401", "403"}:
        given = "@" in urlsplit(url).netloc
        return SourceError(
            f"The camera at {public_source(url)} "
            + ("did not accept user and password." if given else "wants a user and a password."),
            hint="Put them in camera.source as rtsp://user:password@host/…",
        )
    if status in {"404", "454"}:
        return SourceError(
            f"The camera is there but knows no stream {urlsplit(url).path or '/'}.",
            hint="The path of the stream is in the camera's manual.",
        )
    if not status:
        return SourceError(
            f"What answers at {public_source(url)} is not a video server.",
            hint="Check host and port in camera.source.",
        )
    return _unplayable(url)


def _unplayable(url: str) -> SourceError:
    return SourceError(
        f"{public_source(url)} answers, but gives no video that can be decoded.",
        hint="Try `ffprobe` on it; H.264 and MJPEG always work.",
    )
