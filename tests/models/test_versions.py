"""Versions order as numbers do, every one of them, in one total order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.models.versions import (
    installed,
    is_specifier,
    is_version,
    order_of,
    provisions,
    unmet,
)

OLDEST_TO_NEWEST = [
    "0.9",
    "1.0",
    "1.0.0",
    "1.4.0.dev1",
    "1.4.0-2x",
    "1.4.0-alpha.beta",
    "1.4.0-line3",
    "1.4.0-line3.2",
    "1.4.0-line3.10",
    "1.4.0-beta.2",
    "1.4.0rc1",
    "1.4.0",
    "1.4.0.post1",
    "1.9.0",
    "1.10.0",
    "2026.10.1",
]
NUMBERS = st.integers(0, 12)
VERSIONS = st.one_of(
    st.builds("{}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS),
    st.builds("{}.{}{}{}".format, NUMBERS, NUMBERS, st.sampled_from(["a", "rc", ".dev"]), NUMBERS),
    st.builds("{}.{}.0-x.{}".format, NUMBERS, NUMBERS, NUMBERS),
)


@given(st.permutations(OLDEST_TO_NEWEST))
def test_versions_sort_from_oldest_to_newest(shuffled: list[str]) -> None:
    """PEP 440 where it can read them, semver's pre-releases between its dev and its a, b, rc."""
    assert sorted(shuffled, key=order_of) == OLDEST_TO_NEWEST


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    """Exactly one of <, =, > holds between two versions, and < carries over a third."""
    x, y, z = order_of(a), order_of(b), order_of(c)
    assert (x < y) + (y < x) + (x == y) == 1
    if x < y < z:
        assert x < z


@pytest.mark.parametrize("text", ["latest", "", "1/2", "..", "1.0 ", "1!2.0", "1.0\n", "\u0661"])
def test_what_cannot_be_ordered_is_no_version(text: str) -> None:
    """Words, paths and odd characters are refused."""
    assert not is_version(text)


def test_unmet_requirements_are_told_in_words() -> None:
    """A range that this box does not meet names what is wanted and what is here."""
    here = {"ultralytics": "8.4.190", "torch": "2.10.0", "gpu": None}
    wanted = {"ultralytics": ">=8.3,<9", "torch": ">=99", "gpu": ">=7.5", "tensorrt": ">=10"}
    assert unmet(wanted, here) == (
        "gpu >=7.5 is required, here is none",
        "tensorrt >=10 is required, here is none",
        "torch >=99 is required, here is 2.10.0",
    )


def test_installed_libraries_are_found_without_importing_them() -> None:
    """Ultralytics is found under either name of its distribution; what is missing is None."""
    found = provisions(gpu="8.7")
    assert found["ultralytics"] is not None
    assert found["torch"] is not None
    assert found["tensorrt"] is None
    assert found["gpu"] == "8.7"
    assert unmet({"gpu": ">=8,<9"}, found) == ()
    assert unmet({"gpu": ">=8"}, provisions(gpu=None)) != ()
    assert not is_specifier("about 8")


def test_what_is_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for once, and again when something was installed or removed."""
    monkeypatch.syspath_prepend(tmp_path)
    seen = [installed(("vision-kit",))["vision-kit"]]
    for version in ("1.0", "1.1"):
        for old in tmp_path.iterdir():
            old.rename(tmp_path.parent / old.name)
        folder = tmp_path / f"vision_kit-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: vision-kit\nVersion: {version}\n"
        )
        seen.append(installed(("vision-kit",))["vision-kit"])
    assert seen == [None, "1.0", "1.1"]
