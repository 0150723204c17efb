"""The summary at the end of the demo: frames and parts, as a subscriber counted them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.core.text import number_of
from edge_daemon.demo.output import failure, note, say, success
from edge_daemon.demo.subscriber import Subscriber
from edge_daemon.demo.truth import Score, Truth

LIGHTS: Final = {"normal": "in normal light", "low_light": "in low light"}
_FAULTS_SHOWN = 10


def tell_summary(subscriber: Subscriber, announced: Collection[str], status: int) -> int:
    """Tells what was counted; returns the exit status of the demo.

    `announced`: the serials of the parts that were triggered; `status`: how the daemon ended.
    """
    ledger, truth = subscriber.ledger, subscriber.truth
    say("Summary, as a subscriber counted")
    _tell_frames(ledger)
    _tell_parts(subscriber, len(announced))
    faults = [*ledger.faults, *part_faults(truth, announced)]
    if status != 0:
        faults.append(f"the daemon ended with status {status}")
    for fault in faults[:_FAULTS_SHOWN]:
        failure(f"   FAULT: {fault}")
    if faults:
        failure("\nFrames or parts were lost, doubled or judged wrongly: this must not be.")
        return 1
    if dropped := ledger.tally().dropped:
        failure(
            f"\nThis box has too much to do: {dropped} frames found no room and were not"
            " judged. Try again with less beside it, or with --fps 10."
        )
        return 1
    success(
        "\nEvery captured frame had exactly one verdict, by exactly one checked model, and every"
        " part exactly one result."
    )
    return 0


def part_faults(truth: Truth, announced: Collection[str]) -> list[str]:
    """What is wrong with the parts' results, a sentence each."""
    found = []
    if truth.missing:
        found.append(f"{truth.missing} numbers of parts were left out")
    if truth.doubled:
        found.append(f"{len(truth.doubled)} serials have two parts, such as {truth.doubled[0]}")
    if truth.mispaired:
        found.append(f"{len(truth.mispaired)} parts show another, such as {truth.mispaired[0]}")
    if untold := sorted(set(announced) - truth.serials):
        found.append(f"{len(untold)} parts have no result, such as {untold[0]}")
    return found


def _tell_frames(ledger: SubscriberLedger) -> None:
    tally = ledger.tally()
    note(
        f"{tally.frames} frames captured = {tally.inspected} inspected + {tally.dropped} dropped"
        f" + {tally.uninspected} uninspected"
    )
    for model, frames in tally.by_model.items():
        note(f"{model} judged {frames}")
    for reason, frames in tally.by_reason.items():
        note(f"not judged, {reason}: {frames}")
    if tally.pauses_ms:
        note(f"{number_of(tally.cutovers, 'cutover')}, pause at most {max(tally.pauses_ms):.2f} ms")
    note(f"missing {ledger.missing}, doubled {ledger.doubled}, out of turn {ledger.reordered}")


def _tell_parts(subscriber: Subscriber, announced: int) -> None:
    truth, counts = subscriber.truth, subscriber.counts
    verdicts = " + ".join(f"{counts[each]} {each}" for each in ("ok", "ng", "empty", "uninspected"))
    say("Parts, by serial number")
    note(f"{announced} triggers, {truth.parts} parts = {verdicts}; {len(subscriber.late)} late")
    for reason, parts in sorted(truth.unjudged.items()):
        note(f"without a model's verdict, {reason}: {parts}")
    for model in truth.models:
        note(f"{model}: {in_words(truth.score(model))}")
        for light, words in LIGHTS.items():
            score = truth.score(model, light)
            if score.flawed:
                note(f"   {words}: {score.found} of {score.flawed} flawed parts found")
    note(f"serial and part wrongly paired: {len(truth.mispaired)}")
    if truth.displaced:
        note(
            f"{len(truth.displaced)} parts were not where the light barrier expected them: this box"
            " drew the line too late, so it stood still meanwhile"
        )


def in_words(score: Score) -> str:
    """Recall and escapes by part, held against the truth."""
    recall = f" ({100 * score.found / score.flawed:.0f} %)" if score.flawed else ""
    return (
        f"{score.parts} parts, {score.flawed} of them flawed; found {score.found}{recall}, "
        f"escaped {score.escapes}; {score.rejected} good ones rejected"
    )
