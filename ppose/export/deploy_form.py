"""Trained networks made ready for deployment."""

import copy

import paddle
from paddle import nn

from ppose.export.fold import fold_norms
from ppose.export.hrnet_form import rewrite_hrnet
from ppose.export.lite_hrnet_form import rewrite_lite_hrnet
from ppose.models import HRNet, LiteHRNet


@paddle.no_grad()
def deploy_form(model: nn.Layer) -> nn.Layer:
    """A copy of a pose network that is quicker to run: image (N, 3, h, w) -> the same heatmaps (N, K, H, W).

    It is in eval mode and not to be trained. Batch norms are folded into the convolutions; branches that do
    not reach the heatmaps are cut; exchanges add up at low resolution; Lite-HRNet's blocks are rewritten (see
    `lite_blocks`). In exact arithmetic the heatmaps are the same; in float32 they differ by rounding.
    """
    form = copy.deepcopy(model)
    form.eval()
    fold_norms(form)
    for layer in form.sublayers():
        if isinstance(layer, HRNet):
            rewrite_hrnet(layer)
        elif isinstance(layer, LiteHRNet):
            rewrite_lite_hrnet(layer)
    return form
