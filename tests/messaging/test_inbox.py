"""Requests at the door: what is understood, what is refused, and with which id it is answered."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    AtNow,
    AtTime,
    Instant,
    ModelChoice,
    Request,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.times import iso_utc

TEN = 1_795_341_600.0  # 2026-11-22T10:00:00Z


def incoming(payload: Any, **more: Any) -> Incoming:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Incoming("edge/d/request/x", body, Instant(5.0, TEN), **more)


def read(verb: str, payload: Any, **more: Any) -> Request:
    return read_request(verb, incoming(payload, **more), "fresh-1")


def refused(verb: str, payload: Any, **more: Any) -> RefusedRequest:
    with pytest.raises(RefusedRequest) as error:
        read(verb, payload, **more)
    return error.value


def test_a_whole_swap_is_read() -> None:
    """Every key of the contract arrives as a value."""
    document = {
        "id": "17",
        "model": "bottle@1.4.0",
        "at": "now",
        "expect": "bottle@1.3.0",
        "expires": "2026-11-22T10:00:01Z",
        "by": "kim",
        "reason": "new scratches",
        "dry_run": True,
        "accept": ["recipe.weaker", "blind", "blind"],
        "unknown": {"of": "a newer sender"},
    }
    assert read("swap", document) == Request(
        id="17",
        verb=Verb.SWAP,
        model=ModelChoice("bottle", "1.4.0"),
        at=AtNow(),
        expect=ModelChoice("bottle", "1.3.0"),
        expires_utc=TEN + 1,
        by="kim",
        reason="new scratches",
        dry_run=True,
        accept=("recipe.weaker", "blind"),
    )


def test_what_pads_a_request_is_no_part_of_it() -> None:
    """A byte order mark before it, and behind it the NUL of a C string: it reads as without."""
    assert read("hold", b'\xef\xbb\xbf{"id":"17"}\0\0\n').id == "17"
    assert read("hold", b"\0").id == "fresh-1"


@pytest.mark.parametrize(
    ("at", "means"),
    [
        (None, AtNow()),
        ("now", AtNow()),
        ("next_order", AtNextOrder()),
        ({"frame": 0}, AtFrame(0)),
        ({"frame": 18234}, AtFrame(18234)),
        ("2026-11-22T10:00:00Z", AtTime(TEN)),
        ("2026-11-22T11:00:00.250+01:00", AtTime(TEN + 0.25)),
        ("2026-11-22 04:30:00-0530", AtTime(TEN)),
    ],
)
def test_the_moment_of_a_swap(at: Any, means: object) -> None:
    """`at` is one of four things, and times carry their zone."""
    assert read("swap", {"model": "bottle", "at": at}).at == means


@pytest.mark.parametrize("verb", ["rollback", "confirm", "hold", "release", "snapshot"])
@pytest.mark.parametrize("payload", [b"", b" \n", {}])
def test_a_verb_that_needs_nothing_may_come_empty(verb: str, payload: Any) -> None:
    """`mosquitto_pub -n` is enough where there is nothing to say; an id is made."""
    request = read(verb, payload)
    assert (request.verb, request.id, request.model) == (Verb(verb), "fresh-1", None)


@pytest.mark.parametrize(
    ("payload", "correlation", "request_id"),
    [
        ({"id": "a-1"}, b"corr", "a-1"),
        ({"id": 42}, None, "42"),
        ({}, b"corr-7", "corr-7"),
        ({}, b"\x01\xff", "01ff"),
        ({}, b"x" * 500, "fresh-1"),
        ({"id": None}, None, "fresh-1"),
    ],
)
def test_where_the_id_comes_from(payload: Any, correlation: bytes | None, request_id: str) -> None:
    """The payload's id, else Correlation Data as text or hex, else a fresh one."""
    assert read("confirm", payload, correlation=correlation).id == request_id


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({}, "`model`"),
        ({"model": None}, "`model`"),
        ({"model": 7}, "`model`"),
        ({"model": "../etc/passwd@1"}, "`model`"),
        ({"model": "@1.0"}, "`model`"),
        ({"model": "bottle@"}, "`model`"),
        ({"model": "bottle@1@2"}, "`model`"),
        ({"model": "b", "at": "soon"}, "`at`"),
        ({"model": "b", "at": {"frame": -1}}, "`at.frame`"),
        ({"model": "b", "at": {"frame": True}}, "`at.frame`"),
        ({"model": "b", "at": {"frame": 1.5}}, "`at.frame`"),
        ({"model": "b", "at": "2026-11-22T10:00:00"}, "`at`"),
        ({"model": "b", "at": "2026-02-30T10:00:00Z"}, "`at`"),
        ({"model": "b", "expect": "bottle"}, "`expect`"),
        ({"model": "b", "expect": ["bottle@1"]}, "`expect`"),
        ({"model": "b", "expires": 1795341600}, "`expires`"),
        ({"model": "b", "by": 7}, "`by`"),
        ({"model": "b", "reason": "x" * 1025}, "`reason`"),
        ({"model": "b", "reason": "red \x1b[31m"}, "`reason` holds control characters"),
        ({"model": "b", "reason": "two\nlines"}, "`reason` holds control characters"),
        ({"model": "b", "by": "k\u202eim"}, "`by` holds control characters"),
        ({"model": "b", "by": "\x9b2J"}, "`by` holds control characters"),
        ({"model": "b", "dry_run": "yes"}, "`dry_run`"),
        ({"model": "b", "dry_run": 1}, "`dry_run`"),
        ({"model": "b", "accept": "blind", "reason": "r"}, "`accept`"),
        ({"model": "b", "accept": ["warm_up"], "reason": "r"}, "`accept`"),
        ({"model": "b", "accept": [["blind"]], "reason": "r"}, "`accept[0]`"),
        ({"model": "b", "accept": ["blind"]}, "`reason`"),
        ({"model": "b", "accept": ["blind"], "reason": "  "}, "`reason`"),
        ({"model": "b", "id": ""}, "`id`"),
        ({"model": "b", "id": "x" * 129}, "`id`"),
        ({"model": "b", "id": "a\nb"}, "`id`"),
        ({"model": "b", "id": True}, "`id`"),
        ([], "list"),
        ("bottle@1", "text"),
        (b"", "empty"),
        (b"bottle@1.4.0", "JSON"),
        (b'{"model":"a","model":"b"}', "twice"),
        (b'{"model":NaN}', "NaN"),
        (b'{"model":1e999}', "out of range"),
        (b'{"model":' + b"9" * 5000 + b"}", "digits"),
        (b'{"model":"\xff"}', "UTF-8"),
        (b'{"model":"\\ud800"}', "surrogate"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper"),
        (b'{"x":"' + b"y" * 262_144 + b'"}', "bytes"),
    ],
)
def test_what_is_malformed_is_named(payload: Any, named: str) -> None:
    """The message says which key or what about the bytes is wrong, and the hint what is right."""
    error = refused("swap", payload)
    assert error.code is Code.MALFORMED
    assert named in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("verb", "payload", "says", "hints"),
    [
        ("swap", b"", "The request is empty.", "Send an object with `model`."),
        ("swap", b'{"id":"a\x00b"}', "Invalid control character at line 1, column 9", "quotes"),
        ("swap", {"model": "b", "id": "x" * 200}, "`id` has 200 characters; at most 128", "Use"),
        ("swap", {"model": "x" * 200}, f"`model` is '{'x' * 76}…'.", "name@version"),
        ("tune", {"model": "b", "set": {"a.confidence": 0.4, "b.confidence": "0.4"}},
         "`set.b.confidence` is '0.4'.", "numbers by rule"),
        ("tune", {"model": "b", "set": {"scratch.confidence": True}},
         "`set.scratch.confidence` is true.", "numbers by rule"),
        ("tune", {"model": "b", "set": {"scratch.confidence": [1]}},
         "`set.scratch.confidence` is a list.", "numbers by rule"),
        ("tune", {"model": "b", "set": {"": 0.4}}, "`set` has the name ''.", "numbers by rule"),
        ("tune", {"model": "b", "set": {"a.confidence": 0.4}, "reset": True},
         "either `set` or `reset`, and has both.", "or"),
        ("tune", {"model": "b"}, "A tune needs either `set` or `reset`.", "or"),
        ("trigger", {"at": "soon"}, "`at` is 'soon'.", "the moment of arrival"),
        ("trigger", {"at": {"frame": 5}}, "`at` is an object.", "the moment of arrival"),
        ("trigger", {"at": "2099-01-01T00:00:00Z"}, "ten years ahead", "the moment of arrival"),
        ("swap", {"model": "b", "at": "2099-01-01T00:00:00Z"}, "ten years ahead", "next_order"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_value_and_what_this_verb_takes(
    verb: str, payload: Any, says: str, hints: str
) -> None:
    error = refused(verb, payload)
    assert says in error.message
    assert hints in error.hint
    assert verb != "trigger" or "frame" not in error.hint


@pytest.mark.parametrize(
    ("late_s", "words"),
    [(0.25, "0.250 s"), (59.0, "59.000 s"), (61.0, "1 min"), (817_667_454.3, "9463 d 17 h")],
)
def test_a_late_request_is_told_by_how_much(late_s: float, words: str) -> None:
    then = iso_utc(TEN - late_s)
    error = refused("confirm", {"id": "late", "expires": then})
    assert error.message == f"The request expired {words} before it arrived."


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("dryRun", "dry_run"),
        ("dry-run", "dry_run"),
        ("DRY_RUN", "dry_run"),
        ("expct", "expect"),
        ("expected", "expect"),
        ("Expires", "expires"),
        ("At", "at"),
    ],
)
def test_a_key_that_holds_a_request_back_must_be_spelt_right(key: str, meant: str) -> None:
    """Else a dry run would swap, and a swap would ask for nothing that must be active."""
    refusal = refused("swap", {"id": "s1", "model": "bottle@1.4.0", key: True})
    assert refusal.request_id == "s1"
    assert f"`{key}`" in refusal.message
    assert f"`{meant}`" in refusal.hint


@pytest.mark.parametrize("key", ["uid", "frames", "models", "expiry", "ts", "x" * 10_000, "source"])
def test_other_keys_of_a_newer_sender_are_tolerated(key: str) -> None:
    assert read("swap", {"id": "s1", "model": "bottle@1.4.0", key: "new"}).id == "s1"


def test_an_unknown_verb_is_answered_with_the_known_ones() -> None:
    """A slip in the topic is told apart from a slip in the payload."""
    error = refused("swop", {"id": "1"})
    assert "swop" in error.message
    assert "swap" in error.hint


def test_a_malformed_request_is_answered_with_its_own_id() -> None:
    """The sender can tell which of its requests was refused."""
    assert refused("swap", {"id": "mine", "model": 7}).request_id == "mine"
    assert refused("swap", b"{", correlation=b"corr").request_id == "corr"
    assert refused("swap", b"{").request_id == "fresh-1"


def test_a_retained_request_is_refused_as_such() -> None:
    """It would be carried out again at every start."""
    error = refused("swap", {"id": "r", "model": "bottle"}, retained=True)
    assert (error.code, error.request_id) == (Code.RETAINED, "r")


@pytest.mark.parametrize(
    ("expires", "message_expiry_s", "expires_utc"),
    [
        ("2026-11-22T10:00:05Z", None, TEN + 5),
        (None, 30, TEN + 30),
        ("2026-11-22T10:00:05Z", 30, TEN + 5),
        ("2026-11-22T10:01:00Z", 30, TEN + 30),
        (None, None, None),
    ],
)
def test_the_earlier_end_counts(
    expires: str | None, message_expiry_s: int | None, expires_utc: float | None
) -> None:
    """`expires` and MQTT's Message Expiry mean the same thing."""
    request = read("swap", {"model": "b", "expires": expires}, message_expiry_s=message_expiry_s)
    assert request.expires_utc == expires_utc


@pytest.mark.parametrize(
    ("expires", "message_expiry_s"),
    [("2026-11-22T10:00:00Z", None), ("2026-11-22T09:00:00Z", 60), (None, 0)],
)
def test_an_expired_request_is_refused_as_such(
    expires: str | None, message_expiry_s: int | None
) -> None:
    """What comes too late changes nothing."""
    error = refused(
        "swap",
        {"id": "late", "model": "b", "expires": expires},
        message_expiry_s=message_expiry_s,
    )
    assert (error.code, error.request_id) == (Code.EXPIRED, "late")


SEEDS = [
    b'{"id":"1","model":"bottle@1.4.0","at":"now","expect":"bottle@1.3.0","dry_run":false}',
    b'{"id":2,"model":"bottle","at":{"frame":12},"expires":"2026-11-22T10:00:05.5+01:00"}',
    b'{"by":"kim","reason":"\xc3\xa9","at":"next_order"}',
    b"",
]


def test_ten_thousand_broken_requests_raise_nothing_but_a_refusal() -> None:
    """Bytes flipped, cut, doubled and swapped are read or refused, each with an id."""
    chance = random.Random(20261122)
    verbs = [verb.value for verb in Verb]
    for turn in range(10_000):
        payload = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(0, 6)):
            at = chance.randrange(len(payload) + 1)
            if chance.random() < 0.3:
                del payload[at : at + chance.randint(1, 8)]
            elif chance.random() < 0.5:
                payload[at:at] = payload[at : at + chance.randint(1, 16)]
            else:
                payload[at:at] = bytes([chance.randrange(256)])
        with contextlib.suppress(RefusedRequest):
            request = read(verbs[turn % len(verbs)], bytes(payload))
            assert 1 <= len(request.id) <= 128


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    verb=st.sampled_from([*Verb]),
    document=st.dictionaries(
        st.sampled_from(["id", "model", "at", "expect", "expires", "by", "reason", "dry_run"])
        | st.just("accept"),
        anything | st.sampled_from(["bottle@1.4.0", "now", "2026-11-22T10:00:05Z", {"frame": 3}]),
    ),
    correlation=st.none() | st.binary(max_size=200),
)
def test_any_document_is_read_or_refused_with_an_id(
    verb: Verb, document: dict[str, Any], correlation: bytes | None
) -> None:
    """Whatever stands at each key: a Request of the right types, or a refusal; both have an id."""
    answer: Request | RefusedRequest
    try:
        answer = read(verb.value, document, correlation=correlation)
    except RefusedRequest as error:
        answer = error
    if isinstance(answer, Request):
        assert answer.id.isprintable()
        assert isinstance(answer.dry_run, bool)
        assert (answer.model is not None) or verb not in {Verb.SWAP, Verb.PREPARE}
    else:
        assert answer.request_id
        assert answer.code in {Code.MALFORMED, Code.EXPIRED}


@settings(max_examples=300, deadline=None)
@given(verb=st.text(max_size=8), payload=st.binary(max_size=300), retained=st.booleans())
def test_any_bytes_are_read_or_refused(verb: str, payload: bytes, retained: bool) -> None:
    """Nothing but a refusal leaves the door, whatever comes by whichever topic."""
    with contextlib.suppress(RefusedRequest):
        assert read(verb, payload, retained=retained).verb == verb


def test_a_verb_nobody_knows_is_answered_under_its_own_id() -> None:
    """Whoever asked for a dance learns that it was this request that was refused."""
    refusal = refused("dance", {"id": "17", "model": "bottle@1.4.0"})
    assert (refusal.request_id, refusal.code) == ("17", Code.MALFORMED)
    assert "swap" in refusal.hint


def test_a_rollback_may_expect_what_it_leaves() -> None:
    """`expect` guards every change of the active model, not only a swap."""
    assert read("rollback", {"expect": "bottle@1.4.0"}).expect == ModelChoice("bottle", "1.4.0")


# ---------------------------------------------------------------------------- times


DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z", "2036-11-23T10:00:00Z"]
)
def test_a_time_that_nobody_means_is_refused(text: str) -> None:
    """More than ten years ahead: parked for ever, or a slip of the keyboard."""
    error = refused("swap", {"model": "bottle@1.0.0", "at": text})
    assert (error.code, "`at`" in error.message) == (Code.MALFORMED, True)
    assert read("swap", {"model": "bottle@1.0.0", "expires": text}).expires_utc is not None


def test_ten_years_ahead_is_still_meant() -> None:
    """A day less is taken as it is."""
    assert read("swap", {"model": "b@1", "at": "2036-11-20T10:00:00Z"}).at != AtNow()


@pytest.mark.parametrize("back_s", [61.0, YEAR_S, TEN])
@pytest.mark.parametrize(
    "times",
    [
        {"expires": iso_utc(TEN + 60.0)},
        {"at": iso_utc(TEN + 60.0)},
        {"at": "next_order", "expires": iso_utc(TEN - 60.0)},
    ],
)
def test_a_clock_that_was_set_back_judges_no_time(back_s: float, times: dict[str, str]) -> None:
    """By a minute, by a year, to 1970: what is over could not be told from what is to come."""
    arrived = Incoming(
        "t", json.dumps({"model": "b@1", **times}).encode(), Instant(5.0, TEN - back_s)
    )
    with pytest.raises(RefusedRequest) as error:
        read_request("swap", arrived, "fresh-1", TEN)
    assert error.value.code == Code.PRECONDITION_FAILED
    assert "set back" in error.value.message


def test_what_needs_no_clock_is_taken_by_any_clock() -> None:
    """No time, a frame, or so many seconds from now, as MQTT's Message Expiry says it."""
    for document in ({}, {"at": {"frame": 7}}, {"at": "next_order"}):
        body = json.dumps({"model": "b@1", **document}).encode()
        arrived = Incoming("t", body, Instant(5.0, 0.0), message_expiry_s=60)
        assert read_request("swap", arrived, "fresh-1", TEN).expires_utc == 60.0


def test_a_clock_that_is_corrected_or_runs_ahead_is_trusted() -> None:
    """Seconds back are usual; ahead, what is over is over."""
    body = json.dumps({"expires": iso_utc(TEN + 10.0)}).encode()
    arrived = Incoming("t", body, Instant(5.0, TEN - 59.0))
    assert read_request("hold", arrived, "fresh-1", TEN).expires_utc == TEN + 10.0
    late = Incoming("t", body, Instant(5.0, TEN + YEAR_S))
    with pytest.raises(RefusedRequest) as error:
        read_request("hold", late, "fresh-1", TEN)
    assert error.value.code == Code.EXPIRED


# ---------------------------------------------------------------------------- own ids


def test_nobody_uses_up_the_stations_own_ids() -> None:
    """They can be computed; by `id` or as Correlation Data they are refused."""
    body = {"id": "desired-3-0123abcd-bottle", "model": "bottle@1.0.0"}
    assert "own" in refused("swap", body).message
    correlated = refused("hold", b"", correlation=b"desired-3-0123abcd-hold")
    assert (correlated.code, correlated.request_id) == (Code.MALFORMED, "desired-3-0123abcd-hold")
    own = Request(body["id"], Verb.SWAP, ModelChoice("bottle", "1.0.0"))
    assert read_request("swap", incoming(b"", content=own), "fresh") == own
