"""What people are told of a rollout by HTTP: from the journal to each address, in order.

Each address has a thread of its own, so that a slow receiver delays nobody else. A notice leaves
the journal only when its receiver has taken it: after a restart one may come twice, with the same
`id`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import structlog

from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.journal_notices import NoticeRow, NoticeTable

_log = structlog.get_logger(__name__)

FIRST_S, LONGEST_S = 1.0, 300.0
"""Between two tries: twice as long each time."""
KEEP_S = 24 * 3600.0
"""What could not be told for a day is given up: it is no news any more."""
USELESS = frozenset({400, 405, 410, 411, 413, 414, 415, 422})
"""Answers to the notice itself: the same one would be refused again."""
_IDLE_S = 60.0
_STOP_S = 2.0

Post = Callable[[bytes], int]
"""Sends one body; the status of the answer. Raises EdgeDaemonError where there is none."""


class Webhook:
    """One address. Its thread alone calls `turn`."""

    def __init__(
        self,
        url: str,
        post: Post,
        notices: NoticeTable,
        now_utc: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        """What messages name: the path of a webhook is often its secret."""
        self.trouble = ""
        """Why the last try failed; empty since one that was taken."""
        self.given_up = 0
        """Notices that were never taken, since the start."""
        self._post, self._notices = post, notices
        self._now_utc, self._now = now_utc, now
        self._failures = 0
        self._due_at = float("-inf")

    @property
    def wait_s(self) -> float:
        """Until the next try; 0 where it is due."""
        return max(0.0, self._due_at - self._now())

    def turn(self) -> bool:
        """Send the oldest notice where that is due; whether there may be more to do at once."""
        if self.wait_s:
            return False
        row = self._notices.oldest(self.url)
        if row is None:
            self.trouble = ""
            return False
        if self._now_utc() - row.utc > KEEP_S:
            self._give_up(row, self.trouble or "it is older than a day")
            return True
        why, is_useless = self._try(row)
        if is_useless:
            self._give_up(row, why)
        elif why:
            self._fail(why)
            return False
        else:
            self._notices.forget(row.seq)
            _log.info("webhook_told", host=self.host)
        self.trouble, self._failures = "", 0
        return True

    def _try(self, row: NoticeRow) -> tuple[str, bool]:
        """Why it was not taken, empty where it was; and whether it never will be."""
        try:
            status = self._post(row.body)
        except EdgeDaemonError as error:
            return str(error), False
        if 200 <= status < 300:
            return "", False
        return f"{self.host} answers {status}", status in USELESS

    def _fail(self, why: str) -> None:
        if not self.trouble:
            _log.warning("webhook_failed", host=self.host, error=why)
        self.trouble = why
        self._due_at = self._now() + min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 30))
        self._failures += 1

    def _give_up(self, row: NoticeRow, why: str) -> None:
        self._notices.forget(row.seq)
        self.given_up += 1
        _log.error("webhook_given_up", host=self.host, error=why)


class Webhooks:
    """All addresses that the settings allow.

    Args:
        posts: address -> what sends to it.
        now_utc: POSIX seconds.
    """

    def __init__(
        self, posts: Mapping[str, Post], notices: NoticeTable, now_utc: Callable[[], float]
    ) -> None:
        self._notices = notices
        self._hooks = tuple(Webhook(url, post, notices, now_utc) for url, post in posts.items())
        self._stopping = threading.Event()
        self._wakeups = {hook.url: threading.Event() for hook in self._hooks}
        self._boundary = ErrorBoundary(_log, "webhooks_failed")
        self._dropped_before = notices.dropped()
        self._dropped = 0
        self._threads = [
            threading.Thread(target=self._run, args=(hook,), name="webhook", daemon=True)
            for hook in self._hooks
        ]

    def start(self) -> None:
        """Begin to send; what waits for an address that may not be called any more is given up."""
        for url in self._notices.waiting().keys() - self._wakeups.keys():
            count = self._notices.forget_all(url)
            _log.warning("webhook_not_allowed", host=urlsplit(url).netloc, notices=count)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be something to send; from any thread, without waiting."""
        for wakeup in self._wakeups.values():
            wakeup.set()

    def stop(self) -> None:
        """End after the present tries; the rest is sent after the next start."""
        self._stopping.set()
        self.wake()
        end_at = time.monotonic() + _STOP_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end_at - time.monotonic()))

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread."""
        told = []
        for hook in self._hooks:
            if hook.trouble:
                told.append(f"{hook.host} is not told of the rollout: {hook.trouble}")
            if hook.given_up:
                told.append(f"{hook.given_up} notices of rollouts were never taken by {hook.host}")
        if self._dropped:
            told.append(f"{self._dropped} notices of rollouts were given up: too many waited")
        return tuple(told)

    def _run(self, hook: Webhook) -> None:
        wakeup = self._wakeups[hook.url]
        while not self._stopping.is_set():
            with self._boundary.turn():  # the notices are safe in the journal
                while not self._stopping.is_set() and hook.turn():
                    pass
                self._dropped = self._notices.dropped() - self._dropped_before
            if hook.wait_s:
                self._stopping.wait(hook.wait_s)
            else:
                wakeup.wait(_IDLE_S)
                wakeup.clear()
