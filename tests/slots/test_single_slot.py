"""A slot for one command: it judges as the daemon's do, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.single_slot import single_slot
from edge_daemon.slots.slot import LoadOrder
from tests.sim.engine import Behaviour, write_weights
from tests.sim.proctree import descendants

SPEC = WorkerSpec("tests.sim.engine:SimEngine")
GENEROUS_S = 30.0


def order(folder: Path, behaviour: Behaviour = Behaviour.GOOD) -> LoadOrder:
    weights = write_weights(folder, behaviour)
    ref = BundleRef("bottle", "1.0.0")
    return LoadOrder(ref, "ab", folder, weights, "detect", ("bottle",), 32, 0.2)


def test_its_worker_lives_as_long_as_it_is_needed(tmp_path: Path) -> None:
    """And not a moment longer: a command must not leave a process."""
    spec = WorkerSpec(SPEC.engine, readable=(str(tmp_path),))
    before = descendants(os.getpid())
    with single_slot(spec) as slot:
        assert isinstance(slot, ProcessSlot)
        slot.load(order(tmp_path), GENEROUS_S)
        assert slot.pid is not None
        assert Path(f"/proc/{slot.pid}").exists()
    assert slot.pid is None
    assert descendants(os.getpid()) == before


def test_a_command_that_fails_leaves_nothing_either(tmp_path: Path) -> None:
    """The bundle's fault reaches the command as it is."""
    spec = WorkerSpec(SPEC.engine, readable=(str(tmp_path),))
    before = descendants(os.getpid())
    with pytest.raises(BundleError), single_slot(spec) as slot:
        slot.load(order(tmp_path, Behaviour.RAISE_AT_LOAD), GENEROUS_S)
    assert descendants(os.getpid()) == before


def test_a_scratch_folder_that_is_given_stays(tmp_path: Path) -> None:
    """What the worker made below it goes; the folder is its owner's."""
    bundle, scratch = tmp_path / "bundle", tmp_path / "scratch"
    bundle.mkdir()
    scratch.mkdir()
    spec = WorkerSpec(SPEC.engine, readable=(str(bundle),), scratch=str(scratch))
    with single_slot(spec) as slot:
        slot.load(order(bundle), GENEROUS_S)
        assert any(scratch.iterdir())
    assert scratch.is_dir()
    assert not any(scratch.iterdir())


def test_no_worker_starts_before_a_model_is_loaded(tmp_path: Path) -> None:
    """A command that finds nothing to do costs nothing."""
    before = descendants(os.getpid())
    with single_slot(SPEC):
        assert descendants(os.getpid()) == before
