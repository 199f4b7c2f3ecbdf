"""Quantized convolutions (see `scheme`) in ONNX: QuantizeLinear and DequantizeLinear before each.

This is the QDQ form, which ONNX Runtime, OpenVINO and TensorRT run in int8. paddle2onnx 2.1.0 cannot convert
quantized graphs (its mappers know only float8), so the float form is converted, with named weights for the
quantized convolutions.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from paddle import nn

from ppose.errors import ExportError
from ppose.quantization.int8_graph import level_range, quantized_convolutions
from ppose.quantization.scheme import ConvQuantization, InputQuantization, quantize_weight, stop_rounding

if TYPE_CHECKING:
    import onnx

# ONNX Runtime rounds biases to int32, with the product of the input's and the weight's step, and clips them.
# A channel with tiny weights gets a larger step, so that only 1e-4 of its bias is lost.
_BIAS_LEVELS = 2.0**30


def take_quantizations(network: nn.Layer) -> dict[str, ConvQuantization]:
    """Stop a network's input rounding, in place; return the quantizations by the names of its weights."""
    quantizations = {}
    for index, conv in enumerate(quantized_convolutions(network).values()):
        conv.weight.name = f"int8_{index}"
        quantizations[conv.weight.name] = conv.quantization
        stop_rounding(conv)
    return quantizations


def insert_quantizations(model: "onnx.ModelProto", quantizations: Mapping[str, ConvQuantization]) -> None:
    """Quantize the convolutions with these weights, in place; ExportError unless each is found once."""
    graph = _Int8Graph(model.graph)
    nodes: list[Any] = []
    found: list[str] = []
    for node in model.graph.node:
        name = node.input[1] if node.op_type == "Conv" else ""
        if name in quantizations:
            found.append(name)
            graph.take_bias(node)
            nodes += graph.quantize(node, quantizations[name])
        if node.output[0] not in graph.gone:
            nodes.append(node)
    if sorted(found) != sorted(quantizations):
        raise ExportError(
            f"{len(found)} quantized convolutions are in the converted model, expected {len(quantizations)}; "
            "export with --format paddle"
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Int8Graph:
    """Makes the operators and constants of quantized convolutions; equal inputs share them.

    ``gone`` are outputs of operators that were merged into a convolution.
    """

    def __init__(self, graph: "onnx.GraphProto") -> None:
        self._graph = graph
        self._constants = {constant.name: constant for constant in graph.initializer}
        self._rounded: dict[tuple[str, InputQuantization], str] = {}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)
        self.gone: set[str] = set()

    def take_bias(self, conv: "onnx.NodeProto") -> None:
        """Merge a separate addition of a bias into the convolution, where runtimes expect it."""
        from onnx import numpy_helper

        takers = self._takers.get(conv.output[0], [])
        if len(conv.input) > 2 or len(takers) != 1 or takers[0].op_type != "Add":
            return
        (add,) = takers
        other = add.input[1] if add.input[0] == conv.output[0] else add.input[0]
        if other not in self._constants:
            return
        bias = numpy_helper.to_array(self._constants[other])
        if bias.shape != (1, self._constants[conv.input[1]].dims[0], 1, 1):
            return
        conv.input.append(f"{conv.input[1]}_bias")
        self._add(conv.input[2], bias.ravel())
        conv.output[0] = add.output[0]
        add.output[0] += "_gone"
        self.gone.add(add.output[0])

    def quantize(self, conv: "onnx.NodeProto", quantization: ConvQuantization) -> Iterator["onnx.NodeProto"]:
        """Yield the operators before a convolution, and change its inputs."""
        from onnx import helper, numpy_helper

        source, name = conv.input[:2]
        weight = self._constants[name]
        values, rounding = numpy_helper.to_array(weight).astype(np.float64), quantization.input
        levels, steps = quantize_weight(values, quantization.weights)
        if rounding is not None and len(conv.input) > 2:
            bias = numpy_helper.to_array(self._constants[conv.input[2]]).astype(np.float64)
            steps = np.maximum(steps, np.abs(bias) / rounding.step / _BIAS_LEVELS).astype(np.float32)
            levels = np.rint(values / steps.reshape(-1, 1, 1, 1)).astype(np.int8)
        weight.CopyFrom(numpy_helper.from_array(levels, name))
        self._add(f"{name}_step", steps)
        conv.input[1] = f"{name}_float"
        yield helper.make_node("DequantizeLinear", [name, f"{name}_step"], [conv.input[1]], axis=0)
        if rounding is None:
            return
        key = source, rounding
        if key not in self._rounded:
            self._rounded[key] = f"{name}_input"
            yield from self._round(source, rounding, self._rounded[key])
        conv.input[0] = self._rounded[key]

    def _round(self, source: str, rounding: InputQuantization, name: str) -> Iterator["onnx.NodeProto"]:
        from onnx import helper

        step = np.float32(rounding.step)
        kind = np.int8 if rounding.signed else np.uint8
        low, high = level_range(rounding)
        # Also for signed inputs without PACT: to exclude the level -128, and since OpenVINO 2026.4 computes
        # wrong results if such a QuantizeLinear follows a Concat.
        if (low, high) != (np.iinfo(kind).min, np.iinfo(kind).max):
            self._add(f"{name}_low", np.float32(low * step))
            self._add(f"{name}_high", np.float32(high * step))
            yield helper.make_node("Clip", [source, f"{name}_low", f"{name}_high"], [f"{name}_cut"])
            source = f"{name}_cut"
        self._add(f"{name}_step", step)
        self._add(f"{name}_zero", kind(0))
        for operator, given, made in (
            ("QuantizeLinear", source, f"{name}_levels"),
            ("DequantizeLinear", f"{name}_levels", name),
        ):
            yield helper.make_node(operator, [given, f"{name}_step", f"{name}_zero"], [made])

    def _add(self, name: str, value: np.ndarray | np.generic) -> None:
        from onnx import numpy_helper

        constant = numpy_helper.from_array(np.asarray(value), name)
        self._graph.initializer.append(constant)
        self._constants[name] = constant
