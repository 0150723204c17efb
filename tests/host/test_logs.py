"""The log is one JSON object a line, says who spoke and how loud, and tells no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.errors import StateError
from edge_daemon.host import logs
from edge_daemon.host.logs import Style, bind_swap, configure, parse_line, relay, style_of
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


def test_one_swap_id_follows_a_bound_logger() -> None:
    """Each line of the bound logger carries the id, and no other line does."""
    out = io.StringIO()
    configure(stream=out, style=Style.JSON)
    bind_swap(_log, "s-17").info("loading")
    _log.info("other")
    assert [line.get("swap_id") for line in lines(out)] == ["s-17", None]


def relayed(content: bytes, clock: SimClock | None = None) -> list[dict[str, Any]]:
    out = io.StringIO()
    configure("debug", stream=out, style=Style.JSON)
    reader, writer = os.pipe()
    thread = relay(os.fdopen(reader, "rb"), _log.bind(slot="A"), clock or SimClock())
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(content)
    thread.join(30)
    assert not thread.is_alive()
    return lines(out)


def test_a_workers_json_line_keeps_its_level_name_and_fields() -> None:
    """The swap's id and the worker's logger come through."""
    said = b'{"level":"error","event":"load_failed","logger":"w","swap_id":"s1","timestamp":"t"}\n'
    (line,) = relayed(said)
    assert (line["level"], line["event"], line["logger"]) == ("error", "load_failed", "w")
    assert (line["swap_id"], line["slot"]) == ("s1", "A")
    assert line["timestamp"] != "t"


def test_what_a_model_prints_cannot_break_the_log() -> None:
    """Text, half JSON, lists, odd names, odd bytes and endless lines all become lines of ours."""
    content = b"\n".join(
        [
            b"Segmentation fault",
            b'{"event": 3}',
            b"[1,2]",
            b'{"event":"x","event name":1,"self":2,"level":"shout"}',
            b"\xff\xfe\x00 forged",
            b'{"event":"' + b"y" * 20_000 + b'"}',
        ]
    )
    written = relayed(content)
    assert [line["event"] for line in written[:4]] == ["worker_output"] * 3 + ["x"]
    assert written[3]["level"] == "info"
    assert max(len(json.dumps(line)) for line in written) < 2 * logs.LINE_LIMIT


def test_a_flood_is_counted_instead_of_written() -> None:
    """A worker that screams costs a bounded number of lines."""
    written = relayed(b"noise\n" * (logs.RELAY_BURST + 70))
    assert len(written) == logs.RELAY_BURST + 1
    assert (written[-1]["event"], written[-1]["lines"]) == ("worker_output_dropped", 70)


def test_deeply_nested_json_is_plain_text() -> None:
    """A line that would exhaust the parser is text."""
    assert parse_line("[" * 5_000)[1] == "worker_output"
