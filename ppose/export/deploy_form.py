"""Prepares trained networks for deployment."""

import copy

import paddle
from paddle import nn

from ppose.export.fold import fold_norms
from ppose.export.lite_hrnet_form import rewrite_lite_hrnet
from ppose.models import HRNet, LiteHRNet


@paddle.no_grad()
def deploy_form(model: nn.Layer) -> nn.Layer:
    """Return a faster copy of a pose network: image (N, 3, h, w) -> the same heatmaps (N, K, H, W).

    The copy is in eval mode, for inference only. Batch norms are folded into convolutions; branches that do
    not reach the heatmaps are removed; Lite-HRNet's blocks and exchanges are rewritten (see `lite_blocks`).
    In exact arithmetic the heatmaps are the same; in float32 they differ by rounding.
    """
    form = copy.deepcopy(model)
    form.eval()
    fold_norms(form)
    for layer in form.sublayers():
        if isinstance(layer, HRNet):
            _cut_unused_outputs(layer)
        elif isinstance(layer, LiteHRNet):
            rewrite_lite_hrnet(layer)
    return form


def _cut_unused_outputs(network: HRNet) -> None:
    """Keep only the first output map, the only one that TopDownHRNet uses."""
    last = network.stage4[-1]
    last.outputs = last.outputs[:1]
    last.fuse_layers = nn.LayerDict({str(i): last.fuse_layers[str(i)] for i in last.outputs})
