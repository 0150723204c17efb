"""What a library raises gets its code and its blame, also where only its words tell."""

from __future__ import annotations

import pytest

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError, SlotLost
from edge_daemon.models.blame import inference_fault, load_fault
from tests.sim.words import assert_public


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


IN_A_SCRIPT = "The following operation failed in the TorchScript interpreter.\nTraceback: …\n"

RAISED = [
    (MemoryError(), BoxError, Code.NO_MEMORY),
    (OutOfMemoryError("Tried to allocate 20.00 GiB."), BoxError, Code.NO_MEMORY),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), BoxError, Code.NO_MEMORY),
    (RuntimeError(IN_A_SCRIPT + "RuntimeError: CUDA out of memory."), BoxError, Code.NO_MEMORY),
    (RuntimeError("CUDA error: device-side assert triggered"), SlotLost, None),
    (RuntimeError(IN_A_SCRIPT + "RuntimeError: CUDA error: unknown error"), SlotLost, None),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), BundleError, None),
    (ValueError("expected 3 channels\nhere is much more"), BundleError, None),
]


@pytest.mark.parametrize(("error", "kind", "code"), RAISED, ids=[str(row[0]) for row in RAISED])
def test_each_fault_has_its_owner(
    error: Exception, kind: type[EdgeDaemonError], code: Code | None
) -> None:
    """The bundle's is quarantined, the box's is tried again, and a broken GPU ends the slot."""
    judged = (
        (load_fault(error, "weights.pt"), Code.LOAD_FAILED),
        (inference_fault(error), Code.GATE_FAILED),
    )
    for found, own in judged:
        assert type(found) is kind
        assert_public(found.message, found.hint)
        assert kind is not BundleError or str(error).splitlines()[0] in found.detail
        if kind is not SlotLost:
            assert found.code is (code or own)


def test_a_library_that_is_lacking_is_named() -> None:
    """Nobody's fault, and nothing that a better version of the weights would mend."""
    found = load_fault(ImportError("no module", name="tensorrt"), "weights.engine")
    assert found.code is Code.INCOMPATIBLE
    assert "tensorrt" in found.message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("\N{CROSS MARK} /srv/x/weights.pt references types outside the supported …", "checkpoint"),
        ("PytorchStreamReader failed reading zip archive: failed finding", "cut short or damaged"),
        ("/srv/x/weights.onnx … the file is empty, truncated or corrupted", "cut short or damaged"),
        ("Got invalid dimensions for input: images", "pictures of another size"),
        ("anything else", "the library that reads it gave up (RuntimeError)"),
    ],
)
def test_a_library_is_heard_and_not_quoted(said: str, told: str) -> None:
    """The cause is told in our own words; the library's, which name folders, are for the log."""
    found = load_fault(RuntimeError(said), "weights.pt")
    assert told in found.message
    assert found.message.startswith("weights.pt ")
    assert found.detail == f"RuntimeError: {said}"
