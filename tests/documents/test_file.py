"""Whatever lies at a path, reading it gives its text or one sentence, and never blocks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.documents import DocumentError, decode, read_text
from tests.sim.bad_files import BAD_TEXTS

LIMIT = 1 << 20


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_a_bad_file_is_one_sentence(tmp_path: Path, kind: str) -> None:
    """The sentence names the byte, the character or what lies there."""
    make, word = BAD_TEXTS[kind]
    make(tmp_path / "file")
    with pytest.raises(DocumentError) as caught:
        read_text(tmp_path / "file", LIMIT)
    assert word in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a\nb\n# \xc2\x96\n", 3, "has the character U+0096, which is not text"),
        (b"a\nb\xfcc\n", 2, "has the byte 0xFC, which is not UTF-8"),
        (b"\xff\xfea\0", 1, "is UTF-16 text, not UTF-8"),
        (b"a\r\nb\x7f", 2, "has the character U+007F, which is not text"),
    ],
)
def test_the_line_is_that_of_the_byte(content: bytes, line: int, message: str) -> None:
    """So that an editor leads there."""
    with pytest.raises(DocumentError) as caught:
        decode(content)
    assert (caught.value.line, caught.value.message) == (line, message)


def test_good_text_is_read_as_it_is(tmp_path: Path) -> None:
    """Other scripts, signs and a byte order mark of UTF-8 are text."""
    (tmp_path / "file").write_bytes("Prüfstation 检测 🙂\n".encode("utf-8-sig"))
    assert read_text(tmp_path / "file", LIMIT) == "Prüfstation 检测 🙂\n"
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link", LIMIT)


@given(st.binary(max_size=64))
def test_no_bytes_whatever_raise_anything_else(content: bytes) -> None:
    """Decoding gives text or a DocumentError."""
    with suppress(DocumentError):
        assert "\0" not in decode(content)
