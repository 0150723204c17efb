"""An ONNX file that leads to other files is refused, by its wire format alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.onnx import refuse_external_data
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle


def external() -> Any:
    tensor = numpy_helper.from_array(np.ones(8, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def plain() -> Any:
    return numpy_helper.from_array(np.ones(64, np.float32), "w")


def model(tensor: Any, place: str) -> bytes:
    """A model that holds the tensor as an initializer, in a node, in a branch or a function."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [8])
    nodes = [helper.make_node("Identity", ["w"], ["y"])]
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    initializers, functions = [], []
    if place == "initializer":
        initializers = [tensor]
    elif place == "node":
        nodes = [constant, *nodes]
    elif place == "branch":
        branch = helper.make_graph([constant], "branch", [], [x])
        nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    else:
        opset = [helper.make_opsetid("", 18)]
        functions = [helper.make_function("d", "f", [], ["w"], [constant], opset)]
    graph = helper.make_graph(nodes, "g", [x], [x], initializer=initializers)
    content: bytes = helper.make_model(graph, functions=functions).SerializeToString()
    return content


@pytest.mark.parametrize("place", ["initializer", "node", "branch", "function"])
def test_external_data_is_found_wherever_it_hides(tmp_path: Path, place: str) -> None:
    """A tensor in another file is refused; the same model with its data inside is not."""
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    good.write_bytes(model(plain(), place))
    bad.write_bytes(model(external(), place))
    onnx.load(good)
    refuse_external_data(good)
    with pytest.raises(BundleError) as caught:
        refuse_external_data(bad)
    assert caught.value.code is Code.INVALID_BUNDLE


def test_a_bundle_with_external_data_is_not_copied(tmp_path: Path) -> None:
    """The check is part of the verified copy, so no such model reaches an engine."""
    content = model(external(), "initializer")
    folder = make_bundle(tmp_path / "store", file="weights.onnx", weights=content)
    with pytest.raises(BundleError) as caught:
        verified_copy(read_manifest(folder), folder, tmp_path / "copy", Trust())
    assert caught.value.code is Code.INVALID_BUNDLE


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(0, 255))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_but_a_bundle_error(
    tmp_path: Path, content: bytes, at: int, byte: int
) -> None:
    """Noise, and a real model with one byte changed, are read or refused in words."""
    real = bytearray(model(external(), "branch"))
    real[at % len(real)] = byte
    for name, some in (("noise", content), ("real", bytes(real))):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(some)
        try:
            refuse_external_data(path)
        except BundleError as error:
            assert error.hint  # noqa: PT017 - most examples raise nothing
