"""The courier as the daemon sees it: started, told what is wanted, and started again when it dies.

Nothing of the line waits for it, and nothing of the line ends with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from edge_daemon.courier import wire
from edge_daemon.courier.site import MOST, Neighbour
from edge_daemon.courier.staging import Wanted
from edge_daemon.host import interpreter
from edge_daemon.host.error_boundary import ErrorBoundary

_log = structlog.get_logger(__name__)

FIRST_S, LONGEST_S = 1.0, 60.0
STEADY_S = 60.0
"""A courier that lived so long is started again at once."""
UNREAD_S = 30.0
"""A courier that has left no room for a message for so long is ended."""
_GIVEN = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
"""Of the daemon's environment; anything else may be a secret."""


class CourierProcess:
    """Keeps one courier alive. What says something to it may be called by any thread.

    Args:
        setup: what it is told first.
        looked: hears how each look at the fleet's metadata ended.
    """

    def __init__(
        self,
        setup: wire.Setup,
        looked: Callable[[wire.RefreshResult], None] = lambda _: None,
    ) -> None:
        self._setup, self._looked = setup, looked
        self._lock = threading.Lock()
        self._end: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._want, self._site = wire.Want(), wire.Neighbours()
        self._rest = wire.PauseTransfers(False)
        self._progress = wire.Progress()
        self._before = (0, 0)
        self._unread_since: float | None = None
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "courier_broken", is_rare=True)
        self.starts = 0
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join(5.0)

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def progress(self) -> wire.Progress:
        """Its last word; bytes count since this bundle was first wanted."""
        with self._lock:
            return self._progress

    def want(self, wanted: Wanted | None) -> None:
        """Bring this one, and give it to neighbours; None: nothing."""
        want = wire.Want(wanted)
        with self._lock:
            if want == self._want:
                return
            self._want, self._before = want, (0, 0)
        self._say(want)

    def know(self, neighbours: list[Neighbour]) -> None:
        """These are the stations of the site; said each second, whether it is news or not."""
        site = wire.Neighbours(tuple(neighbours[:MOST]))
        if site != self._site or self._unread_since is not None:
            self._site = site
            self._say(site)

    def rest(self, *, is_on: bool) -> None:
        """Take and give nothing while it is on."""
        if is_on != self._rest.on:
            self._rest = wire.PauseTransfers(is_on)
            self._say(self._rest)

    def hear(self, timestamp: bytes) -> None:
        """Look at this timestamp of the fleet's metadata."""
        self._say(wire.Stamp(timestamp))

    def ask(self) -> None:
        """Look at the fleet's metadata now."""
        self._say(wire.RefreshNow())

    def _say(self, message: wire.ToCourier) -> None:
        """Never waits: where there is no room, all is said again with the next message. A courier
        that reads nothing for long is ended.
        """
        with self._lock, suppress(OSError):  # gone: it is told when it is there again
            if self._end is None or self._process is None:
                return
            is_behind = self._unread_since is not None
            try:
                for each in (self._site, self._rest, self._want) if is_behind else (message,):
                    wire.send(self._end, each, waits=False)
                self._unread_since = None
            except BlockingIOError:
                now = time.monotonic()
                self._unread_since = self._unread_since or now
                if now - self._unread_since > UNREAD_S:
                    self._process.kill()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            with self._boundary.turn():
                self._live()
            failures = 0 if time.monotonic() - began > STEADY_S else failures + 1
            if failures and not self._stopping.is_set():
                pause_s = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 10))
                _log.warning("courier_ended", why=self.progress().why, again_in_s=pause_s)
                self._stopping.wait(pause_s)

    def _live(self) -> None:
        """One process, from its start to its end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(None)
        with ours:
            process = self._begin(ours, theirs)
            self.starts += 1
            try:
                while (word := wire.receive_word(ours)) is not None:
                    if isinstance(word, wire.RefreshResult):
                        self._looked(word)
                    else:
                        self._heard(word)
            finally:
                with self._lock:
                    self._end, self._process, self._unread_since = None, None, None
                    done = self._progress
                    if self._is_wanted(done):  # else it had not begun with it
                        self._before = (done.origin, done.peers)
                process.kill()
                process.wait()

    def _begin(self, ours: socket.socket, theirs: socket.socket) -> subprocess.Popen[bytes]:
        arguments = ("--fd", str(theirs.fileno()), "--parent", str(os.getpid()))
        command = interpreter.module_command("edge_daemon.courier", *arguments)
        with theirs, self._lock:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                cwd=interpreter.FOLDER,
                env={name: os.environ[name] for name in _GIVEN if name in os.environ},
            )
            for message in (self._setup, self._site, self._rest, self._want):
                wire.send(ours, message)
            self._end, self._process = ours, process
            if self._stopping.is_set():  # `stop` found no process
                process.kill()
        return process

    def _heard(self, progress: wire.Progress) -> None:
        origin, peers = self._before
        if self._is_wanted(progress) and (origin or peers):
            more = {"origin": origin + progress.origin, "peers": peers + progress.peers}
            progress = wire.changed_progress(progress, more)
        with self._lock:
            self._progress = progress

    def _is_wanted(self, progress: wire.Progress) -> bool:
        """Whether it is about the bundle that is wanted now."""
        wanted = self._want.wanted
        return wanted is not None and progress.sha256 == wanted.sha256
