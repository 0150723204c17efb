"""Which pictures are kept can be told by anybody who knows the rule."""

from __future__ import annotations

import hashlib

import pytest

from edge_daemon.core.traceability import Choice, draw
from edge_daemon.core.values import Verdict
from tests.frames.test_images import judged


def test_an_auditor_finds_the_same_frames() -> None:
    """By what the manual says, and nothing else."""
    kept = [n for n in range(2000) if Choice(ok_share=0.05).wants("b1", judged(n, Verdict.OK))]
    recomputed = [
        n
        for n in range(2000)
        if int(hashlib.sha256(f"b1:{n}".encode()).hexdigest()[:16], 16) < 0.05 * 2**64
    ]
    assert kept == recomputed
    assert 60 < len(kept) < 140
    assert [draw("b1", n) for n in range(5)] != [draw("b2", n) for n in range(5)]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (Choice(), {Verdict.NG, Verdict.UNINSPECTED}),
        (Choice(ok_share=1.0), set(Verdict)),
        (Choice(ng=False), {Verdict.UNINSPECTED}),
        (Choice(uninspected=False), {Verdict.NG}),
    ],
)
def test_each_verdict_has_its_own_word(choice: Choice, kept: set[Verdict]) -> None:
    """All of them, or a share; none of the good ones by default."""
    assert {each for each in Verdict if choice.wants("b1", judged(7, each))} == kept
