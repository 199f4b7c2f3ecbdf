"""Quantized convolutions (`ppose.slim.scheme`) in ONNX: QuantizeLinear and DequantizeLinear before each.

This is the QDQ form that ONNX Runtime, OpenVINO and TensorRT take for int8 arithmetic. paddle2onnx 2.1.0
converts no quantized graph (its mappers know float8 alone), so the float form is converted, in which the
weights of quantized convolutions bear names.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from paddle import nn

from ppose.errors import ExportError
from ppose.export.int8_graph import level_range, quantized_convolutions
from ppose.slim.scheme import ConvQuantization, InputQuantization, quantize_weight


def take_quantizations(network: nn.Layer) -> dict[str, ConvQuantization]:
    """Make a network round no inputs, in place; returns how to quantize, by the names of its weights."""
    quantizations = {}
    for index, conv in enumerate(quantized_convolutions(network).values()):
        conv.weight.name = f"int8_{index}"
        quantizations[conv.weight.name] = conv.quantization
        conv._forward_pre_hooks.clear()
    return quantizations


def insert_quantizations(model: "onnx.ModelProto", quantizations: Mapping[str, ConvQuantization]) -> None:  # noqa: F821
    """Quantize the convolutions with these weights, in place; ExportError where one is not found once."""
    graph = _Int8Graph(model.graph)
    nodes, found = [], []
    for node in model.graph.node:
        name = node.input[1] if node.op_type == "Conv" else None
        if name in quantizations:
            found.append(name)
            nodes += graph.quantize(node, quantizations[name])
        nodes.append(node)
    if sorted(found) != sorted(quantizations):
        raise ExportError(
            f"{len(found)} quantized convolutions are in the converted model, expected {len(quantizations)}; "
            "export with --format paddle"
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Int8Graph:
    """Makes the operators and constants of quantized convolutions; inputs that are alike share theirs."""

    def __init__(self, graph: "onnx.GraphProto") -> None:  # noqa: F821
        self._graph = graph
        self._weights = {constant.name: constant for constant in graph.initializer}
        self._rounded: dict[tuple[str, InputQuantization], str] = {}

    def quantize(self, conv: "onnx.NodeProto", quantization: ConvQuantization) -> Iterator["onnx.NodeProto"]:  # noqa: F821
        """What comes before a convolution, whose inputs are changed."""
        from onnx import helper, numpy_helper

        source, name = conv.input[:2]
        weight = self._weights[name]
        levels, steps = quantize_weight(numpy_helper.to_array(weight).astype(np.float64))
        weight.CopyFrom(numpy_helper.from_array(levels, name))
        self._add(f"{name}_step", steps)
        conv.input[1] = f"{name}_float"
        yield helper.make_node("DequantizeLinear", [name, f"{name}_step"], [conv.input[1]], axis=0)
        rounding = quantization.input
        if rounding is None:
            return
        key = source, rounding
        if key not in self._rounded:
            self._rounded[key] = f"{name}_input"
            yield from self._round(source, rounding, self._rounded[key])
        conv.input[0] = self._rounded[key]

    def _round(self, source: str, rounding: InputQuantization, name: str) -> Iterator["onnx.NodeProto"]:  # noqa: F821
        from onnx import helper

        step = np.float32(rounding.step)
        kind = np.int8 if rounding.signed else np.uint8
        low, high = level_range(rounding)
        # Also of signed inputs without PACT: to leave out the level -128, and since OpenVINO 2026.4 is wrong where
        # such a QuantizeLinear follows a Concat.
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

        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
