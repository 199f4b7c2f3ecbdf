"""Layers that several networks share.

Weights are initialised as in the official HRNet and SimpleBaseline pose code: convolutions from a normal
distribution with standard deviation 0.001, biases 0, batch norms with scale 1 and shift 0.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.nn.initializer import Constant, Normal

from ppose.errors import ConfigError
from ppose.paddle_internals import use_running_statistics

# step(in_channels, out_channels, stride, relu): makes a convolution between two branches, with its norm.
Step = Callable[[int, int, int, bool], nn.Sequential]


def initial_weight() -> paddle.ParamAttr:
    """Initialise a convolution's weight as normal noise, standard deviation 0.001 (official HRNet code)."""
    return paddle.ParamAttr(initializer=Normal(0.0, 0.001))


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    dilation: int = 1,
) -> nn.Conv2D:
    """A convolution that keeps the map's size, up to the stride."""
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=dilation * (kernel_size - 1) // 2,
        dilation=dilation,
        groups=groups,
        weight_attr=initial_weight(),
        bias_attr=paddle.ParamAttr(initializer=Constant(0.0)) if bias else False,
    )


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions with a residual connection and the stride on the first (He et al., 2016).

    ``projects``: the shortcut has a 1x1 convolution even if the shapes agree.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, *, projects: bool = False) -> None:
        super().__init__()
        self.conv1 = conv2d(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2D(channels)
        self.conv2 = conv2d(channels, channels, 3)
        self.bn2 = nn.BatchNorm2D(channels)
        self.downsample = make_shortcut(in_channels, channels, stride, projects)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Layer):
    """1x1, 3x3, 1x1 residual block with 4 * channels outputs and the stride on the 3x3 (He et al., 2016).

    ``dilation`` is that of the 3x3; ``projects`` as in `BasicBlock`.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, *, dilation: int = 1, projects: bool = False
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = conv2d(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2D(channels)
        self.conv2 = conv2d(channels, channels, 3, stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2D(channels)
        self.conv3 = conv2d(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2D(out_channels)
        self.downsample = make_shortcut(in_channels, out_channels, stride, projects)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def make_shortcut(in_channels: int, out_channels: int, stride: int, projects: bool) -> nn.Sequential | None:
    """The layers that bring a block's input to its output's shape; None if equal, unless it ``projects``."""
    if stride == 1 and in_channels == out_channels and not projects:
        return None
    return nn.Sequential(conv2d(in_channels, out_channels, 1, stride), nn.BatchNorm2D(out_channels))


class ResidualBlock(Protocol):
    """The class of a residual block: `BasicBlock`, `Bottleneck` or one like them."""

    expansion: int

    def __call__(
        self, in_channels: int, channels: int, stride: int = 1, *, projects: bool = False
    ) -> nn.Layer: ...


def make_residual_blocks(
    block: ResidualBlock,
    in_channels: int,
    channels: int,
    count: int,
    stride: int = 1,
    *,
    projects: bool = False,
) -> nn.Sequential:
    """A stage of residual blocks; the first has the stride, and ``projects`` as in `BasicBlock`."""
    rest = [block(channels * block.expansion, channels) for _ in range(count - 1)]
    return nn.Sequential(block(in_channels, channels, stride, projects=projects), *rest)


class Transition(nn.LayerDict):
    """Adds one branch, made from the last one at half its resolution; `step` where channel counts change.

    ``only_new``: the other branches pass unchanged.
    """

    def __init__(
        self, previous: Sequence[int], channels: Sequence[int], step: Step, *, only_new: bool = False
    ) -> None:
        super().__init__()
        for i, (old, new) in enumerate(zip(previous, channels, strict=False)):
            if old != new and not only_new:
                self[str(i)] = step(old, new, 1, True)
        self[str(len(previous))] = nn.Sequential(step(previous[-1], channels[-1], 2, True))

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """n maps, each at half the size of the one before -> n + 1 such maps."""
        return [self[str(i)](x) if str(i) in self else x for i, x in enumerate([*maps, maps[-1]])]


def make_fuse_layers(
    channels: Sequence[int], outputs: Sequence[int], step: Step, *, as_tf: bool = False
) -> nn.LayerDict:
    """Layers [str(i)][str(j)] that bring branch j to the channels and size of branch i, for i in outputs.

    Upwards: 1x1 convolution, norm, nearest upsampling. Downwards: steps of stride 2, all but the last with
    ReLU and with branch j's channels (Sun et al., CVPR 2019, section 3). ``as_tf`` (see `HRNet`): upwards
    with a ReLU before the upsampling, downwards with branch i's channels in all steps.
    """

    def paths_to(i: int) -> nn.LayerDict:
        others = [j for j in range(len(channels)) if j != i]
        return nn.LayerDict(
            {str(j): _fuse_path(channels[j], channels[i], i - j, step, as_tf) for j in others}
        )

    return nn.LayerDict({str(i): paths_to(i) for i in outputs})


def _fuse_path(source: int, target: int, halvings: int, step: Step, as_tf: bool) -> nn.Sequential:
    """From ``source`` to ``target`` channels, at 2**-halvings of the size."""
    if halvings < 0:
        relu = [nn.ReLU()] if as_tf else []
        upsample = nn.Upsample(scale_factor=2**-halvings, mode="nearest")
        return nn.Sequential(conv2d(source, target, 1), nn.BatchNorm2D(target), *relu, upsample)
    inner = target if as_tf else source
    widths = [source, *[inner] * (halvings - 1), target]
    return nn.Sequential(*[step(a, b, 2, i < halvings) for i, (a, b) in enumerate(pairwise(widths), start=1)])


def freeze(
    name: str, stages: Sequence[Sequence[nn.Layer]], freeze_at: int, network: nn.Layer, freeze_norm: bool
) -> None:
    """Stop the gradients of stages 0 to freeze_at (-1: none), and with freeze_norm freeze all batch norms.

    A frozen batch norm has no gradients and uses its fixed running statistics in training too. Raises
    ConfigError for an unknown stage.
    """
    if not -1 <= freeze_at < len(stages):
        raise ConfigError(
            f"{name}.freeze_at: got {freeze_at}, expected -1 (nothing) to {len(stages) - 1} (all stages)"
        )
    held = [layer for stage in stages[: freeze_at + 1] for layer in stage]
    if freeze_norm:
        norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
        for norm in norms:
            use_running_statistics(norm)  # here, so that no builder must pass it on
        held += norms
    for layer in held:
        for parameter in layer.parameters():
            parameter.stop_gradient = True


def check_return_idx(name: str, return_idx: Sequence[int]) -> None:
    """Raise ConfigError unless return_idx names one or more of the four branches, each once."""
    if not return_idx or len(set(return_idx)) < len(return_idx) or not set(return_idx) <= set(range(4)):
        raise ConfigError(
            f"{name}.return_idx: got {list(return_idx)}, expected different branches out of 0 (stride 4) to 3"
        )


def check_input(image: paddle.Tensor, multiple: int) -> None:
    """Raise ConfigError unless it is (N, 3, h, w), in floats, with sides that ``multiple`` divides.

    ``multiple`` is the network's deepest stride, if it upsamples its deepest map by doubling.
    """
    if image.shape[1] != 3 or "float" not in str(image.dtype):
        raise ConfigError(
            f"the network's input is {image.shape}, {image.dtype}, expected float (N, 3, h, w); "
            "do the reader's transforms end with NormalizeImage and Permute?"
        )
    height, width = image.shape[2], image.shape[3]
    if height % multiple or width % multiple:
        raise ConfigError(
            f"the network's input is {width}x{height} (width x height); "
            f"set trainsize to multiples of {multiple}"
        )
