"""Quantized convolutions (`ppose.quantization.scheme`) as layers whose weights are int8, for Paddle's graph.

Rounding is written in plain operators: scale, floor, clip; the weight is a cast and a product, which Paddle
Inference computes once, on loading the graph. Paddle also has `quantize_linear` and `dequantize_linear`, but
in graphs of 3.2.2 the second computes the first; and with oneDNN its `round` takes 15 ms for a map of
32x64x48, its `floor` 0.2 ms.
"""

import copy
import hashlib
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.paddle_internals import conv_layout
from ppose.quantization.convolutions import find_convs, weights_of
from ppose.quantization.scheme import (
    InputQuantization,
    WeightRange,
    quantization_of,
    quantize_weight,
    stop_rounding,
)

# Approximate size of a packed weight's operators and names in the graph's file, in bytes.
_PACKING_COST = 1000


class Int8Conv2D(nn.Layer):
    """A quantized convolution with the weight's levels in int8; computes the same as `conv`."""

    def __init__(self, conv: nn.Conv2D) -> None:
        super().__init__()
        weight, bias = weights_of(conv)
        quantization: Any = quantization_of(conv)
        levels, steps = quantize_weight(weight, quantization.weights)
        self._rounding = quantization.input
        self._layout = conv_layout(conv)
        # Buffers, since there are no int8 parameters; in the shapes that the operators take.
        if self._rounding is not None:  # the convolution gets levels
            steps = steps * np.float32(self._rounding.step)
        self.levels = Levels(levels)
        self.register_buffer("steps", paddle.to_tensor(steps.reshape(-1, 1, 1, 1)))
        self.register_buffer("bias", paddle.to_tensor(bias.astype(np.float32).reshape(1, -1, 1, 1)))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        if self._rounding is not None:
            x = paddle.scale(x, 1 / self._rounding.step, bias=0.5).floor().clip(*level_range(self._rounding))
        return F.conv2d(x, self.levels() * self.steps, **self._layout) + self.bias


class Levels(nn.Layer):
    """A weight's ``levels`` (out, in, h, w) int8; of a 1x1 weight with mostly zeros, only its blocks.

    A block connects some outputs with some inputs; everything else is zero. Merged convolutions have such
    weights (see `lite_blocks`).
    """

    def __init__(self, levels: np.ndarray) -> None:
        super().__init__()
        self._shape = levels.shape
        outputs, inputs = find_blocks((levels != 0).any(axis=(2, 3)))
        filled = outputs[:, None] == inputs
        self._is_packed = levels.shape[2:] == (1, 1) and levels.size - filled.sum() > _PACKING_COST
        self.register_buffer(
            "values", paddle.to_tensor(levels[filled].ravel() if self._is_packed else levels)
        )
        if self._is_packed:
            self.register_buffer("outputs", paddle.to_tensor(outputs.reshape(-1, 1, 1, 1)))
            self.register_buffer("inputs", paddle.to_tensor(inputs.reshape(1, -1, 1, 1)))

    def forward(self) -> paddle.Tensor:
        """The levels (out, in, h, w) in float32."""
        values = self.values.astype("float32")
        if not self._is_packed:
            return values
        places = paddle.nonzero(self.outputs == self.inputs)
        return paddle.scatter_nd(places, values, self._shape)


def find_blocks(filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(out, in) bool -> the block number of each output (out,) and of each input (in,), int16.

    Outputs and inputs that ``filled`` connects, directly or indirectly, have the same number; an unconnected
    output has -1, an unconnected input 0.
    """
    outputs = np.arange(1, len(filled) + 1)
    while True:
        inputs = (filled * outputs[:, None]).max(axis=0)
        after = (filled * inputs).max(axis=1)
        if (after == outputs).all():
            return np.where(outputs > 0, outputs, -1).astype(np.int16), inputs.astype(np.int16)
        outputs = after


def level_range(rounding: InputQuantization) -> tuple[int, int]:
    """The lowest and highest used level: clipping, then rounding, is the same as clipping the levels."""
    low, high = rounding.levels
    if rounding.clip is None:
        return low, high
    # Half levels are rounded away from zero, as in Paddle.
    edge = int(np.floor(rounding.clip / rounding.step + 0.5))
    return max(low, -edge), min(high, edge)


def quantized_convolutions(network: nn.Layer) -> dict[str, nn.Conv2D]:
    """The quantized convolutions of a network, by name; empty for a float network."""
    return {name: conv for name, conv in find_convs(network).items() if quantization_of(conv) is not None}


def weight_range(network: nn.Layer) -> WeightRange | None:
    """The kind of rounding of a network's weights, full if any is full; None for a float network."""
    found = map(quantization_of, quantized_convolutions(network).values())
    ranges = {quantization.weights for quantization in found if quantization is not None}
    return max(ranges, key=("portable", "full").index, default=None)


def digest_quantization(network: nn.Layer) -> str | None:
    """A checksum (sha256) of a network's whole quantization; None for a float network."""
    convolutions = quantized_convolutions(network)
    digest = hashlib.sha256()
    for name, conv in convolutions.items():
        digest.update(f"{name} {quantization_of(conv)}".encode())
        digest.update(conv.weight.numpy().tobytes())
    return digest.hexdigest() if convolutions else None


def without_rounding(network: nn.Layer) -> nn.Layer:
    """A copy of a network whose convolutions do not round their inputs; the weights are the same."""
    copied = copy.deepcopy(network)
    for conv in quantized_convolutions(copied).values():
        stop_rounding(conv)
    return copied


def use_int8_convolutions(network: nn.Layer) -> None:
    """Replace every quantized convolution by an `Int8Conv2D`, in place."""
    for parent in network.sublayers(include_self=True):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2D) and quantization_of(child) is not None:
                setattr(parent, name, Int8Conv2D(child))
