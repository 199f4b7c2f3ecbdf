"""Lite-HRNet's blocks without splits and shuffles: no channel moves, only its number changes.

A block of the trained network works on half of the channels and then interleaves both halves. Here it works
on the map as a whole, with weights that leave the other half as it is (a gate of 1, a kernel of one 1, a
mask), and the places of the halves, which the shuffle would have changed, are worked out beforehand. That is
more arithmetic, on operators whose time is memory and calls, and none of the copies and changes of layout
that took most of the time.
"""

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.export.fold import make_conv2d, scale_conv2d, set_weights, weights_of
from ppose.models.lite_hrnet import ConditionalChannelWeighting, ShuffleUnit

_OPEN = 40.0  # the sigmoid of it is 1 in float32


def split_and_shuffle(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a block finds the half that it works on, and the order of channels after its shuffle.

    order[p] is the number that the channel at place p has in the trained network. Interleaving turns number k
    of the first half into 2k, and of the second into 2k + 1.
    """
    half = len(order) // 2
    places = np.argsort(order)
    after = np.where(order < half, 2 * order, 2 * (order - half) + 1)
    return places[half:], after


class WeightingForm(nn.Layer):
    """`ConditionalChannelWeighting` over whole maps; ``places`` are those of the weighted half of each.

    The gates (SpatialWeighting) of all branches are computed together, from the pooled maps, whose means are
    those of the maps. They are not applied to the maps at once, but to the small weights that the next block
    multiplies its maps with.
    """

    def __init__(
        self, block: ConditionalChannelWeighting, places: Sequence[np.ndarray], channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        starts = np.cumsum([0, *channels[:-1]])
        whole = [start + place for start, place in zip(starts, places, strict=True)]
        cross, spatial = block.cross_resolution_weighting, block.spatial_weighting
        pairs = [(cross.conv1.conv, cross.conv2.conv)]
        self.cross1, self.cross2 = _make_gate(pairs, [np.concatenate(whole)], sum(channels))
        pairs = [(layer.conv1.conv, layer.conv2.conv) for layer in spatial]
        self.squeeze, self.excite = _make_gate(pairs, whole, sum(channels))
        self.depthwise = nn.LayerList(
            [
                _make_depthwise(layer.conv, place, count)
                for layer, place, count in zip(block.depthwise_convs, places, channels, strict=True)
            ]
        )

    def double_first(self) -> None:
        """Make the first branch's map twice as large, and everything else as before."""
        scale_conv2d(self.depthwise[0], 2)
        weight, bias = weights_of(self.squeeze)
        weight[:, : self.channels[0]] /= 2
        set_weights(self.squeeze, weight, bias)

    def forward(
        self, maps: list[paddle.Tensor], gates: paddle.Tensor | None, pooled: paddle.Tensor
    ) -> tuple[list[paddle.Tensor], paddle.Tensor, paddle.Tensor]:
        """The same for the next block.

        maps is one map per branch; gates (N, all channels, 1, 1) are still to be multiplied with them (None:
        nothing is); pooled is all maps at the size of the last.
        """
        seen = pooled if gates is None else pooled * gates
        weights = F.sigmoid(self.cross2(F.relu(self.cross1(seen))))
        weights = weights if gates is None else weights * gates
        parts = paddle.split(weights, self.channels, axis=1)
        weighted = []
        for i, (x, part) in enumerate(zip(maps, parts, strict=True)):
            ratio = 2 ** (len(maps) - 1 - i)
            full = part if ratio == 1 else F.interpolate(part, scale_factor=ratio, mode="nearest")
            weighted.append(self.depthwise[i](x * full))
        pooled = pool_to_last(weighted)
        gates = F.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(pooled, 1)))))
        return weighted, gates, pooled


def pool_to_last(maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Maps, each at half the size of the one before -> (N, all channels, H, W) at the size of the last."""
    last = len(maps) - 1
    pooled = [F.avg_pool2d(x, 2 ** (last - i)) for i, x in enumerate(maps[:-1])]
    return paddle.concat([*pooled, maps[-1]], axis=1)


class ShuffleForm(nn.Layer):
    """`ShuffleUnit` over a whole map, nowhere below 0; ``places`` are those of the half that it changes."""

    def __init__(self, unit: ShuffleUnit, places: np.ndarray, channels: int) -> None:
        super().__init__()
        expand, self.depthwise, project = unit.branch2
        weight, bias = weights_of(expand.conv)
        wide = np.zeros((len(bias), channels, 1, 1))
        wide[:, places] = weight
        self.expand = make_conv2d(wide, bias)
        weight, bias = weights_of(project.conv)
        wide, shift = np.zeros((channels, weight.shape[1], 1, 1)), np.zeros(channels)
        wide[places], shift[places] = weight, bias
        self.project = make_conv2d(wide, shift)
        kept = np.ones((1, channels, 1, 1))
        kept[:, places] = 0
        self.kept = paddle.to_tensor(kept, dtype=self.project.weight.dtype)

    def double(self) -> None:
        """Make the output twice as large."""
        scale_conv2d(self.project, 2)
        self.kept = 2 * self.kept

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, channels, H, W) -> the same shape."""
        # The half that stays passes the ReLU unchanged, since it comes out of one.
        return F.relu(self.project(self.depthwise(F.relu(self.expand(x)))) + x * self.kept)


def _make_gate(
    pairs: Sequence[tuple[nn.Conv2D, nn.Conv2D]], places: Sequence[np.ndarray], channels: int
) -> tuple[nn.Conv2D, nn.Conv2D]:
    """Pairs of 1x1 convolutions, each over its own places, as one pair; other channels get `_OPEN`."""
    widths = [weights_of(first)[0].shape[0] for first, _ in pairs]
    reduce, inner = np.zeros((sum(widths), channels, 1, 1)), np.zeros(sum(widths))
    restore, outer = np.zeros((channels, sum(widths), 1, 1)), np.full(channels, _OPEN)
    ends = np.cumsum(widths)
    for (first, second), place, width, end in zip(pairs, places, widths, ends, strict=True):
        rows = np.arange(end - width, end)
        reduce[np.ix_(rows, place)], inner[rows] = weights_of(first)
        restore[np.ix_(place, rows)], outer[place] = weights_of(second)
    return make_conv2d(reduce, inner), make_conv2d(restore, outer)


def _make_depthwise(conv: nn.Conv2D, places: np.ndarray, channels: int) -> nn.Conv2D:
    weight, bias = np.zeros((channels, 1, 3, 3)), np.zeros(channels)
    weight[:, 0, 1, 1] = 1
    weight[places], bias[places] = weights_of(conv)
    return make_conv2d(weight, bias, groups=channels)
