"""The top-down pose model: a backbone and a 1x1 convolution to heatmaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import paddle
from paddle import nn

from ppose.errors import ConfigError
from ppose.models.layers import conv2d
from ppose.models.losses import Loss
from ppose.models.network import Backbone, Network
from ppose.workspace import register


@dataclass(frozen=True)
class TopDownSettings:
    """Keys of a pose network's config block that training and evaluation read, not the network.

    The defaults are PaddleDetection's, except that None lets the codec decide on the shift of heatmaps and on
    DARK, which is on if the config has no `codec`. flip_perm pairs left with right keypoints.
    """

    loss: Annotated[object, Loss] = "KeyPointMSELoss"
    flip_perm: Sequence[Sequence[int]] | None = None
    flip: bool = True
    shift_heatmap: bool | None = None
    use_dark: bool | None = None


@register(Network, settings=TopDownSettings, ignored=("post_process",))
class TopDownHRNet(nn.Layer):
    """Image (N, 3, h, w) -> heatmaps (N, num_joints, h / s, w / s), in training and evaluation alike.

    They come from the backbone's first map, of stride s. Raises ConfigError if `width` is not its channel
    count.
    """

    def __init__(self, backbone: Backbone, num_joints: int, width: int) -> None:
        super().__init__()
        self.stride, self.input_multiple = backbone.strides[0], backbone.input_multiple
        if backbone.out_channels[0] != width:
            raise ConfigError(
                f"TopDownHRNet.width: got {width}, expected {backbone.out_channels[0]}, the channels of "
                f"{type(backbone).__name__}"
            )
        self.backbone = backbone
        self.final_conv = conv2d(width, num_joints, 1, bias=True)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        return self.final_conv(self.backbone(image)[0])
