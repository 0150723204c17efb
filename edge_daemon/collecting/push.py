"""Sends every collected picture to another place, until all of them are there.

What is still to be sent is what has no `.sent` beside it, so that a restart or an outage loses none
of it; the quota of the folder bounds it. A place that hangs costs this thread only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge_daemon.collecting.catalogue import Catalogue, Collected
from edge_daemon.collecting.files import SENT
from edge_daemon.collecting.places import Target
from edge_daemon.errors import BoxError, EdgeDaemonError
from edge_daemon.host.blame import MOST_TRIES, Blame
from edge_daemon.host.box import yield_to_judging
from edge_daemon.host.error_boundary import ErrorBoundary

_log = structlog.get_logger(__name__)

SETTLE_S = 10.0
"""A part is told within this of its picture, mostly: its record is sent whole."""
_LOOK_S = 5.0
_AGAIN_AT_MOST_S = 300.0


@dataclass(frozen=True)
class Pushed:
    """One round: pictures that were sent, refused, and still wait; why not all are there, and what
    to do about it."""

    sent: int = 0
    refused: int = 0
    waiting: int = 0
    fault: str = ""
    hint: str = ""


class Push:
    """Sends from `folder` to `target`.

    Args:
        utc: POSIX seconds of now.
    """

    def __init__(self, folder: Path, target: Target, utc: Callable[[], float]) -> None:
        self._catalogue, self._target = Catalogue(folder), target
        self._utc = utc
        self._stopping = threading.Event()
        self._blame = Blame()
        self._failures = 0  # rounds in a row
        self._unnoted: Path | None = None  # it was sent, and nothing on the disk says so yet
        self.last = Pushed()
        """The round before; any thread."""
        self.sent = 0
        """Since the start; any thread."""
        self._boundary = ErrorBoundary(_log, "collect_push_failed")
        self._thread = threading.Thread(target=self._run, name="collect-push", daemon=True)

    def start(self) -> None:
        """Send whatever comes, until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """What is not sent yet waits for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def problems(self) -> tuple[str, ...]:
        """A sentence where pictures are not where they should be; any thread."""
        last = self.last
        if not last.fault:
            return ()
        return (f"pictures for training are not sent ({last.waiting} wait): {last.fault}",)

    @property
    def wait_s(self) -> float:
        """Until the next round: longer after each that failed."""
        return min(_AGAIN_AT_MOST_S, _LOOK_S * 2.0 ** min(self._failures, 16))

    def _run(self) -> None:
        yield_to_judging()
        while not self._stopping.wait(self.wait_s):
            before = self._failures
            with self._boundary.turn():
                _log_round(self.send_all(), before)
        self._target.close()

    def waiting(self) -> list[Collected]:
        """Pictures that were not sent yet, those last that were refused before."""
        now = self._utc()
        found = [
            each
            for each in self._catalogue.without(SENT)
            if each.path != self._unnoted
            and not self._blame.is_given_up(each.record.name)
            and not now - SETTLE_S < each.record.utc <= now
        ]
        return sorted(found, key=lambda each: self._blame.tries.get(each.record.name, 0))

    def send_all(self) -> Pushed:
        """Everything that has settled; a failure is told once, and tried again later."""
        pictures = self.waiting()
        sent = refused = 0
        fault = hint = ""
        self._blame.begin()
        try:
            self._note(self._unnoted)
            if pictures:
                self._target.open()
            for each in pictures:
                if self._stopping.is_set():
                    break
                try:
                    self._target.send(each)
                except FileNotFoundError:
                    continue  # it has gone meanwhile
                except (OSError, EdgeDaemonError) as error:
                    (fault, hint), refused = _words(error), refused + 1
                    if self._blame.refused(each.record.name):
                        break
                    continue
                sent += 1
                self._note_sent(each)
        except (OSError, EdgeDaemonError) as error:  # the place cannot be reached, or no note kept
            fault, hint = _words(error)
        if fault:
            self._target.close()
        return self._ended(Pushed(sent, refused, len(pictures) - sent, fault, hint))

    def _note_sent(self, picture: Collected) -> None:
        self.sent += 1
        for name in self._blame.taken(picture.record.name):
            _log.error("collect_push_given_up", picture=name, tries=MOST_TRIES)
        self._note(picture.path)

    def _note(self, picture: Path | None) -> None:
        """So that it is not sent twice; where that fails, nothing else is sent. Raises BoxError."""
        self._unnoted = picture
        if picture is None:
            return
        try:
            with suppress(FileNotFoundError):
                picture.with_suffix(SENT).touch()
        except OSError as error:
            raise BoxError(
                f"what was sent cannot be noted in collect.folder: {error.strerror}",
                hint="Is room on its disk, and may this user write there?",
            ) from error
        self._unnoted = None

    def _ended(self, pushed: Pushed) -> Pushed:
        self._failures = self._failures + 1 if pushed.fault else 0
        self.last = pushed
        return pushed


def _log_round(pushed: Pushed, failures: int) -> None:
    """Only where it fails for the first time, or again does not."""
    if pushed.fault and not failures:
        _log.error("collect_push_failing", error=pushed.fault, waiting=pushed.waiting)
    elif not pushed.fault and failures:
        _log.info("collect_push_resumed")


def _words(error: OSError | EdgeDaemonError) -> tuple[str, str]:
    """Why, in words that may leave the box, and what to do."""
    if isinstance(error, EdgeDaemonError):
        return error.message.rstrip("."), error.hint
    why = error.strerror or type(error).__name__
    return why, "Is it mounted, is room there, and may this user write?"
