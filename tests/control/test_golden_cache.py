"""The golden cache: bounded, and true to the digests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edge_daemon.control.golden_looks import GoldenCache
from edge_daemon.core.golden import Expectation
from edge_daemon.core.values import Detection
from edge_daemon.models.manifest import GoldenImage

IMAGE = GoldenImage("golden/1.png", "11", Expectation("all"))
BOX = Detection("x", 0.5, (0.0, 0.0, 1.0, 1.0))


def model(sha256: str) -> Any:
    return SimpleNamespace(sha256=sha256)


def test_an_image_under_the_same_name_is_another_one() -> None:
    """The digest tells, not the name; and so for models."""
    golden_cache = GoldenCache()
    golden_cache.keep(model("a"), IMAGE, (BOX,))
    assert golden_cache.recall(model("a"), GoldenImage("else.png", "11", Expectation("all"))) == (
        BOX,
    )
    assert (
        golden_cache.recall(model("a"), GoldenImage("golden/1.png", "22", Expectation("all")))
        is None
    )
    assert golden_cache.recall(model("b"), IMAGE) is None


def test_nothing_found_is_an_answer_too() -> None:
    """The image of a good part."""
    golden_cache = GoldenCache()
    golden_cache.keep(model("a"), IMAGE, ())
    assert golden_cache.recall(model("a"), IMAGE) == ()


def test_the_first_model_is_forgotten_first() -> None:
    """A station runs for years; what it remembers does not grow."""
    golden_cache = GoldenCache(most_detections=10)
    for name in "abc":
        golden_cache.keep(model(name), IMAGE, (BOX,) * 4)
    assert [golden_cache.recall(model(name), IMAGE) is None for name in "abc"] == [
        True,
        False,
        False,
    ]


def test_one_model_alone_is_never_forgotten() -> None:
    """However many things it sees: it may be the active one."""
    golden_cache = GoldenCache(most_detections=1)
    golden_cache.keep(model("a"), IMAGE, (BOX,) * 4)
    assert golden_cache.recall(model("a"), IMAGE) == (BOX,) * 4
