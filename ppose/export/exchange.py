"""The upward half of an exchange between branches, which HRNet and Lite-HRNet share."""

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn


def sum_from_below(paths: nn.LayerDict, maps: Sequence[paddle.Tensor], i: int) -> paddle.Tensor | None:
    """What the branches of lower resolution give to branch i, None to the last.

    maps is one map per branch, each at half the size of the one before; paths are `make_fuse_layers`'s for
    branch i, with folded norms: [str(j)][0] is the convolution of branch j. The sum is taken at the smallest
    size that it can be: nearest upsampling by 4 is that by 2, twice.
    """
    total = None
    for j in range(len(maps) - 1, i, -1):
        projected = paths[str(j)][0](maps[j])
        total = projected if total is None else projected + total
        total = F.interpolate(total, scale_factor=2, mode="nearest")
    return total
