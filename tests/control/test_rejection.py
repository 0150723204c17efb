"""Why a bundle was refused, in words that may leave the box: who is to blame, and what passed."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from edge_daemon.control.rejection import Refused, facts_of, failed, refusal_of, with_checks
from edge_daemon.core.gate import Report
from edge_daemon.core.values import BundleRef, Check, Refusal, StoredBundle
from edge_daemon.errors import BoxError, BundleError, Code, SlotLost

TARGET = StoredBundle(BundleRef("bottle", "2.0.0"), "ab")
SCRATCH = "/var/lib/edge-daemon/scratch"
PASSED = (Check("integrity", True), Check("signature", True))


def told(error: Exception) -> Refusal:
    return refusal_of(error, TARGET, (SCRATCH,))


def test_a_bad_bundle_is_named() -> None:
    """The message is read far from the request."""
    refusal = told(BundleError("The weights cannot be loaded.", code=Code.LOAD_FAILED))
    assert refusal.message.startswith("bottle@2.0.0: ")
    assert not refusal.blames_box


def test_a_name_that_is_there_is_not_said_twice() -> None:
    """One is enough."""
    refusal = told(BundleError("bottle@2.0.0 is not the bundle it was."))
    assert refusal.message.count("bottle@2.0.0") == 1


@pytest.mark.parametrize(
    ("error", "blames_box"),
    [
        (BoxError("There is no memory for the model.", code=Code.NO_MEMORY), True),
        (SlotLost("The worker died."), True),
        (SlotLost("It took too long.", code=Code.LOAD_TIMEOUT), False),
        (BundleError("It is broken."), False),
    ],
)
def test_the_blame_is_put_where_it_belongs(error: Exception, blames_box: bool) -> None:
    """A version is quarantined for its own faults only; a slow load is the bundle's."""
    assert told(error).blames_box is blames_box


def test_folders_of_this_box_are_nobody_s_business() -> None:
    """The answer goes to the broker; of a path its last part is left."""
    refusal = told(BundleError(f"{SCRATCH}/A-7/weights.pt is broken, see /etc/edge/x.yaml."))
    assert SCRATCH not in refusal.message
    assert "/etc" not in refusal.message
    assert "weights.pt" in refusal.message


def test_a_fault_of_our_own_is_told_without_its_words() -> None:
    """They are in the log with the traceback, and may hold anything."""
    with capture_logs() as lines:
        refusal = told(KeyError("/secret/path"))
    assert "secret" not in refusal.message
    assert "KeyError" in refusal.message
    assert (refusal.code, refusal.blames_box) == (Code.LOAD_FAILED, True)
    assert [line["event"] for line in lines] == ["job_failed"]


def test_what_was_worded_already_stays() -> None:
    """From the depth of a job to its end."""
    worded = Refusal(Code.INCOMPATIBLE, "bottle@2.0.0 needs a GPU.", "Build it anew.", PASSED)
    assert told(Refused(worded)) == worded


def test_the_log_has_what_a_library_said() -> None:
    """Beside the code and our sentence; nothing where nothing was said."""
    error = BundleError("It is broken.", code=Code.LOAD_FAILED, detail="size mismatch in layer 22")
    assert facts_of(error, told(error))["detail"] == "size mismatch in layer 22"
    assert "detail" not in facts_of(BoxError("No memory."), told(BoxError("No memory.")))


@pytest.mark.parametrize(
    ("stage", "name"),
    [("verify", "integrity"), ("load", "load"), ("warm", "warm_up"), ("gate", "gate")],
)
def test_the_checks_end_with_the_one_that_failed(stage: str, name: str) -> None:
    """What had passed before is proof too."""
    checks = with_checks(Refusal(Code.LOAD_FAILED, "It failed."), PASSED, stage).checks
    assert checks[:2] == PASSED
    assert (checks[-1].name, checks[-1].passed) == (name, False)


def test_a_bundle_that_nobody_vouches_for_failed_at_its_signature() -> None:
    """Not at its bytes, though both are checked at once."""
    refusal = with_checks(Refusal(Code.NOT_TRUSTED, "No key vouches."), (), "verify")
    assert [check.name for check in refusal.checks] == ["signature"]


def test_checks_that_are_there_are_not_told_twice() -> None:
    """A gate's report is whole."""
    whole = Refusal(Code.GATE_FAILED, "It failed.", "", (Check("golden.recall", False),))
    assert with_checks(whole, PASSED, "gate") == whole


def test_what_may_be_accepted_says_how() -> None:
    """Digests and inference checks never are."""
    weaker = failed(Report((Check("recipe.weaker", False, note="dent"),)))
    assert '"accept": ["recipe.weaker"]' in weaker.hint
    broken = failed(Report((Check("integrity", False),)))
    assert "accept" not in broken.hint
