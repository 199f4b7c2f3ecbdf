"""The size of a network: its parameters, and the multiply-accumulates of a forward pass."""

import math
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import nn

_GIBI = 1024**3


@dataclass(frozen=True)
class NetworkSize:
    """Parameters, and the multiply-accumulates of convolutions for one image.

    ``macs`` are the true ones. ``table_macs`` are counted as in the published tables of HRNet and
    SimpleBaseline: a transposed convolution as if each weight were applied at each output pixel.
    """

    parameters: int
    macs: int
    table_macs: int

    @property
    def table_gflops(self) -> float:
        """GFLOPs of the published tables, which are multiply-accumulates over 1024**3."""
        return self.table_macs / _GIBI


@paddle.no_grad()
def measure_size(network: nn.Layer, size: tuple[int, int]) -> NetworkSize:
    """Measure a network with an input of ``size`` (w, h); leaves it in eval mode.

    Batch norm statistics are no parameters. A layer counts as often as it is called.
    """
    counts = [0, 0]

    def count(layer: Any, inputs: Any, output: paddle.Tensor) -> Any:
        weights, pixels = math.prod(layer.weight.shape), math.prod(output.shape[2:])
        is_transposed = isinstance(layer, nn.Conv2DTranspose)
        counts[0] += weights * (math.prod(inputs[0].shape[2:]) if is_transposed else pixels)
        counts[1] += weights * pixels

    weighted = [layer for layer in network.sublayers() if getattr(layer, "weight", None) is not None]
    hooks = [layer.register_forward_post_hook(count) for layer in weighted if layer.weight.ndim == 4]
    network.eval()
    width, height = size
    try:
        network(paddle.zeros([1, 3, height, width]))
    finally:
        for hook in hooks:
            hook.remove()
    return NetworkSize(count_parameters(network), *counts)


def count_parameters(network: nn.Layer) -> int:
    """The number of parameters of a network, without batch norm statistics, which Paddle counts too."""
    statistics = ("._mean", "._variance")
    return sum(int(p.size) for name, p in network.named_parameters() if not name.endswith(statistics))
