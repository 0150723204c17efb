"""The names of events on `model/event`, whether the planner announces them or the box itself."""

from __future__ import annotations

from enum import Enum


class EventName(str, Enum):
    """What an event of the public contract is called; the same word in log and audit trail."""

    REQUESTED = "requested"  # a request was accepted
    PREPARED = "prepared"  # a bundle is in its slot, and passed the gate
    SWAPPED = "swapped"  # the cutover is done
    CONFIRMED = "confirmed"  # the trial ended well
    TRIAL_FAILED = "trial_failed"
    VERDICTS_SHIFTED = "verdicts_shifted"  # against the version before; the trial passed
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"  # these four: how an operation ended that did not succeed
    FAILED = "failed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"
    UNQUARANTINED = "unquarantined"
    SLOT_LOST = "slot_lost"  # a worker died, hung or broke its protocol
    STOOD_IN = "stood_in"  # a worker was lost, and its standby judged the same frame
    RESTORED = "restored"  # the bundle of a lost worker is loaded again
    RESTS = "rests"  # the daemon kept ending while it brought this good version
    TUNED = "tuned"  # rules of the active recipe were adjusted, or set back
    ROLLOUT_STARTED = "rollout_started"  # its candidate passed the gate
    STAGE_ENTERED = "stage_entered"
    ROLLOUT_HELD = "rollout_held"  # it asks for a person's look before it goes on
    LABEL_WANTED = "label_wanted"  # parts on which both models disagree need a true verdict
    ROLLOUT_STOPPED = "rollout_stopped"  # by evidence, a guard, an operator, or something newer
    ROLLOUT_COMPLETED = "rollout_completed"
    HELD = "held"
    RELEASED = "released"
    ORDER_RUNNING = "order_running"
    ORDER_COMPLETED = "order_completed"
    ORDER_REFUSED = "order_refused"  # it could not be read
    FEEDBACK_REFUSED = "feedback_refused"  # of a source; it could not be read
    UNKNOWN_PRODUCT = "unknown_product"  # no link names a model for it
    PICTURE_BAD = "picture_bad"  # black, blurred, frozen: no evidence
    PICTURE_GOOD = "picture_good"
    DRIFTED = "drifted"  # pictures or verdicts are not as they were
    INFERENCE_FAILING = "inference_failing"
    INFERENCE_RECOVERED = "inference_recovered"
    NG_IMAGES_MISSED = "ng_images_missed"  # pictures of rejected parts that could not be kept
    NG_IMAGES_REMOVED = "ng_images_removed"  # for the quota
    PICTURES_MISSED = "pictures_missed"  # pictures of parts that could not be kept
    PICTURES_REMOVED = "pictures_removed"  # for the quota, or by their age
    PICTURES_NOT_COPIED = "pictures_not_copied"  # the other place is away, or too slow
    PICTURES_COPIED_AGAIN = "pictures_copied_again"
    PICTURES_GIVEN_UP = "pictures_given_up"  # never copied: refused, or gone for the quota before
    COLLECT_MISSED = "collect_missed"  # pictures for training that could not be kept
    COLLECT_REMOVED = "collect_removed"  # for the quota, or by their age
    SOURCE_PULLED = "source_pulled"  # a bundle came into the store from a source
    SOURCE_REFUSED = "source_refused"  # what a source offers is no good

    def __str__(self) -> str:
        return self.value


WITH_RECEIPT = frozenset(
    {EventName.SWAPPED, EventName.ROLLED_BACK, EventName.CONFIRMED, EventName.TRIAL_FAILED}
)
"""What is told of a swap from its cutover on."""
