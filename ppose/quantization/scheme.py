"""The int8 scheme: how a convolution's weights and input are rounded to eight bits.

Weights have one step per output channel, from its largest magnitudes, and levels -127 to 127; inputs have one
step for the whole tensor (Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference",
2018). Zero is always a level, so that padding is exact. A convolution's attribute `quantization` holds its
quantization; without the attribute it is in float.

Weights are "portable" or "full". x86 processors without VNNI add two products of an input and a weight in 16
bits, which saturates at 32,767. Portable weights have no two levels of a channel that exceed 128 together, so
the largest sum is 255 * 128 = 32,640, whichever pairs a runtime forms. Channels with one large weight keep a
fine step, those with two equally large ones have levels to 64. (ONNX Runtime's `reduce_range`: 64 for all.)
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import paddle
from paddle import nn

ATTRIBUTE = "quantization"

WeightRange = Literal["portable", "full"]

# The highest level of a weight, and the limit for the sum of a channel's two largest portable levels.
WEIGHT_LEVELS, PAIR_LEVELS = 127, 128


@dataclass(frozen=True)
class InputQuantization:
    """The rounding of a convolution's input.

    ``largest`` is the value of the highest level, which is 127 for signed inputs (the lowest is -127), 255
    for unsigned ones (the lowest is 0); values beyond are clipped. ``clip`` is PACT's alpha (Choi et al.,
    2018): inputs are clipped to -clip ... clip before rounding.
    """

    largest: float
    signed: bool = True
    clip: float | None = None

    @property
    def levels(self) -> tuple[int, int]:
        """The lowest and the highest level."""
        return (-127, 127) if self.signed else (0, 255)

    @property
    def step(self) -> float:
        """The difference between the values of adjacent levels; 1 if the input is always 0."""
        return self.largest / self.levels[1] if self.largest else 1.0

    def __call__(self, x: paddle.Tensor) -> paddle.Tensor:
        """The rounded input, of the same shape, in float32."""
        if self.clip is not None:
            x = x.clip(-self.clip, self.clip)
        return (x / self.step).round().clip(*self.levels) * self.step


@dataclass(frozen=True)
class ConvQuantization:
    """The quantization of a convolution; its weight holds rounded values. ``input`` None: weights only."""

    input: InputQuantization | None
    weights: WeightRange = "portable"


def quantize_weight(weight: np.ndarray, kind: WeightRange) -> tuple[np.ndarray, np.ndarray]:
    """A weight (C, ...) as levels (C, ...) int8 and steps (C,) float32; weight = levels * steps.

    The weight may already be rounded in the same way: each channel's largest magnitude is the level 127 or,
    if portable, the two largest together may be the level 128. So rounded values give the same levels again,
    even after a channel was multiplied by a factor. A channel of zeros has step 1.
    """
    flat = weight.reshape(len(weight), -1)
    largest, second = two_largest(flat)
    steps = largest / WEIGHT_LEVELS
    is_pair = (kind == "portable") & ((largest + second) / PAIR_LEVELS > steps)
    steps = np.where(is_pair, (largest + second) / PAIR_LEVELS, steps)
    steps = np.where(largest > 0, steps, 1.0)
    levels = np.rint(flat / steps[:, None])
    if is_pair.any():
        levels[is_pair] = _keep_pairs(levels[is_pair], flat[is_pair])
    return levels.reshape(weight.shape).astype(np.int8), steps.astype(np.float32)


def two_largest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest and second largest magnitude (C,) of each row of values (C, n); the latter 0 if n is 1."""
    padded = np.pad(np.abs(values), ((0, 0), (1, 0)))
    second, largest = np.partition(padded, -2, axis=1)[:, -2:].T
    return largest, second


def _keep_pairs(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Levels (C, n) whose two largest are 128 together, even if both lie half-way between levels."""
    rows, order = np.arange(len(levels)), np.argsort(-np.abs(values), axis=1, kind="stable")
    first, second = order[:, 0], order[:, 1]
    top = levels[rows, first]
    rest = PAIR_LEVELS - np.abs(top)
    levels = np.clip(levels, -rest[:, None], rest[:, None])
    levels[rows, second] = np.copysign(rest, values[rows, second])
    levels[rows, first] = top
    return levels


def quantize_conv2d(conv: nn.Conv2D, quantization: ConvQuantization) -> None:
    """Round a convolution's weight, in place, and from now on its input at each call."""
    levels, steps = quantize_weight(conv.weight.numpy().astype(np.float64), quantization.weights)
    conv.weight.set_value(levels * steps.reshape(-1, 1, 1, 1))
    mark_quantized(conv, quantization)


def mark_quantized(conv: nn.Conv2D, quantization: ConvQuantization) -> None:
    """Set the quantization of a convolution with a rounded weight: it rounds its input from now on."""
    setattr(conv, ATTRIBUTE, quantization)
    if quantization.input is not None:
        conv.rounds_input = True
        conv.register_forward_pre_hook(_round_input)


def stop_rounding(conv: nn.Conv2D) -> None:
    """Make a quantized convolution stop rounding its input; its weight stays rounded."""
    conv.rounds_input = False  # removing the hook by its handle would not work in a copy of the network


def quantization_of(layer: nn.Layer) -> ConvQuantization | None:
    """The quantization of a layer; None if it has none."""
    return getattr(layer, ATTRIBUTE, None)


def _round_input(conv: nn.Layer, inputs: Any) -> Any:
    quantization: Any = quantization_of(conv)
    return quantization.input(inputs[0]) if conv.rounds_input else None
