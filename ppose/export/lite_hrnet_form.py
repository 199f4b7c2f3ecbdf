"""Lite-HRNet for inference: the same function as the trained network with half of the operators."""

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.export.fold import permute_path, scale_conv2d
from ppose.export.lite_blocks import (
    ShuffleForm,
    StemForm,
    WeightingForm,
    pool_to_last,
    split_and_shuffle,
)
from ppose.models.lite_hrnet import LiteHRNet, LiteModule

# For each branch: the number that the channel at each place has in the trained network.
Orders = list[np.ndarray]


def rewrite_lite_hrnet(network: LiteHRNet) -> None:
    """Replace stem and modules, in place, and permute the weights between them to the new channel orders.

    Norms must be folded before.
    """
    network.stem = StemForm(network.stem)
    orders = [network.stem.order]
    stage = 0
    while hasattr(network, f"stage{stage}"):
        orders = _cross(getattr(network, f"transition{stage}"), orders)
        forms = []
        for module in getattr(network, f"stage{stage}"):
            form, orders = _rewrite_module(module, orders)
            forms.append(form)
        setattr(network, f"stage{stage}", nn.Sequential(*forms))
        stage += 1
    for i, project in enumerate(network.head_layer.projects):
        branch = len(orders) - 1 - i
        outputs = orders[branch - 1] if branch else _natural(project)
        permute_path(project, orders[branch], outputs)


def _natural(path: nn.Layer) -> np.ndarray:
    """The trained network's channel order after the last convolution of a path."""
    convs = [layer for layer in path.sublayers() if isinstance(layer, nn.Conv2D)]
    return np.arange(convs[-1].weight.shape[0])


def _cross(transition: nn.LayerDict, orders: Orders) -> Orders:
    """Permute a transition for the orders of its inputs; returns the orders of its outputs."""
    crossed = []
    for i, order in enumerate([*orders, orders[-1]]):
        if str(i) in transition:
            path = transition[str(i)]
            natural = _natural(path)
            permute_path(path, order, natural)
            order = natural
        crossed.append(order)
    return crossed


def _rewrite_module(module: LiteModule, orders: Orders) -> tuple["_WeightingModule | _ShuffleModule", Orders]:
    """Return a module's form for inputs in these orders, and the orders of its outputs."""
    rewrite = _rewrite_weighting if module.weighting else _rewrite_shuffles
    form, orders = rewrite(module, orders)
    for i, paths in module.fuse_layers.items():
        for j, path in paths.items():
            permute_path(path, orders[int(j)], orders[int(i)])
            if j == "0":  # the published network adds it twice; see LiteModule
                scale_conv2d([x for x in path.sublayers() if isinstance(x, nn.Conv2D)][-1], 2)
    return form, orders


def _rewrite_weighting(module: LiteModule, orders: Orders) -> tuple["_WeightingModule", Orders]:
    blocks = []
    for block in module.layers:
        halves = [split_and_shuffle(order) for order in orders]
        places, orders = [place for place, _ in halves], [after for _, after in halves]
        blocks.append(WeightingForm(block, places, [len(order) for order in orders]))
    blocks[-1].double_first()
    return _WeightingModule(blocks, module.fuse_layers), orders


def _rewrite_shuffles(module: LiteModule, orders: Orders) -> tuple["_ShuffleModule", Orders]:
    branches, after = [], []
    for units, order in zip(module.layers, orders, strict=True):
        forms = []
        for unit in units:
            place, order = split_and_shuffle(order)
            forms.append(ShuffleForm(unit, place, len(order)))
        branches.append(nn.Sequential(*forms))
        after.append(order)
    branches[0][-1].double()
    return _ShuffleModule(branches, module.fuse_layers), after


class _WeightingModule(nn.Layer):
    """LiteModule with conditional channel weighting."""

    def __init__(self, blocks: list[WeightingForm], fuse_layers: nn.LayerDict) -> None:
        super().__init__()
        self.blocks = nn.LayerList(blocks)
        self.fuse_layers = fuse_layers

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> the same shapes."""
        gates: Any = None
        pooled = pool_to_last(maps)
        for block in self.blocks:
            maps, gates, pooled = block(maps, gates, pooled)
        gates = paddle.split(gates, self.blocks[0].channels, axis=1)
        return _fuse(self.fuse_layers, [x * gate for x, gate in zip(maps, gates, strict=True)])


class _ShuffleModule(nn.Layer):
    """LiteModule of the naive networks."""

    def __init__(self, branches: list[nn.Sequential], fuse_layers: nn.LayerDict) -> None:
        super().__init__()
        self.branches = nn.LayerList(branches)
        self.fuse_layers = fuse_layers

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> the same shapes."""
        return _fuse(self.fuse_layers, [self.branches[i](x) for i, x in enumerate(maps)])


def _fuse(layers: Any, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
    """LiteModule's exchange, with the first map doubled and the layers rewritten by `_rewrite_module`."""
    first = maps[0]
    fused = []
    for i, total in enumerate(maps):
        paths = layers[str(i)]
        for j in range(i):
            total = total + paths[str(j)](first if j == 0 else maps[j])
        below = _sum_from_below(paths, maps, i)
        total = total if below is None else total + below
        if i == 0:
            first = total
        fused.append(F.relu(total))
    return fused


def _sum_from_below(paths: Any, maps: list[paddle.Tensor], i: int) -> paddle.Tensor | None:
    """The sum over branches of lower resolution for branch i; None for the last.

    maps is one map per branch, each at half the size of the one before; paths are those of `make_fuse_layers`
    for branch i, with folded norms: [str(j)][0] is the convolution of branch j. The sum is taken at the
    smallest possible size: nearest upsampling by 4 equals that by 2, twice.
    """
    total = None
    for j in range(len(maps) - 1, i, -1):
        projected = paths[str(j)][0](maps[j])
        total = projected if total is None else projected + total
        total = F.interpolate(total, scale_factor=2, mode="nearest")
    return total
