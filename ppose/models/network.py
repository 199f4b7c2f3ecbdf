"""The protocols of pose networks and their backbones."""

from typing import Protocol

import paddle


class Network(Protocol):
    """A layer: image (N, 3, h, w) -> heatmaps (N, K, h / stride, w / stride).

    h and w are multiples of ``input_multiple``; it is the same in training and evaluation.
    """

    stride: int
    input_multiple: int

    def __call__(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""


class Backbone(Protocol):
    """A layer: image (N, 3, h, w) -> a list of maps (N, out_channels[i], h / strides[i], w / strides[i]).

    h and w are multiples of ``input_multiple``.
    """

    out_channels: list[int]
    strides: list[int]
    input_multiple: int

    def __call__(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        """Image batch -> feature maps."""
