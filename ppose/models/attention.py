"""Attention by a conditional random field over a map, for the whole body and for each of its parts.

After Chu et al., Multi-Context Attention for Human Pose Estimation, CVPR 2017, section 3, in the form of the
published code (github.com/akmeraki/Pose_estimation).
"""

from collections.abc import Sequence
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.nn.initializer import XavierNormal

Kind = Literal["none", "holistic", "part", "as_published"]


def _free_weight() -> paddle.ParamAttr:
    """A weight without decay, initialised as in the published code."""
    return paddle.ParamAttr(initializer=XavierNormal(), regularizer=paddle.regularizer.L2Decay(0.0))


class FloatConv2D(nn.Layer):
    """A convolution to one channel without bias that quantization leaves in float, unlike an `nn.Conv2D`.

    Of the two in an `Attention`, one is applied several times, which a quantized one cannot be. If the other
    is quantized, OpenVINO (2026.4) gives wrong attentions, between 0.2 and 30 times the right ones.
    """

    def __init__(self, in_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = self.create_parameter([1, in_channels, kernel_size, kernel_size], attr=_free_weight())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)


class Attention(nn.Layer):
    """Map (N, C, H, W) -> attention (N, 1, H, W), 0 to 1: mean-field steps over neighbouring pixels.

    U = conv3x3(x); Q_0 = sigmoid(pair(U) + U), Q_t = sigmoid(pair(Q_t-1) + U), all with the same kernel; the
    result is the last of ``iterations`` steps.
    """

    def __init__(self, channels: int, pair_kernel: int = 1, iterations: int = 3) -> None:
        super().__init__()
        self.unary, self.pair = FloatConv2D(channels, 3), FloatConv2D(1, pair_kernel)
        self.iterations = iterations

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """See the class."""
        unary = self.unary(x)
        q = unary
        for _ in range(self.iterations):
            q = F.sigmoid(self.pair(q) + unary)
        return q


class HolisticAttention(nn.LayerList):
    """Maps, each twice the size of the one before -> the attended maps' sum, at the last one's size.

    ``first_twice``: the first map counts twice and the second not at all, as in the published code; the
    second one's weights are never trained.
    """

    def __init__(self, channels: int, count: int, *, first_twice: bool = False) -> None:
        super().__init__([Attention(channels) for _ in range(count)])
        self.order = [0, 0, *range(2, count)] if first_twice else list(range(count))

    def forward(self, maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Maps (N, C, H, W) -> (N, C, H', W')."""
        last = len(maps) - 1
        attended = {i: maps[i] * self[i](maps[i]) for i in dict.fromkeys(self.order)}
        grown = {
            i: x if i == last else F.interpolate(x, scale_factor=2 ** (last - i), mode="nearest")
            for i, x in attended.items()
        }
        total = grown[self.order[0]]
        for i in self.order[1:]:
            total = total + grown[i]
        return total


class Part(Attention):
    """Map (N, C, H, W) -> one channel (N, 1, H, W): the attended map through a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.project = nn.Conv2D(channels, 1, 1, weight_attr=_free_weight(), bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """See the class; the convolution comes first, as it is the same for one channel of weights."""
        return self.project(x) * super().forward(x)


class PartAttention(nn.LayerList):
    """Map (N, C, H, W) -> (N, parts, H, W), one channel per part."""

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__([Part(channels) for _ in range(parts)])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """See the class."""
        return paddle.concat([part(x) for part in self], axis=1)
