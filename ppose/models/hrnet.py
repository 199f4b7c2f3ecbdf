"""HRNet: Sun et al., Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR 2019.

Parameter names are those of the official PyTorch code.
"""

from collections.abc import Sequence
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.errors import ConfigError
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
from ppose.paddle_internals import set_norm
from ppose.workspace import register

_STEM_CHANNELS = 64
_STEM_BLOCKS = 4  # residual blocks of layer1
_TF_MOMENTUM = 0.997


class HighResolutionModule(nn.Layer):
    """Parallel branches of basic blocks, then a fusion of all; returns the `outputs` branches.

    ``inputs`` are the branches' input channels; ``projects`` tells for each branch whether its first block
    has a convolution on its shortcut even if channel counts agree. ``as_tf``: see `HRNet`.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        channels: Sequence[int],
        outputs: Sequence[int],
        blocks: int,
        projects: Sequence[bool],
        *,
        as_tf: bool,
    ) -> None:
        super().__init__()
        self.outputs = list(outputs)
        self.branches = nn.LayerList(
            [
                make_residual_blocks(BasicBlock, old, new, blocks, projects=own)
                for old, new, own in zip(inputs, channels, projects, strict=True)
            ]
        )
        self.fuse_layers = make_fuse_layers(channels, outputs, _conv_step, as_tf=as_tf)

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

    Branch i has stride 4 * 2**i and width * 2**i channels. ``modules`` are the numbers of modules in stages 2
    to 4, ``blocks`` the number of blocks in each branch of a module. freeze_at stops the gradients of the
    stages up to it: 0 the stem, 1 `layer1`, 2 to 4 `stage2` to `stage4` with the transitions before them, -1
    none. freeze_norm freezes all batch norms.

    ``variant`` tf is the HRNet of a TensorFlow code (bearcatt/tf-pose-tmp). Its transitions only make the new
    branch, so that `layer1`'s 256 channels enter branch 0; modules of the newest branch, and branch 0's in
    stage 2, start with a projection; branches are fused by `make_fuse_layers` with as_tf; batch norms keep
    0.997 of their statistics per step. Raises ConfigError for another input size or an unknown branch or
    stage, and for modules or blocks below 1.
    """

    input_multiple = 32

    def __init__(
        self,
        width: int = 18,
        freeze_at: int = -1,
        freeze_norm: bool = False,
        return_idx: Sequence[int] = (0,),
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        variant: Literal["official", "tf"] = "official",
    ) -> None:
        super().__init__()
        check_return_idx("HRNet", return_idx)
        if min(*modules, blocks) < 1:
            raise ConfigError(
                f"HRNet: got modules {list(modules)} and blocks {blocks}, expected 1 or more of each"
            )
        channels = [width * 2**i for i in range(4)]
        self.out_channels = [channels[i] for i in return_idx]
        self.strides = [4 * 2**i for i in return_idx]

        self.conv1 = conv2d(3, _STEM_CHANNELS, 3, stride=2)
        self.bn1 = nn.BatchNorm2D(_STEM_CHANNELS)
        self.conv2 = conv2d(_STEM_CHANNELS, _STEM_CHANNELS, 3, stride=2)
        self.bn2 = nn.BatchNorm2D(_STEM_CHANNELS)
        self.layer1 = make_residual_blocks(Bottleneck, _STEM_CHANNELS, _STEM_CHANNELS, _STEM_BLOCKS)
        stages: list[list[nn.Layer]] = [[self.conv1, self.bn1, self.conv2, self.bn2], [self.layer1]]
        previous, as_tf = [_STEM_CHANNELS * Bottleneck.expansion], variant == "tf"
        for i, count in enumerate(modules, start=1):
            current = channels[: i + 1]
            outputs = [range(i + 1)] * (count - 1) + [return_idx if i == len(modules) else range(i + 1)]
            transition = Transition(previous, current, _conv_step, only_new=as_tf)
            stages.append(
                [
                    self.add_sublayer(f"transition{i}", transition),
                    self.add_sublayer(
                        f"stage{i + 1}", _make_stage(previous, current, outputs, blocks, as_tf)
                    ),
                ]
            )
            previous = current
        if as_tf:
            for layer in self.sublayers():
                if isinstance(layer, nn.BatchNorm2D):
                    set_norm(layer, momentum=_TF_MOMENTUM)
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
    previous: Sequence[int],
    channels: Sequence[int],
    outputs: Sequence[Sequence[int]],
    blocks: int,
    as_tf: bool,
) -> nn.Sequential:
    """A stage's modules, by their ``outputs``: the last one computes only the branches asked for."""
    projects = [as_tf and old != new for old, new in zip([*previous, None], channels, strict=True)]
    inputs = [*previous, channels[-1]] if as_tf else channels
    return nn.Sequential(
        *[
            HighResolutionModule(channels if k else inputs, channels, o, blocks, projects, as_tf=as_tf)
            for k, o in enumerate(outputs)
        ]
    )
