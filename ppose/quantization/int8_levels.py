"""Checks the integers in an exported file: are portable weights portable (`ppose.quantization.scheme`)?"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle

from ppose.errors import ExportError
from ppose.quantization.scheme import PAIR_LEVELS, two_largest


def check_portable(folder: Path) -> None:
    """Raise ExportError if two levels of a channel in a folder's file exceed 128 together."""
    read = read_onnx_levels if (folder / "model.onnx").is_file() else read_paddle_levels
    for name, levels in read(folder):
        largest = int(np.add(*two_largest(levels.astype(np.int32))).max())
        if largest > PAIR_LEVELS:
            raise ExportError(
                f"int8 weight {name} has two levels that sum to {largest}, expected at most {PAIR_LEVELS} "
                "for portable weights; nothing was written"
            )


def read_onnx_levels(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and levels (out, n) int8 of the quantized convolutions in `model.onnx`."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(folder / "model.onnx").graph
    constants = {constant.name: constant for constant in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    for conv in graph.node:
        source = made_by.get(conv.input[1]) if conv.op_type == "Conv" else None
        if source is not None and source.op_type == "DequantizeLinear":
            levels = numpy_helper.to_array(constants[source.input[0]])
            yield source.input[0], levels.reshape(len(levels), -1)


def read_paddle_levels(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and levels (out, n) int8 of the quantized convolutions in `model.pdiparams`."""
    state = paddle.jit.load(str(folder / "model")).state_dict()
    names = sorted(state, key=lambda name: int(re.findall(r"\d+$", name)[0]))
    arrays = {name: state[name].numpy() for name in names}
    blocks = iter([value.ravel() for value in arrays.values() if value.dtype == np.int16])
    for name, value in arrays.items():
        if value.dtype == np.int8:
            yield name, value.reshape(len(value), -1) if value.ndim > 1 else _unpack(value, blocks)


def _unpack(values: np.ndarray, blocks: Iterator[np.ndarray]) -> np.ndarray:
    """The levels (out, in) of a packed weight (see `int8_graph.Levels`), including zeros between blocks."""
    outputs, inputs = next(blocks), next(blocks)
    filled = outputs[:, None] == inputs
    levels = np.zeros(filled.shape, np.int8)
    levels[filled] = values
    return levels
