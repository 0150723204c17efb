"""What tests of several rooms need."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.sim.made_once import forget_made
from tests.sim.mosquitto import Mosquitto, new_mosquitto

os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")  # read by whatever test imports it first

hypothesis.settings.register_profile(
    "usual",
    parent=hypothesis.settings(),
    deadline=None,  # what a busy machine takes is no fault
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("usual")

USUAL_LOG = structlog.get_config()

HERE = Path(__file__).parent
LONGEST = ("test_rollouts.py", "test_benches.py")
"""Files that take minutes: begun late, they would be left alone."""
WHOLE_DAEMONS = ("test_benches.py", "system", "integration", "courier", "web")
"""Folders of files that run whole daemons or a browser for long, and mostly wait."""
LAST_START = 0.85
"""None of them begins in the last part: the other workers would wait for it."""
MOST_DESCRIPTORS = 512


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several workers take the files in this order: long ones spread evenly among short ones."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    files = list(dict.fromkeys(item.path for item in items))
    long = [file for file in files if file.relative_to(HERE).parts[0] in WHOLE_DAEMONS]
    long.sort(key=lambda file: file.name not in LONGEST)
    short = [file for file in files if file not in long]
    places = {file: LAST_START * at / len(long) for at, file in enumerate(long)}
    places |= {file: at / len(short) for at, file in enumerate(short)}
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection of garbage walks it.

    A slot that lets its model go collects all garbage; with thousands of tests in memory that costs
    more than the test.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    forget_made()


@pytest.fixture(autouse=True, scope="module")
def _few_descriptors() -> Iterator[None]:
    """Sockets of clients that are over wait for the garbage collector; above 1,023, select() and so
    a client hears nothing.
    """
    yield
    if len(os.listdir("/proc/self/fd")) > MOST_DESCRIPTORS:
        gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _usual_log_of_a_file() -> None:
    """A command sets up the log of its process: here it is the next file's, too."""
    structlog.configure(**USUAL_LOG)


@pytest.fixture(autouse=True)
def _usual_log() -> Iterator[None]:
    """The next test has the log of its file."""
    usual = structlog.get_config()
    yield
    structlog.configure(**usual)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    """One mosquitto for all the tests of a file; where each needs its own, the file says so."""
    with new_mosquitto() as started:
        yield started


@pytest.fixture
def fresh_broker() -> Iterator[Mosquitto]:
    """One for this test alone."""
    with new_mosquitto() as started:
        yield started
