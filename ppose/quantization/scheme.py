"""What "int8" means here: how a convolution's weights and input are rounded to eight bits.

Weights have one step for each output channel, from their own largest magnitude, and levels -127 to 127;
inputs have one step for the whole tensor (Krishnamoorthi, "Quantizing deep convolutional networks for
efficient inference", 2018). Zero is always a level, so that padding is exact. A convolution says how it is
quantized by its attribute `quantization`; one without the attribute is in float.
"""

from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn

ATTRIBUTE = "quantization"

_WEIGHT_LEVELS = 127


@dataclass(frozen=True)
class InputQuantization:
    """The rounding of a convolution's input.

    ``largest`` is the value of the highest level, which is 127 of signed inputs (the lowest is -127), 255 of
    unsigned ones (the lowest is 0); what lies beyond is cut off. ``clip`` is PACT's alpha (Choi et al.,
    2018): inputs are cut to -clip ... clip before they are rounded.
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
        """The difference of two levels' values; 1 where the input is always 0."""
        return self.largest / self.levels[1] if self.largest else 1.0

    def __call__(self, x: paddle.Tensor) -> paddle.Tensor:
        """The rounded input, of the same shape, in float32."""
        if self.clip is not None:
            x = x.clip(-self.clip, self.clip)
        return (x / self.step).round().clip(*self.levels) * self.step


@dataclass(frozen=True)
class ConvQuantization:
    """How a convolution is quantized; its weight holds rounded values. ``input`` None: weights alone."""

    input: InputQuantization | None


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight (C, ...) as levels (C, ...) int8 and steps (C,) float32; weight = levels * steps.

    The weight may be rounded already: each channel's largest magnitude is the level 127, so that levels and
    steps come back from rounded values, also after a channel was multiplied with a factor. A channel of zeros
    has step 1.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    steps = np.where(largest > 0, largest / _WEIGHT_LEVELS, 1.0)
    levels = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1)))
    return levels.astype(np.int8), steps.astype(np.float32)


def quantize_conv2d(conv: nn.Conv2D, quantization: ConvQuantization) -> None:
    """Round a convolution's weight, in place, and from now on its input whenever it is called."""
    levels, steps = quantize_weight(conv.weight.numpy().astype(np.float64))
    conv.weight.set_value(levels * steps.reshape(-1, 1, 1, 1))
    mark_quantized(conv, quantization)


def mark_quantized(conv: nn.Conv2D, quantization: ConvQuantization) -> None:
    """Say how a convolution with a rounded weight is quantized: it rounds its input from now on."""
    setattr(conv, ATTRIBUTE, quantization)
    if quantization.input is not None:
        conv.register_forward_pre_hook(_round_input)


def stop_rounding(conv: nn.Conv2D) -> None:
    """Make a quantized convolution take its input as it is; its weight stays rounded."""
    conv._forward_pre_hooks.clear()


def quantization_of(layer: nn.Layer) -> ConvQuantization | None:
    """How a layer is quantized; None: it is not."""
    return getattr(layer, ATTRIBUTE, None)


def _round_input(conv: nn.Conv2D, inputs: tuple[paddle.Tensor, ...]) -> paddle.Tensor:
    return quantization_of(conv).input(inputs[0])
