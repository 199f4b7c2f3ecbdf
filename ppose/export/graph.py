"""The graph of an export: the network, with the flip test and the normalisation inside where asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.static import InputSpec

from ppose.models import flip_test

FlipPairs = Sequence[Sequence[int]]


class Graph(nn.Layer):
    """image (N, 3, h, w) -> heatmaps (N, K, H, W), as the network, which is in eval mode.

    ``mean`` (3,) is subtracted from the image, which is uint8 then (see `fold_normalization`). ``flip`` holds
    flip pairs and whether heatmaps shift (see `flip_test`).
    """

    def __init__(
        self, network: nn.Layer, mean: np.ndarray | None = None, flip: tuple[FlipPairs, bool] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.flip = flip
        self.mean = None if mean is None else paddle.to_tensor(mean.reshape(1, 3, 1, 1))
        self.eval()

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Image batch -> heatmaps."""
        if self.mean is not None:
            image = image.astype("float32") - self.mean
        if self.flip is None:
            return self.network(image)
        return flip_test(self.network, image, *self.flip)


def save_graph(graph: Graph, folder: Path, size: tuple[int, int], batch: int | None) -> int:
    """Write `model.json` and `model.pdiparams` for images of size (w, h); returns the number of operators."""
    width, height = size
    dtype = "float32" if graph.mean is None else "uint8"
    spec = InputSpec([batch, 3, height, width], dtype, name="image")
    # Without full_graph the spec is not respected.
    static = paddle.jit.to_static(graph, input_spec=[spec], full_graph=True)
    paddle.jit.save(static, str(folder / "model"))
    return len(static.forward.concrete_program.main_program.global_block().ops)


@paddle.no_grad()
def run_graph(folder: Path, image: np.ndarray) -> np.ndarray:
    """Heatmaps of an image batch by the saved graph."""
    return paddle.jit.load(str(folder / "model"))(paddle.to_tensor(image)).numpy()
