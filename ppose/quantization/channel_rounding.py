"""Rounds the inputs of several merged convolutions at once."""

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

from ppose.quantization.int8_graph import level_range
from ppose.quantization.scheme import ConvQuantization

# A step so fine that rounding to multiples of it changes no relevant float.
_FINEST = 2.0**-40
_FLOAT = (-1e30, 1e30)


class ChannelRounding(nn.Layer):
    """Rounds each channel of a map (N, C, H, W) with its own step and clips its levels.

    ``step``, ``low`` and ``high`` are (C,): x becomes clip(round(x / step), low, high) * step.
    """

    def __init__(self, step: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        super().__init__()
        for name, value in (("step", step), ("low", low), ("high", high)):
            self.register_buffer(name, paddle.to_tensor(value.reshape(1, -1, 1, 1), dtype="float32"))

    def double(self, channels: int) -> None:
        """Adapt it to inputs whose first ``channels`` channels are twice as large."""
        step = self.step.numpy()
        step[:, :channels] *= 2
        self.step.set_value(step)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) -> the same shape."""
        levels = paddle.minimum(paddle.maximum((x / self.step).round(), self.low), self.high)
        return levels * self.step


def merge_roundings(
    quantizations: Sequence[ConvQuantization | None], places: Sequence[np.ndarray], channels: int
) -> ChannelRounding | None:
    """The rounding of convolutions' inputs, each at its channel indexes; None if none is rounded."""
    roundings = [None if how is None else how.input for how in quantizations]
    if not any(roundings):
        return None
    step = np.full(channels, _FINEST)
    low, high = (np.full(channels, bound) for bound in _FLOAT)
    for rounding, place in zip(roundings, places, strict=True):
        if rounding is not None:
            step[place] = rounding.step
            low[place], high[place] = level_range(rounding)
    return ChannelRounding(step, low, high)
