"""HRNet: Sun et al., Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR 2019.

Parameter names are those of the official PyTorch code.
"""

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.models.layers import (
    BasicBlock,
    Bottleneck,
    Transition,
    check_input,
    check_return_idx,
    conv2d,
    freeze,
    make_fuse_layers,
    make_residual_blocks,
)
from ppose.models.network import Backbone
from ppose.workspace import register

_STEM_CHANNELS = 64
_BLOCKS = 4  # residual blocks of layer1, and of each branch of a module
_MODULES = {"stage2": 1, "stage3": 4, "stage4": 3}


class HighResolutionModule(nn.Layer):
    """Parallel branches of basic blocks, then an exchange between all; gives the `outputs` branches."""

    def __init__(self, channels: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.outputs = list(outputs)
        self.branches = nn.LayerList([make_residual_blocks(BasicBlock, c, c, _BLOCKS) for c in channels])
        self.fuse_layers = make_fuse_layers(channels, outputs, _conv_step)

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> one map per output branch."""
        maps = [self.branches[i](x) for i, x in enumerate(maps)]
        return [self._fuse(maps, i) for i in self.outputs]

    def _fuse(self, maps: list[paddle.Tensor], i: int) -> paddle.Tensor:
        fused = maps[i]
        for j, layer in self.fuse_layers[str(i)].items():
            fused = fused + layer(maps[int(j)])
        return F.relu(fused)


def _conv_step(in_channels: int, out_channels: int, stride: int, relu: bool) -> nn.Sequential:
    parts = [conv2d(in_channels, out_channels, 3, stride), nn.BatchNorm2D(out_channels)]
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))


@register(Backbone)
class HRNet(nn.Layer):
    """Image (N, 3, h, w), h and w multiples of 32 -> a list of the maps of the branches in return_idx.

    Branch i has stride 4 * 2**i and width * 2**i channels. freeze_at stops the gradients of the stages up to
    it: 0 the stem, 1 `layer1`, 2 to 4 `stage2` to `stage4` with the transitions before them, -1 none.
    freeze_norm holds all batch norms. Raises ConfigError for another input size or an unknown branch or
    stage.
    """

    input_multiple = 32

    def __init__(
        self,
        width: int = 18,
        freeze_at: int = -1,
        freeze_norm: bool = False,
        return_idx: Sequence[int] = (0,),
    ) -> None:
        super().__init__()
        check_return_idx("HRNet", return_idx)
        channels = [width * 2**i for i in range(4)]
        self.out_channels = [channels[i] for i in return_idx]
        self.strides = [4 * 2**i for i in return_idx]

        self.conv1 = conv2d(3, _STEM_CHANNELS, 3, stride=2)
        self.bn1 = nn.BatchNorm2D(_STEM_CHANNELS)
        self.conv2 = conv2d(_STEM_CHANNELS, _STEM_CHANNELS, 3, stride=2)
        self.bn2 = nn.BatchNorm2D(_STEM_CHANNELS)
        self.layer1 = make_residual_blocks(Bottleneck, _STEM_CHANNELS, _STEM_CHANNELS, _BLOCKS)
        self.transition1 = Transition([_STEM_CHANNELS * Bottleneck.expansion], channels[:2], _conv_step)
        self.stage2 = _make_stage("stage2", channels[:2])
        self.transition2 = Transition(channels[:2], channels[:3], _conv_step)
        self.stage3 = _make_stage("stage3", channels[:3])
        self.transition3 = Transition(channels[:3], channels, _conv_step)
        self.stage4 = _make_stage("stage4", channels, last_outputs=return_idx)
        stages: list[list[nn.Layer]] = [
            [self.conv1, self.bn1, self.conv2, self.bn2],
            [self.layer1],
            [self.transition1, self.stage2],
            [self.transition2, self.stage3],
            [self.transition3, self.stage4],
        ]
        freeze("HRNet", stages, freeze_at, self, freeze_norm)

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        """Image batch -> feature maps, in the order of return_idx."""
        check_input(image, self.input_multiple)
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.relu(self.bn2(self.conv2(x)))
        maps = self.stage2(self.transition1([self.layer1(x)]))
        maps = self.stage3(self.transition2(maps))
        return self.stage4(self.transition3(maps))


def _make_stage(
    name: str, channels: Sequence[int], last_outputs: Sequence[int] | None = None
) -> nn.Sequential:
    """A stage's modules; the last one computes only the branches that are asked for."""
    outputs: list[Sequence[int]] = [range(len(channels))] * _MODULES[name]
    if last_outputs is not None:
        outputs[-1] = last_outputs
    return nn.Sequential(*[HighResolutionModule(channels, o) for o in outputs])
