"""`models lineage`: asked of a station that is stopped, and of one that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry
from tests.sim.bundles import make_bundle
from tests.sim.device import Device, sim_bundle, wait_until

BOTTLE = "bottle@1.0.0"


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """It ran before, and a source has two versions for it."""
    for version, dataset in (("1.0.0", "line3-2026-09"), ("1.1.0", "line3-2026-10")):
        make_bundle(
            tmp_path / "usb",
            f"bottle@{version}",
            edit=lambda it, of=dataset: it.update(lineage={"dataset": of}),  # type: ignore[misc]
        )
    (tmp_path / "store").mkdir()
    file = tmp_path / "station.yaml"
    file.write_text(
        "device: d\ncamera: {source: 'conveyor:'}\nstate_dir: state\n"
        "models: {store: store, trust: {required: false}}\n"
        "sources: [{folder: usb, models: {bottle: all}}]\n"
    )
    return file


def run(station: Path, *words: str, ends: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--config", str(station)])
    assert result.exit_code == ends, result.output
    return result.stdout if "--json" in words else result.output


def test_from_a_pull_to_the_parts(station: Path) -> None:
    """The pull says where each version came from; the report what it judged."""
    Journal.open(station.parent / "state/d").close()
    run(station, "sources", "pull")
    journal = Journal.open(station.parent / "state/d")
    parts = (PartRow("b", 0, 1_800_000_000.0, None, None, "ng", b"{}", None, "bottle@1.0.0"),)
    journal.commit(Entry(parts=PartsEntry(parts, b"{}", 9, 0.0)))
    journal.close()
    told = json.loads(run(station, "models", "lineage", "bottle@1.0.0", "--json"))
    assert (told["device"], told["datasets"], told["run"]) == ("d", ["line3-2026-09"], None)
    assert (told["source"]["kind"], told["source"]["version"]) == ("folder", "1.0.0")
    assert told["judged"]["ng"] == 1
    shown = run(station, "models", "lineage", "bottle@1.0.0")
    assert "line3-2026-09" in shown
    assert "training run  unknown" in shown
    assert "0 frames; 1 parts: 0 ok, 1 ng" in shown
    of_the_set = run(station, "models", "lineage", "--dataset", "line3-2026-09")
    assert "bottle@1.0.0" in of_the_set
    assert "bottle@1.1.0" not in of_the_set


def test_a_name_in_brackets_is_shown_as_it_is(station: Path) -> None:
    """A data set may be called anything, also what a terminal's library takes for a style."""
    named = {"lineage": {"dataset": "line3 [red]"}}
    make_bundle(station.parent / "usb", "bottle@1.2.0", edit=lambda it: it.update(named))
    Journal.open(station.parent / "state/d").close()
    run(station, "sources", "pull")
    assert "line3 [red]" in run(station, "models", "lineage", "bottle@1.2.0")


def test_a_candidate_that_was_stopped_says_when_and_why(station: Path) -> None:
    """No verdict of it counted; that it was tried is a line of its own."""
    Journal.open(station.parent / "state/d").close()
    run(station, "sources", "pull")
    journal = Journal.open(station.parent / "state/d")
    ended = {"ended": "rollout_stopped", "why": "", "ended_why": "It misses 15 bad parts."}
    tried = ("bottle@1.1.0", BOTTLE, b"{}", json.dumps(ended).encode())
    rollout = RolloutRow("r7", 1_800_000_000.0, 1_800_000_060.0, *tried)
    journal.commit(Entry(rollouts=RolloutsEntry(rollout)))
    journal.close()
    shown = " ".join(run(station, "models", "lineage", "bottle@1.1.0").split())
    assert "judged no frame whose verdict counted" in shown
    assert "bottle@1.1.0 beside bottle@1.0.0 rollout_stopped: It misses 15 bad parts." in shown
    assert "rollout r7 2027-01-1" in shown


def test_a_pull_before_the_first_start_says_what_it_cannot_keep(station: Path) -> None:
    """The bundle comes all the same."""
    said = run(station, "sources", "pull")
    assert said.count("came into the store") == 2
    assert "Where bottle@1.0.0 came from is not on record" in said


@pytest.mark.parametrize(
    ("words", "ends", "said"),
    [
        ((), 2, "Name a version or a data set"),
        (("bottle@1.0.0", "--dataset", "x"), 2, "Name a version or a data set"),
        (("bottle",), 2, "names no version"),
        (("bottle@9.9.9",), 1, "was never in the store"),
        (("--dataset", "nothing"), 1, "No version that was in the store"),
    ],
)
def test_bad_questions(station: Path, words: tuple[str, ...], ends: int, said: str) -> None:
    """A sentence and the next step."""
    Journal.open(station.parent / "state/d").close()
    assert said in run(station, "models", "lineage", *words, ends=ends).replace("\n", " ")


def test_a_daemon_keeps_its_own_books(tmp_path: Path) -> None:
    """What it was told by a command, which bundle was active, and the frames that it judged."""
    usb = tmp_path / "usb"
    usb.mkdir()
    sources = [{"folder": str(usb), "models": {"can": "newest"}}]
    with Device(BOTTLE, settings={"sources": sources}) as device:
        device.await_active(BOTTLE)
        daemon = device.daemon
        assert daemon is not None
        sim_bundle(usb, "can@1.0.0")
        run(device.config, "sources", "pull")
        told = json.loads(run(device.config, "models", "lineage", "can@1.0.0", "--json"))
        assert told["source"]["url"] == str(usb)
        assert told["judged"]["frames"] == 0
        wait_until(lambda: daemon.frames.ledger.counts().inspected >= 20, "20 frames judged")
        told = json.loads(run(device.config, "models", "lineage", BOTTLE, "--json"))
        assert (told["source"], told["datasets"]) == (None, [])
        assert [each["to"] for each in told["receipts"]] == [BOTTLE]
        device.stop()
        told = json.loads(run(device.config, "models", "lineage", BOTTLE, "--json"))
        models = daemon.frames.ledger.totals().models
        judged = sum(sum(each.verdicts.values()) for ref, each in models.items() if ref)
        assert told["judged"]["frames"] == judged
        assert sum(each["frames"] for each in told["active"]) == judged
