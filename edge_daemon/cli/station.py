"""How commands reach a running daemon: through its broker, or through its control socket.

Without `--local` the broker is tried first. If it does not answer, or the daemon has lost it, the
control socket is used, which works on the station itself only. The socket comes first where the
settings hold the daemon's own certificate.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_daemon.cli.exits import NotReachable
from edge_daemon.cli.output import tell
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError, BrokerError, Code, EdgeDaemonError, SenderError
from edge_daemon.host import unix_socket
from edge_daemon.messaging import payloads
from edge_daemon.messaging.client import Client, NoBrokerError, UnansweredError
from edge_daemon.messaging.local_client import LocalSocketError, ask

RUN = Path("/run/edge-daemon")
SOCKET = "control.sock"
INQUIRY_S = 10.0

PARTS = ("status", "info", "health", "camera/status", "model/state", "model/available")
"""The retained topics, below the root."""

_Message = TypeVar("_Message", bound=msgspec.Struct)


@dataclass(frozen=True)
class RetainedStatus:
    """Everything the daemon has published, by topic below the root, and how it was read."""

    via: str
    parts: Mapping[str, Any]

    @property
    def is_online(self) -> bool:
        """Whether the daemon runs now; retained messages outlive it."""
        return self.via == "socket" or (self.status is not None and self.status.state == "online")

    @property
    def status(self) -> payloads.StatusMessage | None:
        return self._read("status", payloads.StatusMessage)

    @property
    def info(self) -> payloads.Info | None:
        return self._read("info", payloads.Info)

    @property
    def health(self) -> payloads.Health | None:
        return self._read("health", payloads.Health)

    @property
    def camera(self) -> payloads.CameraStatus | None:
        return self._read("camera/status", payloads.CameraStatus)

    @property
    def model(self) -> payloads.ModelState:
        return self._read("model/state", payloads.ModelState) or payloads.ModelState()

    @property
    def active(self) -> str | None:
        """The model that judges frames."""
        active = self.model.active
        return active.model if active is not None else None

    @property
    def quarantined(self) -> dict[str, str]:
        """Versions of the store that may not become active, each with the reason."""
        available = self._read("model/available", payloads.ModelAvailable)
        lines = available.models if available is not None else ()
        return {line.model: line.quarantined for line in lines if line.quarantined}

    def _read(self, topic: str, kind: type[_Message]) -> _Message | None:
        """None where nothing was said, or nothing that a daemon of ours says."""
        try:
            return msgspec.convert(self.parts.get(topic), kind)
        except msgspec.ValidationError:
            return None


class Station:
    """One device of the settings; nothing is connected before it is needed."""

    def __init__(self, settings: Settings, *, local: bool = False) -> None:
        self.settings = settings
        self.is_local = local or self._has_certificate_of_daemon()

    def retained(self) -> RetainedStatus:
        """Everything that is retained, or what the control socket says.

        Raises NotReachable when neither way leads to words of a daemon, old or new.
        """
        if self.is_local:
            return self._retained_locally()
        try:
            with Client.of(self.settings) as client:
                seen = read_retained(client)
        except BrokerError as error:
            if self.socket() is None:
                raise NotReachable(error.message, hint=elsewhere(error).hint) from error
            return self._retained_locally()
        if seen.is_online or self.socket() is None:
            if not seen.parts:
                raise NotReachable(
                    f"Nothing was ever published below {self.settings.root}.",
                    hint="Is it running, and on this broker? Compare mqtt.host and mqtt.root.",
                )
            return seen
        try:
            return self._retained_locally()
        except NotReachable:
            return seen

    def online(self) -> RetainedStatus | None:
        """The same of a daemon that runs now; None where none does."""
        with suppress(NotReachable):
            seen = self.retained()
            return seen if seen.is_online else None
        return None

    def seen(self) -> RetainedStatus | None:
        """The same, or None where it cannot be had, whatever the reason."""
        with suppress(EdgeDaemonError):
            return self.retained()
        return None

    def request(
        self, verb: str, body: Mapping[str, Any], timeout_s: float
    ) -> Iterator[dict[str, Any]]:
        """Send a request and yield the answers up to the outcome.

        Raises NotReachable; UnfinishedError if there is no outcome in time.
        """
        body = {"id": uuid.uuid4().hex, **body}  # the same request, whichever way it is heard
        if not self.is_local:
            try:
                with Client.of(self.settings) as client:
                    _refuse_absent(read_retained(client, ("status",)), self.settings.root)
                    yield from client.request(verb, body, timeout_s)
                    return
            except BrokerError as error:  # also where it took the request and nobody answered
                if self.socket() is None:
                    raise elsewhere(error) from error
                tell(f"{error.message} Asking through the control socket.", err=True)
        yield from self._ask_locally(verb, body, timeout_s)

    def inquire(
        self, verb: str, body: Mapping[str, Any], timeout_s: float = INQUIRY_S
    ) -> dict[str, Any]:
        """Ask what only the control socket answers; raises NotReachable, or the answer's error."""
        answer = list(self._ask_locally(verb, body, timeout_s))[-1]
        if isinstance(answer.get("error"), dict):
            raise _told_error(answer["error"], blames_box=answer.get("status") == "failed")
        return answer

    def socket(self) -> Path | None:
        """The control socket's file; None where nobody listens at one on this machine."""
        return next((path for path in _socket_places(self.settings) if _is_served(path)), None)

    # ------------------------------------------------------------------ parts

    def _has_certificate_of_daemon(self) -> bool:
        """Whether the settings lead to a daemon here, and to its broker by its own certificate.

        A broker that binds client ids to certificates would end the daemon's session for ours.
        """
        tls = self.settings.mqtt.tls
        if tls is None or tls.certificate is None:
            return False
        path = self.socket()
        return path is not None and os.access(path, os.W_OK)

    def _retained_locally(self) -> RetainedStatus:
        return RetainedStatus("socket", self.inquire("status", {}))

    def _ask_locally(
        self, verb: str, body: Mapping[str, Any], timeout_s: float
    ) -> Iterator[dict[str, Any]]:
        path = self.socket()
        if path is None:
            places = ", ".join(str(place) for place in _socket_places(self.settings))
            raise NotReachable(
                f"No daemon for {self.settings.device} runs on this machine.",
                hint=f"Looked for {places}. Start it: systemctl start "
                f"edge-daemon@{self.settings.device}",
            )
        try:
            yield from ask(path, verb, dict(body), timeout_s=timeout_s)
        except LocalSocketError as error:
            raise NotReachable(error.message, hint=error.hint) from error


def elsewhere(error: BrokerError) -> BrokerError:
    """The same error; where no broker answers, with the way that commands have without one."""
    if not isinstance(error, NoBrokerError):
        return error
    return NoBrokerError(
        error.message, hint=f"{error.hint} On the station itself this command needs no broker."
    )


def read_retained(client: Client, parts: tuple[str, ...] = PARTS) -> RetainedStatus:
    """What is retained below the client's root."""
    below = len(client.topics.root) + 1
    topics = [f"{client.topics.root}/{part}" for part in parts]
    found: dict[str, Any] = {}
    for topic, payload in client.retained(topics).items():
        with suppress(ValueError, RecursionError):  # not from a daemon of ours
            found[topic[below:]] = json.loads(payload)
    return RetainedStatus("mqtt", found)


def _told_error(error: Mapping[str, Any], *, blames_box: bool = False) -> BoxError | SenderError:
    """An error as the daemon reported it."""
    kind = BoxError if blames_box else SenderError
    known = {code.value: code for code in Code}
    return kind(
        str(error.get("message", "The daemon refused.")),
        hint=str(error.get("hint", "")),
        code=known.get(str(error.get("code"))),
    )


def _refuse_absent(seen: RetainedStatus, root: str) -> None:
    """A broker would keep the request for an absent daemon, and deliver it at some later time."""
    status = seen.status
    if seen.is_online:
        return
    said = f"is {status.state}" if status is not None else "has never been there"
    raise UnansweredError(
        f"The daemon below {root} {said}.",
        hint="Start it, or compare mqtt.host and mqtt.root with its settings.",
    )


def _socket_places(settings: Settings) -> list[Path]:
    """Where `run` may have put it: systemd's runtime folder, else the state's."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    places = [Path(given)] if given else []
    return [folder / SOCKET for folder in (*places, RUN / settings.device, settings.state_folder)]


def _is_served(path: Path) -> bool:
    """Whether somebody listens there; a daemon that was killed leaves its file behind."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            unix_socket.connect(probe, path)
    except PermissionError:
        return True  # not for us, and the sentence about it comes with the question
    except OSError:
        return False
    return True
