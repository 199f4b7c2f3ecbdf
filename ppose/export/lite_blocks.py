"""Lite-HRNet's blocks without splits and shuffles: channels stay in place, only their numbers change.

A block of the trained network processes half of the channels, then interleaves both halves. Here it processes
the whole map, with weights that leave the other half unchanged (a gate of 1, an identity kernel, a mask). The
positions of the halves, which the shuffles would change, are computed in advance. This needs more arithmetic,
but these operators are limited by memory and calls; it avoids the copies and layout changes that took most of
the time.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.export.fold import make_conv2d, scale_conv2d, set_weights
from ppose.models.lite_hrnet import ConditionalChannelWeighting, ConvNorm, ShuffleUnit, Stem
from ppose.quantization.channel_rounding import merge_roundings
from ppose.quantization.convolutions import weights_of
from ppose.quantization.scheme import quantization_of

_OPEN = 40.0  # its sigmoid is 1 in float32


def split_and_shuffle(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the half that a block processes, and the channel order after its shuffle.

    order[p] is the number in the trained network of the channel at place p. Interleaving turns number k of
    the first half into 2k, and of the second into 2k + 1.
    """
    half = len(order) // 2
    places = np.argsort(order)
    after = np.where(order < half, 2 * order, 2 * (order - half) + 1)
    return places[half:], after


class StemForm(nn.Layer):
    """`Stem` without interleaved halves; ``order`` is its channel order, as for `split_and_shuffle`.

    Each half has its own first convolution: splitting a map costs more than reading the image twice.
    """

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        half = stem.conv1.conv.weight.shape[0] // 2
        self.half1, self.half2 = (_cut(stem.conv1, slice(start, start + half)) for start in (0, half))
        self.branch1 = stem.branch1
        self.branch2 = nn.Sequential(stem.expand_conv, stem.depthwise_conv, stem.linear_conv)
        self.order = np.concatenate([2 * np.arange(half), 2 * np.arange(half) + 1])

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """(N, 3, h, w) -> (N, channels, h / 4, w / 4)."""
        return paddle.concat([self.branch1(self.half1(image)), self.branch2(self.half2(image))], axis=1)


def _cut(layer: ConvNorm, outputs: slice) -> ConvNorm:
    """Return a copy of a layer with a folded norm that has only some of its outputs."""
    part = copy.deepcopy(layer)
    weight, bias = weights_of(layer.conv)
    set_weights(part.conv, weight[outputs], bias[outputs])
    return part


class WeightingForm(nn.Layer):
    """`ConditionalChannelWeighting` over whole maps; ``places`` are those of the weighted half of each.

    The gates (SpatialWeighting) of all branches are computed together, from the pooled maps, whose means
    equal those of the maps. They are not applied to the maps directly, but to the small weights by which the
    next block multiplies its maps.
    """

    def __init__(
        self, block: ConditionalChannelWeighting, places: Sequence[np.ndarray], channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        starts = np.cumsum([0, *channels[:-1]])
        whole = [start + place for start, place in zip(starts, places, strict=True)]
        total = sum(channels)
        cross, spatial = block.cross_resolution_weighting, block.spatial_weighting
        self.cross1, self.cross2 = _make_gate([cross], [np.concatenate(whole)], total)
        self.squeeze, self.excite = _make_gate(list(spatial), whole, total)
        self.depthwise = nn.LayerList(
            [
                DepthwiseForm(layer.conv, place, count)
                for layer, place, count in zip(block.depthwise_convs, places, channels, strict=True)
            ]
        )

    def double_first(self) -> None:
        """Double the values of the first branch's map, and keep everything else."""
        self.depthwise[0].double()
        self.squeeze.double_inputs(self.channels[0])

    def forward(
        self, maps: list[paddle.Tensor], gates: paddle.Tensor | None, pooled: paddle.Tensor
    ) -> tuple[list[paddle.Tensor], paddle.Tensor, paddle.Tensor]:
        """Return maps, gates and pooled for the next block.

        maps is one map per branch; gates (N, all channels, 1, 1) are factors not yet applied to them, or
        None; pooled is all maps at the size of the last.
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


class DepthwiseForm(nn.Layer):
    """A depthwise convolution over a whole map; channels not at its ``places`` stay unchanged."""

    def __init__(self, conv: nn.Conv2D, places: np.ndarray, channels: int) -> None:
        super().__init__()
        weight, bias = np.zeros((channels, 1, 3, 3)), np.zeros(channels)
        weight[places], bias[places] = weights_of(conv)
        quantization = quantization_of(conv)
        self.kept = None
        if quantization is None or quantization.input is None:
            weight[_others(places, channels), 0, 1, 1] = 1
        else:  # the other channels must not be rounded
            self.kept = _make_mask(places, channels, conv.weight.dtype)
        self.conv = make_conv2d(weight, bias, groups=channels, quantization=quantization)

    def double(self) -> None:
        """Make the output twice as large."""
        scale_conv2d(self.conv, 2)
        if self.kept is not None:
            self.kept = 2 * self.kept

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, channels, H, W) -> the same shape."""
        return self.conv(x) if self.kept is None else self.conv(x) + x * self.kept


class MergedConv2D(nn.Layer):
    """Merges 1x1 convolutions, each from its own ``inputs`` to its own ``outputs``, channels of the map.

    Outputs of no convolution get ``bias``. A single convolution keeps its quantization. Several keep their
    own rounding of inputs; the weight is quantized if all of theirs are.
    """

    def __init__(
        self,
        convs: Sequence[nn.Conv2D],
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        shape: tuple[int, int],
        bias: float,
    ) -> None:
        super().__init__()
        weight, shift = np.zeros((*shape, 1, 1)), np.full(shape[0], bias)
        for conv, to, of in zip(convs, outputs, inputs, strict=True):
            weight[np.ix_(to, of)], shift[to] = weights_of(conv)
        quantizations = [quantization_of(conv) for conv in convs]
        quantization, self.rounding = quantizations[0], None
        if len(convs) > 1:
            shared = quantization if all(quantizations) else None
            quantization = None if shared is None else replace(shared, input=None)
            self.rounding = merge_roundings(quantizations, inputs, shape[1])
        self.conv = make_conv2d(weight, shift, quantization=quantization)

    def double_inputs(self, channels: int) -> None:
        """Adapt to a map whose first channels have doubled values; each output uses all or none of them."""
        weight, bias = weights_of(self.conv)
        weight[:, :channels] /= 2
        set_weights(self.conv, weight, bias)
        if self.rounding is not None:
            self.rounding.double(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return self.conv(x if self.rounding is None else self.rounding(x))


class ShuffleForm(nn.Layer):
    """`ShuffleUnit` over a whole map without negative values; ``places`` are those of the half it changes."""

    def __init__(self, unit: ShuffleUnit, places: np.ndarray, channels: int) -> None:
        super().__init__()
        expand, self.depthwise, project = unit.branch2
        weight, bias = weights_of(expand.conv)
        wide = np.zeros((len(bias), channels, 1, 1))
        wide[:, places] = weight
        self.expand = make_conv2d(wide, bias, quantization=quantization_of(expand.conv))
        weight, bias = weights_of(project.conv)
        wide, shift = np.zeros((channels, weight.shape[1], 1, 1)), np.zeros(channels)
        wide[places], shift[places] = weight, bias
        self.project = make_conv2d(wide, shift, quantization=quantization_of(project.conv))
        self.kept = _make_mask(places, channels, self.project.weight.dtype)

    def double(self) -> None:
        """Make the output twice as large."""
        scale_conv2d(self.project, 2)
        self.kept = 2 * self.kept

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, channels, H, W) -> the same shape."""
        # The kept half passes the ReLU unchanged, since it is the output of one.
        return F.relu(self.project(self.depthwise(F.relu(self.expand(x)))) + x * self.kept)


def _make_gate(
    gates: Sequence[nn.Layer], places: Sequence[np.ndarray], channels: int
) -> tuple[MergedConv2D, MergedConv2D]:
    """Merge pairs conv1, conv2 of 1x1 convolutions, each over its own places; other places get `_OPEN`."""
    first, second = ([getattr(gate, name).conv for gate in gates] for name in ("conv1", "conv2"))
    ends = np.cumsum([conv.weight.shape[0] for conv in first])
    inner = [np.arange(end - conv.weight.shape[0], end) for conv, end in zip(first, ends, strict=True)]
    return (
        MergedConv2D(first, places, inner, (ends[-1], channels), bias=0.0),
        MergedConv2D(second, inner, places, (channels, ends[-1]), bias=_OPEN),
    )


def _others(places: np.ndarray, channels: int) -> np.ndarray:
    return np.setdiff1d(np.arange(channels), places)


def _make_mask(places: np.ndarray, channels: int, dtype: paddle.dtype) -> paddle.Tensor:
    """(1, channels, 1, 1): 0 at the places, 1 elsewhere."""
    mask = np.ones((1, channels, 1, 1))
    mask[:, places] = 0
    return paddle.to_tensor(mask, dtype=dtype)
