"""What the type checker must refuse: the core's tables and values are only as strict as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parent.parent

FORGOTTEN = """
from edge_daemon.core.verbs import Verb, unlisted

def rule(verb: Verb) -> int:
    match verb:
        case Verb.HOLD | Verb.RELEASE | Verb.CONFIRM:
            return 1
        case Verb.PREPARE | Verb.SWAP | Verb.ROLLBACK | Verb.SNAPSHOT | Verb.TRIGGER | Verb.TUNE:
            return 2
        case Verb.ROLLOUT | Verb.ADVANCE | Verb.ABORT:
            return 3
    return unlisted(verb)
"""

MISSPELT = """
from dataclasses import replace
from edge_daemon.core.step_draft import StepDraft

def hold(turn: StepDraft) -> None:
    turn.durable = replace(turn.durable, held=True)
    turn.durable = replace(turn.durable, hold=True)
"""


@pytest.mark.parametrize(
    ("code", "fault"), [(FORGOTTEN, "Literal[Verb.FEEDBACK]"), (MISSPELT, '"hold"')]
)
def test_the_type_checker_refuses(code: str, fault: str, tmp_path: Path) -> None:
    """A verb without a rule and a field that is not there are found before anything runs."""
    file = tmp_path / "planted.py"
    file.write_text(code)
    config = str(ROOT / "pyproject.toml")
    said, _, status = api.run(["--config-file", config, "--follow-imports", "silent", str(file)])
    assert status == 1
    assert fault in said
    assert said.count("error:") == 1
