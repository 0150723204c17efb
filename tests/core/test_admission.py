"""Admission: what may be done has a target, what may not has a code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_daemon.core.admission import admit
from edge_daemon.core.state import State
from edge_daemon.core.values import (
    NOW as AT_NOW,
)
from edge_daemon.core.values import (
    Assignment,
    At,
    AtFrame,
    AtNextOrder,
    BundleRef,
    ModelChoice,
    Refusal,
    Request,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb
from tests.core.resident import B1, B2, B3, C1, ref, state


def ask(verb: Verb, model: str | None = None, at: At = AT_NOW, **parts: Any) -> Request:
    choice = ModelChoice(*model.split("@")) if model else None
    return Request("r", verb, choice, at, **parts)


def code(answer: StoredBundle | Refusal) -> str:
    return str(answer.code) if isinstance(answer, Refusal) else str(answer)


FLOOR = ((ref("b@1"), "3"), (ref("b@2"), "3"))


@pytest.mark.parametrize("verb", [Verb.SWAP, Verb.PREPARE])
@pytest.mark.parametrize("confirmed", [(), (ref("b@1"), ref("b@2"))])
def test_a_downgrade_below_the_floor_is_refused(
    verb: Verb, confirmed: tuple[BundleRef, ...]
) -> None:
    """Whatever was confirmed here before; what is not below is taken."""
    given = replace(state(B3, confirmed=confirmed), below=FLOOR)
    assert code(admit(given, ask(verb, "b@2"))) == "not_trusted"
    assert admit(given, ask(verb, "b@3")) == B3


def test_a_rollback_to_what_was_confirmed_here_is_no_downgrade() -> None:
    """By itself or by name; what never was confirmed stays refused."""
    given = replace(state(B3, confirmed=(ref("b@2"),)), below=FLOOR)
    assert admit(given, ask(Verb.ROLLBACK)) == B2
    assert admit(given, ask(Verb.ROLLBACK, "b@2")) == B2
    assert code(admit(given, ask(Verb.ROLLBACK, "b@1"))) == "not_trusted"


RUNNING = replace(
    state(B1, running=True, product="P", job_order="wo"), line=Assignment(1, "P", "wo", "b")
)


@pytest.mark.parametrize(
    ("given", "request_", "code"),
    [
        (state(B1), ask(Verb.SWAP, "d@1"), "unknown_model"),
        (state(B1), ask(Verb.SWAP, "b@2", expect=ModelChoice("b", "9")), "precondition_failed"),
        (state(), ask(Verb.SWAP, "b@2", expect=ModelChoice("b", "1")), "precondition_failed"),
        (state(B1), ask(Verb.SWAP, "b@2", AtFrame(49)), "precondition_failed"),
        (state(B1, quarantined=((B2.ref, "bad"),)), ask(Verb.SWAP, "b@2"), "quarantined"),
        (state(B1, quarantined=((C1.ref, "bad"),)), ask(Verb.SWAP, "c"), "quarantined"),
        (state(B1), ask(Verb.ROLLBACK), "nothing_to_roll_back"),
        (state(), ask(Verb.ROLLBACK), "nothing_to_roll_back"),
        (state(B1), ask(Verb.ROLLBACK, "c@1"), "precondition_failed"),
        (state(B1), ask(Verb.ROLLBACK, "b@1"), "precondition_failed"),
        (RUNNING, ask(Verb.SWAP, "c@1"), "wrong_product"),
        (replace(state(B1), links=()), ask(Verb.SWAP, "b@2", AtNextOrder()), "unknown_product"),
    ],
)
def test_what_is_refused_has_its_code(given: State, request_: Request, code: str) -> None:
    """A refusal names the code, a sentence and the next step."""
    answer = admit(given, request_, 50)
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert answer.message
    assert answer.hint


@pytest.mark.parametrize(
    ("given", "request_", "target"),
    [
        (state(B1), ask(Verb.SWAP, "b@2", AtFrame(50)), B2),
        (state(B1), ask(Verb.SWAP, "b@2", expect=ModelChoice("b", "1")), B2),
        (RUNNING, ask(Verb.SWAP, "b"), B3),
        (RUNNING, ask(Verb.PREPARE, "c@1"), C1),
        (RUNNING, ask(Verb.SWAP, "c@1", AtNextOrder()), C1),
        (state(B2, confirmed=(B1.ref, B2.ref)), ask(Verb.ROLLBACK), B1),
        (state(B2, confirmed=(B2.ref,)), ask(Verb.ROLLBACK, "b@1"), B1),
    ],
)
def test_what_may_be_done_has_its_target(
    given: State, request_: Request, target: StoredBundle
) -> None:
    """The very bundle that will judge."""
    assert admit(given, request_, 50) == target
