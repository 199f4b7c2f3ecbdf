"""Graphs that may never end are refused before a runtime runs them."""

import json

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from ppose.errors import DataError
from ppose.inference.runtimes.loops import refuse_loops


def _make_endless(kind="Loop", *, nested=False):
    """An ONNX graph that adds 1 to its input 2^62 times, where it is asked to at all."""
    number = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["y", "y"], ["z"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]),
        ],
    )
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    count, always = (
        helper.make_tensor(*entry)
        for entry in (("count", TensorProto.INT64, [], [2**62]), ("always", TensorProto.BOOL, [], [True]))
    )
    nodes = [helper.make_node(kind, ["count", "always", "x"], ["out"], name="Loop_1", body=body)]
    if nested:
        branch = helper.make_graph(nodes, "branch", [], [output])
        nodes = [helper.make_node("If", ["always"], ["out"], then_branch=branch, else_branch=branch)]
    graph = helper.make_graph(nodes, "g", [number], [output], [count, always])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("nested", [False, True])
def test_a_loop_in_onnx_and_in_openvinos_format(tmp_path, nested):
    file = tmp_path / "model.onnx"
    onnx.save(_make_endless(nested=nested), file)
    with pytest.raises(DataError, match=r"model.onnx has a loop"):
        refuse_loops(file)
    openvino.save_model(openvino.Core().read_model(str(file)), str(tmp_path / "model.xml"))
    with pytest.raises(DataError, match=r"model.xml has a loop"):
        refuse_loops(tmp_path / "model.xml")


@pytest.mark.parametrize(("version", "ends"), [(21, True), (10**9, False)])
def test_operators_of_the_far_future(tmp_path, version, ends):
    model = _make_endless("Foop")
    model.opset_import.insert(0, helper.make_opsetid("some.domain", version))
    onnx.save(model, tmp_path / "model.onnx")
    if ends:
        refuse_loops(tmp_path / "model.onnx")
    else:
        with pytest.raises(DataError, match=r"model.onnx needs version 1000000000 of ONNX's operators"):
            refuse_loops(tmp_path / "model.onnx")


def test_the_word_alone_is_no_loop(tmp_path):
    """As in the names of nodes that another tool has unrolled."""
    file = tmp_path / "model.onnx"
    onnx.save(_make_endless("Foop"), file)
    refuse_loops(file)
    file.write_bytes(file.read_bytes()[:-3])  # cut off, with the word in it
    with pytest.raises(DataError):
        refuse_loops(file)


@pytest.mark.parametrize("name", ["1.while", "1.\\u0077hile", "1.relu"])
def test_a_loop_of_paddle(tmp_path, name):
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"ops": [{"#": "NAME"}]}).replace("NAME", name))
    if name == "1.relu":
        refuse_loops(file)
    else:
        with pytest.raises(DataError, match="has a loop"):
            refuse_loops(file)


@pytest.mark.parametrize(("kind", "is_loop"), [(b"while", True), (b"relu", False)])
def test_a_loop_of_a_paddle_program(tmp_path, kind, is_loop):
    """ProgramDesc, blocks 1; ops 4; type 3 and attrs 4, whose names and values (1, 6) may say anything."""

    def message(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    attribute = message(4, message(1, b"op_callstack") + message(6, b"while"))
    file = tmp_path / "model.pdmodel"
    file.write_bytes(message(1, message(4, message(3, kind) + attribute)))
    if is_loop:
        with pytest.raises(DataError, match="has a loop"):
            refuse_loops(file)
    else:
        refuse_loops(file)


def test_runtimes_do_not_open_what_loops(tmp_path):
    from ppose.inference.runtimes import onnx_graph, openvino_graph

    file = tmp_path / "model.onnx"
    onnx.save(_make_endless(), file)
    for runtime in (onnx_graph, openvino_graph):
        with pytest.raises(DataError, match=r"model.onnx has a loop"):
            runtime.open_foreign_graph(file, device="cpu", threads=1)
    onnx.save(_make_whole(), file)
    graph = onnx_graph.open_foreign_graph(file, device="cpu", threads=1)
    np.testing.assert_array_equal(graph.run({"x": np.ones(1)})[0], [2])


def _make_whole():
    number = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["out"])], "g", [number], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
