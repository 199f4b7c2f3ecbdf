"""The graph of an export: the network, with the flip test and the normalisation inside where asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.static import InputSpec

from ppose.files import write_bytes
from ppose.models import flip_test

_PROBE = 1 << 16  # bytes

FlipPairs = Sequence[Sequence[int]]


class Graph(nn.Layer):
    """image (N, 3, h, w) -> heatmaps (N, K, H, W), as the network, which is in eval mode.

    ``normalization`` is a mean (3,), to be subtracted from the image, which is uint8 then, and a factor (3,)
    (see `fold_normalization`). ``flip`` holds flip pairs and whether heatmaps shift (see `flip_test`).
    """

    def __init__(
        self,
        network: nn.Layer,
        normalization: tuple[np.ndarray, np.ndarray] | None = None,
        flip: tuple[FlipPairs, bool] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.flip = flip
        self.mean = self.factor = None
        if normalization is not None:
            self.mean, factor = (paddle.to_tensor(x.reshape(1, 3, 1, 1)) for x in normalization)
            self.factor = None if (factor == 1).all() else factor
        self.eval()

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        return _run(self, image)


# Nothing here depends on values, and Paddle takes a minute to look for that in the code of each layer.
@paddle.jit.not_to_static
def _run(graph: Graph, image: paddle.Tensor) -> paddle.Tensor:
    if graph.mean is not None:
        image = image.astype("float32") - graph.mean
    if graph.factor is not None:
        image = image * graph.factor
    if graph.flip is None:
        return graph.network(image)
    return flip_test(graph.network, image, *graph.flip)


def trace(graph: Graph, size: tuple[int, int], batch: int | None) -> Graph:
    """Make a graph static, for images of size (w, h); changes and returns it."""
    width, height = size
    dtype = "float32" if graph.mean is None else "uint8"
    spec = InputSpec([batch, 3, height, width], dtype, name="image")
    # Without full_graph the spec is not respected.
    return paddle.jit.to_static(graph, input_spec=[spec], full_graph=True)


def count_operators(traced: Graph) -> int:
    """How many operators a static graph has, those that make constants among them."""
    return len(traced.forward.concrete_program.main_program.global_block().ops)


def save_graph(traced: Graph, folder: Path) -> None:
    """Write a static graph's `model.json` and `model.pdiparams`; OSError where the disk is full."""
    paddle.jit.save(traced, str(folder / "model"))
    # Paddle leaves half a file on a full disk, and says nothing; then this does not fit either.
    probe = folder / "probe"
    write_bytes(probe, bytes(_PROBE))
    probe.unlink()
