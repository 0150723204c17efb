"""What makes no sense is refused in one sentence with the next step, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.mosquitto import free_port

WRONG = (
    (("audit", "--head", "1:00"), "--head goes with verify."),
    (("collect", "purge"), "Nothing says which pictures are to go."),
    (("drill", "--models", "b@1.0", "b@1.0"), "b@1.0 is given twice"),
    (("feedback", "812", "maybe"), "'maybe' is neither ok nor ng."),
    (("feedback", "SN-1", "ng", "--frame"), "'SN-1' is no number of a frame."),
    (("fleet", "who", " "), "No bundle was named."),
    (("fleet", "keys", "refresh"), "This station pins no root."),
    (("fleet", "publish", "b@1.0", "--to", ".", "--user", "kim"), "A user needs a password."),
    (("fleet", "publish", "b@1.0", "--to", "oci:x"), "oci:x names no registry."),
    (("fleet", "publish", "b@1.0", "--to", "https://x"), "https://x cannot be written to."),
    (("fleet", "timestamp", "--serial", "1"), "Each timestamp needs the key that signs it."),
    (("fleet", "timestamp"), "Nothing was named."),
    (("models", "lineage"), "Name a version or a data set, and not both."),
    (("parts", "list", "--json", "--csv"), "--json and --csv are both given."),
    (("rollout", "b", "--share", "0.1", "--shadow-only"), "Only one of --plan, --share and"),
    (("rollouts", "report", "r1", "--verify", "f"), "--verify goes alone."),
    (("swap", "b", "--at", "frame:x"), "'frame:x' names no frame."),
    (("swap", "b", "--at", "soon"), "--at 'soon' is not a time with a zone."),
    (("swap", "b", "--within", "5", "--expires", "2030-01-01T00:00:00Z"), "are both given."),
    (("tune", "b"), "Give values or --reset."),
    (("tune", "b", "--reset", "--preview", "5"), "--preview needs values."),
    (("tune", "b", "dent.confidence=0.4", "--reset"), "--reset sets back all values."),
    (("tune", "b", "dent.confidence=x"), "'dent.confidence=x' gives no rule a value."),
)


@pytest.mark.parametrize(("words", "sentence"), WRONG, ids=lambda each: str(each)[:40])
def test_it_is_refused_with_the_next_step(
    words: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    """Exit 2; no broker listens, so a command that asked one would end with 69."""
    file = tmp_path / "cam1.yaml"
    file.write_text(
        "device: cam1\ncamera: {source: 'conveyor:'}\nmodels: {trust: {required: false}}\n"
        f"mqtt: {{port: {free_port()}}}\n"
    )
    done = CliRunner().invoke(app, [*words, "--config", str(file)])
    said = " ".join(done.stderr.split())
    assert done.exit_code == 2, done.output
    assert sentence in said
    assert len(said) > len(sentence)
    assert done.stdout == "" or "--json" in words
