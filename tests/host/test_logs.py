"""The log is one JSON object a line, says who spoke and how loud, and tells no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.values import BundleRef, Instant, Verdict
from edge_daemon.errors import StateError
from edge_daemon.host import logs
from edge_daemon.host.logs import Relay, Style, configure, parse_line, style_of
from tests.sim.clock import SimClock

_log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.raiseExceptions)
    yield
    root.handlers[:], logging.raiseExceptions = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_the_contracts_keys() -> None:
    """timestamp, level, event and logger come first, then the fields as they were given."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    _log.info("swap_requested", model=BundleRef("bottle", "1.4.0"), path=Path("/x"), n=3)
    (line,) = lines(out)
    assert list(line)[:4] == ["timestamp", "level", "event", "logger"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "swap_requested",
        "logger": __name__,
        "model": "bottle@1.4.0",
        "path": "/x",
        "n": 3,
    }


def test_words_and_lists_are_written_as_in_replies() -> None:
    """An enum is its word, an error its sentence, a mapping stays one."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    error = StateError("The disk is full.", hint="Free some.")
    _log.error("journal_failed", error=error, verdict=Verdict.NG, parts=("a", {"b": Path("c")}))
    (line,) = lines(out)
    assert line["error"] == "The disk is full. Free some."
    assert (line["verdict"], line["parts"]) == ("ng", ["a", {"b": "c"}])


def test_the_level_decides_what_is_written() -> None:
    """Below the level nothing is written, whoever speaks."""
    out = io.StringIO()
    configure("warning", stream=out, style=Style.JSON)
    _log.info("quiet")
    logging.getLogger("some.library").info("quiet")
    _log.warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_severity_reaches_the_journal() -> None:
    """Behind `<N>` journald finds the priority, and after it the same JSON."""
    out = io.StringIO()
    configure("debug", stream=out, style=Style.JOURNAL)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(_log, level)("said")
    written = out.getvalue().splitlines()
    assert [line[:3] for line in written] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert json.loads(written[0][3:])["event"] == "said"


def test_the_style_is_what_the_reader_wants(tmp_path: Path) -> None:
    """JOURNAL_STREAM of somebody else's stream means nothing for this one."""
    with (tmp_path / "out").open("w") as stream:
        status = os.fstat(stream.fileno())
        mine = f"{status.st_dev}:{status.st_ino}"
        assert style_of(stream, {"JOURNAL_STREAM": mine}) is Style.JOURNAL
        assert style_of(stream, {"JOURNAL_STREAM": "1:2"}) is Style.JSON
        assert style_of(stream, {}) is Style.JSON
    assert style_of(io.StringIO(), {"JOURNAL_STREAM": mine}) is Style.JSON
    leader, follower = os.openpty()
    with open(follower, "w") as terminal:
        assert style_of(terminal, {"JOURNAL_STREAM": mine}) is Style.PRETTY
    os.close(leader)


def test_libraries_and_warnings_end_in_the_same_log() -> None:
    """uvicorn's and Python's own words become the same JSON."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    logging.getLogger("uvicorn.error").error("bind on %s failed", "[::1]")
    logging.getLogger("uvicorn.access").info("GET /")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old API", FutureWarning, stacklevel=1)
    first, second = lines(out)
    assert (first["event"], first["logger"], first["level"]) == (
        "bind on [::1] failed",
        "uvicorn.error",
        "error",
    )
    assert "old API" in second["event"]


def test_an_exception_is_a_field_of_its_line() -> None:
    """A traceback never breaks the one-object-a-line promise."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    try:
        raise ValueError("rtsp://kim:secret1@cam/1 is gone")
    except ValueError:
        _log.exception("camera_failed")
    (line,) = lines(out)
    assert "ValueError" in line["exception"]
    assert "secret1" not in out.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "rtsp://kim:hunter2@10.0.0.5/stream"},
        {"error": StateError("cannot open rtsp://kim:hunter2@10.0.0.5/stream")},
        {"url": "http://cam/live?user=kim&password=hunter2&x=1"},
        {"mqtt": {"password": "hunter2"}},
        {"token": "hunter2"},
        {"headers": ["Authorization: Bearer hunter2xyz"]},
        {"text": '{"api_key": "hunter2"}'},
    ],
)
def test_no_secret_is_written(fields: dict[str, Any]) -> None:
    """Credentials are taken out wherever they stand, and the rest stays readable."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    _log.info("said", **fields)
    logging.getLogger("lib").warning("%s", fields)
    assert "hunter2" not in out.getvalue()
    assert out.getvalue().count("***") == 2


def test_what_is_no_secret_stays() -> None:
    """Names of files, digests and models are not mistaken for credentials."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    said = {"password_file": "/etc/x", "sha256": "ab12", "model": "pass-through@1", "n_passed": 3}
    _log.info("said", **said)
    (line,) = lines(out)
    assert {key: line[key] for key in said} == said


# --------------------------------------------------------------------------- a worker's lines


VOCABULARY = {"bundle_loaded": frozenset({"swap_id", "load_ms"})}

HOSTILE = [
    b"Segmentation fault",
    b'{"event":"x","level":[]}',
    b'{"event":"bundle_loaded","level":[],"self":1,"event name":2,"logger":"a","timestamp":"b"}',
    b'{"event":"bundle_loaded","swap_id":{"a":1},"load_ms":NaN}',
    b'{"event":"bundle_loaded","swap_id":"\\ud800","load_ms":1e999}',
    b'{"event":"swapped","logger":"edge_daemon.control.driver","level":"error"}',
    b'{"event":{},"level":"info"}',
    b"[" * 1000,
    b"\xed\xa0\x80\xff\xfe\x00 forged",
    b"\x1b]0;forged\x07",
    b'{"event":"' + b"y" * 20_000 + b'"}',
]


class HastyClock(SimClock):
    """Each look at it is a window later."""

    def now(self) -> Instant:
        self._at += logs.RELAY_WINDOW_S
        return super().now()


def relayed(content: bytes | IO[bytes], clock: SimClock) -> list[dict[str, Any]]:
    """What the log says of a worker that wrote this."""
    out = io.StringIO()
    configure("debug", stream=out, style=Style.JSON)
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    Relay(structlog.get_logger(worker=7), clock, VOCABULARY).run(stream)
    return lines(out)


def test_a_workers_own_event_keeps_its_level_and_fields() -> None:
    """What a worker of ours says is an event, with the fields that it has and the worker."""
    said = b'{"level":"warning","event":"bundle_loaded","swap_id":"s1","load_ms":3.5}\n'
    (line,) = relayed(said, SimClock())
    assert (line["level"], line["event"], line["worker"]) == ("warning", "bundle_loaded", 7)
    assert (line["swap_id"], line["load_ms"]) == ("s1", 3.5)


def test_what_a_model_prints_is_no_event_of_ours() -> None:
    """Text, half JSON, other names, odd bytes and endless lines are told as what a worker said."""
    written = relayed(b"\n".join(HOSTILE), SimClock())
    assert {line["event"] for line in written} == {"worker_said", "bundle_loaded"}
    assert {line["logger"] for line in written} == {"edge_daemon.host.logs"}
    assert {line["level"] for line in written} == {"info"}
    known = [line for line in written if line["event"] == "bundle_loaded"]
    assert [line.get("swap_id") for line in known] == [None, None, "\ufffd"]
    assert [line.get("load_ms") for line in known] == [None, None, None]
    assert max(len(json.dumps(line)) for line in written) < 7 * logs.LINE_LIMIT
    assert not any(ord(c) < 32 for line in written for c in line.get("text", ""))


def test_ten_thousand_lines_of_any_kind_are_read_to_the_last() -> None:
    """No line keeps the next from being read: one that ends the reading would block a worker."""
    chance = random.Random(20)
    pieces = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\ud800", b"event", b"bundle_loaded"]
    pieces += [b"level", b"self", b"1e999", b"NaN", b"\xff", b"\x1b", b" ", b"swap_id", b"null"]
    made = [b"".join(chance.choices(pieces, k=chance.randrange(1, 30))) for _ in range(9_900)]
    every = [*made, *(HOSTILE * 10)[:100]]
    chance.shuffle(every)
    end = b'{"event":"bundle_loaded","swap_id":"the end"}'
    written = relayed(b"\n".join([*every, end]), HastyClock())
    assert len(written) > 9_000
    assert written[-1]["swap_id"] == "the end"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["event", "level", "load_ms", "swap_id", "self"]),
            inner | st.just("bundle_loaded"),
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(st.text() | JSON.map(json.dumps))
def test_any_line_can_be_logged(text: str) -> None:
    """Whatever a line is, a level, an event and fields come of it that JSON can hold."""
    level, event, fields = parse_line(logs.printable(text), VOCABULARY)
    assert level in ("info", "warning")
    assert event in ("worker_said", "bundle_loaded")
    json.dumps(fields, allow_nan=False).encode()


def test_a_flood_is_counted_and_silences_nobody_for_ever() -> None:
    """Beyond a burst the lines of a minute are counted; those of the next are written again."""
    clock = SimClock()

    class Stream(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            if line == b"a minute later\n":
                clock.advance(logs.RELAY_WINDOW_S)
            return line

    noise = b"noise\n" * (logs.RELAY_BURST + 70)
    written = relayed(Stream(noise + b"a minute later\n"), clock)
    assert len(written) == logs.RELAY_BURST + 2
    assert [written[-2]["event"], written[-2]["lines"]] == ["worker_log_cut", 70]
    assert written[-1]["text"] == "a minute later"
