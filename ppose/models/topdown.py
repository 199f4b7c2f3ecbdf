"""The top-down pose model: a backbone and a 1x1 convolution to heatmaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import paddle
from paddle import nn

from ppose.errors import ConfigError
from ppose.models.layers import conv2d
from ppose.workspace import Component, register


@dataclass(frozen=True)
class TopDownSettings:
    """Keys of a pose network's config block that training and evaluation read, not the network.

    The defaults are PaddleDetection's, but for shift_heatmap: None leaves it to the codec. flip_perm pairs
    the left with the right keypoints.
    """

    loss: Annotated[str, Component("loss")] = "KeyPointMSELoss"
    flip_perm: Sequence[Sequence[int]] | None = None
    flip: bool = True
    shift_heatmap: bool | None = None
    use_dark: bool = True


@register(kind="architecture", settings=TopDownSettings, ignored=("post_process",))
class TopDownHRNet(nn.Layer):
    """Image (N, 3, h, w) -> heatmaps (N, num_joints, h / 4, w / 4), in training and evaluation alike.

    The backbone gives a list of maps and has their channel counts as `out_channels`; the first map is used,
    and its stride has to be 4. Raises ConfigError if `width` is not its channel count.
    """

    def __init__(
        self, backbone: Annotated[nn.Layer, Component("backbone")], num_joints: int, width: int
    ) -> None:
        super().__init__()
        if backbone.out_channels[0] != width:
            raise ConfigError(
                f"TopDownHRNet.width: got {width}, expected {backbone.out_channels[0]}, the channels that "
                f"{type(backbone).__name__} gives"
            )
        self.backbone = backbone
        self.final_conv = conv2d(width, num_joints, 1, bias=True)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        return self.final_conv(self.backbone(image)[0])
