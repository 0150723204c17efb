"""Webhooks of rollouts: real HTTP, a real journal, and a clock that the test turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.control.webhooks import KEEP_S, LONGEST_S, USELESS, Webhook, Webhooks
from edge_daemon.errors import BoxError
from edge_daemon.host import journal_notices
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_notices import NoticeRow
from edge_daemon.sources.http import Http
from tests.sim.web_ear import WebEar

ELSEWHERE = "https://elsewhere.example/hook"


class Time:
    """Seconds, monotonic and POSIX in one."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def ear() -> Iterator[WebEar]:
    with WebEar().listening() as listening:
        yield listening


def note(journal: Journal, url: str, *numbers: int, utc: float = 1000.0) -> None:
    rows = tuple(NoticeRow(url, utc, json.dumps({"id": number}).encode()) for number in numbers)
    journal.commit(Entry(notices=rows))


def poster(url: str) -> Callable[[bytes], int]:
    http = Http(url)
    return lambda body: http.post(url, body, {"Content-Type": "application/json"})


def hook(journal: Journal, ear: WebEar, time: Time) -> Webhook:
    return Webhook(ear.url, poster(ear.url), journal.notices, time, time)


def turns(one: Webhook) -> int:
    """Until nothing is left to do at once."""
    count = 0
    while one.turn():
        count += 1
    return count


def ids(ear: WebEar) -> list[int]:
    return [body["id"] for body in ear.heard]


def test_notices_arrive_in_order_and_leave_the_journal(journal: Journal, ear: WebEar) -> None:
    note(journal, ear.url, 1, 2, 3)
    one = hook(journal, ear, Time())
    assert turns(one) == 3
    assert ids(ear) == [1, 2, 3]
    assert journal.notices.waiting() == {}
    assert ear.headers[0]["Content-Type"] == "application/json"


def test_a_receiver_that_is_away_is_asked_again_less_and_less_often(
    journal: Journal, ear: WebEar
) -> None:
    """And gets everything in its order once it is back."""
    time = Time()
    one = hook(journal, ear, time)
    note(journal, ear.url, 1, 2)
    ear.answers.extend([503, 500, 302, 401])
    waits = []
    for _ in range(4):
        assert turns(one) == 0
        waits.append(one.wait_s)
        assert turns(one) == 0, "it is not due yet"
        time.s += one.wait_s
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert one.trouble == f"{one.host} answers 401"
    assert turns(one) == 2
    assert ids(ear) == [1, 1, 1, 1, 1, 2], "a redirect is not followed either"
    assert (one.trouble, one.given_up) == ("", 0)


@pytest.mark.parametrize("status", sorted(USELESS))
def test_what_the_receiver_will_never_take_stops_nothing(
    journal: Journal, ear: WebEar, status: int
) -> None:
    note(journal, ear.url, 1, 2)
    ear.answers.append(status)
    one = hook(journal, ear, Time())
    assert turns(one) == 2
    assert (ids(ear), one.given_up, journal.notices.waiting()) == ([1, 2], 1, {})


def test_what_is_a_day_old_is_no_news(journal: Journal, ear: WebEar) -> None:
    time = Time()
    note(journal, ear.url, 1, utc=time.s - KEEP_S - 1)
    note(journal, ear.url, 2)
    one = hook(journal, ear, time)
    assert turns(one) == 2
    assert (ids(ear), one.given_up) == ([2], 1)


def test_a_restart_sends_the_rest(tmp_path: Path, ear: WebEar) -> None:
    """What was sent and not yet forgotten comes again, byte by byte."""
    first = Journal.open(tmp_path)
    note(first, ear.url, 1, 2)
    row = first.notices.oldest(ear.url)
    assert row is not None
    poster(ear.url)(row.body)  # and the power goes
    first.close()
    again = Journal.open(tmp_path)
    assert turns(hook(again, ear, Time())) == 2
    again.close()
    assert ids(ear) == [1, 1, 2]
    assert ear.heard[0] == ear.heard[1]


def test_a_silent_receiver_delays_nobody_else(journal: Journal) -> None:
    with WebEar().listening() as deaf, WebEar().listening() as ear:
        deaf.silent.set()
        posts = {deaf.url: poster(deaf.url), ear.url: poster(ear.url)}
        note(journal, deaf.url, 1)
        webhooks = Webhooks(posts, journal.notices, lambda: 1000.0)
        webhooks.start()
        for number in (2, 3):
            note(journal, ear.url, number)
            webhooks.wake()
            ear.until(number - 1)
        assert ids(ear) == [2, 3]
        webhooks.stop()
        assert deaf.url in journal.notices.waiting()


def test_an_address_that_is_not_allowed_any_more_is_not_called(
    journal: Journal, ear: WebEar
) -> None:
    """What waits for it goes, so that nothing is sent when it is allowed again months later."""
    note(journal, ELSEWHERE, 1)
    note(journal, ear.url, 2)
    webhooks = Webhooks({ear.url: poster(ear.url)}, journal.notices, lambda: 1000.0)
    webhooks.start()
    ear.until(1)
    webhooks.stop()
    assert ids(ear) == [2]
    assert ELSEWHERE not in journal.notices.waiting()


def test_the_queue_of_an_address_is_bounded(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes, the others' are not touched, and it is counted."""
    monkeypatch.setattr(journal_notices, "NOTICE_LIMIT", 3)
    note(journal, ELSEWHERE, 1)
    note(journal, "https://b.example/", 1, 2, 3, 4, 5)
    assert journal.notices.waiting() == {ELSEWHERE: 1, "https://b.example/": 3}
    assert journal.notices.dropped() == 2
    row = journal.notices.oldest("https://b.example/")
    assert row is not None
    assert json.loads(row.body) == {"id": 3}


@given(st.lists(st.sampled_from([204, 200, 500, 503, 429, 404, 400, 0]), max_size=30))
def test_whatever_is_answered_order_is_kept_and_nothing_is_lost(answers: list[int]) -> None:
    """0: no answer at all. Each notice is taken once, or refused for good."""

    class Kept:
        def __init__(self) -> None:
            self.rows = [NoticeRow("u", 1000.0, str(n).encode(), n) for n in range(1, 6)]

        def oldest(self, url: str) -> NoticeRow | None:
            return self.rows[0] if self.rows else None

        def forget(self, seq: int) -> None:
            assert self.rows.pop(0).seq == seq

        def waiting(self) -> dict[str, int]:
            return {}

        def dropped(self) -> int:
            return 0

        def forget_all(self, url: str) -> int:
            return 0

    kept, time, left = Kept(), Time(), list(answers)
    taken: list[int] = []

    def post(body: bytes) -> int:
        status = left.pop(0) if left else 200
        if not status:
            raise BoxError("It is away.")
        if status < 300 or status in USELESS:
            taken.append(int(body))
        return status

    one = Webhook("u", post, kept, lambda: 1000.0, time)  # type: ignore[arg-type]
    for _ in range(len(answers) + 1):
        turns(one)
        assert one.wait_s <= LONGEST_S
        time.s += one.wait_s
    assert taken == [1, 2, 3, 4, 5]
    assert one.trouble == ""
