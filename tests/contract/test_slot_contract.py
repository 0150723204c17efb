"""What every slot promises: the simulator, a spawned and a forked worker, and a thread alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, BundleError, Code, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots import child, thread
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder, Slot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from edge_daemon.slots.thread import ThreadSlot
from tests.sim.bundles import png_header
from tests.sim.engine import Behaviour, Sighting, let_go, write_weights
from tests.sim.slot import Script, SimSlot

SIM_ENGINE = "tests.sim.engine:SimEngine"
GENEROUS_S = 30.0
IMPATIENT_S = 0.3
REF = BundleRef("bottle", "1.0.0")
CLASSES = ("bottle", "scratch")


@dataclass(frozen=True)
class Harness:
    """One kind of slot under test, and a way to order bundles that behave as named."""

    slot: Slot
    order: Callable[[Behaviour], LoadOrder]
    frames: FrameMemory

    def let_go(self, order: LoadOrder) -> None:
        """Let the model judge that was ordered as `HELD_AT_INFER`."""
        let_go(order.folder)
        if isinstance(self.slot, SimSlot):
            self.slot.script.open_infers()


def _order(folder: Path, behaviour: Behaviour) -> LoadOrder:
    weights = write_weights(folder, behaviour, classes=CLASSES)
    return LoadOrder(REF, "00" * 32, folder, weights, "detect", CLASSES, 320, 0.25)


def _simulated(order: Callable[[Behaviour], LoadOrder]) -> tuple[Slot, Callable[..., LoadOrder]]:
    """The same faults, said in the simulator's script."""
    script = Script(detect=lambda order, pixels: Sighting.of(pixels, order.classes))
    script.detect_file = lambda order, path: Sighting.of(cv2.imread(str(path)), order.classes)

    def scripted(behaviour: Behaviour) -> LoadOrder:
        script.load_errors.clear()
        script.infer_faults.clear()
        script.not_finite.clear()
        script.open_loads()
        script.open_infers()
        if behaviour is Behaviour.RAISE_AT_LOAD:
            script.fail_load(
                REF, BundleError("No.", code=Code.LOAD_FAILED, detail="these weights are broken")
            )
        elif behaviour is Behaviour.NO_MEMORY_AT_LOAD:
            script.fail_load(REF, BoxError("no memory", code=Code.NO_MEMORY))
        elif behaviour is Behaviour.HANG_AT_LOAD:
            script.hold_loads()
        elif behaviour is Behaviour.RAISE_AT_INFER:
            script.fail_infer(REF, BundleError("No.", detail="size mismatch in layer 22"))
        elif behaviour is Behaviour.LOST_AT_INFER:
            script.fail_infer(REF, SlotLost("The GPU failed"))
        elif behaviour in {Behaviour.HANG_AT_INFER, Behaviour.HELD_AT_INFER}:
            script.hold_infers()
        elif behaviour is Behaviour.NAN:
            script.not_finite.add(REF)
        return order(behaviour)

    return SimSlot("A", script=script), scripted


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SparePool]]:
    readable = (str(tmp_path_factory.getbasetemp()),)
    spec = WorkerSpec(SIM_ENGINE, {"memory_bytes": 32 << 20}, readable=readable)
    starts = (Start.SPAWN, Start.FORK)
    made = {start.value: SparePool(spec, start, settle_s=0.0) for start in starts}
    yield made
    for pool in made.values():
        pool.close()


@pytest.fixture
def frames() -> Iterator[FrameMemory]:
    memory = FrameMemory.allocate(FrameShape(48, 64), places=3)
    for place in range(3):
        memory.pixels(place)[:] = 10 * (place + 1)
    yield memory
    memory.close()


@pytest.fixture(params=["sim", "spawn", "fork", "thread"])
def bench(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    pools: dict[str, SparePool],
    frames: FrameMemory,
) -> Iterator[Harness]:
    def order(behaviour: Behaviour) -> LoadOrder:
        return _order(tmp_path, behaviour)

    slot: Slot
    if request.param == "sim":
        slot, order = _simulated(order)
    elif request.param in pools:
        slot = ProcessSlot("A", pools[request.param])
    else:
        slot = ThreadSlot("A", SIM_ENGINE, {"memory_bytes": 32 << 20})
    yield Harness(slot, order, frames)
    slot.close()


def test_a_loaded_bundle_says_what_it_is(bench: Harness) -> None:
    """A load answers with the classes and the task that the weights themselves name."""
    loaded = bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    assert (loaded.classes, loaded.task) == (CLASSES, "detect")


def test_each_frame_is_judged_where_it_lies(bench: Harness) -> None:
    """What is found follows from the pixels of the place that was named, not of another."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    lefts = [
        bench.slot.infer(FrameAddress(bench.frames, place), GENEROUS_S).detections[0].box[0]
        for place in (2, 0, 1)
    ]
    assert lefts == [30.0, 10.0, 20.0]


def test_a_new_frame_memory_is_seen_at_once(bench: Harness) -> None:
    """When the camera changes its shape, frames of the old memory and the new are both judged."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    seen = []
    for edge in (8, 16, 24, 32):
        memory = FrameMemory.allocate(FrameShape(edge, edge), places=1)
        memory.pixels(0)[:] = edge
        for address in (FrameAddress(memory, 0), FrameAddress(bench.frames, 0)):
            found = bench.slot.infer(address, GENEROUS_S).detections[0]
            seen.append(found.box)
        memory.close()
    assert seen[::2] == [(float(e), 0.0, float(e), float(e)) for e in (8, 16, 24, 32)]
    assert seen[1::2] == [(10.0, 0.0, 64.0, 48.0)] * 4


def test_a_golden_image_is_decoded_and_judged(bench: Harness, tmp_path: Path) -> None:
    """An image file gives the detections of its own pixels."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    image = tmp_path / "0001.png"
    cv2.imwrite(str(image), np.full((20, 30, 3), 77, dtype=np.uint8))
    assert bench.slot.infer_file(image, GENEROUS_S).detections[0].box == (77.0, 0.0, 30.0, 20.0)


def test_what_one_slot_decodes_another_can_judge(bench: Harness, tmp_path: Path) -> None:
    """The pixels of the file, as one frame that nobody changes any more."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    image = tmp_path / "0001.png"
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    pixels[0, 0, 0] = 17
    cv2.imwrite(str(image), pixels)
    picture = bench.slot.decode(image, GENEROUS_S)
    assert picture is not None
    assert np.array_equal(picture.pixels(0), pixels)
    found = bench.slot.infer_picture(FrameAddress(picture, 0), GENEROUS_S)
    assert found is not None
    assert found.detections[0].box == (17.0, 0.0, 30.0, 20.0)
    picture.close()
    _works(bench)


def test_what_cannot_be_decoded_blames_the_bundle(bench: Harness, tmp_path: Path) -> None:
    """The slot goes on."""
    if isinstance(bench.slot, SimSlot):
        pytest.skip("the simulator has no decoder of its own")
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    image = tmp_path / "0001.png"
    image.write_bytes(png_header(30, 20))
    with pytest.raises(BundleError, match=r"0001\.png"):
        bench.slot.decode(image, GENEROUS_S)
    assert bench.slot.infer(FrameAddress(bench.frames, 2), GENEROUS_S).detections[0].box[0] == 30.0


def test_a_late_answer_to_a_glance_ends_nothing(bench: Harness) -> None:
    """It is dropped when it comes, and the next frame gets its own answer."""
    order = bench.order(Behaviour.HELD_AT_INFER)
    bench.slot.load(order, GENEROUS_S)
    assert bench.slot.infer_picture(FrameAddress(bench.frames, 0), 0.01) is None
    bench.let_go(order)
    lefts = [
        bench.slot.infer(FrameAddress(bench.frames, place), GENEROUS_S).detections[0].box[0]
        for place in (2, 1)
    ]
    assert lefts == [30.0, 20.0]
    assert not bench.slot.is_lost


def test_a_model_that_hangs_at_a_glance_is_ended_by_what_comes_next(
    bench: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the line would stand for ever."""
    for module in (child, thread):
        monkeypatch.setattr(module, "HUNG_S", IMPATIENT_S)
    bench.slot.load(bench.order(Behaviour.HANG_AT_INFER), GENEROUS_S)
    assert bench.slot.infer_picture(FrameAddress(bench.frames, 0), 0.01) is None
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), IMPATIENT_S)
    _works(bench)


def test_an_empty_slot_judges_nothing(bench: Harness) -> None:
    """Before a load and after free, an inference is refused as a lost slot."""
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    bench.slot.free()
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)


def test_what_was_let_go_is_gone_at_once_and_leaves_room_for_the_next(bench: Harness) -> None:
    """Letting go twice is harmless; what is loaded next works."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    bench.slot.let_go()
    bench.slot.let_go()
    assert bench.slot.memory_bytes() == 0
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)
    _works(bench)


def test_weights_that_cannot_be_read_blame_the_bundle(bench: Harness) -> None:
    """A loader that raises gives load_failed in one line, and the next load works."""
    with pytest.raises(BundleError) as refused:
        bench.slot.load(bench.order(Behaviour.RAISE_AT_LOAD), GENEROUS_S)
    assert refused.value.code is Code.LOAD_FAILED
    assert "these weights are broken" in refused.value.detail
    assert "broken" not in refused.value.message
    assert "\n" not in refused.value.message
    _works(bench)


def test_a_full_box_blames_the_box(bench: Harness) -> None:
    """No memory at a load is this box's fault, not the bundle's."""
    with pytest.raises(BoxError) as refused:
        bench.slot.load(bench.order(Behaviour.NO_MEMORY_AT_LOAD), GENEROUS_S)
    assert refused.value.code is Code.NO_MEMORY
    assert not isinstance(refused.value, SlotLost)
    _works(bench)


def test_a_load_that_hangs_is_bounded(bench: Harness) -> None:
    """Past its limit a load is given up with load_timeout, and the next load works."""
    with pytest.raises(SlotLost) as lost:
        bench.slot.load(bench.order(Behaviour.HANG_AT_LOAD), _patience(bench))
    assert lost.value.code is Code.LOAD_TIMEOUT
    _works(bench)


def test_a_model_that_raises_at_an_inference_blames_the_bundle(bench: Harness) -> None:
    """An exception of the model names the bundle as the culprit; the slot can be used again."""
    bench.slot.load(bench.order(Behaviour.RAISE_AT_INFER), GENEROUS_S)
    with pytest.raises(BundleError) as failed:
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)
    assert "size mismatch in layer 22" in failed.value.detail
    assert "size mismatch" not in failed.value.message
    _works(bench)


def test_an_inference_that_hangs_is_bounded(bench: Harness) -> None:
    """Past its limit an inference loses the slot, and the next load works."""
    bench.slot.load(bench.order(Behaviour.HANG_AT_INFER), GENEROUS_S)
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), IMPATIENT_S)
    _works(bench)


def test_an_engine_that_can_do_no_more_loses_the_slot(bench: Harness) -> None:
    """After a fault that spoils the process the slot is empty, and says why."""
    bench.slot.load(bench.order(Behaviour.LOST_AT_INFER), GENEROUS_S)
    with pytest.raises(SlotLost, match="The GPU failed"):
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)
    with pytest.raises(SlotLost):
        bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S)
    _works(bench)


def test_output_that_is_not_finite_is_told(bench: Harness) -> None:
    """NaN in the raw output is never a silent absence of detections."""
    bench.slot.load(bench.order(Behaviour.NAN), GENEROUS_S)
    assert not bench.slot.infer(FrameAddress(bench.frames, 0), GENEROUS_S).finite


def test_kill_ends_a_call_in_progress(bench: Harness) -> None:
    """Another thread's kill ends a hung load long before its limit, and the next load works."""
    lost: list[SlotLost] = []
    order = bench.order(Behaviour.HANG_AT_LOAD)

    def load() -> None:
        with pytest.raises(SlotLost) as caught:
            bench.slot.load(order, 600.0)
        lost.append(caught.value)

    loading = threading.Thread(target=load)
    loading.start()
    while loading.is_alive():
        bench.slot.kill()
        loading.join(0.05)
    assert lost
    _works(bench)


def test_promotion_changes_nothing_that_is_seen(bench: Harness) -> None:
    """Promote may be called in any state, and frames are judged as before."""
    bench.slot.promote()
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    bench.slot.promote()
    found = bench.slot.infer(FrameAddress(bench.frames, 1), GENEROUS_S)
    assert found.detections[0].box[0] == 20.0


def test_memory_is_counted_only_while_something_is_resident(bench: Harness) -> None:
    """A slot holds bytes between load and free, and none before and after."""
    before = bench.slot.memory_bytes()
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    held = bench.slot.memory_bytes()
    bench.slot.free()
    assert before == 0
    assert held >= 24 << 20
    assert bench.slot.memory_bytes() == 0


def test_free_and_close_never_raise(bench: Harness) -> None:
    """Freeing twice, freeing after a kill, and closing a closed slot are all harmless."""
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    bench.slot.kill()
    bench.slot.free()
    bench.slot.free()
    assert bench.slot.memory_bytes() == 0
    bench.slot.close()
    bench.slot.close()


def _patience(bench: Harness) -> float:
    """A worker without a spare must first be started; the others need no such time."""
    return 3.0 if isinstance(bench.slot, ProcessSlot) else IMPATIENT_S


def _works(bench: Harness) -> None:
    bench.slot.load(bench.order(Behaviour.GOOD), GENEROUS_S)
    found = bench.slot.infer(FrameAddress(bench.frames, 2), GENEROUS_S)
    assert found.detections[0].box[0] == 30.0
