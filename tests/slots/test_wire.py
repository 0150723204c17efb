"""The wire: whatever a worker sends is either a message within bounds or the loss of the slot."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.values import BundleRef, Detection, Polygon
from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError, SlotLost
from edge_daemon.slots import wire
from edge_daemon.slots.sightings import KEY_POINTS_LIMIT, Sighting, bounded
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ends() -> Iterator[tuple[wire.SlotEnd, socket.socket]]:
    ours, theirs = wire.pair()
    yield wire.SlotEnd(ours), theirs
    ours.close()
    theirs.close()


def test_the_ends_may_be_made_while_garbage_is_collected() -> None:
    """Some unions crash the library then, and the daemon with it."""
    program = (
        "import gc; from edge_daemon.slots import wire; gc.set_threshold(1, 1, 1)\n"
        "for _ in range(20): ours, theirs = wire.pair(); wire.SlotEnd(ours); wire.WorkerEnd(theirs)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0


def test_an_order_arrives_as_it_was_given() -> None:
    """Every field of a load order survives the way to the worker."""
    ours, theirs = wire.pair()
    order = LoadOrder(
        ref=BundleRef("bottle", "1.4.0"),
        sha256="9f" * 32,
        folder=Path("/bundles/bottle"),
        weights=Path("/bundles/bottle/weights.pt"),
        task="detect",
        classes=("bottle", "ä"),
        imgsz=320,
        confidence=0.35,
        device="cuda:0",
        half=True,
        swap_id="s-17",
        floor=0.1,
    )
    wire.SlotEnd(ours).send(wire.Load(order), 1.0)
    received = wire.WorkerEnd(theirs).receive()
    assert received is not None
    request, fds = received
    assert isinstance(request, wire.Load)
    assert request.order == order
    assert fds == []
    ours.close()
    theirs.close()


def test_answers_arrive_as_they_were_given(ends: tuple[wire.SlotEnd, socket.socket]) -> None:
    """What a worker found, loaded, or could not do is the same on the slot's side."""
    slot_end, theirs = ends
    worker_end = wire.WorkerEnd(theirs)
    box = (1.5, 2.0, 3.0, 4.0)
    detections = (Detection("dent", 0.5, box), Detection("dent", 0.5, box, 1.25))
    inference = Inference(detections, 8.25, False)
    worker_end.send(wire.Inferred.of(inference))
    found = slot_end.receive(1.0)
    assert isinstance(found, wire.Inferred)
    assert found.inference({"dent"}) == inference
    for imgsz in (None, 320, (320, 640)):
        loaded = Loaded(("a", "b"), "detect", 120.5, 1 << 20, 1 << 30, 3, imgsz)
        worker_end.send(wire.LoadedReply.of(loaded))
        reply = slot_end.receive(1.0)
        assert isinstance(reply, wire.LoadedReply)
        assert reply.loaded() == loaded


@pytest.mark.parametrize(
    "error",
    [
        BundleError("m", hint="h", code=Code.LOAD_FAILED),
        BoxError("m", hint="h", code=Code.NO_MEMORY),
        SlotLost("m", hint="h"),
    ],
)
def test_blame_survives_the_way(
    ends: tuple[wire.SlotEnd, socket.socket], error: EdgeDaemonError
) -> None:
    """The bundle's fault stays the bundle's, with its code, sentence and next step."""
    slot_end, theirs = ends
    wire.WorkerEnd(theirs).send(wire.WorkerFault.of(error))
    fault = slot_end.receive(1.0)
    assert isinstance(fault, wire.WorkerFault)
    back = fault.error()
    assert type(back) is type(error)
    assert (back.message, back.hint, back.code) == (error.message, error.hint, error.code)


@pytest.mark.parametrize("label", ["crack", "", "dent\x1b[31m", "<script>alert(1)</script>"])
def test_a_label_that_the_bundle_does_not_have_loses_the_slot(label: str) -> None:
    """A worker cannot have text of its own published: only the bundle's classes pass."""
    foreign = Detection(label, 0.5, (1.0, 2.0, 3.0, 4.0))
    known = Detection("dent", 0.5, (1.0, 2.0, 3.0, 4.0))
    with pytest.raises(SlotLost, match="class that the bundle does not have"):
        wire.Inferred.of(Inference((known, foreign), 8.0)).inference(frozenset({"dent", "scratch"}))


def test_what_a_worker_says_of_a_fault_names_no_folder_and_is_printable() -> None:
    """Its sentence is told to whoever asked; the library's own words are for the log."""
    said = "\N{CROSS MARK} /var/lib/edge-daemon/scratch/B-6/weights.pt\x1b[31m is torn."
    fault = wire.WorkerFault.of(BundleError(said, hint="See /tmp/x.", detail="the library's words"))
    error = fault.error()
    assert (error.message, error.hint) == ("weights.pt [31m is torn.", "See x.")
    assert error.detail == "the library's words"


def test_a_worker_that_answers_ahead_is_lost_before_a_frame_gets_anothers_verdict() -> None:
    """Each answer names its question: one too many, whenever it was sent, is nobody's answer."""
    for early in range(3):
        ours, theirs = wire.pair()
        with ours, theirs:
            slot_end, worker_end = wire.SlotEnd(ours), wire.WorkerEnd(theirs)
            for asking in range(3):
                slot_end.send(wire.InferFile(str(asking)), 1.0)
                received = worker_end.receive()
                assert received is not None
                assert received[0] == wire.InferFile(str(asking))
                reply = wire.Inferred(float(asking), True, ())
                worker_end.send(reply)
                if asking == early:
                    worker_end.send(reply)
                if asking > early:
                    with pytest.raises(SlotLost, match="not asked"):
                        slot_end.receive(1.0)
                    break
                assert slot_end.receive(1.0) == reply


@settings(max_examples=300, deadline=None)
@given(packet=st.binary(min_size=1, max_size=300))
def test_no_packet_does_worse_than_lose_the_slot(packet: bytes) -> None:
    """Random bytes either parse within bounds or raise SlotLost; nothing else can happen."""
    ours, theirs = wire.pair()
    with ours, theirs:
        theirs.send(packet)
        with suppress(SlotLost):
            wire.SlotEnd(ours).receive(1.0)


@pytest.mark.parametrize(
    "packet",
    [
        b"\x91\xa1\x80",  # a tag that is not UTF-8
        b"\x91" * wire.MESSAGE_LIMIT_BYTES,  # a hundred thousand arrays in each other
        b"\x92\x00\x94\xa5found\x01\xc3" + b"\x91" * 100_000,
        b"\x80\x04\x95cos\nsystem\n",  # a pickle
    ],
)
def test_hostile_packets_lose_the_slot(
    ends: tuple[wire.SlotEnd, socket.socket], packet: bytes
) -> None:
    """Packets that are made to trip a parser are refused like any other nonsense."""
    slot_end, theirs = ends
    theirs.send(packet)
    with pytest.raises(SlotLost, match="malformed"):
        slot_end.receive(1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("field", range(6))
def test_numbers_that_json_cannot_say_do_not_pass(
    ends: tuple[wire.SlotEnd, socket.socket], field: int, value: float
) -> None:
    """NaN and infinity in a detection break the protocol: they would spoil the result's JSON."""
    slot_end, theirs = ends
    numbers = [0.5, 1.0, 2.0, 3.0, 4.0, 5.0]
    numbers[field] = value
    confidence, *box, area = numbers
    detection = Detection("dent", confidence, (box[0], box[1], box[2], box[3]), area)
    wire.WorkerEnd(theirs).send(wire.Inferred.of(Inference((detection,), 1.0)))
    with pytest.raises(SlotLost, match="malformed"):
        slot_end.receive(1.0)


@pytest.mark.parametrize(
    ("box", "near"),
    [
        ((0.0, 0.0, 640.0, 480.0), True),
        ((-20.0, -30.0, 660.0, 500.0), True),  # turned, at the rim
        ((-641.0, 0.0, 10.0, 10.0), False),
        ((0.0, 0.0, 10.0, 961.0), False),
    ],
)
def test_a_box_far_outside_of_the_picture_is_told(
    box: tuple[float, float, float, float], near: bool
) -> None:
    """A box may reach out of a frame by as much as the frame is large, on every side."""
    usual = Sighting("dent", 0.5, 1.0, 1.0, 2.0, 2.0)
    found = wire.Inferred(1.0, True, (usual, Sighting("dent", 0.5, *box)))
    assert found.is_near(480, 640) is near


def test_a_mask_larger_than_the_picture_is_told() -> None:
    """Its area is published too, and there is no such mask."""
    for area, near in ((0.0, True), (640.0 * 480, True), (640.0 * 480 + 1, False)):
        found = wire.Inferred(1.0, True, (Sighting("dent", 0.5, 1.0, 1.0, 2.0, 2.0, area),))
        assert found.is_near(480, 640) is near


PIXELS = st.floats(-1e6, 1e6, width=32)
SHARES = st.floats(0.0, 1.0, width=32)
CORNERS = st.tuples(PIXELS, PIXELS)
DETECTIONS = st.builds(
    Detection,
    label=st.sampled_from(["dent", "scratch"]),
    confidence=SHARES,
    box=st.tuples(PIXELS, PIXELS, PIXELS, PIXELS),
    area_px=st.none() | st.floats(0.0, 1e12),
    keypoints=st.none() | st.lists(st.tuples(PIXELS, PIXELS, SHARES), max_size=20).map(tuple),
    top5=st.none()
    | st.lists(st.tuples(st.sampled_from(["dent", "scratch"]), SHARES), max_size=5).map(tuple),
)
TURNED = st.tuples(CORNERS, CORNERS, CORNERS, CORNERS), st.floats(0.0, 180.0, width=32)


@settings(max_examples=100, deadline=None)
@given(found=st.lists(DETECTIONS, max_size=10), polygon=TURNED[0], angle=TURNED[1])
def test_whatever_was_found_arrives_as_it_was(
    found: list[Detection], polygon: Polygon, angle: float
) -> None:
    """Boxes, masks, corners, key points and classes: not a bit of a float32 is lost."""
    told = (*found, Detection("dent", 0.5, (0.0, 0.0, 1.0, 1.0), 1.0, polygon, angle))
    inference = Inference(told, 8.25)
    ours, theirs = wire.pair()
    with ours, theirs:
        wire.WorkerEnd(theirs).send(wire.Inferred.of(inference))
        reply = wire.SlotEnd(ours).receive(1.0)
    assert isinstance(reply, wire.Inferred)
    assert reply.inference({"dent", "scratch"}) == inference


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("field", range(12))
def test_packed_numbers_are_held_to_the_same_bounds(
    ends: tuple[wire.SlotEnd, socket.socket], field: int, value: float
) -> None:
    """A corner, an angle or a key point that is no number would spoil the result's JSON, too."""
    slot_end, theirs = ends
    numbers = [*(float(number) for number in range(1, 12)), 0.5]
    numbers[field] = value
    turned, points = struct.pack("<9f", *numbers[:9]), struct.pack("<3f", *numbers[9:])
    line = ["dent", 0.5, 1.0, 2.0, 3.0, 4.0, 4.0, turned, points, None]
    theirs.send(msgspec.msgpack.encode([0, ["found", 1.0, True, [line]]]))
    with pytest.raises(SlotLost, match="malformed"):
        slot_end.receive(1.0)


@pytest.mark.parametrize(
    "more", [{"turned": b"x" * 35}, {"points": b"x" * 13}, {"points": bytes(12 * 3001)}]
)
def test_packed_numbers_that_are_cut_off_lose_the_slot(
    ends: tuple[wire.SlotEnd, socket.socket], more: dict[str, bytes]
) -> None:
    """Half a corner, half a key point, and more of them than a frame may have."""
    slot_end, theirs = ends
    line = ["dent", 0.5, 1.0, 2.0, 3.0, 4.0, None, more.get("turned"), more.get("points"), None]
    theirs.send(msgspec.msgpack.encode([0, ["found", 1.0, True, [line]]]))
    with pytest.raises(SlotLost, match="malformed"):
        slot_end.receive(1.0)


def test_corners_and_key_points_far_outside_of_the_picture_are_told() -> None:
    """They are published as boxes are, and nothing was seen out there."""
    box, near, far = (1.0, 2.0, 3.0, 4.0), (1280.0, 960.0), (1281.0, 0.0)
    for corner, is_near in ((near, True), (far, False)):
        corners = ((0.0, 0.0), (1.0, 0.0), corner, (0.0, 1.0))
        turned = Detection("dent", 0.5, box, 4.0, corners, 30.0)
        points = Detection("dent", 0.5, box, keypoints=((*corner, 1.0),))
        for each in (turned, points):
            found = wire.Inferred.of(Inference((each,), 1.0))
            assert found.is_near(480, 640) is is_near


def test_a_class_among_the_five_likeliest_must_be_one_of_the_bundles() -> None:
    """They are published too."""
    top5 = (("dent", 0.9), ("<script>", 0.1))
    found = wire.Inferred.of(
        Inference((Detection("dent", 0.9, (0.0, 0.0, 9.0, 9.0), top5=top5),), 1)
    )
    with pytest.raises(SlotLost, match="class that the bundle does not have"):
        found.inference({"dent", "scratch"})


def test_the_most_that_a_frame_may_hold_fits_into_one_message(
    ends: tuple[wire.SlotEnd, socket.socket],
) -> None:
    """A thousand oriented boxes, or a thousand people of whom the surest keep their key points."""
    slot_end, theirs = ends
    box, label = (1.5, 2.5, 3.5, 4.5), "a class of twenty ch"
    corners = ((1.5, 2.5), (3.5, 2.5), (3.5, 4.5), (1.5, 4.5))
    turned = [Detection(label, 0.5, box, 4.0, corners, 45.0)] * 1000
    person = [
        Detection(label, n / 1000, box, keypoints=((1.5, 2.5, 0.5),) * 17) for n in range(1000)
    ]
    for found in (turned, person):
        inference = Inference(bounded(found), 1.0)
        wire.WorkerEnd(theirs).send(wire.Inferred.of(inference))
        reply = slot_end.receive(1.0)
        assert isinstance(reply, wire.Inferred)
        assert reply.inference({label}) == inference
    kept = [each.confidence for each in bounded(person) if each.keypoints]
    assert kept == [n / 1000 for n in range(1000 - KEY_POINTS_LIMIT // 17, 1000)]
    assert bounded(turned) == tuple(turned)


def test_silence_is_told_from_an_end(ends: tuple[wire.SlotEnd, socket.socket]) -> None:
    """A worker that is silent and one that is gone are both lost, in different words."""
    slot_end, theirs = ends
    with pytest.raises(SlotLost, match="no answer"):
        slot_end.receive(0.01)
    theirs.close()
    with pytest.raises(SlotLost, match="ended"):
        slot_end.receive(1.0)
    with pytest.raises(SlotLost):
        slot_end.send(wire.Promote(), 1.0)
    slot_end.post(wire.Promote())


def test_a_worker_that_reads_nothing_does_not_block_the_lane(
    ends: tuple[wire.SlotEnd, socket.socket],
) -> None:
    """When the socket is full, a send is given up at its limit."""
    slot_end, _ = ends

    def fill() -> None:
        for _ in range(1_000_000):
            slot_end.send(wire.InferFile("x" * 1000), 0.05)

    with pytest.raises(SlotLost, match="does not take"):
        fill()
