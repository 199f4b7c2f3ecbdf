"""ONNX files of detectors that find the same whatever they see."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_detector(
    file: Path,
    outputs: list[np.ndarray],
    *,
    size: tuple[int, int] = (64, 64),
    batch: int | str = 1,
    inputs: tuple[str, ...] = ("images",),
    dtype: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a graph whose outputs are these for each image, whole numbers as int64; beside the image it takes
    PaddleDetection's ``inputs``. With a text for a batch it takes any number."""
    image, *others = inputs
    nodes = [
        helper.make_node("Cast", [image], ["float_image"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float_image"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.zeros(1, np.float32))),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    made = []
    for index, output in enumerate(outputs):
        value = np.asarray(output, np.float32)[None]
        shape = np.array([-1, *[1] * (value.ndim - 1)])
        nodes += [
            helper.make_node("Constant", [], [f"c{index}"], value=numpy_helper.from_array(value)),
            helper.make_node("Constant", [], [f"s{index}"], value=numpy_helper.from_array(shape)),
            helper.make_node("Reshape", ["nothing", f"s{index}"], [f"r{index}"]),
            helper.make_node("Add", [f"c{index}", f"r{index}"], [f"f{index}"]),
        ]
        is_whole = np.asarray(output).dtype.kind == "i"
        kind = TensorProto.INT64 if is_whole else TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [f"f{index}"], [f"o{index}"], to=kind))
        made.append(helper.make_tensor_value_info(f"o{index}", kind, [batch, *value.shape[1:]]))
    taken = [helper.make_tensor_value_info(image, dtype, [batch, 3, size[1], size[0]])]
    taken += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 2]) for name in others]
    graph = helper.make_graph(nodes, "detector", taken, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(file))
    return file
