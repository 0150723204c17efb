"""What tests of several rooms need."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.sim.mosquitto import Mosquitto, new_mosquitto

os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")  # read by whatever test imports it first


USUAL_LOG = structlog.get_config()


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
