"""SimpleBaseline: Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018.

Parameter names are those of the official PyTorch code.
"""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.models.layers import EXPANSION, check_input, conv2d, initial_weight, make_bottlenecks
from ppose.models.network import Network
from ppose.models.topdown import TopDownSettings
from ppose.workspace import register

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_DECONV_CHANNELS = 256
_DECONVS = 3


@register(Network, settings=TopDownSettings, ignored=("post_process",))
class PoseResNet(nn.Layer):
    """Image (N, 3, h, w), h and w multiples of 32 -> heatmaps (N, num_joints, h / 4, w / 4).

    ResNet of 50, 101 or 152 layers with the stride on the 3x3, three transposed convolutions of stride 2,
    a 1x1 convolution. Raises ConfigError for another input size.
    """

    stride, input_multiple = 4, 32

    def __init__(self, depth: Literal[50, 101, 152], num_joints: int) -> None:
        super().__init__()
        counts = _BLOCKS[depth]
        self.conv1 = conv2d(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2D(64)
        self.layer1 = make_bottlenecks(64, 64, counts[0])
        self.layer2 = make_bottlenecks(64 * EXPANSION, 128, counts[1], stride=2)
        self.layer3 = make_bottlenecks(128 * EXPANSION, 256, counts[2], stride=2)
        self.layer4 = make_bottlenecks(256 * EXPANSION, 512, counts[3], stride=2)
        self.deconv_layers = _make_deconv_layers(512 * EXPANSION)
        self.final_layer = conv2d(_DECONV_CHANNELS, num_joints, 1, bias=True)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        check_input(image, self.input_multiple)
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.final_layer(self.deconv_layers(x))


def _make_deconv_layers(in_channels: int) -> nn.Sequential:
    parts = []
    for _ in range(_DECONVS):
        parts += [
            nn.Conv2DTranspose(
                in_channels,
                _DECONV_CHANNELS,
                kernel_size=4,
                stride=2,
                padding=1,
                weight_attr=initial_weight(),
                bias_attr=False,
            ),
            nn.BatchNorm2D(_DECONV_CHANNELS),
            nn.ReLU(),
        ]
        in_channels = _DECONV_CHANNELS
    return nn.Sequential(*parts)
