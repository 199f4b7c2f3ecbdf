"""The fake quantizers of inputs and of weights: rounding in the forward pass, not in the backward pass."""

from typing import Any

import paddle
from paddle import nn
from paddle.autograd import PyLayer

from ppose.paddle_internals import MovingAverageQuantizer
from ppose.quantization.scheme import PAIR_LEVELS, WEIGHT_LEVELS, WeightRange

# Paddle's operator has levels -127 to 127 for 8 bits, -255 to 255 for 9, whose upper half serves as unsigned.
_SIGNED_BITS, _UNSIGNED_BITS = 8, 9


class InputQuantizer(MovingAverageQuantizer):
    """Rounds a tensor of any shape to eight bits in the forward pass; gradients pass the rounding unchanged.

    Until it sees a value below 0 in training mode it is unsigned, with levels 0 to 255, which suffice for
    outputs of ReLU; values below 0 become 0 and get no gradient. Afterwards it is signed, with levels -127 to
    127. The value of the highest level is Paddle's moving average of the largest magnitude. ``_signed`` (1,)
    is above 0 if signed; it may be a fraction, as in a moving average of networks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_signed", paddle.zeros([1]))

    def is_signed(self) -> bool:
        """Whether levels below 0 are used."""
        return self._signed.item() > 0

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """The rounded tensor, of the same shape."""
        if self.training and not self.is_signed() and bool((x < 0).any()):
            self._signed.set_value(paddle.ones([1]))
        signed = self.is_signed()
        self.set_bits(_SIGNED_BITS if signed else _UNSIGNED_BITS)
        return super().forward(x if signed else paddle.nn.functional.relu(x))


class WeightQuantizer(nn.Layer):
    """Rounds a weight (C, ...) as `quantize_weight` does; gradients pass the rounding unchanged.

    ``_scale`` (C,) is the value of the level 127, as in paddleslim. ``_portable`` (1,) is 1 for portable
    weights, 0 for full ones, so that a checkpoint records how it was trained.
    """

    def __init__(self, channels: int, kind: WeightRange) -> None:
        super().__init__()
        self.register_buffer("_scale", paddle.zeros([channels]))
        self.register_buffer("_portable", paddle.zeros([1]))
        self.set_range(kind)

    def set_range(self, kind: WeightRange) -> None:
        """Set the kind of rounding."""
        self._portable.set_value(paddle.full([1], float(kind == "portable")))

    def range(self) -> WeightRange:
        """The kind of rounding."""
        return "portable" if self._portable.item() > 0.5 else "full"

    def forward(self, weight: paddle.Tensor) -> paddle.Tensor:
        """The rounded weight, of the same shape."""
        self._scale.set_value(_scale_of(weight.detach(), self.range()))
        step = self._scale.clip(min=1e-30).reshape([-1, *[1] * (weight.ndim - 1)]) / WEIGHT_LEVELS
        return _Round.apply(weight, step)


class _Round(PyLayer):
    @staticmethod
    def forward(ctx: Any, weight: paddle.Tensor, step: paddle.Tensor) -> paddle.Tensor:
        return (weight / step).round() * step

    @staticmethod
    def backward(ctx: Any, *args: paddle.Tensor) -> Any:
        return args[0], None


@paddle.no_grad()
def _scale_of(weight: paddle.Tensor, kind: WeightRange) -> paddle.Tensor:
    """The value (C,) of the level 127 of each channel."""
    flat = weight.abs().flatten(1)
    if kind == "full" or flat.shape[1] == 1:
        return flat.max(axis=1)
    largest, second = flat.topk(2, axis=1)[0].unbind(1)
    return paddle.maximum(largest, (largest + second) * (WEIGHT_LEVELS / PAIR_LEVELS))
