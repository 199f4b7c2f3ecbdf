"""HRNet for inference: exchanges that add up at low resolution, and no output that nobody takes."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppose.export.exchange import sum_from_below
from ppose.models import HRNet
from ppose.models.hrnet import HighResolutionModule


def rewrite_hrnet(network: HRNet) -> None:
    """Replace the modules, in place; of the maps only the first is left, TopDownHRNet takes no other.

    Norms have to be folded before.
    """
    last = network.stage4[-1]
    last.outputs = last.outputs[:1]
    for name in ("stage2", "stage3", "stage4"):
        forms = [_ModuleForm(module) for module in getattr(network, name)]
        setattr(network, name, nn.Sequential(*forms))


class _ModuleForm(nn.Layer):
    """`HighResolutionModule` with folded norms."""

    def __init__(self, module: HighResolutionModule) -> None:
        super().__init__()
        self.branches = module.branches
        self.fuse_layers = nn.LayerDict({str(i): module.fuse_layers[str(i)] for i in module.outputs})

    def forward(self, maps: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """One map per branch -> one map per output branch."""
        maps = [self.branches[i](x) for i, x in enumerate(maps)]
        return [self._fuse(maps, int(i), paths) for i, paths in self.fuse_layers.items()]

    def _fuse(self, maps: list[paddle.Tensor], i: int, paths: nn.LayerDict) -> paddle.Tensor:
        total = maps[i]
        for j in range(i):
            total = total + paths[str(j)](maps[j])
        below = sum_from_below(paths, maps, i)
        return F.relu(total if below is None else total + below)
