"""The store from the command line, with and without a daemon; quarantine, history, audit trail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edge_daemon import config
from edge_daemon.cli.main import app
from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.core.events import QuarantineChanged
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.planner import step
from edge_daemon.core.state import Durable, SlotState, State
from edge_daemon.core.values import BundleRef, Instant, StoredBundle
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.models.trust import generate_keypair
from tests.sim.bundles import make_bundle
from tests.sim.command import command
from tests.sim.device import Device, sim_bundle, wait_until
from tests.sim.journals import by_hand

B1, B2 = "bottle@1.0.0", "bottle@1.1.0"


@pytest.fixture
def still() -> Iterator[Device]:
    """A station that was set up and never ran."""
    device = Device(B1, B2)
    yield device
    shutil.rmtree(device.folder)


@pytest.fixture
def device() -> Iterator[Device]:
    with Device(B1, B2) as device:
        device.await_active(B1)
        yield device


def run(device: Device, *arguments: str) -> tuple[int, str]:
    return command(*arguments, config=device.config)


def as_json(device: Device, *arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(device.config)])
    return json.loads(result.stdout)


def roles(device: Device, ref: str) -> list[str]:
    lines = as_json(device, "models", "list")["models"]
    return next(line["roles"] for line in lines if line["model"] == ref)


def test_list_needs_no_daemon(still: Device) -> None:
    """The store as it lies there, and what lies there but is no bundle."""
    (still.store / "can" / "1.0.0").mkdir(parents=True)
    code, output = run(still, "models", "list")
    assert code == 0
    assert B1 in output
    assert "can/1.0.0" in output.replace("\n", "")
    assert as_json(still, "models", "list")["models"][0]["roles"] == []


def test_a_list_stays_a_list_where_a_model_knows_much(still: Device) -> None:
    """The first few classes and how many more; machines are told all of them."""
    classes = [f"c{number}" for number in range(80)]
    make_bundle(still.store, "many@1.0.0", classes=classes)
    _, output = run(still, "models", "list")
    assert "and 76 more" in " ".join(output.split())
    listed = {line["model"]: line for line in as_json(still, "models", "list")["models"]}
    assert listed["many@1.0.0"]["classes"] == classes


def test_list_marks_what_the_daemon_uses(device: Device) -> None:
    """Active, selected, quarantined, as the daemon says."""
    assert roles(device, B1) == ["active", "selected"]
    assert run(device, "models", "quarantine", B2, "--reason", "blurred")[0] == 0
    wait_until(lambda: roles(device, B2) == ["quarantined"], "the new offer told")


def test_show_tells_dates_and_odd_numbers_as_they_are_written(still: Device) -> None:
    """What a trainer notes of a model is text for people; JSON can hold all of it."""
    noted = "lineage: {trained: 2026-11-22, at: 2026-11-22T10:00:00Z, took: 1:30:00, lr0: 0.01}\n"
    noted += "metrics: {map50: .nan, pretrained: yes, epochs: 0100, loss: 1e-3}\n"
    draft = sim_bundle(still.folder / "draft", "bottle@1.2.0")
    with (draft / "model.yaml").open("a") as manifest:
        manifest.write(noted)
    shutil.move(draft, still.store / "bottle" / "1.2.0")
    shown = as_json(still, "models", "show", "bottle@1.2.0")
    assert shown["lineage"] == {
        "trained": "2026-11-22",
        "at": "2026-11-22T10:00:00Z",
        "took": "1:30:00",
        "lr0": 0.01,
    }
    assert shown["metrics"] == {"map50": ".nan", "pretrained": "yes", "epochs": 100, "loss": 0.001}


def test_show_tells_what_a_bundle_says_of_itself(still: Device) -> None:
    """Classes, recipe, limits; and 1 with what there is for one that is not."""
    shown = as_json(still, "models", "show", B1)
    assert shown["classes"] == ["bottle", "scratch"]
    assert shown["golden"] == 1
    code, output = run(still, "models", "show", "bottle@7.0.0")
    assert code == 1
    assert "1.1.0" in output
    assert run(still, "models", "show", "bottle")[0] == 2


def test_add_verify_and_sign(still: Device, tmp_path: Path) -> None:
    """A bundle from elsewhere comes into the store whole; a changed byte is found."""
    folder = sim_bundle(tmp_path / "incoming", "bottle@2.0.0")
    private, public = generate_keypair(tmp_path, "line")
    code, output = run(still, "models", "sign", str(folder), "--key", str(private))
    assert code == 0, output
    assert run(still, "models", "add", str(folder))[0] == 0
    settings = yaml.safe_load(still.config.read_text())
    settings["models"]["trust"] = {"public_keys": [str(public)], "required": True}
    still.config.write_text(yaml.safe_dump(settings))
    code, output = run(still, "models", "verify", "bottle@2.0.0")
    assert (code, "vouches" in output) == (0, True), output
    code, output = run(still, "models", "verify", B1)
    assert code == 1
    assert "model.sig" in output
    weights = still.store / "bottle" / "2.0.0" / "weights-good.pt"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    code, output = run(still, "models", "verify", "bottle@2.0.0")
    assert code == 1
    assert "digest" in output


def test_quarantine_by_a_running_daemon_is_audited_and_obeyed(device: Device) -> None:
    """The swap is refused, the trail names who and why, and lifting it lets it through."""
    assert run(device, "models", "quarantine", B2, "--reason", "blurred")[0] == 0
    code, output = run(device, "swap", B2, "--local")
    assert code == 1
    assert "blurred" in output
    rows = as_json(device, "audit")["rows"]
    entry = next(row for row in rows if row["kind"] == "quarantine")
    assert (entry["body"]["model"], entry["body"]["reason"]) == (B2, "blurred")
    assert run(device, "models", "unquarantine", B2)[0] == 0
    assert run(device, "swap", B2, "--local")[0] == 0
    assert run(device, "models", "unquarantine", B2)[0] == 1
    assert run(device, "models", "quarantine", "bottle@9.9.9")[0] == 1
    assert run(device, "models", "quarantine", B2, "--reason", "\x1b[31mred")[0] == 1


def test_quarantine_while_the_daemon_is_stopped_holds_at_its_start(device: Device) -> None:
    """The journal is edited with a row of the trail, and the trail stays whole."""
    device.stop()
    assert run(device, "models", "quarantine", B2, "--reason", "blurred")[0] == 0
    assert roles(device, B2) == ["quarantined"]
    assert run(device, "audit", "verify")[0] == 0
    device.start()
    device.await_active(B1)
    assert run(device, "swap", B2, "--local")[0] == 1
    device.stop()
    assert run(device, "models", "unquarantine", B2)[0] == 0
    assert roles(device, B2) == []


def test_a_stopped_daemon_is_changed_as_a_running_one(still: Device) -> None:
    """Selection, confirmations and the count of broken starts: what the planner would leave."""
    good, bad = BundleRef.parse(B1), BundleRef.parse(B2)
    before = Durable(
        selected=(("bottle", "1.1.0"),),
        confirmed=(good, bad),
        active=StoredBundle(bad, "2"),
        trial="t-1",
        begun=((bad, 2), (good, 1)),
    )
    folder = config.load(still.config).state_folder
    with contextlib.closing(Journal.open(folder)) as journal:
        journal.commit(Entry(encode_durable(before)))
    slots = (SlotState("A", Phase.READY, before.active, 1, 1), SlotState("B"))
    running = State("t", slots, durable=before, active="A")
    for words, reason in (
        (("quarantine", B2, "--reason", "blurred"), "blurred"),
        (("unquarantine", B2), None),
    ):
        running, *_ = step(running, QuarantineChanged(bad, reason), Instant(0.0, 0.0))
        assert run(still, "models", *words)[0] == 0
        with contextlib.closing(Journal.open(folder)) as journal:
            assert decode_durable(journal.state()) == running.durable
    assert running.durable.begun == ((good, 1),)
    assert running.durable.selected == (("bottle", "1.0.0"),)
    assert run(still, "models", "unquarantine", B2)[0] == 1


def test_what_is_older_than_its_floor_is_marked(still: Device) -> None:
    """`models list` says what nobody may ask for."""
    settings = yaml.safe_load(still.config.read_text())
    settings["models"]["floor"] = {"bottle": "1.1"}
    still.config.write_text(yaml.safe_dump(settings))
    assert roles(still, B1) == ["below the floor"]
    assert roles(still, B2) == []


def test_what_changes_a_version_answers_machines_too(device: Device) -> None:
    """One JSON object each, and nothing else on stdout."""
    said = as_json(device, "models", "quarantine", B2, "--reason", "blurred")
    assert said == {"model": B2, "quarantined": "blurred"}
    said = as_json(device, "models", "unquarantine", B2)
    assert said == {"model": B2, "quarantined": None}
    key, _ = generate_keypair(device.folder)
    said = as_json(device, "models", "sign", B2, "--key", str(key))
    assert Path(said["signature"]).is_file()
    assert as_json(device, "models", "verify", B2)["valid"]


def test_history_holds_the_receipts(device: Device) -> None:
    """Newest first, by the running daemon and from its journal alike."""
    run(device, "swap", B2, "--local", "--by", "kim")
    running = as_json(device, "models", "history")
    assert (running[0]["to"], running[0]["by"]) == (B2, f"kim (uid {os.getuid()})")
    code, output = run(device, "models", "history", "--swap", running[0]["swap_id"])
    assert (code, f"{B1} → {B2}" in output) == (0, True)
    code, output = run(device, "models", "history")
    assert "kim" in output
    device.stop()
    assert as_json(device, "models", "history")[0]["swap_id"] == running[0]["swap_id"]
    assert run(device, "models", "history", "--swap", "none")[0] == 1


def test_history_tells_what_was_refused_and_why(device: Device) -> None:
    """With every check, by the running daemon and from its journal alike."""
    weights = device.store / "bottle" / "1.1.0" / "weights-good.pt"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert run(device, "swap", B2, "--local")[0] == 1
    (running,) = as_json(device, "models", "history", "--refused")
    assert (running["model"], running["code"]) == (B2, "digest_mismatch")
    assert [(c["name"], c["passed"]) for c in running["checks"]] == [("integrity", False)]
    code, output = run(device, "models", "history", "--refused", "--swap", running["swap_id"])
    assert (code, "integrity" in output) == (0, True)
    assert "0 of 1" in run(device, "audit")[1]
    device.stop()
    assert as_json(device, "models", "history", "--refused") == [running]
    assert "digest_mismatch" in run(device, "models", "history", "--refused")[1]


def test_audit_verify_finds_a_change(device: Device) -> None:
    """A row that somebody changed breaks the chain: named, and exit 1."""
    code, output = run(device, "audit", "verify")
    assert code == 0
    assert "whole" in output
    device.stop()
    by_hand(device.folder / "state" / "cam1", "UPDATE audit SET body = '{}' WHERE seq = 1")
    code, output = run(device, "audit", "verify")
    assert code == 1
    assert "Row 1 was changed" in output


def test_a_station_that_never_ran_has_no_history(still: Device) -> None:
    """One sentence, no journal made by looking."""
    code, output = run(still, "models", "history")
    assert code == 1
    assert "has never run" in output
    assert not (still.folder / "state").exists()


def test_a_missing_store_is_named(still: Device) -> None:
    """The folder and the key of the settings."""
    shutil.rmtree(still.store)
    code, output = run(still, "models", "list")
    assert code == 1
    assert "models.store" in output


@pytest.mark.parametrize("file", ["weights.pt", "weights_openvino_model"])
def test_digest_prints_what_the_manifest_has_to_say(
    still: Device, tmp_path: Path, file: str
) -> None:
    """A bundle made by hand: its line of weights comes from a command, for a folder as well."""
    folder = make_bundle(tmp_path, "bottle@3.0.0", file=file)
    printed = CliRunner().invoke(app, ["models", "digest", str(folder / file)]).stdout
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    assert yaml.safe_load(printed) == {"weights": manifest["weights"]}
    manifest["weights"] = {"file": file, "size": manifest["weights"]["size"]}
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
    code, output = run(still, "models", "verify", str(folder))
    assert code == 1
    assert "edge-daemon models digest PATH" in output
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest | yaml.safe_load(printed)))
    assert as_json(still, "models", "verify", str(folder))["valid"]


def test_verify_tells_the_digest_that_was_found_and_the_one_declared(
    still: Device, tmp_path: Path
) -> None:
    """Whoever compares two files by hand has both numbers."""
    folder = make_bundle(tmp_path, "bottle@3.0.0")
    content = bytearray((folder / "weights.pt").read_bytes())
    content[0] ^= 1
    (folder / "weights.pt").write_bytes(content)
    code, output = run(still, "models", "verify", str(folder))
    declared = yaml.safe_load((folder / "model.yaml").read_text())["weights"]["sha256"]
    told = output.replace("\n", "")
    assert code == 1
    assert f"found {hashlib.sha256(content).hexdigest()}" in told
    assert f"declared {declared}" in told


def test_what_no_station_takes_is_not_signed(still: Device, tmp_path: Path) -> None:
    """The first door refuses a task that is not supported, and says which are."""
    private, _ = generate_keypair(tmp_path)
    folder = make_bundle(tmp_path, "bottle@3.0.0", edit=lambda it: it.update(task="depth"))
    for words in (
        ("sign", str(folder), "--key", str(private)),
        ("verify", str(folder)),
        ("add", str(folder)),
    ):
        code, output = run(still, "models", *words)
        assert code == 1
        assert "supported are detect, segment, pose" in output.replace("\n", " ")
    assert not (folder / "model.sig").exists()


def trusting(still: Device, **models: Any) -> Path:
    """Signatures are required from now on; gives the private key whose pair is trusted."""
    private, public = generate_keypair(still.folder, "line")
    document = yaml.safe_load(still.config.read_text())
    document["models"] |= {"trust": {"required": True, "public_keys": [str(public)]}, **models}
    still.config.write_text(yaml.safe_dump(document))
    return private


def test_list_shows_what_the_daemon_would_offer(still: Device) -> None:
    """What nobody signed is named with its reason; signed where it lies, it is offered."""
    private = trusting(still)
    listed = as_json(still, "models", "list")
    assert listed["models"] == []
    assert [line["code"] for line in listed["refused"]] == ["not_trusted", "not_trusted"]
    assert run(still, "models", "sign", B1, "--key", str(private))[0] == 0
    assert [line["model"] for line in as_json(still, "models", "list")["models"]] == [B1]


def test_what_was_revoked_is_not_added(still: Device, tmp_path: Path) -> None:
    """Whoever signed it."""
    draft = make_bundle(tmp_path, "can@1.0.0")
    digest = hashlib.sha256((draft / "weights.pt").read_bytes()).hexdigest()
    private = trusting(still, revoked=[digest])
    assert run(still, "models", "sign", str(draft), "--key", str(private))[0] == 0
    code, output = run(still, "models", "add", str(draft))
    assert (code, "revoked" in output) == (1, True)
    assert not (still.store / "can").exists()
