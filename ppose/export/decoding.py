"""Decoding within the exported graph: the codecs' numpy code as plain float32 operators.

`ppose.codecs.refine` has the formulas and their papers. Logarithms are taken of values divided by the peak:
they are small near it, so that float32 suffices where numpy uses float64.
"""

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

from ppose.codecs import Codec, MSRAHeatmap, UDPHeatmap
from ppose.codecs.gaussian import blur_kernel_size
from ppose.codecs.refine import DARK_CUT, UDP_CUT, UDP_FLAT, blur_matrix
from ppose.errors import ExportError

_LARGEST = float(np.finfo(np.float32).max)
# Neighbours (dx, dy) that each refinement uses.
_CROSS = ((1, 0), (-1, 0), (0, 1), (0, -1))
_UDP = ((0, 0), *_CROSS, (1, 1), (-1, -1))
_DARK = ((0, 0), *_CROSS, (2, 0), (-2, 0), (0, 2), (0, -2), (1, 1), (1, -1), (-1, 1), (-1, -1))

_Shift = tuple[paddle.Tensor, paddle.Tensor]


class Decoding(nn.Layer):
    """Heatmaps (N, K, H, W), inverse_warp (N, 2, 3) -> keypoints (N, K, 3): x, y in image pixels, score.

    Decodes as ``codec``, then applies the matrix from input to image pixels. Inside, M = N x K maps. Raises
    ExportError for an unknown codec, ConfigError for heatmaps of another size.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        if not isinstance(codec, MSRAHeatmap | UDPHeatmap):
            raise ExportError(
                f"the codec {type(codec).__name__} cannot decode in a graph: leave out --decode_in_graph"
            )
        self._codec = codec
        width, height = codec.heatmap_size
        is_udp = isinstance(codec, UDPHeatmap)
        smooths = isinstance(codec, UDPHeatmap) or codec.use_dark
        self._offsets = (_UDP if is_udp else _DARK) if smooths else _CROSS
        # Buffers, since a graph stores other constants as text.
        for axis, name in enumerate(("offsets_x", "offsets_y")):
            of_axis = np.array([[offset[axis] for offset in self._offsets]], np.float32)
            self.register_buffer(name, paddle.to_tensor(of_axis))
        if smooths:
            size = blur_kernel_size(codec.sigma)
            self.register_buffer("blur_x", paddle.to_tensor(blur_matrix(width, size)))
            self.register_buffer("blur_y", paddle.to_tensor(blur_matrix(height, size)))
        self._shift = self._udp if is_udp else self._dark if smooths else self._quarter

    def forward(self, heatmaps: paddle.Tensor, inverse_warp: paddle.Tensor) -> paddle.Tensor:
        """See the class; all dimensions but N are fixed when the graph is traced."""
        codec, (width, height), count = self._codec, self._codec.heatmap_size, heatmaps.shape[1]
        maps = heatmaps.reshape([-1, height * width])
        scores = paddle.max(maps, 1)
        # In float32, which is exact here: Paddle runs int64 products and sums in oneDNN, which are wrong.
        index = maps.argmax(axis=1).astype("float32") * (scores > 0).astype("float32")
        y = ((index + 0.5) / width).floor()
        x = index - y * width
        shifts = self._shift(maps, x, y, scores)
        stride = codec.stride.astype(np.float32).tolist()
        axes = [(p + d) * s for p, d, s in zip((x, y), shifts, stride, strict=True)]
        points = paddle.stack(axes, axis=1).reshape([-1, count, 1, 2])
        # Sums of products: a runtime may compute matrix products in bfloat16.
        turned = (points * inverse_warp[:, :, :2].unsqueeze(1)).sum(axis=-1)
        points = turned + inverse_warp[:, :, 2].unsqueeze(1)
        return paddle.concat([points, (scores / codec.peak).reshape([-1, count, 1])], axis=-1)

    def _quarter(
        self, maps: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor, scores: paddle.Tensor
    ) -> _Shift:
        """`shift_by_quarter`: dx and dy (M,)."""
        width, height = self._codec.heatmap_size
        right, left, below, above = self._neighbours(maps, x, y).unbind(axis=1)
        moves_x = (x > 1) & (x < width - 1) & (y > 0) & (scores > 0)
        moves_y = (y > 1) & (y < height - 1) & (x > 0) & (scores > 0)
        return _where(moves_x, 0.25 * (right - left).sign()), _where(moves_y, 0.25 * (below - above).sign())

    def _dark(self, maps: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor, scores: paddle.Tensor) -> _Shift:
        """`shift_by_dark`: dx and dy (M,)."""
        width, height = self._codec.heatmap_size
        smoothed = self._smooth(maps, scores)
        right, left, below, above, right2, left2, below2, above2, pp, pm, mp, mm = self._logs(
            smoothed, x, y, DARK_CUT
        )
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        hessian = 0.25 * (right2 + left2), 0.25 * (pp - pm - mp + mm), 0.25 * (below2 + above2)
        return _newton_step((right - left, below - above), hessian, inside & (scores > 0))

    def _udp(self, maps: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor, scores: paddle.Tensor) -> _Shift:
        """`shift_by_udp_dark`: dx and dy (M,)."""
        smoothed = self._smooth(maps, scores)
        right, left, below, above, pp, mm = self._logs(smoothed, x, y, UDP_CUT)
        xy = 0.5 * (pp - right - below - left - above + mm)
        hessian = right + left + UDP_FLAT, xy, below + above + UDP_FLAT
        return _newton_step((right - left, below - above), hessian, scores > 0)

    def _smooth(self, maps: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        """The smoothed maps, scaled to their old maxima; 0 for maps without a value above 0."""
        width, height = self._codec.heatmap_size
        # In three dimensions, since oneDNN's products of a matrix with four are wrong (see `MatrixUpsample`).
        blurred = paddle.matmul(self.blur_y, maps.reshape([-1, height, width]))
        blurred = paddle.matmul(blurred, self.blur_x).reshape([-1, height * width])
        highest = paddle.max(blurred, 1, True)
        return _where(highest > 0, blurred * (scores.unsqueeze(1) / highest))

    def _logs(
        self, smoothed: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor, cut: tuple[float, float]
    ) -> Sequence[paddle.Tensor]:
        """Logarithms of the neighbours divided by the middle, which is the first offset; (M,) each."""
        values = self._neighbours(smoothed, x, y).clip(*cut)
        return (values / values[:, :1]).log().unbind(axis=1)[1:]

    def _neighbours(self, maps: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
        """Values (M, offsets) around the peaks; outside a map, those of its border."""
        width, height = self._codec.heatmap_size
        columns = (x.unsqueeze(1) + self.offsets_x).clip(0, width - 1)
        rows = (y.unsqueeze(1) + self.offsets_y).clip(0, height - 1)
        places = (rows * width + columns).astype("int64")
        return paddle.take_along_axis(maps, places, axis=1, broadcast=False)


def _newton_step(
    slope: _Shift, hessian: tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor], moves: paddle.Tensor
) -> _Shift:
    """-H^-1 g where ``moves`` and finite, else 0; g is half of ``slope``, H = [[xx, xy], [xy, yy]]."""
    (x, y), (xx, xy, yy) = (0.5 * slope[0], 0.5 * slope[1]), hessian
    determinant = xx * yy - xy * xy
    steps = (xy * y - yy * x) / determinant, (xy * x - xx * y) / determinant
    usable = moves & (steps[0].abs() <= _LARGEST) & (steps[1].abs() <= _LARGEST)
    return _where(usable, steps[0]), _where(usable, steps[1])


def _where(condition: paddle.Tensor, value: paddle.Tensor) -> paddle.Tensor:
    """The value where the condition holds, else 0, even for a NaN there."""
    return paddle.where(condition, value, paddle.zeros_like(value))
