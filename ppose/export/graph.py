"""The graph of an export: the network, optionally with normalisation, flip test and decoding."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import paddle
from paddle import nn

from ppose.engine.static_network import make_static, run_as_it_is
from ppose.export.decoding import Decoding
from ppose.inference.pose_spec import GRAPH_INPUTS
from ppose.models import flip_test
from ppose.paddle_internals import graph_operators

_PROBE = 1 << 16  # bytes

FlipPairs = Sequence[Sequence[int]]


class Graph(nn.Layer):
    """image (N, 3, h, w) -> heatmaps (N, K, H, W), as the network, which is in eval mode.

    With ``normalization``, a mean (3,) to subtract and a factor (3,) (see `fold_normalization`), the image is
    uint8. ``flip`` holds flip pairs and whether heatmaps shift (see `flip_test`). With ``decoding`` the graph
    also takes inverse_warp (N, 2, 3), and gives keypoints (N, K, 3).
    """

    def __init__(
        self,
        network: nn.Layer,
        normalization: tuple[np.ndarray, np.ndarray] | None = None,
        flip: tuple[FlipPairs, bool] | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.flip = flip
        self.decoding = decoding
        self.mean = self.factor = None
        if normalization is not None:
            self.mean, factor = (paddle.to_tensor(x.reshape(1, 3, 1, 1)) for x in normalization)
            self.factor = None if (factor == 1).all() else factor
        self.eval()

    def with_decoding(self, decoding: Decoding) -> "Graph":
        """Return a graph of the same network with decoding, not static yet."""
        graph = Graph(self.network, None, self.flip, decoding)
        graph.mean, graph.factor = self.mean, self.factor
        return graph

    def forward(self, image: paddle.Tensor, inverse_warp: paddle.Tensor | None = None) -> paddle.Tensor:
        """See the class."""
        if self.decoding is None or inverse_warp is None:
            return run_as_it_is(self._find_heatmaps, image)
        return run_as_it_is(self._find_keypoints, image, inverse_warp)

    def _find_keypoints(self, image: paddle.Tensor, inverse_warp: paddle.Tensor) -> paddle.Tensor:
        return cast(Decoding, self.decoding)(self._find_heatmaps(image), inverse_warp)

    def _find_heatmaps(self, image: paddle.Tensor) -> paddle.Tensor:
        if self.mean is not None:
            image = image.astype("float32") - self.mean
        if self.factor is not None:
            image = image * self.factor
        if self.flip is None:
            return self.network(image)
        return flip_test(self.network, image, *self.flip)


def trace(graph: Graph, size: tuple[int, int], batch: int | None) -> Graph:
    """Make a graph static, for images of size (w, h); changes and returns it."""
    others = None if graph.decoding is None else {GRAPH_INPUTS[1]: [2, 3]}
    dtype: Literal["float32", "uint8"] = "float32" if graph.mean is None else "uint8"
    make_static(graph, size, batch=batch, dtype=dtype, others=others)
    return graph


def count_operators(traced: Graph) -> int:
    """The number of operators of a static graph, including constants."""
    return len(graph_operators(traced))


def save_graph(traced: Graph, folder: Path) -> None:
    """Write a static graph's `model.json` and `model.pdiparams`; OSError if the disk is full.

    Within `graphs_of_paddle_2`, in which it must also be traced, `model.pdmodel` and `model.pdiparams`.
    """
    paddle.jit.save(traced, str(folder / "model"))
    (folder / "model.pdiparams.info").unlink(missing_ok=True)  # only for further training in Paddle 2
    check_room(folder)


def check_room(folder: Path) -> None:
    """Raise OSError if nothing more can be written, since the folder's files may then be truncated.

    On a full disk, Paddle and paddle2onnx truncate files without an error.
    """
    longest = max(file.stat().st_size for file in folder.iterdir())
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.seek(longest)  # takes no space, but counts for a limit on file sizes
            probe.write(bytes(_PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder.parent)) from error
