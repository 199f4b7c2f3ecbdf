"""Networks as static graphs.

On a CPU Paddle's executor of static graphs runs branches in parallel and reuses memory: training steps take
0.3 (HRNet-W32) to 0.85 (Lite-HRNet-18) of the time, evaluation 0.6, with the same operators and so the same
numbers (benchmarks/training_step.py). Building the graphs takes seconds: for evaluation 1 (Lite-HRNet-8) to 8
(Lite-HRNet-30), for training three times that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import paddle
from paddle import nn
from paddle.static import InputSpec

from ppose.paddle_internals import without_layer_names
from ppose.quantization.qat import is_quantization_aware

_WORTH_IT = 500  # images; with as many, even small networks regain the time to build their graphs


class StaticNetwork(nn.Layer):
    """image (N, 3, h, w) -> the network's heatmaps, for images of one size (w, h) and any N.

    It shares parameters and statistics with ``network``. Training and evaluation each have a graph, built at
    the first call in that mode.
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
    """Turn a layer into a graph, in place, for images (batch, 3, h, w) of size (w, h); batch None: any.

    ``others`` are further float32 inputs: their shapes by name, without the batch.
    """
    width, height = size
    specs = [InputSpec([batch, 3, height, width], dtype, name="image")]
    specs += [InputSpec([batch, *shape], "float32", name=name) for name, shape in (others or {}).items()]
    # Without full_graph Paddle ignores the specs.
    paddle.jit.to_static(layer, input_spec=specs, full_graph=True)


# No network's control flow depends on values; Paddle's search for such code in each layer takes a minute.
@paddle.jit.not_to_static
def run_as_it_is(compute: Callable[..., paddle.Tensor], *inputs: paddle.Tensor) -> paddle.Tensor:
    """Compute a graph's layer in plain operators; Paddle does not analyse its code."""
    with without_layer_names():
        return compute(*inputs)


def quickest_form(network: nn.Layer, size: tuple[int, int], images: int) -> nn.Layer:
    """The static form of a network if it pays off for that many images, on a CPU; else the network itself.

    Paddle's fake quantizers do not work in graphs, so a network with them stays as it is.
    """
    if images < _WORTH_IT or paddle.device.get_device() != "cpu" or is_quantization_aware(network):
        return network
    return StaticNetwork(network, size)
