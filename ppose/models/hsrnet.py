"""HSRNet and HSR-MSNet: high spatial resolution by dilation instead of stride 32, and multi-scale blocks.

Shi et al., Deep High Spatial Resolution and Multi-scale Features for Multi-Person Pose Estimation
(github.com/Shiyijie66/HSR-MSNet); the dilated blocks are those of DetNet (Li et al., ECCV 2018), the
multi-scale ones of Res2Net (Gao et al., TPAMI 2021). Parameter names are those of the published PyTorch code,
except that a dilated block's `extra_conv` is called `downsample`.
"""

import re
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.errors import ConfigError
from ppose.models.layers import Bottleneck, check_input, conv2d, make_residual_blocks, make_shortcut
from ppose.models.network import Network
from ppose.models.pose_resnet import make_deconv_layers
from ppose.models.topdown import TopDownSettings
from ppose.workspace import register

_BLOCKS: dict[int, tuple[int, ...]] = {59: (3, 4, 6, 3, 3), 110: (3, 4, 23, 3, 3), 161: (3, 8, 36, 3, 3)}
_DILATION, _DECONVS, _SPLITS = 2, 2, 4


class SqueezeExcitation(nn.Layer):
    """Weights the channels of a map by their spatial means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 16, 1)
        self.fc1 = conv2d(channels, inner, 1, bias=True)
        self.fc2 = conv2d(inner, channels, 1, bias=True)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * F.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class MultiScaleBottleneck(nn.Layer):
    """A bottleneck whose 3x3 of stride 1 is a chain over quarters of the channels, then weighted.

    With the quarters x0 to x3: y0 = x0, y1 = f1(x1), y2 = f2(y1 + x2), y3 = f3(y2 + x3), where f is a 3x3
    convolution and a norm; one ReLU follows the concatenation of all y. With a ``dilation`` y0 = f0(x0), and
    all four are dilated. A block with a stride has a plain 3x3.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, *, dilation: int = 1, projects: bool = False
    ) -> None:
        super().__init__()
        out_channels, quarter = channels * self.expansion, channels // _SPLITS
        self.conv1 = conv2d(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2D(channels)
        self.has_chain, self.is_first_plain = stride == 1, dilation == 1
        if self.has_chain:
            for k in range(1 if self.is_first_plain else 0, _SPLITS):
                self.add_sublayer(f"conv_split{k}", conv2d(quarter, quarter, 3, dilation=dilation))
                self.add_sublayer(f"bn_split{k}", nn.BatchNorm2D(quarter))
        else:
            self.conv2 = conv2d(channels, channels, 3, stride)
            self.bn2 = nn.BatchNorm2D(channels)
        self.conv3 = conv2d(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2D(out_channels)
        self.se = SqueezeExcitation(out_channels)
        self.downsample = make_shortcut(in_channels, out_channels, stride, projects)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self._run_chain(y) if self.has_chain else self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))

    def _run_chain(self, x: paddle.Tensor) -> paddle.Tensor:
        first, *rest = x.chunk(_SPLITS, axis=1)
        maps = [first if self.is_first_plain else self.bn_split0(self.conv_split0(first))]
        y = self.bn_split1(self.conv_split1(rest[0]))
        maps.append(y)
        y = self.bn_split2(self.conv_split2(y + rest[1]))
        maps.append(y)
        maps.append(self.bn_split3(self.conv_split3(y + rest[2])))
        return paddle.concat(maps, axis=1)


@register(Network, settings=TopDownSettings, ignored=("post_process",))
class HSRNet(nn.Layer):
    """Image (N, 3, h, w), h and w multiples of 16 -> heatmaps (N, num_joints, h / 4, w / 4).

    A ResNet up to stride 16, two stages of dilated bottlenecks there, two transposed convolutions of stride
    2, a 1x1 convolution. ``multi_scale``: HSR-MSNet. ``width`` is the channels of the first stage, doubled by
    each of the next two; ``deconv_channels`` those of the transposed convolutions. Raises ConfigError for
    another input size, and for invalid channels.
    """

    stride, input_multiple = 4, 16
    dead_weights: re.Pattern[str] | None = None

    def __init__(
        self,
        depth: Literal[59, 110, 161],
        num_joints: int,
        multi_scale: bool = False,
        width: int = 64,
        deconv_channels: int = 256,
    ) -> None:
        super().__init__()
        if width < _SPLITS or width % _SPLITS or deconv_channels < 1:
            raise ConfigError(
                f"HSRNet: got width {width} and deconv_channels {deconv_channels}, expected a multiple of "
                f"{_SPLITS} and 1 or more"
            )
        block = MultiScaleBottleneck if multi_scale else Bottleneck
        if multi_scale:  # every block of the published code has both kinds of 3x3, and uses one
            self.dead_weights = re.compile(r"layer\d\.\d+\.(conv2|bn2|conv_split\d|bn_split\d)\.")
        counts = _BLOCKS[depth]
        self.conv1 = conv2d(3, width, 7, stride=2)
        self.bn1 = nn.BatchNorm2D(width)
        self.layer1 = make_residual_blocks(block, width, width, counts[0])
        self.layer2 = make_residual_blocks(block, 4 * width, 2 * width, counts[1], stride=2)
        self.layer3 = make_residual_blocks(block, 8 * width, 4 * width, counts[2], stride=2)
        self.new_layer4 = _make_dilated_blocks(block, 4 * width, counts[3])
        self.new_layer5 = _make_dilated_blocks(block, 4 * width, counts[4])
        self.deconv_layers = make_deconv_layers(16 * width, deconv_channels, _DECONVS)
        self.final_layer = conv2d(deconv_channels, num_joints, 1, bias=True)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        check_input(image, self.input_multiple)
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.final_layer(self.deconv_layers(self.new_layer5(self.new_layer4(x))))


def _make_dilated_blocks(
    block: type[Bottleneck] | type[MultiScaleBottleneck], channels: int, count: int
) -> nn.Sequential:
    """DetNet's stage: bottlenecks that keep size and channels; the first has a convolution as shortcut."""
    outputs = channels * block.expansion
    return nn.Sequential(
        *[block(outputs, channels, dilation=_DILATION, projects=k == 0) for k in range(count)]
    )
