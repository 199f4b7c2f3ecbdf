"""Lite-HRNet: Yu et al., CVPR 2021. Parameter names are those of the published .pdparams files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.models.layers import Transition, check_input, check_return_idx, conv2d, freeze, make_fuse_layers
from ppose.models.network import Backbone
from ppose.workspace import register

_STEM_CHANNELS = 32
_BLOCKS = 2  # of each module
# Channel reductions within the cross-resolution and the spatial weighting.
_CROSS_RATIO, _SPATIAL_RATIO = 8, 4


@dataclass(frozen=True)
class _Variant:
    modules: tuple[int, int, int]  # of the stages with 2, 3 and 4 branches
    width: int
    weighting: bool  # conditional channel weighting; without it, the naive network's shuffle blocks


_VARIANTS = {
    "lite_8": _Variant((1, 1, 1), 40, True),
    "lite_18": _Variant((2, 4, 2), 40, True),
    "lite_30": _Variant((3, 8, 3), 40, True),
    "naive": _Variant((2, 4, 2), 30, False),
    "wider_naive": _Variant((2, 4, 2), 40, False),
}


class ConvNorm(nn.Layer):
    """Convolution (with a bias if there is no norm), batch norm, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: Literal["relu", "sigmoid"] | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, kernel_size, stride, groups, bias=not norm)
        self.norm = nn.BatchNorm2D(out_channels) if norm else None
        self.act = {"relu": F.relu, "sigmoid": F.sigmoid, None: None}[act]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.act is None else self.act(x)


def _depthwise(channels: int, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels, channels, 3, stride=stride, groups=channels)


def _interleave(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    """Two maps (N, C, H, W) -> (N, 2C, H, W), channels a0 b0 a1 b1 ..: ShuffleNet's shuffle of two groups."""
    return paddle.stack([a, b], axis=2).flatten(1, 2)


def _separable_step(in_channels: int, out_channels: int, stride: int, relu: bool) -> nn.Sequential:
    parts = [
        conv2d(in_channels, in_channels, 3, stride, groups=in_channels),
        nn.BatchNorm2D(in_channels),
        conv2d(in_channels, out_channels, 1),
        nn.BatchNorm2D(out_channels),
    ]
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))


class Stem(nn.Layer):
    """Image -> 32 channels at stride 4: a convolution of stride 2 and a shuffle unit of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        half = _STEM_CHANNELS // 2
        self.conv1 = ConvNorm(3, _STEM_CHANNELS, 3, stride=2, act="relu")
        self.branch1 = nn.Sequential(_depthwise(half, stride=2), ConvNorm(half, half, 1, act="relu"))
        self.expand_conv = ConvNorm(half, _STEM_CHANNELS, 1, act="relu")
        self.depthwise_conv = _depthwise(_STEM_CHANNELS, stride=2)
        self.linear_conv = ConvNorm(_STEM_CHANNELS, half, 1, act="relu")

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """(N, 3, h, w) -> (N, 32, h / 4, w / 4)."""
        a, b = self.conv1(image).chunk(2, axis=1)
        b = self.linear_conv(self.depthwise_conv(self.expand_conv(b)))
        return _interleave(self.branch1(a), b)


class CrossResolutionWeighting(nn.Layer):
    """Weights each position and channel of a branch, computed from all branches (section 3.2)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        total = sum(channels)
        self.conv1 = ConvNorm(total, total // _CROSS_RATIO, 1, act="relu")
        self.conv2 = ConvNorm(total // _CROSS_RATIO, total, 1, act="sigmoid")

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch, each at half the size of the one before -> the same shapes, weighted."""
        # Sizes are powers of two apart, so pooling to the smallest is plain pooling: exports need no
        # adaptive pooling and no shapes.
        last = len(maps) - 1
        ratios = [2 ** (last - i) for i in range(last)]
        pooled = [F.avg_pool2d(maps[i], ratio) for i, ratio in enumerate(ratios)]
        weights = self.conv2(self.conv1(paddle.concat([*pooled, maps[last]], axis=1)))
        weights = paddle.split(weights, self.channels, axis=1)
        scaled = [
            maps[i] * F.interpolate(weights[i], scale_factor=ratio, mode="nearest")
            for i, ratio in enumerate(ratios)
        ]
        return [*scaled, maps[last] * weights[last]]


class SpatialWeighting(nn.Layer):
    """Weights the channels of a map by their spatial means (section 3.2), as squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels // _SPATIAL_RATIO, 1, norm=False, act="relu")
        self.conv2 = ConvNorm(channels // _SPATIAL_RATIO, channels, 1, norm=False, act="sigmoid")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * self.conv2(self.conv1(F.adaptive_avg_pool2d(x, 1)))


class ConditionalChannelWeighting(nn.Layer):
    """Lite-HRNet's block over all branches: half of each branch's channels are weighted, then interleaved."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        halves = [c // 2 for c in channels]
        self.cross_resolution_weighting = CrossResolutionWeighting(halves)
        self.depthwise_convs = nn.LayerList([_depthwise(c) for c in halves])
        self.spatial_weighting = nn.LayerList([SpatialWeighting(c) for c in halves])

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> the same shapes."""
        halves = [x.chunk(2, axis=1) for x in maps]
        weighted = self.cross_resolution_weighting([b for _, b in halves])
        outputs = []
        for i, (a, _) in enumerate(halves):
            b = self.spatial_weighting[i](self.depthwise_convs[i](weighted[i]))
            outputs.append(_interleave(a, b))
        return outputs


class ShuffleUnit(nn.Layer):
    """ShuffleNet V2's unit of stride 1 (Ma et al., ECCV 2018), the block of the naive networks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch2 = nn.Sequential(
            ConvNorm(half, half, 1, act="relu"), _depthwise(half), ConvNorm(half, half, 1, act="relu")
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, channels, H, W) -> the same shape."""
        a, b = x.chunk(2, axis=1)
        return _interleave(a, self.branch2(b))


class LiteModule(nn.Layer):
    """Blocks over parallel branches, then a fusion of all of them."""

    layers: Any
    fuse_layers: Any

    def __init__(self, channels: Sequence[int], weighting: bool) -> None:
        super().__init__()
        self.weighting = weighting
        if weighting:
            self.layers = nn.Sequential(*[ConditionalChannelWeighting(channels) for _ in range(_BLOCKS)])
        else:
            self.layers = nn.LayerList(
                [nn.Sequential(*[ShuffleUnit(c) for _ in range(_BLOCKS)]) for c in channels]
            )
        self.fuse_layers = make_fuse_layers(channels, range(len(channels)), _separable_step)

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> the same shapes."""
        if self.weighting:
            maps = self.layers(maps)
        else:
            maps = [self.layers[i](x) for i, x in enumerate(maps)]
        return [F.relu(x) for x in self._fuse(maps)]

    def _fuse(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        # The official code sums in place: branch 0 is added to itself, and the other branches then see it
        # already fused, and twice. The published weights depend on that. The order of the sums is the
        # published one too: float32 sums in another order differ, and the difference grows with depth.
        first = 2 * maps[0]
        for j, layer in self.fuse_layers["0"].items():
            first = first + layer(maps[int(j)])
        fused = [first]
        for i in range(1, len(maps)):
            layers = self.fuse_layers[str(i)]
            total = 2 * layers["0"](first)
            for j in range(1, len(maps)):
                total = total + (maps[j] if j == i else layers[str(j)](maps[j]))
            fused.append(total)
        return fused


class SeparableConv(nn.Layer):
    """3x3 depthwise convolution with norm, 1x1 convolution with norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise_conv = _depthwise(in_channels)
        self.pointwise_conv = ConvNorm(in_channels, out_channels, 1, act="relu")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return self.pointwise_conv(self.depthwise_conv(x))


class IterativeHead(nn.Layer):
    """Fuses the branches from the deepest up: upsamples, adds to the next, projects."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.projects = nn.LayerList(
            [SeparableConv(channels[i], channels[max(i - 1, 0)]) for i in reversed(range(len(channels)))]
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> as many, branch i now with branch i - 1's channels."""
        outputs = [self.projects[0](maps[-1])]
        for i in range(1, len(maps)):
            outputs.append(self.projects[i](maps[-1 - i] + self.upsample(outputs[-1])))
        return outputs[::-1]


@register(Backbone)
class LiteHRNet(nn.Layer):
    """Image (N, 3, h, w), h and w multiples of 32 -> a list of the maps of the branches in return_idx.

    lite_18 and lite_30 are the paper's; lite_8, named in the same way, has one module per stage, for small
    budgets. With w = 40 (`naive`: 30), the maps' channels are w, w, 2w, 4w at strides 4, 8, 16, 32. freeze_at
    stops the gradients of the stages up to it: 0 the stem, 1 to 3 `stage0` to `stage2` with the transitions
    before them, -1 none. freeze_norm freezes all batch norms. Raises ConfigError for another input size or an
    unknown branch or stage.
    """

    input_multiple = 32
    stem: Any  # Stem, or its form in an export

    def __init__(
        self,
        network_type: Literal["lite_8", "lite_18", "lite_30", "naive", "wider_naive"],
        freeze_at: int = -1,
        freeze_norm: bool = False,
        return_idx: Sequence[int] = (0,),
    ) -> None:
        super().__init__()
        check_return_idx("LiteHRNet", return_idx)
        variant = _VARIANTS[network_type]
        channels = [variant.width * 2**i for i in range(4)]
        self.return_idx = list(return_idx)
        self.out_channels = [channels[max(i - 1, 0)] for i in return_idx]
        self.strides = [4 * 2**i for i in return_idx]

        self.stem = Stem()
        stages: list[list[nn.Layer]] = [[self.stem]]
        previous = [_STEM_CHANNELS]
        for i, count in enumerate(variant.modules):
            current = channels[: i + 2]
            transition = self.add_sublayer(f"transition{i}", Transition(previous, current, _separable_step))
            modules = [LiteModule(current, variant.weighting) for _ in range(count)]
            stages.append([transition, self.add_sublayer(f"stage{i}", nn.Sequential(*modules))])
            previous = current
        self.head_layer = IterativeHead(channels)
        freeze("LiteHRNet", stages, freeze_at, self, freeze_norm)

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        """Image batch -> feature maps, in the order of return_idx."""
        check_input(image, self.input_multiple)
        maps = self.stage0(self.transition0([self.stem(image)]))
        maps = self.stage1(self.transition1(maps))
        maps = self.stage2(self.transition2(maps))
        outputs = self.head_layer(maps)
        return [outputs[i] for i in self.return_idx]
