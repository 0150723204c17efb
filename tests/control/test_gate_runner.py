"""The gate runner: evidence from this camera and these images, within its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_daemon.config import GateSettings
from edge_daemon.control import golden_looks
from edge_daemon.control.comparison import TIMED_FRAMES, Comparison, Incumbent
from edge_daemon.control.gate_runner import GateRunner
from edge_daemon.control.golden_looks import Candidate, Deadline
from edge_daemon.core.gate import Limits
from edge_daemon.core.golden import Expectation
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Recipe,
    StoredBundle,
    Verdict,
)
from edge_daemon.errors import Code, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.models.manifest import GoldenImage
from edge_daemon.slots.active import ActiveSlot, Pointer
from edge_daemon.slots.frame_control import Sample
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder
from tests.sim.bundles import png_header
from tests.sim.clock import SimClock
from tests.sim.idle_tasks import still_lane
from tests.sim.slot import Script, SimSlot

ORDER = LoadOrder(BundleRef("b", "2"), "bb", Path(), Path(), "detect", ("x",), 32, 0.2)


class SilentLine:
    """A line on which nothing is judged; it notes how long it was waited for."""

    def __init__(self) -> None:
        self.memory = FrameMemory.allocate(FrameShape(4, 6), 1)
        self.patience: list[float] = []

    @contextmanager
    def sampler(self) -> Iterator[SilentLine]:
        yield self

    def next(self, timeout_s: float) -> Sample:
        self.patience.append(timeout_s)
        return Sample(FrameAddress(self.memory, 0))


class Harness:
    def __init__(self, line: SilentLine | None = None) -> None:
        self.line = line or SilentLine()
        self.clock = SimClock()
        self.slots = {name: SimSlot(name, script=Script()) for name in "AB"}
        self.active_slot = ActiveSlot(self.slots, lambda: None)
        self.runner = GateRunner(
            GateSettings(),
            self.line,  # type: ignore[arg-type]
            self.active_slot,
            lambda: {"host": 1 << 30},
        )
        for slot in self.slots.values():
            slot.load(ORDER, 1.0)

    def beside(self, proven: Candidate) -> Comparison:
        """The live frames that the gate takes."""
        return self.runner.beside(proven, far(), self.runner.looks(proven, far()))


@pytest.fixture
def bench() -> Harness:
    return Harness()


def far(clock: SimClock | None = None, seconds: float = 60.0) -> Deadline:
    clock = clock or SimClock()
    return Deadline(clock.now().at + seconds, clock)


def test_a_warm_up_is_as_large_as_the_camera_s_frames(bench: Harness) -> None:
    warm_ups = bench.runner.warm(bench.slots["B"], 3, far())
    assert [warm_up.size for warm_up in warm_ups] == [(6, 4)] * 3


def test_where_the_line_judges_two_warm_ups_tell_its_pace() -> None:
    """Where it judges nothing, as while frames wait for this very model, one may be enough."""
    judging, waiting = Harness(HiccupLine(1, BundleRef("b", "1"))), Harness()
    assert len(judging.runner.warm(judging.slots["B"], 1, far())) == 2
    assert len(waiting.runner.warm(waiting.slots["B"], 1, far())) == 1


def test_nothing_is_waited_for_where_nothing_judges(bench: Harness) -> None:
    """At the start, and when the slot in hand is the only one that could judge."""
    bench.runner.warm(bench.slots["B"], 2, far())
    bench.active_slot.pointer = Pointer(bench.slots["B"], StoredBundle(BundleRef("b", "1"), "aa"))
    bench.runner.warm(bench.slots["B"], 2, far())
    bench.active_slot.pointer = Pointer(bench.slots["A"], StoredBundle(BundleRef("b", "1"), "aa"))
    bench.runner.warm(bench.slots["B"], 2, far())
    assert bench.line.patience[:2] == [0.0, 0.0]
    assert bench.line.patience[2] > 0.0


@pytest.fixture
def course(bench: Harness) -> list[str]:
    """Who looks at which golden image, with the idle_time of the line between."""
    seen: list[str] = []

    def looks(name: str) -> Callable[[LoadOrder, Path], tuple[Detection, ...]]:
        def look(_: LoadOrder, path: Path) -> tuple[Detection, ...]:
            seen.append(f"{name}{path.stem}")
            return (Detection(name, 0.5, (0.0, 0.0, 1.0, 1.0)),)

        return look

    for name, slot in bench.slots.items():
        slot.script.detect_file = looks(name)
    return seen


def test_a_golden_image_is_judged_where_a_gap_begins(bench: Harness, course: list[str]) -> None:
    """After the active model's look at it, in the same gap."""
    proven = candidate(bench, activate(bench), images(3))
    with still_lane(bench.active_slot, lambda: course.append("gap")):
        results = bench.runner.looks(proven, far()).rest()
    assert course == ["gap", "A0", "B0", "gap", "A1", "B1", "gap", "A2", "B2"]
    assert all(golden.incumbent for golden in results)


def test_with_nothing_to_compare_each_image_has_a_gap_too(
    bench: Harness, course: list[str]
) -> None:
    """The active model of another product judges frames all the same."""
    activate(bench)
    with still_lane(bench.active_slot, lambda: course.append("gap")):
        results = bench.runner.looks(candidate(bench, None, images(2)), far()).rest()
    assert course == ["gap", "B0", "gap", "B1"]
    assert not any(golden.incumbent for golden in results)


def test_a_model_is_asked_once_for_an_image(bench: Harness, course: list[str]) -> None:
    """Consecutive versions share theirs; a new image is asked for."""
    incumbent = activate(bench)
    with still_lane(bench.active_slot):
        first = bench.runner.looks(candidate(bench, incumbent, images(2)), far()).rest()
        again = bench.runner.looks(candidate(bench, incumbent, images(3)), far()).rest()
    assert course == ["A0", "B0", "A1", "B1", "B0", "B1", "A2", "B2"]
    assert [golden.incumbent for golden in again[:2]] == [golden.incumbent for golden in first]
    assert again[2].incumbent


def test_what_was_proven_need_not_be_asked_when_it_is_active(
    bench: Harness, course: list[str]
) -> None:
    """It has seen its golden images then, with the same weights on the same box."""
    proven = candidate(bench, activate(bench), images(2))
    with still_lane(bench.active_slot):
        bench.runner.looks(proven, far()).rest()
        course.clear()
        bench.active_slot.pointer = Pointer(
            bench.slots["B"], StoredBundle(BundleRef("b", "2"), "bb")
        )
        manifest = SimpleNamespace(ref=BundleRef("b", "3"), sha256="cc", golden=images(2))
        verified = SimpleNamespace(manifest=manifest, golden=proven.verified.golden)
        following = replace(
            proven,
            slot=bench.slots["A"],
            verified=verified,
            incumbent=Incumbent(proven.verified.manifest),
        )
        results = bench.runner.looks(following, far()).rest()
    assert course == ["A0", "A1"]
    assert [golden.incumbent[0].label for golden in results if golden.incumbent] == ["B", "B"]


def test_an_image_without_a_digest_is_always_asked_for(bench: Harness, course: list[str]) -> None:
    """Another one may come under its name."""
    proven = candidate(bench, activate(bench), images(1, digests=False))
    with still_lane(bench.active_slot):
        for _ in range(2):
            bench.runner.looks(proven, far()).rest()
    assert course == ["A0", "B0"] * 2


def test_each_warm_up_begins_where_a_gap_begins(bench: Harness) -> None:
    """The first inferences are the long ones: the next frame should not find two at work."""
    activate(bench)
    course: list[str] = []
    bench.slots["B"].script.detect = lambda order, pixels: course.append("B") or ()
    with still_lane(bench.active_slot, lambda: course.append("gap")):
        bench.runner.warm(bench.slots["B"], 3, far())
    assert course == ["gap", "B"] * 3


def test_past_its_time_the_gate_ends(bench: Harness) -> None:
    """As a load that takes too long, with the setting to raise."""
    with pytest.raises(SlotLost) as caught:
        bench.runner.warm(bench.slots["B"], 2, far(seconds=-1.0))
    assert caught.value.code is Code.LOAD_TIMEOUT
    assert "gate.timeout_s" in caught.value.hint


def activate(bench: Harness) -> Incumbent:
    """Slot A judges b@1, which is what the candidate is compared with."""
    bench.active_slot.pointer = Pointer(bench.slots["A"], StoredBundle(BundleRef("b", "1"), "aa"))
    return Incumbent(SimpleNamespace(ref=BundleRef("b", "1"), sha256="aa", recipe=Recipe()))  # type: ignore[arg-type]


def images(count: int, *, digests: bool = True) -> list[GoldenImage]:
    return [
        GoldenImage(f"golden/{n}.png", f"{n:064x}" if digests else None, Expectation("all"))
        for n in range(count)
    ]


def candidate(
    bench: Harness, incumbent: Incumbent | None, golden: Sequence[GoldenImage] = ()
) -> Candidate:
    manifest = SimpleNamespace(
        ref=ORDER.ref, sha256="bb", limits=Limits(), recipe=Recipe(0.5), golden=golden
    )
    verified = SimpleNamespace(manifest=manifest, golden=[Path(each.image) for each in golden])
    loaded = Loaded((), "detect", 1.0)
    return Candidate(bench.slots["B"], verified, loaded, incumbent)  # type: ignore[arg-type]


class HangingSlot(SimSlot):
    """Uses up all the time that it is given."""

    def __init__(self, clock: SimClock) -> None:
        super().__init__("B", script=Script())
        self._clock = clock

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        self._clock.advance(timeout_s)
        raise SlotLost("The worker was silent.")


def test_a_model_that_hangs_is_given_up_as_too_late(bench: Harness) -> None:
    """Not as a worker that died: what hangs at its inference is the bundle's own fault."""
    with pytest.raises(SlotLost) as caught:
        bench.runner.warm(HangingSlot(bench.clock), 2, far(bench.clock))
    assert caught.value.code is Code.LOAD_TIMEOUT


def test_a_worker_that_dies_in_time_is_not_called_late(bench: Harness) -> None:
    """The box is asked why it died, and the setting of the gate is not blamed."""
    bench.slots["B"].kill()
    with pytest.raises(SlotLost) as caught:
        bench.runner.warm(bench.slots["B"], 2, far())
    assert caught.value.code is not Code.LOAD_TIMEOUT


class HiccupLine(SilentLine):
    """Judges one frame in `every`, by `model`; the others come without a verdict."""

    def __init__(self, every: int, model: BundleRef) -> None:
        super().__init__()
        self._every = every
        self._model = model

    def next(self, timeout_s: float) -> Sample:
        sample = super().next(timeout_s)
        if len(self.patience) % self._every:
            return sample
        seen = Judged(
            0, 0.0, 0.0, Assignment(), Verdict.OK, model=self._model, inference_ms=LIVE_MS
        )
        return replace(sample, judged=seen)


LIVE_MS = 4.0


@pytest.mark.parametrize("every", [1, 2, 10, 1000])
def test_the_incumbent_is_compared_on_as_many_frames_however_the_line_falters(every: int) -> None:
    """What the line does not show is asked for: a still line lets no slow model pass."""
    bench = Harness(HiccupLine(every, BundleRef("b", "1")))
    incumbent = activate(bench)
    with still_lane(bench.active_slot):
        seen = bench.beside(candidate(bench, incumbent))
    timing = seen.timing
    assert timing.incumbent_ms is not None
    assert len(timing.candidate_ms) == len(timing.incumbent_ms) == TIMED_FRAMES
    assert timing.incumbent_ms.count(LIVE_MS) == TIMED_FRAMES // every
    assert seen.recent.frames == TIMED_FRAMES // every


def test_a_silent_line_is_waited_for_once(bench: Harness) -> None:
    """Frames may wait for this very model: nineteen more silences would lose them."""
    incumbent = activate(bench)
    with still_lane(bench.active_slot):
        bench.beside(candidate(bench, incumbent))
    assert [seconds > 0 for seconds in bench.line.patience] == [True] + [False] * 19


def test_a_model_of_another_product_is_no_measure() -> None:
    """A small model may be followed by a large one where the product changes."""
    bench = Harness(HiccupLine(1, BundleRef("b", "1")))
    activate(bench)
    seen = bench.beside(candidate(bench, None))
    assert len(seen.timing.candidate_ms) == TIMED_FRAMES
    assert (seen.timing.incumbent_ms, seen.recent.frames) == (None, 0)


def test_an_incumbent_without_an_answer_is_asked_once(bench: Harness) -> None:
    """It is lost or hangs; each question more would cost the gate seconds."""
    incumbent = activate(bench)
    bench.slots["A"].kill()
    asked: list[FrameAddress] = []
    glance = bench.slots["A"].infer_picture

    def counted(picture: FrameAddress, patience_s: float) -> Inference | None:
        asked.append(picture)
        return glance(picture, patience_s)

    bench.slots["A"].infer_picture = counted  # type: ignore[method-assign]
    with still_lane(bench.active_slot):
        timing = bench.beside(candidate(bench, incumbent)).timing
    assert len(timing.candidate_ms) == TIMED_FRAMES
    assert timing.incumbent_ms == ()
    assert len(asked) == 1


def test_the_active_model_is_never_ended_for_a_picture_that_a_stranger_brings(
    bench: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its answer is late the comparison is dropped, not the worker, and there is no second
    question."""
    monkeypatch.setattr(golden_looks, "IDLE_TASK_S", 0.0)
    bench.slots["A"].script.hold_infers()
    proven = candidate(bench, activate(bench), images(3))
    with still_lane(bench.active_slot):
        results = bench.runner.looks(proven, far()).rest()
    assert [golden.incumbent for golden in results] == [None] * 3
    assert len(bench.slots["A"].script.called("infer_picture")) == 1
    assert bench.slots["A"].order is not None
    assert not bench.slots["A"].is_lost


def test_the_active_model_decodes_nothing(bench: Harness, course: list[str]) -> None:
    """The candidate's worker opens a stranger's file, once; both models are shown the pixels."""
    proven = candidate(bench, activate(bench), images(2))
    with still_lane(bench.active_slot):
        bench.runner.looks(proven, far()).rest()
    assert course == ["A0", "B0", "A1", "B1"]
    opened = [
        [(slot, call) for slot, call, _ in each.script.calls if call in {"decode", "infer_file"}]
        for each in bench.slots.values()
    ]
    assert opened == [[], [("B", "decode")] * 2]


def test_of_a_large_golden_image_the_active_model_is_not_asked(
    bench: Harness, course: list[str], tmp_path: Path
) -> None:
    """To decode it would take the line's time; the candidate takes its own."""
    huge = tmp_path / "0.png"
    huge.write_bytes(png_header(5000, 4000))
    proven = candidate(bench, activate(bench), images(1))
    verified = SimpleNamespace(manifest=proven.verified.manifest, golden=[huge])
    with still_lane(bench.active_slot):
        bench.runner.looks(replace(proven, verified=verified), far()).rest()
    assert course == ["B0"]
