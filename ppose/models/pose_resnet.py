"""SimpleBaseline: Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018.

Parameter names are those of the official PyTorch code.
"""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.errors import ConfigError
from ppose.models.attention import HolisticAttention, Kind, PartAttention
from ppose.models.layers import (
    BasicBlock,
    Bottleneck,
    check_input,
    conv2d,
    initial_weight,
    make_residual_blocks,
)
from ppose.models.network import Network
from ppose.models.topdown import TopDownSettings
from ppose.paddle_internals import set_norm
from ppose.workspace import register

_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
_DECONVS, _DECONV_PARTS = 3, 3  # a deconvolution is three layers


@register(Network, settings=TopDownSettings, ignored=("post_process",))
class PoseResNet(nn.Layer):
    """Image (N, 3, h, w), h and w multiples of 32 -> heatmaps (N, num_joints, h / 4, w / 4).

    A ResNet of ``depth`` layers with the stride on the 3x3, three transposed convolutions of stride 2, a 1x1
    convolution. ``width`` is the channels of the first stage, doubled by each of the next;
    ``deconv_channels`` those of the transposed convolutions. A ``stem_kernel`` of 3 makes the first
    convolution faster to train; ``norm_epsilon`` is the epsilon of the batch norms.

    ``attention`` (see `ppose.models.attention`) works on the outputs of the transposed convolutions:
    "holistic" adds their attended maps, "part" also attends to each keypoint in that sum, "as_published" is
    "part" with the first map twice and the second not at all. Raises ConfigError for another input size,
    channels below 1, or an epsilon that is not above 0.
    """

    stride, input_multiple = 4, 32

    def __init__(
        self,
        depth: Literal[10, 18, 34, 50, 101, 152],
        num_joints: int,
        width: int = 64,
        deconv_channels: int = 256,
        stem_kernel: Literal[3, 7] = 7,
        attention: Kind = "none",
        norm_epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        for key, value in (("width", width), ("deconv_channels", deconv_channels)):
            if value < 1:
                raise ConfigError(f"PoseResNet.{key}: got {value}, expected 1 or more")
        if not norm_epsilon > 0:
            raise ConfigError(f"PoseResNet.norm_epsilon: got {norm_epsilon}, expected a number above 0")
        block, counts = _BLOCKS[depth]
        self.conv1 = conv2d(3, width, stem_kernel, stride=2)
        self.bn1 = nn.BatchNorm2D(width)
        channels = width
        for stage, count in enumerate(counts):
            inner, stride = width * 2**stage, 1 if stage == 0 else 2
            setattr(self, f"layer{stage + 1}", make_residual_blocks(block, channels, inner, count, stride))
            channels = inner * block.expansion
        self.deconv_layers = make_deconv_layers(channels, deconv_channels, _DECONVS)
        self.attention = self.part = None
        if attention != "none":
            first_twice = attention == "as_published"
            self.attention = HolisticAttention(deconv_channels, _DECONVS, first_twice=first_twice)
        if attention in ("part", "as_published"):
            self.part = PartAttention(deconv_channels, num_joints)
            self.final_layer = nn.Conv2D(num_joints, num_joints, 1)  # weights start at order one
        else:
            self.final_layer = conv2d(deconv_channels, num_joints, 1, bias=True)
        for layer in self.sublayers():
            if isinstance(layer, nn.BatchNorm2D):
                set_norm(layer, epsilon=norm_epsilon)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        check_input(image, self.input_multiple)
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if self.attention is None:
            return self.final_layer(self.deconv_layers(x))
        x = self.attention(self._deconvolve(x))
        return self.final_layer(x if self.part is None else self.part(x))

    def _deconvolve(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The output of each transposed convolution, with its norm and ReLU."""
        maps = []
        for index, layer in enumerate(self.deconv_layers):
            x = layer(x)
            if index % _DECONV_PARTS == _DECONV_PARTS - 1:
                maps.append(x)
        return maps


def make_deconv_layers(in_channels: int, channels: int, count: int) -> nn.Sequential:
    """``count`` transposed convolutions of stride 2, each with a batch norm and ReLU."""
    parts = []
    for _ in range(count):
        parts += [
            nn.Conv2DTranspose(
                in_channels,
                channels,
                kernel_size=4,
                stride=2,
                padding=1,
                weight_attr=initial_weight(),
                bias_attr=False,
            ),
            nn.BatchNorm2D(channels),
            nn.ReLU(),
        ]
        in_channels = channels
    return nn.Sequential(*parts)
