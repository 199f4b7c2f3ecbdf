"""Networks as static graphs.

On a CPU Paddle's executor of static graphs runs branches side by side and reuses memory: training steps take
0.3 (HRNet-W32) to 0.85 (Lite-HRNet-18) of the time, evaluation 0.6, with the same operators and so the same
numbers (benchmarks/training_step.py). Making the graphs takes seconds: for evaluation 1 (Lite-HRNet-8) to 8
(Lite-HRNet-30), for training three times that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import paddle
from paddle import nn
from paddle.static import InputSpec

from ppose.paddle_internals import without_layer_names
from ppose.quantization.qat import is_quantization_aware

_WORTH_IT = 500  # images; from here on even small networks win back the making of their graphs


class StaticNetwork(nn.Layer):
    """image (N, 3, h, w) -> the network's heatmaps, for images of one size (w, h) and any N.

    It shares parameters and statistics with ``network``. Training and evaluation have a graph each, which are
    made at the first call in that mode.
    """

    def __init__(self, network: nn.Layer, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        make_static(self, size)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        return run_as_it_is(self.network, image)


def make_static(
    layer: nn.Layer,
    size: tuple[int, int],
    *,
    batch: int | None = None,
    dtype: Literal["float32", "uint8"] = "float32",
    others: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Make a layer a graph, in place, for images (batch, 3, h, w) of size (w, h); batch None: any number.

    ``others`` are further inputs, float32, by name, and their shapes without the batch.
    """
    width, height = size
    specs = [InputSpec([batch, 3, height, width], dtype, name="image")]
    specs += [InputSpec([batch, *shape], "float32", name=name) for name, shape in (others or {}).items()]
    # Without full_graph the specs are not respected.
    paddle.jit.to_static(layer, input_spec=specs, full_graph=True)


# Nothing in networks depends on values, and Paddle takes a minute to look for that in the code of each layer.
@paddle.jit.not_to_static
def run_as_it_is(compute: Callable[..., paddle.Tensor], *inputs: paddle.Tensor) -> paddle.Tensor:
    """What a graph's layer computes, in operators alone: how it is written is not looked at."""
    with without_layer_names():
        return compute(*inputs)


def quickest_form(network: nn.Layer, size: tuple[int, int], images: int) -> nn.Layer:
    """The static form of a network that is to run on so many images in all, on a CPU; else itself.

    Paddle's fake quantizers do not go into graphs, and a network that has them stays as it is.
    """
    if images < _WORTH_IT or paddle.device.get_device() != "cpu" or is_quantization_aware(network):
        return network
    return StaticNetwork(network, size)
