"""The ultralytics engine on real networks: what it reads, refuses, finds and notices."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.decoding import Pixels, decode_image
from edge_daemon.models.engine import RawResult, UltralyticsEngine
from edge_daemon.models.results import areas_px, detections_of
from edge_daemon.slots import wire
from edge_daemon.slots.slot import Inference
from tests.sim.weights import CLASSES, OTHER_HEADS, Canary, made_elsewhere
from tests.sim.words import assert_public

# ultralytics and torch warn of their own affairs while they are imported
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("default")]

EXPORTS = {
    "torchscript": "tiny.torchscript",
    "onnx": "tiny.onnx",
    "openvino": "tiny_openvino_model",
}


@dataclass(frozen=True)
class Order:
    weights: Path
    task: str = "detect"
    imgsz: int = 64
    confidence: float = 0.5
    device: str = "cpu"
    half: bool = False


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small networks that were never trained, in every format."""
    return made_elsewhere(tmp_path_factory.mktemp("weights"), *EXPORTS, "names", "tasks")


@pytest.fixture(scope="module")
def engine() -> UltralyticsEngine:
    return UltralyticsEngine(threads=1)


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return np.random.default_rng(5).integers(0, 255, (96, 128, 3), dtype=np.uint8)


def test_a_checkpoint_says_its_classes_and_task(engine: UltralyticsEngine, weights: Path) -> None:
    """Classes and task come from the weights, whatever the order says."""
    facts = engine.load(Order(weights / "tiny.pt", task="segment"))
    assert (facts.classes, facts.task) == (CLASSES, "detect")


PREPARED = """
import os, sys, torch
from edge_daemon.models.engine import UltralyticsEngine
engine = UltralyticsEngine(threads=2)
engine.prepare()
print("parent", len(os.listdir("/proc/self/task")), torch.get_num_threads(), flush=True)
print("compiler", "torch._dynamo" in sys.modules, flush=True)
for _ in range(2):
    child = os.fork()
    if child == 0:
        engine.warm()
        print("child", torch.get_num_threads(), torch.rand(1).item(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_what_is_prepared_before_a_fork_has_one_thread() -> None:
    """Each child then has the threads that were asked for, and numbers of its own.

    torch's compiler, which nothing uses, is not imported.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    command = [sys.executable, "-c", PREPARED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    said = [line.split() for line in done.stdout.splitlines() if line[0] in "pc"]
    parent, compiler, *children = said
    assert parent == ["parent", "1", "1"]
    assert compiler == ["compiler", "False"]
    assert [child[:2] for child in children] == [["child", "2"]] * 2
    assert children[0][2] != children[1][2]


@pytest.mark.parametrize("ending", [".pt", ".torchscript", ".onnx", "_openvino_model"])
@pytest.mark.parametrize(("stem", "names"), [("tiny", 3), ("two_names", 2), ("many_names", 80)])
def test_the_head_is_counted_apart_from_the_names(
    engine: UltralyticsEngine, weights: Path, stem: str, names: int, ending: str
) -> None:
    """Whatever the table of names says, the head's own number of classes is told beside it."""
    facts = engine.load(Order(weights / f"{stem}{ending}"))
    assert (facts.head_classes, len(facts.classes)) == (3, names)


def test_a_class_without_a_name_is_incompatible(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """Where the graph has suppressed already, its head cannot be counted: the first detection of
    the class that has no name tells."""
    facts = engine.load(Order(weights / "suppressed.onnx", confidence=0.0))
    assert facts.head_classes is None
    with pytest.raises(BundleError, match="class 2, which has no name") as refused:
        engine.infer(picture)
    assert refused.value.code is Code.INCOMPATIBLE


def test_the_area_of_a_mask_is_told_in_pixels_of_the_frame(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """A network that segments, however little it knows; a mask lies within its box."""
    engine.load(Order(weights / "segment.pt", "segment", confidence=0.0))
    found = engine.infer(picture).detections
    assert found
    for each in found:
        x1, y1, x2, y2 = each.box
        assert each.area_px is not None
        assert 0 < each.area_px <= (x2 - x1 + 8) * (y2 - y1 + 8)


def test_a_mask_is_measured_without_the_margin_and_the_scale_of_the_network(
    engine: UltralyticsEngine, weights: Path
) -> None:
    """Ten by twenty pixels of a mask at half the frame's size are eight hundred of the frame."""
    engine.load(Order(weights / "tiny.pt"))
    import torch  # noqa: PLC0415 - not before the engine made it safe
    from ultralytics.engine.results import Results  # noqa: PLC0415

    masks = torch.zeros((2, 64, 64))
    masks[0, 8:18, 10:30] = 1.0
    masks[1, 8:56, :] = 1.0
    boxes = torch.tensor([[20.0, 0.0, 60.0, 20.0, 0.9, 0.0], [0.0, 0.0, 128.0, 96.0, 0.9, 1.0]])
    frame = np.zeros((96, 128, 3), np.uint8)
    result = Results(frame, "", {0: "a", 1: "b"}, boxes=boxes, masks=masks)
    assert areas_px(result, 2) == [800.0, 128.0 * 96.0]
    plain = Results(frame, "", {0: "a", 1: "b"}, boxes=boxes)
    assert areas_px(plain, 2) == [None, None]


@pytest.mark.parametrize("export", EXPORTS.values())
def test_every_format_sees_the_same(
    engine: UltralyticsEngine, weights: Path, picture: Pixels, export: str
) -> None:
    """An export finds what its checkpoint finds, but for the rounding of its own arithmetic."""
    square = np.ascontiguousarray(picture[:, :96])  # one letterbox for static and dynamic shapes
    engine.load(Order(weights / "tiny.pt"))
    wanted = engine.infer(square)
    facts = engine.load(Order(weights / export))
    found = engine.infer(square)
    assert (facts.classes, facts.task) == (CLASSES, "detect")
    assert found.finite
    assert len(wanted.detections) > 10
    assert _share_found(wanted, found) >= 0.8
    assert _share_found(found, wanted) >= 0.8


def test_an_openvino_folder_may_have_any_name(
    engine: UltralyticsEngine, weights: Path, picture: Pixels, tmp_path: Path
) -> None:
    """The library knows the format by the folder's name; a bundle need not."""
    renamed = tmp_path / "weights"
    renamed.symlink_to(weights / EXPORTS["openvino"], target_is_directory=True)
    engine.load(Order(renamed))
    assert engine.infer(picture).detections


def test_boxes_are_in_pixels_of_the_frame(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """Boxes lie within the frame that was given, not within the network's input."""
    engine.load(Order(weights / "tiny.pt"))
    tall = cv2.resize(picture, (640, 480))
    boxes = _boxes(engine.infer(tall))
    assert boxes.min() >= 0
    assert (boxes.max(axis=0) <= [640, 480, 640, 480]).all()
    assert boxes[:, 2].max() > 128


def test_confidence_is_the_orders(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """Nothing below the order's confidence is told."""
    engine.load(Order(weights / "tiny.pt", confidence=0.5))
    assert engine.infer(picture).detections
    engine.load(Order(weights / "tiny.pt", confidence=0.999))
    assert engine.infer(picture).detections == ()


@pytest.mark.parametrize("shape", [(64, 64, 3), (96, 128, 3)])
def test_a_read_only_frame_is_judged_and_left_as_it_was(
    engine: UltralyticsEngine, weights: Path, shape: tuple[int, int, int]
) -> None:
    """Frames are mapped read-only in a worker, also where no letterbox copies them first."""
    frame = np.full(shape, 90, dtype=np.uint8)
    frame.flags.writeable = False
    engine.load(Order(weights / "tiny.pt"))
    assert engine.infer(frame).finite
    assert (frame == 90).all()


def test_the_same_frame_gives_the_same_again(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """A frame that is judged again after a loss gets the same verdict."""
    engine.load(Order(weights / "tiny.pt"))
    first = engine.infer(picture)
    engine.infer(255 - picture)
    engine.load(Order(weights / "tiny.pt"))
    assert engine.infer(picture) == first


def test_nan_in_the_output_is_noticed(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """Suppression drops NaN without a word, so that a broken network looks like an empty scene;
    the engine looks before it."""
    engine.load(Order(weights / "nan.pt"))
    sight = engine.infer(picture)
    assert not sight.finite
    engine.load(Order(weights / "tiny.pt"))
    assert engine.infer(picture).finite


@pytest.mark.parametrize("name", ["hostile_zip.pt", "hostile_bare.pt", "hostile_pickle.pt"])
def test_a_checkpoint_with_foreign_code_is_refused_before_it_runs(
    engine: UltralyticsEngine, weights: Path, name: str
) -> None:
    """Code that is pickled into a checkpoint is not run, wherever it hides; the canary could."""
    canary = weights / "canary"
    with pytest.raises(BundleError) as refused:
        engine.load(Order(weights / name))
    assert refused.value.code is Code.LOAD_FAILED
    assert_public(refused.value.message, refused.value.hint)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()
    canary.unlink()


@pytest.mark.parametrize("suffix", [".pt", ".torchscript", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04half a zip"])
def test_files_that_are_no_network_are_refused_in_one_line(
    engine: UltralyticsEngine, tmp_path: Path, suffix: str, content: bytes
) -> None:
    """Garbage in any format is load_failed with one sentence, never a traceback."""
    broken = tmp_path / f"weights{suffix}"
    broken.write_bytes(content)
    with pytest.raises(BundleError) as refused:
        engine.load(Order(broken))
    assert refused.value.code is Code.LOAD_FAILED
    assert_public(refused.value.message, refused.value.hint)


def test_a_truncated_checkpoint_is_refused(
    engine: UltralyticsEngine, weights: Path, tmp_path: Path
) -> None:
    """A copy that was cut short does not load."""
    cut = tmp_path / "weights.pt"
    cut.write_bytes((weights / "tiny.pt").read_bytes()[:-2000])
    with pytest.raises(BundleError):
        engine.load(Order(cut))


def test_a_failed_load_leaves_nothing_resident(
    engine: UltralyticsEngine, weights: Path, tmp_path: Path, picture: Pixels
) -> None:
    """After a refusal the bundle before it does not go on judging under another's name."""
    engine.load(Order(weights / "tiny.pt"))
    with pytest.raises(BundleError):
        engine.load(Order(tmp_path / "missing.pt"))
    with pytest.raises(BundleError):
        engine.infer(picture)


def test_names_that_the_library_would_search_online_are_refused(
    engine: UltralyticsEngine, tmp_path: Path
) -> None:
    """A missing file and an unknown format are told; nothing is searched elsewhere."""
    with pytest.raises(BundleError, match="no weights"):
        engine.load(Order(tmp_path / "yolov8n.pt"))
    other = tmp_path / "weights.tflite"
    other.write_bytes(b"x")
    with pytest.raises(BundleError, match="no known format"):
        engine.load(Order(other))


def test_a_task_that_no_recipe_judges_is_incompatible(
    engine: UltralyticsEngine, weights: Path
) -> None:
    """A map of depths is neither boxes nor a class."""
    with pytest.raises(BundleError) as refused:
        engine.load(Order(weights / "tiny.pt", task="depth"))
    assert refused.value.code is Code.INCOMPATIBLE


@pytest.mark.parametrize("ending", [".pt", ".onnx"])
@pytest.mark.parametrize("task", OTHER_HEADS)
def test_every_task_says_what_it_is_and_how_many_classes_its_head_has(
    engine: UltralyticsEngine, weights: Path, picture: Pixels, task: str, ending: str
) -> None:
    """Masks, angles, key points and probabilities are not taken for classes."""
    facts = engine.load(Order(weights / f"{task}{ending}", task, confidence=0.2))
    assert (facts.classes, facts.task, facts.head_classes) == (CLASSES, task, 3)
    sight = engine.infer(picture)
    assert sight.finite
    assert sight.detections


def test_an_oriented_box_keeps_its_corners_its_angle_and_its_area(
    engine: UltralyticsEngine, weights: Path
) -> None:
    """Forty by twenty pixels, turned by thirty degrees, whichever side the network calls wide."""
    engine.load(Order(weights / "tiny.pt"))
    import torch  # noqa: PLC0415 - not before the engine made it safe
    from ultralytics.engine.results import Results  # noqa: PLC0415

    thirty, frame = math.pi / 6, np.zeros((96, 128, 3), np.uint8)
    boxes = [
        [64.0, 48.0, 40.0, 20.0, thirty, 0.9, 0.0],
        [64.0, 48.0, 20.0, 40.0, thirty - math.pi / 2, 0.9, 1.0],
        [0.0, 0.0, 40.0, 20.0, thirty, 0.9, 0.0],
        [64.0, 48.0, 9000.0, 9000.0, thirty, 0.9, 0.0],
        [float("nan"), 48.0, 20.0, 40.0, thirty, 0.9, 1.0],
    ]
    result = Results(frame, "", dict(enumerate("ab")), obb=torch.tensor(boxes))
    (one, same, rim, huge), is_whole = detections_of(result, "ab".__getitem__, 0.25)
    assert not is_whole
    reach_x, reach_y = 20 * math.cos(thirty) + 5, 20 * math.sin(thirty) + 10 * math.cos(thirty)
    for each, label in ((one, "a"), (same, "b")):
        assert each.label == label
        assert each.area_px == pytest.approx(800.0)
        assert each.angle_deg == pytest.approx(30.0, abs=1e-3)
        expected = (64 - reach_x, 48 - reach_y, 64 + reach_x, 48 + reach_y)
        assert each.box == pytest.approx(expected, abs=1e-2)
        assert each.polygon is not None
        sides = zip(each.polygon, (*each.polygon[1:], each.polygon[0]), strict=True)
        lengths = sorted(math.dist(*side) for side in sides)
        assert lengths == pytest.approx([20.0, 20.0, 40.0, 40.0], abs=1e-2)
    assert rim.box[:2] == (0.0, 0.0)  # upright boxes stay in the frame
    assert rim.polygon is not None
    assert min(x for x, _ in rim.polygon) < -10.0
    assert huge.box == (0.0, 0.0, 128.0, 96.0)
    assert huge.area_px == 128.0 * 96.0
    assert wire.Inferred.of(Inference((one, same, rim, huge), 1.0)).is_near(96, 128)


def test_key_points_are_kept_and_bad_ones_cost_their_detection(
    engine: UltralyticsEngine, weights: Path
) -> None:
    """A model that tells no confidence is sure of them; one that is no number is no key point."""
    engine.load(Order(weights / "tiny.pt"))
    import torch  # noqa: PLC0415 - not before the engine made it safe
    from ultralytics.engine.results import Results  # noqa: PLC0415

    frame, names = np.zeros((96, 128, 3), np.uint8), {0: "a"}
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0, 0.9, 0.0]] * 2)
    points = torch.tensor([[[5.0, 6.0, 0.5], [7.0, 8.0, 0.25]], [[float("inf"), 6.0, 0.5]] * 2])
    told = Results(frame, "", names, boxes=boxes, keypoints=points)
    (one,), is_whole = detections_of(told, lambda _: "a", 0.25)
    assert not is_whole
    assert one.keypoints == ((5.0, 6.0, 0.5), (7.0, 8.0, 0.25))
    plain = Results(frame, "", names, boxes=boxes[:1], keypoints=points[:1, :, :2])
    (one,), is_whole = detections_of(plain, lambda _: "a", 0.25)
    assert is_whole
    assert one.keypoints == ((5.0, 6.0, 1.0), (7.0, 8.0, 1.0))


def test_a_classifier_finds_the_likeliest_class_in_the_whole_picture(
    engine: UltralyticsEngine, weights: Path, picture: Pixels
) -> None:
    """One detection, with the others beside it; none where it is not sure enough."""
    engine.load(Order(weights / "classify.pt", "classify", confidence=0.2))
    (found,) = engine.infer(picture).detections
    assert found.box == (0.0, 0.0, 128.0, 96.0)
    assert found.top5 is not None
    assert found.top5[0] == (found.label, found.confidence)
    assert {label for label, _ in found.top5} == set(CLASSES)
    shares = [share for _, share in found.top5]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0, abs=1e-4)
    engine.load(Order(weights / "classify.pt", "classify", confidence=0.9))
    unsure = engine.infer(picture)
    assert (unsure.detections, unsure.finite) == ((), True)


def test_a_classifier_without_its_softmax_is_incompatible(
    engine: UltralyticsEngine, weights: Path
) -> None:
    """A confidence of seven would be above every threshold; NaN is above none."""
    engine.load(Order(weights / "tiny.pt"))
    import torch  # noqa: PLC0415 - not before the engine made it safe
    from ultralytics.engine.results import Results  # noqa: PLC0415

    frame, names = np.zeros((96, 128, 3), np.uint8), dict(enumerate("ab"))
    raw = Results(frame, "", names, probs=torch.tensor([7.0, -2.0]))
    with pytest.raises(BundleError, match="no shares") as refused:
        detections_of(raw, "ab".__getitem__, 0.25)
    assert refused.value.code is Code.INCOMPATIBLE
    broken = Results(frame, "", names, probs=torch.tensor([float("nan"), 0.2]))
    assert detections_of(broken, "ab".__getitem__, 0.25) == ((), False)


def test_a_missing_gpu_is_told(engine: UltralyticsEngine, weights: Path) -> None:
    """An order for a GPU that is not there does not fall back to the CPU in silence."""
    with pytest.raises(BoxError, match="cuda:77"):
        engine.load(Order(weights / "tiny.pt", device="cuda:77"))


def test_warming_leaves_nothing_resident(picture: Pixels) -> None:
    """The throwaway network of the warm-up cannot judge a frame."""
    engine = UltralyticsEngine(threads=1)
    engine.warm()
    with pytest.raises(BundleError):
        engine.infer(picture)
    assert engine.gpu_bytes() == 0


def test_the_daemon_itself_imports_no_network_library() -> None:
    """Torch, ultralytics and OpenCV are for workers: the rooms around them import none."""
    program = """
import sys, edge_daemon.models.engine, edge_daemon.slots.process, edge_daemon.slots.thread
print({'torch', 'ultralytics', 'cv2'} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"


def test_an_image_that_cannot_be_decoded_blames_the_bundle(tmp_path: Path) -> None:
    """Golden images that are missing or broken are told by name."""
    broken = tmp_path / "0001.jpg"
    broken.write_bytes(b"no picture")
    empty = tmp_path / "0002.jpg"
    empty.write_bytes(b"")
    for path in (broken, empty, tmp_path / "0003.jpg"):
        with pytest.raises(BundleError, match=path.name):
            decode_image(path)


def _share_found(wanted: RawResult, found: RawResult) -> float:
    """How many of `wanted` have a like in `found`: same class, corners within three pixels."""
    matched = [
        any(
            one.label == other.label and np.allclose(one.box, other.box, atol=3.0)
            for other in found.detections
        )
        for one in wanted.detections
    ]
    return sum(matched) / len(matched)


def _boxes(sight: RawResult) -> np.ndarray:
    return np.array([detection.box for detection in sight.detections])
