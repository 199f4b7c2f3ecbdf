"""The fake quantizer of inputs."""

import paddle
from paddle.nn.quant.quant_layers import FakeQuantMovingAverageAbsMax

# Of 8 bits Paddle's operator has the levels -127 to 127, of 9 -255 to 255, whose upper half are the unsigned.
_SIGNED_BITS, _UNSIGNED_BITS = 8, 9


class InputQuantizer(FakeQuantMovingAverageAbsMax):
    """Rounds a tensor of any shape to eight bits in the forward pass; gradients pass the rounding unchanged.

    Until it sees a value below 0 in training mode it is unsigned, with the levels 0 to 255: outputs of ReLU
    have no use for others. What is below 0 then becomes 0, and gets no gradient. From then on it is signed,
    with the levels -127 to 127. The value of the highest level is Paddle's moving average of the largest
    magnitude. ``_signed`` (1,) is above 0 if signed, also a part of 1, as in a moving average of networks.
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
        self._quant_bits = _SIGNED_BITS if signed else _UNSIGNED_BITS
        return super().forward(x if signed else paddle.nn.functional.relu(x))
