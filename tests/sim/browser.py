"""A headless Chromium that looks at a page, presses what is on it and takes its picture.

Spoken to over two pipes with the DevTools protocol (one JSON object, ended by a zero byte), so no
driver and no port are needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--mute-audio",
    "--remote-debugging-pipe",
)
_GENEROUS_S = 60.0
_FAINT = """(() => {
  const channel = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const colour = (words) => (words.match(/[\\d.]+/g) || []).map(Number);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const found = colour(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] > .95) return found;
    }
    return [255, 255, 255];
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const seen = [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && own(e));
  return seen.map((e) => {
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [low, high] = [light(colour(style.color)), light(ground(e))].sort((a, b) => a - b);
    const least = size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (high + .05) / (low + .05);
    return ratio < least ? `${ratio.toFixed(2)}: ${e.innerText.slice(0, 40)}` : "";
  }).filter(Boolean);
})()"""


def program() -> str | None:
    """The browser of this machine, if it has one."""
    return next((found for each in _PROGRAMS if (found := shutil.which(each))), None)


class Browser:
    """One window; `with Browser() as browser: browser.open(url)`."""

    def __init__(self, width: int = 1180, height: int = 820, *, dark: bool = False) -> None:
        found = program()
        if found is None:
            raise RuntimeError("These tests need a browser: apt-get install chromium.")
        self._profile = tempfile.mkdtemp(prefix="edge-daemon-browser-")
        commands_r, self._commands = os.pipe()
        self._answers, answers_w = os.pipe()
        # The protocol is fixed to descriptors 3 and 4.
        shell = f'exec "$0" "$@" 3<&{commands_r} 4>&{answers_w}'
        arguments = [found, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, *arguments],
            pass_fds=(commands_r, answers_w),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_r)
        os.close(answers_w)
        self._read = bytearray()
        self._number = 0
        self._session = ""
        self.errors: list[str] = []  # what the page's console complained of
        try:
            self._attach(width, height, dark)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for descriptor in (self._commands, self._answers):
            os.close(descriptor)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _attach(self, width: int, height: int, dark: bool) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self.resize(width, height)
        self.dark(dark)

    # ------------------------------------------------------------------ what a person does

    def resize(self, width: int, height: int) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def dark(self, on: bool) -> None:
        value = "dark" if on else "light"
        features = [{"name": "prefers-color-scheme", "value": value}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        result = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"])
        return result["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a person reads there; empty where nothing is shown."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def press(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def wait(self, script: str) -> None:
        """Until the expression is true in the page; fails after a generous time."""
        deadline = time.monotonic() + _GENEROUS_S
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"never: {script}; the page says\n{self.text()}"
            select.select([], [], [], 0.05)

    def wait_text(self, words: str, selector: str = "body") -> None:
        """Until these words stand there."""
        place = f"(document.querySelector({json.dumps(selector)})?.innerText ?? '')"
        self.wait(f"{place}.toLowerCase().includes({json.dumps(words.lower())})")

    def faint(self) -> list[str]:
        """Texts with less contrast to their ground than WCAG 2.2 AA wants, with the ratio."""
        return list(self.run(_FAINT))

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    # ------------------------------------------------------------------ the protocol

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _GENEROUS_S
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._answers], [], [], max(0.0, left))
            read = os.read(self._answers, 1 << 20) if ready else b""
            if not read:
                raise RuntimeError("The browser does not answer.")
            self._read += read
        line, _, rest = bytes(self._read).partition(b"\0")
        self._read = bytearray(rest)
        return dict(json.loads(line))
