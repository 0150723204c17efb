"""Answers to requests by HTTP wait for their sender, who may come late, twice or never."""

from __future__ import annotations

import threading

from edge_daemon.core.values import Status
from edge_daemon.messaging.answer import Answer, accepted, outcome
from edge_daemon.web.reply_box import ReplyBox


def done(id: str) -> Answer:  # noqa: A002 - the contract's word
    return outcome(id, Status.SUCCEEDED)


def test_the_newest_answer_counts() -> None:
    """Under the id that was made for the request, and under the one that its sender gave."""
    box = ReplyBox()
    reply = box.expect("fresh")
    assert box.get("fresh") is None
    for answer in (accepted("own"), done("own")):
        reply(answer)
        assert box.get("fresh") == box.get("own") == answer


def test_who_waits_is_woken_by_the_first_answer() -> None:
    """And is not kept for longer than the limit where none comes."""
    box = ReplyBox()
    reply = box.expect("fresh")
    found: list[Answer | None] = []
    waiting = threading.Thread(target=lambda: found.append(box.first("fresh", 60.0)))
    waiting.start()
    reply(accepted("fresh"))
    waiting.join(60.0)
    assert found == [accepted("fresh")]
    box.expect("silent")
    assert box.first("silent", 0.0) is None


def test_nobody_knows_an_id_that_was_not_asked_for() -> None:
    """Answers of other ways do not come here."""
    box = ReplyBox()
    assert box.get("other") is None
    assert box.first("other", 0.0) is None


def test_only_so_many_are_kept() -> None:
    """The oldest go; an answer for one of them comes too late, and pushes nothing out."""
    box = ReplyBox(kept=2)
    late = box.expect("1")
    replies = [box.expect(each) for each in ("2", "3")]
    late(done("1"))
    for reply, each in zip(replies, ("2", "3"), strict=True):
        reply(done(each))
    assert box.get("1") is None
    assert [box.get(each) for each in ("2", "3")] == [done("2"), done("3")]
