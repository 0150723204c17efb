"""The settings file that `edge-daemon init` writes: the answers, with comments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from edge_daemon import config

_PLAIN = re.compile(r"[A-Za-z0-9/_.][\w./:@?=&%+-]*")
_COMMENT_AT = 32


@dataclass(frozen=True)
class Answers:
    """What a station needs to know, as it is typed; "" is not answered, or none.

    Args:
        broker: host or host:port.
        key: the public key as the file names it; "": unsigned bundles are accepted.
        model: `name@version`, or `name` for its newest.
        size: what a device's camera is opened at; None: nothing is asked of it.
        format: four letters, with a size.
    """

    device: str = "camera"
    camera: str = "conveyor:"
    broker: str = "127.0.0.1:1883"
    store: str = "/var/lib/edge-daemon/models"
    key: str = ""
    model: str = ""
    product: str = ""
    parts: str = "frame"
    http: str = "127.0.0.1:9464"
    state: str = "/var/lib/edge-daemon"
    size: tuple[int, int] | None = None
    format: str = ""

    def with_one(self, name: str, text: str) -> Answers:
        """The same with another answer to this question."""
        changed: dict[str, Any] = {name: text}
        return replace(self, **changed)

    def answer(self, name: str) -> str:
        """What was answered to this question."""
        return str(getattr(self, name))


def settings_text(answers: Answers) -> str:
    """The whole file, for people and for the daemon."""
    host, port = split_broker(answers.broker)
    return "\n".join(
        [
            "# One camera station, begun with `edge-daemon init`.",
            "# `edge-daemon config validate FILE` checks it, `edge-daemon config schema` explains",
            "# every key. Relative paths mean: beside this file. What is not here has its default.",
            "",
            _line("device", answers.device, "the topics of this station begin with edge/ and it"),
            "",
            *_camera(answers),
            "",
            "mqtt:",
            _line("  host", host),
            f"  port: {port}",
            "  # username: station         # where the broker asks for one, with",
            "  # password_file: FILE       # a file that holds the password and nothing else",
            "  # tls: {}                   # for a TLS listener, usually at port 8883",
            "",
            *_models(answers),
            "",
            "slots:",
            _line("  device", "cpu", "cuda:0 on a box with a GPU"),
            "",
            *_links(answers),
            "",
            *_parts(answers),
            "",
            "results:",
            _line("  publish", "all", "each frame; ng: rejected and uninspected ones; none"),
            "  # ng_images: {folder: ng, quota_mb: 512}    # keeps pictures of rejected parts",
            "",
            "http:",
            _line("  listen", answers.http, "status page, metrics and health"),
            "",
            _line("state_dir", answers.state, "what must survive a power cut"),
            "",
        ]
    )


def split_broker(text: str) -> tuple[str, int]:
    """Host and port; raises ValueError with a sentence's end where there is no such port."""
    if "://" in text:
        raise ValueError("should be HOST or HOST:PORT, without a scheme such as mqtt://")
    try:
        parts = urlsplit(f"//{text}")
        port = 1883 if parts.port is None else parts.port
    except ValueError:
        raise ValueError("should be HOST or HOST:PORT, with a port from 1 to 65535") from None
    host = text.rpartition(":")[0] if parts.port is not None else text
    return host.strip("[]"), port


def _camera(answers: Answers) -> list[str]:
    lines = [
        "camera:",
        _line("  source", answers.camera, "RTSP or HTTP URL, /dev/videoN, a file, conveyor:"),
    ]
    if answers.size is not None:
        size = f"[{answers.size[0]}, {answers.size[1]}]"
        lines.append(_comment(f"  size: {size}", "`edge-daemon camera show` lists all it offers"))
    if answers.format:
        lines.append(_line("  format", answers.format))
    return lines


def _models(answers: Answers) -> list[str]:
    lines = [
        "models:",
        _line("  store", answers.store, "<store>/<name>/<version>/model.yaml"),
        "  trust:",
    ]
    if answers.key:
        keys = f"[{scalar(answers.key)}]"
        lines.append(
            _comment(f"    public_keys: {keys}", "who signs with their private halves is trusted")
        )
        lines.append(_comment("    required: true", "unsigned bundles are refused"))
    else:
        lines.append(
            _comment("    required: false", "unsigned bundles are accepted: never on a line")
        )
    if answers.model:
        lines.append(_line("  initial", answers.model, "judges on the very first start"))
    return lines


def _links(answers: Answers) -> list[str]:
    if not answers.product:
        return ["links: {}                       # {BTL-500: bottle}: product of a work order"]
    name = answers.model.partition("@")[0]
    line = f"  {scalar(answers.product)}: {scalar(name)}"
    return ["links:", _comment(line, "product of a work order: the model that judges it")]


def _parts(answers: Answers) -> list[str]:
    if answers.parts == "none":
        return ["parts: null                     # only frames are told"]
    lines = ["parts:", _line("  by", answers.parts, "frame | trigger | track: what makes a part")]
    if answers.parts == "trigger":
        window = "  window_ms: [0, 200]"
        lines.append(_comment(window, "frames captured so long after a trigger show its part"))
    return lines


def _line(key: str, value: str, comment: str = "") -> str:
    line = f"{key}: {scalar(value)}"
    return _comment(line, comment) if comment else line


def _comment(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_AT - 1}} # {comment}"


def scalar(text: str) -> str:
    """The text as YAML reads it back: plain where that is the same text, else in quotes."""
    if _PLAIN.fullmatch(text) and not text.endswith(":"):
        document = config.parse(f"key: {text}\n").value
        if document == {"key": text}:
            return text
    return json.dumps(text, ensure_ascii=False)
