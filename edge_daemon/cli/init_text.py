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


_TEXT = """\
# One camera station, begun with `edge-daemon init`.
# `edge-daemon config validate FILE` checks it, `edge-daemon config schema` explains
# every key. Relative paths mean: beside this file. What is not here has its default.

device: {device}\tthe topics of this station begin with edge/ and it

camera:
  source: {camera}\tRTSP or HTTP URL, /dev/videoN, a file, conveyor:
{picture}
mqtt:
  host: {host}
  port: {port}
  # username: station\twhere the broker asks for one, with
  # password_file: FILE\ta file that holds the password and nothing else
  # tls: {{}}\tfor a TLS listener, usually at port 8883

models:
  store: {store}\t<store>/<name>/<version>/model.yaml
  trust:
{trust}{initial}
slots:
  device: cpu\tcuda:0 on a box with a GPU

{links}

{parts}

results:
  publish: all\teach frame; ng: rejected and uninspected ones; none
  # ng_images: {{folder: ng, quota_mb: 512}}    # keeps pictures of rejected parts

http:
  listen: {http}\tstatus page, metrics and health

state_dir: {state}\twhat must survive a power cut
"""
"""What follows a tab is a comment. A value has none: `scalar` writes it as an escape."""


def settings_text(answers: Answers) -> str:
    """The whole file, for people and for the daemon."""
    host, port = split_broker(answers.broker)
    texts = {key: scalar(value) for key, value in vars(answers).items() if isinstance(value, str)}
    initial = f"  initial: {texts['model']}\tjudges on the very first start\n"
    parts = {
        "host": scalar(host),
        "port": port,
        "picture": _picture(answers),
        "trust": _trust(answers),
        "initial": initial if answers.model else "",
        "links": _links(answers),
        "parts": _parts(answers),
    }
    lines = (line.partition("\t") for line in _TEXT.format(**texts | parts).split("\n"))
    return "\n".join(
        f"{line:<{_COMMENT_AT - 1}} # {said}" if said else line for line, _, said in lines
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


def _picture(answers: Answers) -> str:
    size = f"  size: {list(answers.size or ())}\t`edge-daemon camera show` lists all it offers\n"
    format_ = f"  format: {scalar(answers.format)}\n"
    return (size if answers.size else "") + (format_ if answers.format else "")


def _trust(answers: Answers) -> str:
    if not answers.key:
        return "    required: false\tunsigned bundles are accepted: never on a line\n"
    return (
        f"    public_keys: [{scalar(answers.key)}]\t"
        "who signs with their private halves is trusted\n"
        "    required: true\tunsigned bundles are refused\n"
    )


def _links(answers: Answers) -> str:
    if not answers.product:
        return "links: {}\t{BTL-500: bottle}: product of a work order"
    name = answers.model.partition("@")[0]
    link = f"{scalar(answers.product)}: {scalar(name)}"
    return f"links:\n  {link}\tproduct of a work order: the model that judges it"


def _parts(answers: Answers) -> str:
    if answers.parts == "none":
        return "parts: null\tonly frames are told"
    parts = f"parts:\n  by: {scalar(answers.parts)}\tframe | trigger | track: what makes a part"
    if answers.parts == "trigger":
        window = "frames captured so long after a trigger show its part"
        parts += f"\n  window_ms: [0, 200]\t{window}"
    return parts


def scalar(text: str) -> str:
    """The text as YAML reads it back: plain where that is the same text, else in quotes."""
    if _PLAIN.fullmatch(text) and not text.endswith(":"):
        document = config.parse(f"key: {text}\n").value
        if document == {"key": text}:
            return text
    return json.dumps(text, ensure_ascii=False)
